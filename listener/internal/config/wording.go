package config

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// want reports that n is not what is wanted at a place.
func (d *decoder) want(what string, n *yaml.Node, at place) {
	path := at.path
	if path == "" {
		path = "the file"
	}
	if isNull(n) {
		d.problems.add(n.Line, "%s: no value; want %s, or leave the key out", path, what)
		return
	}
	d.problems.add(n.Line, "%s: want %s, have %s", path, what, have(n))
}

// maxShown is how much of a wrong value a message repeats.
const maxShown = 30

// have describes a node. A value is shown in part at most.
func have(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "the alias *" + n.Value
	}
	text := n.Value
	if runes := []rune(text); len(runes) > maxShown {
		text = string(runes[:maxShown]) + "..."
	}
	if n.ShortTag() == "!!str" {
		return strconv.Quote(text)
	}
	return text
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

var (
	durationType        = reflect.TypeFor[time.Duration]()
	timeType            = reflect.TypeFor[time.Time]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func wantsText(v reflect.Value) bool {
	return v.Type() != timeType && v.Addr().Type().Implements(textUnmarshalerType)
}

// wanted says in words what a value of type t looks like in YAML.
func wanted(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 15s"
	case t == timeType:
		return "a time such as 2006-01-02T15:04:05Z"
	case reflect.PointerTo(t).Implements(textUnmarshalerType):
		return "text"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Int8, reflect.Int16, reflect.Int32:
		half := int64(1) << (t.Bits() - 1)
		return fmt.Sprintf("a whole number from %d to %d", -half, half-1)
	case reflect.Uint, reflect.Uint64:
		return "a whole number, 0 or more"
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(math.MaxUint64)>>(64-t.Bits()))
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list such as [a, b]"
	case reflect.Map, reflect.Struct:
		return "a mapping (key: value)"
	}
	return "text"
}

var (
	yamlLine   = regexp.MustCompile(`^(?:yaml: )?line (\d+): `)
	cannotInto = regexp.MustCompile("^cannot unmarshal !!?\\S*(?: `.*`)? into (\\S+)$")
)

// splitLine cuts the line number that yaml.v3 begins its messages with.
func splitLine(text string) (line int, rest string) {
	m := yamlLine.FindStringSubmatch(text)
	if m == nil {
		return 0, text
	}
	line, _ = strconv.Atoi(m[1])
	return line, text[len(m[0]):]
}

func trimYAML(err error) string { return strings.TrimPrefix(err.Error(), "yaml: ") }

// typeProblem words an item of a yaml.TypeError, less its line. The type is known
// by name only: it was met inside of a yaml.Unmarshaler.
func typeProblem(text string) string {
	m := cannotInto.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	name := m[1]
	switch {
	case name == "time.Duration":
		return "want " + wanted(durationType)
	case name == "bool":
		return "want " + wanted(reflect.TypeFor[bool]())
	case strings.HasPrefix(name, "int") || strings.HasPrefix(name, "uint"):
		return "want a whole number"
	case strings.HasPrefix(name, "float"):
		return "want a number"
	case strings.HasPrefix(name, "[]"):
		return "want a list such as [a, b]"
	case strings.HasPrefix(name, "map["):
		return "want a mapping (key: value)"
	case name == "string":
		return "want text"
	}
	return "want a " + name
}
