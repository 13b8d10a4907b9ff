package filter

import (
	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/schema"
)

// Part tells what a part of a filter is for an entry, and why.
type Part struct {
	// Text is the assertion, or the operator of Parts.
	Text   string
	Result Result
	// Rule is the name of the matching rule that values were compared by; empty: none were.
	Rule string
	// Why says why an assertion can't be true of any entry, or what is missing.
	Why string
	// Values are those that were compared.
	Values []Compared
	Parts  []Part
}

// Compared is a value that was compared. For a presence it was only looked at.
type Compared struct {
	Attribute, Value string
	Result           Result
}

// Explain evaluates the filter for e as [Filter.Match] does, but all of its parts.
func (f *Filter) Explain(e *listener.Entry) Part {
	s := scratches.Get().(*scratch)
	defer s.release()
	return explain(f.root, e, s)
}

// Impossible returns the assertions that can't be true of any entry, with the reason in Why:
// by the schema, the directory has no such attribute, or can't compare it so.
func (f *Filter) Impossible() (parts []Part) {
	var look func(n node)
	look = func(n node) {
		switch n := n.(type) {
		case and:
			for _, sub := range n {
				look(sub)
			}
		case or:
			for _, sub := range n {
				look(sub)
			}
		case not:
			look(n.sub)
		case undefined:
			parts = append(parts, Part{Text: string(n.text), Result: Undefined, Why: n.why})
		case never:
			parts = append(parts, Part{Text: string(n.text), Result: False, Why: n.why})
		}
	}
	look(f.root)
	return parts
}

func explain(n node, e *listener.Entry, s *scratch) Part {
	p := Part{Text: string(n.append(nil)), Result: n.eval(e, s)}
	switch n := n.(type) {
	case and:
		p.Text, p.Parts = "&", explainAll(n, e, s)
	case or:
		p.Text, p.Parts = "|", explainAll(n, e, s)
	case not:
		p.Text, p.Parts = "!", []Part{explain(n.sub, e, s)}
	case *present:
		p.take(n.attr.entryDN, e, n.attr.covers, func(string) Result { return True })
		p.missing(n.attr.absent)
	case *compare:
		p.Rule = n.rule
		p.take(n.attr.entryDN, e, n.attr.covers, func(v string) Result { return n.match(v, s) })
		p.missing(n.attr.absent)
	case *compareAll:
		p.Rule = n.rule
		p.take(false, e, func(string) bool { return true }, func(v string) Result { return n.match(v, s) })
	case *compareDN:
		own := explain(n.node, e, s)
		p.Rule, p.Values = own.Rule, own.Values
		parts, ok := schema.NameParts(e.DN())
		if !ok {
			p.Why = "the entry's name is malformed"
		}
		for _, a := range parts {
			if n.attr == nil || n.attr.covers(a.Type) {
				p.Values = append(p.Values, Compared{a.Type, a.Value, n.match(a.Value, s)})
			}
		}
	case undefined:
		p.Why = n.why
	case never:
		p.Why = n.why
	}
	return p
}

func explainAll(nodes []node, e *listener.Entry, s *scratch) []Part {
	out := []Part{}
	for _, n := range nodes {
		out = append(out, explain(n, e, s))
	}
	return out
}

// take compares the values of the attributes covered, or the entry's name.
func (p *Part) take(name bool, e *listener.Entry, covers func(string) bool, match func(string) Result) {
	if name {
		p.Values = []Compared{{"entryDN", e.DN(), match(e.DN())}}
		return
	}
	for attribute, values := range e.All() {
		if !covers(attribute) {
			continue
		}
		for v := range values.All() {
			p.Values = append(p.Values, Compared{attribute, v, match(v)})
		}
	}
}

// missing says that there was nothing to compare.
func (p *Part) missing(absent Result) {
	if len(p.Values) > 0 {
		return
	}
	p.Why = "the entry has no such attribute"
	if absent == Undefined {
		p.Why += ", and its options are no standard ones"
	}
}
