package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"time"

	"gopkg.in/yaml.v3"
)

// maxNodes bounds the work on one file: a few lines of aliases of aliases expand
// to more than any memory holds. No file within maxFileSize has as many without.
const maxNodes = 500_000

// decoder fills Go values from YAML nodes and refuses what the values' types do
// not provide for. It handles structs, maps, lists and pointers itself and leaves
// single values, and types that implement yaml.Unmarshaler, to yaml.v3.
type decoder struct {
	problems *collector
	// refused has an answer for keys that people try and that are unknown on
	// purpose, by path.
	refused map[string]string
	spent   int // of maxNodes
	known   map[reflect.Type]fields
	open    map[*yaml.Node]bool // anchors that are being decoded
}

// place is where a value stands, for messages and for a [given].
type place struct {
	path string // such as ldap.bind.dn; that of a list's items is the list's
	line int    // of the key or the list item
}

func (p place) key(name string, line int) place {
	if p.path != "" {
		name = p.path + "." + name
	}
	return place{name, line}
}

// nodeDecoder is implemented by types of this package that decode themselves.
type nodeDecoder interface {
	decodeNode(d *decoder, n *yaml.Node, at place) bool
}

// given is a value with the line it was given in: that of its key, or of itself
// in a list.
type given[T any] struct {
	Value T
	Line  int  // 0: not given
	OK    bool // given, and decoded without a problem
}

func (g *given[T]) decodeNode(d *decoder, n *yaml.Node, at place) bool {
	g.Line = at.line
	g.OK = d.decode(n, reflect.ValueOf(&g.Value).Elem(), at)
	return g.OK
}

// notDecoded tells whether g has a value of a quite different type, such as a list
// in place of a section: there is nothing more to say about it.
func notDecoded[T any](g given[T]) bool {
	return g.Line > 0 && !g.OK && reflect.ValueOf(g.Value).IsZero()
}

// or returns the value, or def if there is none or a wrong one.
func (g *given[T]) or(def T) T {
	if g.OK {
		return g.Value
	}
	return def
}

// decode sets out, which is addressable, to what n says. It reports problems and
// tells whether there were none; then parts of out may be set.
func (d *decoder) decode(n *yaml.Node, out reflect.Value, at place) bool {
	if !d.spend(1, n.Line) {
		return false
	}
	if n.Kind == yaml.AliasNode {
		target, closed := d.enter(n, at)
		if target == nil {
			return false
		}
		defer closed()
		return d.decode(target, out, at)
	}
	pointer := out.Addr().Interface()
	if node, ok := pointer.(nodeDecoder); ok {
		return node.decodeNode(d, n, at)
	}
	if out.Kind() == reflect.Pointer {
		return d.pointer(n, out, at)
	}
	switch pointer := pointer.(type) {
	case *yaml.Node:
		*pointer = *n
		return true
	case *time.Duration:
		return d.duration(n, pointer, at)
	case yaml.Unmarshaler, interface{ UnmarshalYAML(func(any) error) error }:
		return d.value(n, out, at)
	case encoding.TextUnmarshaler, *time.Time:
		return d.scalar(n, out, at)
	}
	switch out.Kind() {
	case reflect.Struct:
		return d.structure(n, out, at)
	case reflect.Map:
		return d.mapping(n, out, at)
	case reflect.Slice:
		return d.slice(n, out, at)
	case reflect.Array:
		return d.array(n, out, at)
	case reflect.Interface:
		if out.NumMethod() == 0 {
			return d.value(n, out, at)
		}
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return d.scalar(n, out, at)
	}
	d.problems.add(n.Line, "%s: a value of type %s cannot be set from YAML", at.path, out.Type())
	return false
}

// spend tells whether n more nodes are within maxNodes, and reports it once if not.
func (d *decoder) spend(n, line int) bool {
	within := d.spent <= maxNodes
	d.spent += n
	if within && d.spent > maxNodes {
		d.problems.add(line, "too large: the aliases (*name) expand to more than %d values", maxNodes)
	}
	return d.spent <= maxNodes
}

// enter follows an alias. The caller calls closed when it has decoded the target,
// which is nil if the anchor contains the alias.
func (d *decoder) enter(alias *yaml.Node, at place) (target *yaml.Node, closed func()) {
	target = alias.Alias
	if d.open[target] {
		d.problems.add(alias.Line, "%s: the anchor &%s contains itself", at.path, alias.Value)
		return nil, nil
	}
	if d.open == nil {
		d.open = make(map[*yaml.Node]bool)
	}
	d.open[target] = true
	return target, func() { delete(d.open, target) }
}

// pointer decodes into a copy: the value that out points to may be a default that
// other instances share.
func (d *decoder) pointer(n *yaml.Node, out reflect.Value, at place) bool {
	if isNull(n) {
		out.SetZero()
		return true
	}
	fresh := reflect.New(out.Type().Elem())
	if !out.IsNil() {
		fresh.Elem().Set(out.Elem())
	}
	out.Set(fresh)
	return d.decode(n, fresh.Elem(), at)
}

