package listener

import (
	"slices"
	"strings"
)

// AttributeNames is what an entry knows of its directory's schema: which names mean the
// same attribute, and which attributes are operational. It is immutable and safe for
// concurrent use. The engine makes it from the provider's schema; nil knows nothing
// but [Operational].
type AttributeNames struct {
	types map[string]*attributeType // by name and OID, in lower case
	list  []AttributeType           // as they were given
}

// AttributeType is one attribute type for [NewAttributeNames].
type AttributeType struct {
	Names       []string // and OID, in any case
	Operational bool
}

type attributeType struct {
	names       []string
	operational bool
}

// NewAttributeNames makes the knowledge of these types. Of two with one name the first
// counts.
func NewAttributeNames(types []AttributeType) *AttributeNames {
	n := &AttributeNames{make(map[string]*attributeType, 2*len(types)), slices.Clone(types)}
	for _, t := range types {
		known := &attributeType{t.Names, t.Operational}
		for _, name := range t.Names {
			if key := strings.ToLower(name); n.types[key] == nil {
				n.types[key] = known
			}
		}
	}
	return n
}

// Types returns what [NewAttributeNames] makes the same knowledge of.
func (n *AttributeNames) Types() []AttributeType { return slices.Clone(n.list) }

// find returns the type that a description, whose options are ignored, names; nil if it
// is unknown.
func (n *AttributeNames) find(description string) *attributeType {
	if n == nil {
		return nil
	}
	name, _, _ := strings.Cut(description, ";")
	var buf [64]byte
	if len(name) > len(buf) {
		return n.types[strings.ToLower(name)]
	}
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	return n.types[string(buf[:len(name)])]
}

// Operational tells whether the attribute is maintained by the directory server: as the
// schema has it, and [Operational] for types that it lacks.
func (n *AttributeNames) Operational(description string) bool {
	if t := n.find(description); t != nil {
		return t.operational
	}
	return Operational(description)
}

// same tells whether two descriptions mean one attribute: one type, the same options in
// any order and case.
func (n *AttributeNames) same(a, b string) bool {
	if len(a) == len(b) && strings.EqualFold(a, b) {
		return true
	}
	nameA, optionsA, _ := strings.Cut(a, ";")
	nameB, optionsB, _ := strings.Cut(b, ";")
	if !strings.EqualFold(nameA, nameB) {
		if t := n.find(nameA); t == nil || t != n.find(nameB) {
			return false
		}
	}
	return sameOptions(optionsA, optionsB)
}

func sameOptions(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	if strings.EqualFold(a, b) {
		return true
	}
	for option := range strings.SplitSeq(a, ";") {
		if !hasOption(b, option) {
			return false
		}
	}
	for option := range strings.SplitSeq(b, ";") {
		if !hasOption(a, option) {
			return false
		}
	}
	return true
}

func hasOption(list, option string) bool {
	for have := range strings.SplitSeq(list, ";") {
		if strings.EqualFold(have, option) {
			return true
		}
	}
	return false
}
