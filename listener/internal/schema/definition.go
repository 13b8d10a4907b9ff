package schema

import "strings"

// Usage says what an attribute type is for (RFC 4512, section 4.1.2).
type Usage uint8

// The usages. All but UserApplications are operational.
const (
	UserApplications Usage = iota
	DirectoryOperation
	DistributedOperation
	DSAOperation
)

// Operational tells whether attributes of this usage are maintained by servers rather
// than by users.
func (u Usage) Operational() bool { return u != UserApplications }

func parseUsage(s string) Usage {
	switch strings.ToLower(s) {
	case "directoryoperation":
		return DirectoryOperation
	case "distributedoperation":
		return DistributedOperation
	case "dsaoperation":
		return DSAOperation
	}
	return UserApplications
}

// AttributeType is an attribute type of a schema, with what it inherits from its
// supertypes filled in.
type AttributeType struct {
	OID         string
	Names       []string       // as the schema spells them; the first is the usual one
	Sup         *AttributeType // nil: none
	Equality    *Rule          // nil: none
	Ordering    *Rule          // nil: none
	Substr      *Rule          // nil: none
	Syntax      string         // OID, without the length that may follow it
	SingleValue bool
	Usage       Usage

	keys []string // names and OID in lower case
	subs []*AttributeType
}

// Name returns the usual name, the OID if there is none.
func (t *AttributeType) Name() string {
	if len(t.Names) > 0 {
		return t.Names[0]
	}
	return t.OID
}

// Keys returns all names and the OID, in lower case.
func (t *AttributeType) Keys() []string { return t.keys }

// IsA tells whether t is sup or one of its subtypes.
func (t *AttributeType) IsA(sup *AttributeType) bool {
	for ; t != nil; t = t.Sup {
		if t == sup {
			return true
		}
	}
	return false
}

// WithSubtypes returns t and all of its subtypes.
func (t *AttributeType) WithSubtypes() []*AttributeType {
	out := []*AttributeType{t}
	for i := 0; i < len(out); i++ {
		out = append(out, out[i].subs...)
	}
	return out
}

// ClassKind is the kind of an object class.
type ClassKind uint8

// The kinds of object classes.
const (
	Structural ClassKind = iota
	Abstract
	Auxiliary
)

// ObjectClass is an object class of a schema.
type ObjectClass struct {
	OID   string
	Names []string
	Sups  []*ObjectClass // direct superclasses that the schema has
	Kind  ClassKind
	Must  []string // as written
	May   []string // as written

	keys []string
	subs []*ObjectClass
}

// Name returns the usual name, the OID if there is none.
func (c *ObjectClass) Name() string {
	if len(c.Names) > 0 {
		return c.Names[0]
	}
	return c.OID
}

// Keys returns all names and the OID, in lower case.
func (c *ObjectClass) Keys() []string { return c.keys }

// WithSubclasses returns c and all classes that descend from it, each once.
func (c *ObjectClass) WithSubclasses() []*ObjectClass {
	out, seen := []*ObjectClass{c}, map[*ObjectClass]bool{c: true}
	for i := 0; i < len(out); i++ {
		for _, sub := range out[i].subs {
			if !seen[sub] {
				seen[sub] = true
				out = append(out, sub)
			}
		}
	}
	return out
}

func keysOf(oid string, names []string) []string {
	keys := make([]string, 0, len(names)+1)
	for _, n := range names {
		keys = append(keys, strings.ToLower(n))
	}
	return append(keys, strings.ToLower(oid))
}