func (d *decoder) structure(n *yaml.Node, out reflect.Value, at place) bool {
	if isNull(n) {
		return true // a section whose keys are all commented out
	}
	pairs, ok := d.pairs(n, at)
	if pairs == nil {
		return ok
	}
	fields := d.fieldsOf(out.Type())
	for _, pair := range pairs {
		field, known := fields.find(out, pair.name)
		switch {
		case known:
			ok = d.decode(pair.value, field, at.key(pair.name, pair.line)) && ok
		case fields.rest != nil:
			ok = d.entry(pair, reflect.ValueOf(pair.name), reach(out, fields.rest), at) && ok
		default:
			ok = false
			d.unknown(pair, fields.names, at)
		}
	}
	return ok
}

func (d *decoder) fieldsOf(t reflect.Type) fields {
	f, ok := d.known[t]
	if !ok {
		f = fieldsOf(t)
		if d.known == nil {
			d.known = make(map[reflect.Type]fields)
		}
		d.known[t] = f
	}
	return f
}

func (d *decoder) unknown(p pair, known []string, at place) {
	in := ""
	if at.path != "" {
		in = " in " + at.path
	}
	if answer, ok := d.refused[at.key(p.name, 0).path]; ok {
		d.problems.add(p.line, "key %q%s: %s", p.name, in, answer)
	} else if near := nearest(p.name, known); near != "" {
		d.problems.add(p.line, "unknown key %q; did you mean %q?", p.name, near)
	} else if len(known) == 0 {
		d.problems.add(p.line, "unknown key %q%s, which has no keys; remove it", p.name, in)
	} else {
		d.problems.add(p.line, "unknown key %q%s; known keys: %s", p.name, in, list(known))
	}
}

func (d *decoder) mapping(n *yaml.Node, out reflect.Value, at place) bool {
	if isNull(n) {
		out.SetZero()
		return true
	}
	pairs, ok := d.pairs(n, at)
	if pairs == nil {
		return ok
	}
	// A map that is there is a default, which other instances share.
	fresh := reflect.MakeMapWithSize(out.Type(), out.Len()+len(pairs))
	for key, value := range out.Seq2() {
		fresh.SetMapIndex(key, value)
	}
	out.Set(fresh)
	for _, pair := range pairs {
		key := reflect.New(out.Type().Key()).Elem()
		if !d.decode(pair.key, key, at.key(pair.name, pair.line)) {
			ok = false
			continue
		}
		ok = d.entry(pair, key, out, at) && ok
	}
	return ok
}

// entry decodes the value of p into the map out.
func (d *decoder) entry(p pair, key, out reflect.Value, at place) bool {
	value := reflect.New(out.Type().Elem()).Elem()
	if !d.decode(p.value, value, at.key(p.name, p.line)) {
		return false
	}
	if out.IsNil() {
		out.Set(reflect.MakeMap(out.Type()))
	}
	out.SetMapIndex(key.Convert(out.Type().Key()), value)
	return true
}

func (d *decoder) slice(n *yaml.Node, out reflect.Value, at place) bool {
	if isNull(n) {
		out.SetZero()
		return true
	}
	if n.Kind != yaml.SequenceNode {
		d.want("a list such as [a, b]", n, at)
		return false
	}
	ok := true
	fresh := reflect.MakeSlice(out.Type(), 0, len(n.Content))
	for _, item := range n.Content {
		value := reflect.New(out.Type().Elem()).Elem()
		ok = d.decode(item, value, place{at.path, item.Line}) && ok
		fresh = reflect.Append(fresh, value)
	}
	out.Set(fresh)
	return ok
}

func (d *decoder) array(n *yaml.Node, out reflect.Value, at place) bool {
	if n.Kind != yaml.SequenceNode || len(n.Content) != out.Len() {
		d.want(fmt.Sprintf("a list of %d", out.Len()), n, at)
		return false
	}
	ok := true
	for i, item := range n.Content {
		ok = d.decode(item, out.Index(i), place{at.path, item.Line}) && ok
	}
	return ok
}

func (d *decoder) duration(n *yaml.Node, out *time.Duration, at place) bool {
	if n.Kind == yaml.ScalarNode && !isNull(n) {
		if duration, err := time.ParseDuration(n.Value); err == nil {
			*out = duration
			return true
		}
	}
	d.want("a duration such as 15s", n, at)
	return false
}

// scalar decodes a single value.
func (d *decoder) scalar(n *yaml.Node, out reflect.Value, at place) bool {
	want := wanted(out.Type())
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.want(want, n, at)
		return false
	}
	if (out.CanInt() || out.CanUint()) && n.ShortTag() == "!!float" {
		d.want(want, n, at) // yaml.v3 would cut it off
		return false
	}
	err := n.Decode(out.Addr().Interface())
	if err == nil {
		return true
	}
	if _, ok := errors.AsType[*yaml.TypeError](err); !ok && wantsText(out) {
		d.problems.add(n.Line, "%s: %v", at.path, err)
	} else {
		d.want(want, n, at)
	}
	return false
}

// value leaves all of n to yaml.v3.
func (d *decoder) value(n *yaml.Node, out reflect.Value, at place) bool {
	err := n.Decode(out.Addr().Interface())
	if err == nil {
		return true
	}
	wrong, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		d.problems.add(n.Line, "%s: %s", at.path, trimYAML(err))
		return false
	}
	for _, text := range wrong.Errors {
		line, text := splitLine(text)
		if line == 0 {
			line = n.Line
		}
		d.problems.add(line, "%s: %s", at.path, typeProblem(text))
	}
	return false
}
