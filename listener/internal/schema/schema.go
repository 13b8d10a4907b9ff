package schema

import (
	"fmt"
	"strings"
	"sync"
)

// Schema is what a directory knows of its attributes. It is immutable and safe for
// concurrent use. Names are found without regard to case.
type Schema struct {
	vendor   Vendor
	fallback bool
	hash     Hash
	all      []*AttributeType
	types    map[string]*AttributeType // by each key
	classes  map[string]*ObjectClass   // by each key
	rules    map[string]*Rule          // by each key
	binary   map[string]bool           // syntaxes whose values need ;binary
	hasUses  bool                      // the server publishes which rules fit which types
	uses     map[ruleUse]bool

	namesOnce sync.Once
	names     string // see namesMeaning
}

// ruleUse is one entry of matchingRuleUse.
type ruleUse struct {
	rule *Rule
	typ  *AttributeType
}

// Parse makes a schema from a server's definitions. One that cannot be read is left
// out and reported in problems; it never costs the others. Of two definitions with one
// name or OID the first counts.
func Parse(d Definitions) (s *Schema, problems []error) {
	s = &Schema{
		vendor: d.Vendor, hash: d.Hash(),
		types: map[string]*AttributeType{}, classes: map[string]*ObjectClass{},
		rules: map[string]*Rule{}, binary: map[string]bool{}, uses: map[ruleUse]bool{},
	}
	read := func(kind string, values []string, define func(*description)) {
		for _, v := range values {
			parsed, err := parseDescription(v)
			if err != nil {
				problems = append(problems, fmt.Errorf("%s %.80q: %w", kind, v, err))
				continue
			}
			define(&parsed)
		}
	}
	read("ldapSyntaxes", d.Syntaxes, s.defineSyntax)
	read("matchingRules", d.MatchingRules, s.defineRule)
	types := make([]*AttributeType, 0, len(d.AttributeTypes))
	var described []description
	read("attributeTypes", d.AttributeTypes, func(p *description) {
		t := &AttributeType{OID: p.oid, Names: p.list("NAME"), keys: keysOf(p.oid, p.list("NAME"))}
		types = append(types, t)
		described = append(described, *p)
		for _, k := range t.keys {
			if _, taken := s.types[k]; !taken {
				s.types[k] = t
			}
		}
	})
	for i, t := range types {
		s.linkType(t, &described[i])
	}
	s.all = types
	resolved := map[*AttributeType]bool{}
	for _, t := range types {
		s.inherit(t, resolved)
	}
	s.readClasses(d.ObjectClasses, read)
	s.hasUses = len(d.MatchingRuleUse) > 0
	read("matchingRuleUse", d.MatchingRuleUse, func(p *description) {
		rule := s.rules[strings.ToLower(p.oid)]
		for _, name := range p.list("APPLIES") {
			if t := s.types[strings.ToLower(name)]; t != nil && rule != nil {
				s.uses[ruleUse{rule, t}] = true
			}
		}
	})
	return s, problems
}

func (s *Schema) defineSyntax(p *description) {
	if strings.EqualFold(p.one("X-BINARY-TRANSFER-REQUIRED"), "TRUE") {
		s.binary[p.oid] = true
	}
}

func (s *Schema) defineRule(p *description) {
	r := &Rule{OID: p.oid, Names: p.list("NAME"), Syntax: syntaxOID(p.one("SYNTAX"))}
	if known := implementationOf(r.OID, r.Names); known != nil {
		r.implementation = known
	}
	for _, k := range keysOf(r.OID, r.Names) {
		if _, taken := s.rules[k]; !taken {
			s.rules[k] = r
		}
	}
}

// linkType fills in what the definition itself says.
func (s *Schema) linkType(t *AttributeType, p *description) {
	if sup := s.types[strings.ToLower(p.one("SUP"))]; sup != nil && !sup.IsA(t) { // no circles
		t.Sup = sup
		sup.subs = append(sup.subs, t)
	}
	t.Equality = s.ruleFor(p.one("EQUALITY"))
	t.Ordering = s.ruleFor(p.one("ORDERING"))
	t.Substr = s.ruleFor(p.one("SUBSTR"))
	t.Syntax = syntaxOID(p.one("SYNTAX"))
	t.SingleValue = p.flag("SINGLE-VALUE")
	t.Usage = parseUsage(p.one("USAGE"))
	// These two match superclasses, too, on the servers that we know.
	if t.OID == oidObjectClass || t.OID == oidStructuralObjectClass {
		t.Equality = objectClassRule
	}
}

// inherit fills in what the definition leaves to the supertype, and then what the
// server derives from the syntax.
func (s *Schema) inherit(t *AttributeType, resolved map[*AttributeType]bool) {
	var chain []*AttributeType
	for ; t != nil && !resolved[t]; t = t.Sup {
		chain = append(chain, t)
	}
	for i := len(chain) - 1; i >= 0; i-- {
		t := chain[i]
		resolved[t] = true
		if sup := t.Sup; sup != nil {
			t.Equality, t.Ordering, t.Substr = first(t.Equality, sup.Equality), first(t.Ordering, sup.Ordering), first(t.Substr, sup.Substr)
			if t.Syntax == "" {
				t.Syntax = sup.Syntax
			}
		}
		if s.vendor == Directory389 {
			equality, ordering, substr := rulesOfSyntax(t.Syntax)
			t.Equality, t.Ordering, t.Substr = first(t.Equality, s.ruleFor(equality)), first(t.Ordering, s.ruleFor(ordering)), first(t.Substr, s.ruleFor(substr))
		}
	}
}

