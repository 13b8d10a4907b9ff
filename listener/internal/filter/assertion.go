package filter

import "github.com/listenerd/listenerd/listener/internal/schema"

// The nodes of assertions. An assertion about a type that the schema has goes by the
// type's rules; without a schema, and for types that the fallback lacks, by those of
// rule.go; about a type that the directory lacks it is undefined.

func (p *parser) presence(t text, attr description) node {
	if attr.unknown {
		return undefined{t, unknownType(attr)}
	}
	return &present{t, attr}
}

func (p *parser) equality(t text, attr description, value string) node {
	if attr.attribute == nil {
		return lenient(t, attr, equality(value))
	}
	n := strict(t, attr, p.schema.Equality(attr.attribute, value), "equality", attr.attribute.Equality)
	if c, ok := n.(*compare); ok {
		_, c.byKey = c.matcher.(typed)
	}
	return n
}

func (p *parser) approximate(t text, attr description, value string) node {
	if attr.attribute == nil {
		return lenient(t, attr, approximate(value))
	}
	return strict(t, attr, p.schema.Approximate(attr.attribute, value), "equality", attr.attribute.Equality)
}

func (p *parser) ordering(t text, attr description, value string, atMost bool) node {
	if attr.attribute == nil {
		return lenient(t, attr, ordering(value, atMost))
	}
	return strict(t, attr, p.schema.Ordering(attr.attribute, value, atMost), "ordering", attr.attribute.Ordering)
}

func (p *parser) substrings(t text, attr description, parts []string) node {
	if attr.attribute == nil {
		return lenient(t, attr, substring(parts))
	}
	return strict(t, attr, p.schema.Substrings(attr.attribute, parts), "substrings", attr.attribute.Substr)
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
		return undefined{t, unknownType(attr)}
	case ruleName != "":
		rule = p.schema.Rule(ruleName)
	default:
		rule = attr.attribute.Equality
	}
	switch {
	case rule == nil && ruleName != "":
		return undefined{t, "the directory has no matching rule " + ruleName}
	case rule == nil:
		return undefined{t, "the type has no rule for equality"}
	case attr.text != "" && !p.schema.Usable(rule, attr.attribute):
		return undefined{t, rule.Name() + " is not for attributes of this type"}
	}
	extensible := p.schema.Extensible
	if attr.text == "" {
		attr.name(p.schema.UsableTypes(rule))
		extensible = p.schema.ExtensibleAny
	}
	m := extensible(rule, value)
	if m == nil {
		return undefined{t, unfit(rule)}
	}
	hasty := p.schema.Vendor() == schema.OpenLDAP
	n := &compare{text: t, attr: attr, matcher: typed{m}, rule: rule.Name(), hasty: hasty}
	if dn {
		return &compareDN{n, &n.attr, n.matcher, hasty}
	}
	return n
}

// strict makes the node of an assertion by a rule of the type's, which may be nil; m is nil
// if it can't be made.
func strict(t text, attr description, m schema.Matcher, kind string, rule *schema.Rule) node {
	why := ""
	switch {
	case attr.unknown:
		return undefined{t, unknownType(attr)}
	case m == nil && rule == nil:
		why = "the type has no rule for " + kind
	case m == nil:
		why = unfit(rule)
	}
	switch {
	case m == nil && !attr.twoValued:
		return undefined{t, why}
	case m == nil:
		return never{t, why}
	case attr.twoValued:
		return &compare{text: t, attr: attr, matcher: twoValued{m}, rule: rule.Name()}
	}
	return &compare{text: t, attr: attr, matcher: typed{m}, rule: rule.Name()}
}

// unknownType says why nothing can be told of the attribute.
func unknownType(attr description) string {
	if attr.attribute != nil {
		return "the directory knows no such option of the type"
	}
	return "the directory has no attribute type " + attr.typ
}

// unfit says why there is no matcher by the rule.
func unfit(rule *schema.Rule) string {
	if !rule.Supported() {
		return "listenerd does not know the rule " + rule.Name()
	}
	return "the value does not fit " + rule.Name()
}

// asText is the rule of what no schema tells.
const asText = "as text, without regard to case"

func lenient(t text, attr description, m matcher) node {
	if attr.unknown {
		return undefined{t, unknownType(attr)}
	}
	return &compare{text: t, attr: attr, matcher: m, rule: asText}
}

func lenientExtension(t text, attr description, ruleName string, dn bool, value string) node {
	makeMatcher := equality
	if ruleName != "" {
		makeMatcher = findRule(ruleName)
	}
	if makeMatcher == nil {
		return undefined{t, "listenerd does not know the rule " + ruleName}
	}
	if ruleName == "" {
		ruleName = asText
	}
	m := makeMatcher(value)
	switch {
	case m == nil:
		return undefined{t, "the value does not fit " + ruleName}
	case attr.text != "" && dn:
		return &compareDN{node: &compare{text: t, attr: attr, matcher: m, rule: ruleName}, attr: &attr, matcher: m}
	case attr.text != "":
		return &compare{text: t, attr: attr, matcher: m, rule: ruleName}
	case dn:
		return &compareDN{node: &compareAll{t, m, ruleName}, matcher: m}
	}
	return &compareAll{t, m, ruleName}
}
