package filter

import "github.com/listenerd/listenerd/listener/internal/schema"

// The nodes of assertions. An assertion about a type that the schema has goes by the
// type's rules; without a schema, and for types that the fallback lacks, by those of
// rule.go; about a type that the directory lacks it is undefined.

func (p *parser) presence(t text, attr description) node {
	if attr.unknown {
		return undefined{t}
	}
	return &present{t, attr}
}

func (p *parser) equality(t text, attr description, value string) node {
	if attr.attribute == nil {
		return lenient(t, attr, equality(value))
	}
	return strict(t, attr, p.schema.Equality(attr.attribute, value), true)
}

func (p *parser) approximate(t text, attr description, value string) node {
	if attr.attribute == nil {
		return lenient(t, attr, approximate(value))
	}
	return strict(t, attr, p.schema.Approximate(attr.attribute, value), false)
}

func (p *parser) ordering(t text, attr description, value string, atMost bool) node {
	if attr.attribute == nil {
		return lenient(t, attr, ordering(value, atMost))
	}
	return strict(t, attr, p.schema.Ordering(attr.attribute, value, atMost), false)
}

func (p *parser) substrings(t text, attr description, parts []string) node {
	if attr.attribute == nil {
		return lenient(t, attr, substring(parts))
	}
	return strict(t, attr, p.schema.Substrings(attr.attribute, parts), false)
}

// extension makes the node of an extensible match. The rule's name, or the attribute's
// text, may be empty.
func (p *parser) extension(t text, attr description, ruleName string, dn bool, value string) node {
	if p.schema == nil || attr.text != "" && attr.attribute == nil && !attr.unknown || attr.text == "" && p.schema.Fallback() {
		return lenientExtension(t, attr, ruleName, dn, value)
	}
	var rule *schema.Rule
	switch {
	case attr.unknown:
		return undefined{t}
	case ruleName != "":
		rule = p.schema.Rule(ruleName)
	default:
		rule = attr.attribute.Equality
	}
	if rule == nil || attr.text != "" && !p.schema.Usable(rule, attr.attribute) {
		return undefined{t}
	}
	extensible := p.schema.Extensible
	if attr.text == "" {
		attr.name(p.schema.UsableTypes(rule))
		extensible = p.schema.ExtensibleAny
	}
	m := extensible(rule, value)
	if m == nil {
		return undefined{t}
	}
	hasty := p.schema.Vendor() == schema.OpenLDAP
	n := &compare{text: t, attr: attr, matcher: typed{m}, hasty: hasty}
	if dn {
		return &compareDN{n, &n.attr, n.matcher, hasty}
	}
	return n
}

func strict(t text, attr description, m schema.Matcher, byKey bool) node {
	switch {
	case attr.unknown || m == nil && !attr.twoValued:
		return undefined{t}
	case m == nil:
		return never{t}
	case attr.twoValued:
		return &compare{text: t, attr: attr, matcher: twoValued{m}}
	}
	return &compare{text: t, attr: attr, matcher: typed{m}, byKey: byKey}
}

func lenient(t text, attr description, m matcher) node {
	if attr.unknown {
		return undefined{t}
	}
	return &compare{text: t, attr: attr, matcher: m}
}

func lenientExtension(t text, attr description, ruleName string, dn bool, value string) node {
	makeMatcher := equality
	if ruleName != "" {
		makeMatcher = findRule(ruleName)
	}
	if makeMatcher == nil {
		return undefined{t}
	}
	m := makeMatcher(value)
	switch {
	case m == nil:
		return undefined{t}
	case attr.text != "" && dn:
		return &compareDN{node: &compare{text: t, attr: attr, matcher: m}, attr: &attr, matcher: m}
	case attr.text != "":
		return &compare{text: t, attr: attr, matcher: m}
	case dn:
		return &compareDN{node: &compareAll{t, m}, matcher: m}
	}
	return &compareAll{t, m}
}