func first(a, b *Rule) *Rule {
	if a != nil {
		return a
	}
	return b
}

func (s *Schema) readClasses(values []string, read func(string, []string, func(*description))) {
	sups := map[*ObjectClass][]string{}
	var order []*ObjectClass
	read("objectClasses", values, func(p *description) {
		c := &ObjectClass{OID: p.oid, Names: p.list("NAME"), Must: p.list("MUST"), May: p.list("MAY"), keys: keysOf(p.oid, p.list("NAME"))}
		switch {
		case p.flag("ABSTRACT"):
			c.Kind = Abstract
		case p.flag("AUXILIARY"):
			c.Kind = Auxiliary
		}
		for _, k := range c.keys {
			if _, taken := s.classes[k]; !taken {
				s.classes[k] = c
			}
		}
		sups[c] = p.list("SUP")
		order = append(order, c)
	})
	for _, c := range order {
		for _, name := range sups[c] {
			if sup := s.classes[strings.ToLower(name)]; sup != nil && sup != c {
				c.Sups = append(c.Sups, sup)
				sup.subs = append(sup.subs, c)
			}
		}
	}
}

// ruleFor returns the rule that an attribute type names. Servers do not publish all
// that they use: OpenLDAP hides CSNMatch.
func (s *Schema) ruleFor(name string) *Rule {
	if name == "" {
		return nil
	}
	if r := s.rules[strings.ToLower(name)]; r != nil {
		return r
	}
	if r := knownRules()[strings.ToLower(name)]; r != nil {
		return r
	}
	return &Rule{OID: name, Names: []string{name}} // a rule that nothing supports
}

// syntaxOID strips the length from 1.2.3{64}, and quotes that some servers write.
func syntaxOID(s string) string {
	s, _, _ = strings.Cut(s, "{")
	return strings.Trim(s, "'")
}

// Vendor returns the vendor that the definitions name.
func (s *Schema) Vendor() Vendor { return s.vendor }

// Hash returns [Definitions.Hash] of what the schema was made from.
func (s *Schema) Hash() Hash { return s.hash }

// Fallback tells whether this is [Builtin] rather than what a server said. A type that
// a server's schema lacks does not exist there; of the fallback no such thing is known.
func (s *Schema) Fallback() bool { return s.fallback }

// Attribute returns the type with the name or OID, without options; nil if there is
// none.
func (s *Schema) Attribute(name string) *AttributeType { return lookup(s.types, name) }

// Attributes returns all types, in the order of the definitions.
func (s *Schema) Attributes() []*AttributeType { return s.all }

// Class returns the object class with the name or OID; nil if there is none.
func (s *Schema) Class(name string) *ObjectClass { return lookup(s.classes, name) }

// Rule returns the matching rule with the name or OID; nil if the server has none. Of a
// server that publishes no rules at all nothing is known: then it has those of this package.
func (s *Schema) Rule(name string) *Rule {
	if r := lookup(s.rules, name); r != nil {
		return r
	}
	if r := knownRules()[strings.ToLower(name)]; r != nil && (s.fallback || r.hidden || len(s.rules) == 0) {
		return r
	}
	return nil
}

// Binary tells whether values of the type are transferred with the option ;binary.
func (s *Schema) Binary(t *AttributeType) bool { return s.binary[t.Syntax] }

// Operational tells whether the attribute with the description is maintained by the
// server, and whether the schema has its type at all.
func (s *Schema) Operational(description string) (operational, known bool) {
	name, _, _ := strings.Cut(description, ";")
	t := s.Attribute(name)
	return t != nil && t.Usage.Operational(), t != nil
}

// Usable tells whether the rule can be used with attributes of the type in an
// extensible match. Where the server publishes it (RFC 4512, section 4.1.4), that is
// it; else it can if it is the type's own or its assertion syntax fits the type's.
func (s *Schema) Usable(r *Rule, t *AttributeType) bool {
	if s.hasUses && !r.hidden && r != objectClassRule {
		return s.uses[ruleUse{r, t}]
	}
	if r.Supported() && r.noFilter {
		return false
	}
	return r == t.Equality || r.Syntax == t.Syntax || r.fits(t.Syntax)
}

// UsableTypes returns the types that an extensible match without a type is about. What a
// server makes up for each search, such as entryDN, is not among them.
func (s *Schema) UsableTypes(r *Rule) []*AttributeType {
	var out []*AttributeType
	for key, t := range s.types {
		if key == strings.ToLower(t.OID) && !madeUp[t.OID] && s.Usable(r, t) {
			out = append(out, t)
		}
	}
	return out
}

// madeUp has entryDN, subschemaSubentry, hasSubordinates and numSubordinates.
var madeUp = map[string]bool{"1.3.6.1.1.20": true, "2.5.18.10": true, "2.5.18.9": true, "1.3.1.1.4.1.453.16.2.103": true}

// lookup finds name in any case without allocating.
func lookup[T any](m map[string]*T, name string) *T {
	if v, ok := m[name]; ok {
		return v
	}
	var buf [64]byte
	if len(name) > len(buf) {
		return m[strings.ToLower(name)]
	}
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		buf[i] = c
	}
	return m[string(buf[:len(name)])]
}
