package config

import (
	"reflect"
	"slices"
	"strings"
)

// fields are the keys of a struct type, named by their yaml tags as yaml.v3 does
// it: the tag's name, or the field's in lower case.
type fields struct {
	names []string         // sorted
	index map[string][]int // by name, for reflect.Value.FieldByIndex
	rest  []int            // the inline map, which takes all other keys; or nil
}

func fieldsOf(t reflect.Type) fields {
	f := fields{index: make(map[string][]int)}
	f.collect(t, nil, nil)
	slices.Sort(f.names)
	return f
}

// collect adds the fields of t, which stands at prefix. outer has the types that t
// is embedded in.
func (f *fields) collect(t reflect.Type, prefix []int, outer []reflect.Type) {
	if slices.Contains(outer, t) {
		return
	}
	outer = append(slices.Clip(outer), t)
	for i := range t.NumField() {
		field := t.Field(i)
		tag := field.Tag.Get("yaml")
		if tag == "" && !strings.Contains(string(field.Tag), ":") {
			tag = string(field.Tag)
		}
		name, options, _ := strings.Cut(tag, ",")
		if tag == "-" || !field.IsExported() {
			continue
		}
		index := append(slices.Clip(prefix), i)
		if slices.Contains(strings.Split(options, ","), "inline") {
			inner := field.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			switch {
			case inner.Kind() == reflect.Struct:
				f.collect(inner, index, outer)
				continue
			case inner.Kind() == reflect.Map && inner.Key().Kind() == reflect.String:
				f.rest = index
				continue
			}
		}
		if name == "" {
			name = strings.ToLower(field.Name)
		}
		if _, twice := f.index[name]; !twice {
			f.index[name] = index
			f.names = append(f.names, name)
		}
	}
}

// find returns the field of v with that name, with the inline pointers to it set.
func (f *fields) find(v reflect.Value, name string) (reflect.Value, bool) {
	index, ok := f.index[name]
	if !ok {
		return reflect.Value{}, false
	}
	return reach(v, index), true
}

func reach(v reflect.Value, index []int) reflect.Value {
	for _, i := range index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}
