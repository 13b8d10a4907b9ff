package filter

import (
	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/schema"
)

// node is a part of a compiled filter.
type node interface {
	eval(e *listener.Entry, s *scratch) Result
	// append appends the canonical text.
	append(b []byte) []byte
}

type (
	and []node
	or  []node
	not struct{ sub node }
)

func (n and) eval(e *listener.Entry, s *scratch) Result {
	r := True
	for _, sub := range n {
		if r = min(r, sub.eval(e, s)); r == False {
			break
		}
	}
	return r
}

func (n or) eval(e *listener.Entry, s *scratch) Result {
	r := False
	for _, sub := range n {
		if r = max(r, sub.eval(e, s)); r == True {
			break
		}
	}
	return r
}

func (n not) eval(e *listener.Entry, s *scratch) Result { return True - n.sub.eval(e, s) }

func (n and) append(b []byte) []byte { return appendList(b, '&', n...) }
func (n or) append(b []byte) []byte  { return appendList(b, '|', n...) }
func (n not) append(b []byte) []byte { return appendList(b, '!', n.sub) }

func appendList(b []byte, operator byte, subs ...node) []byte {
	b = append(b, '(', operator)
	for _, sub := range subs {
		b = sub.append(b)
	}
	return append(b, ')')
}

// text is the canonical text of a single assertion.
type text string

func (t text) append(b []byte) []byte { return append(b, t...) }

// present asserts that there is a value.
type present struct {
	text
	attr description
}

func (n *present) eval(e *listener.Entry, _ *scratch) Result {
	if n.attr.entryDN {
		return True
	}
	for name, values := range e.All() {
		if values.Len() > 0 && n.attr.covers(name) {
			return True
		}
	}
	return n.attr.absent
}

// compare asserts that a value of the attribute matches.
type compare struct {
	text
	attr description
	matcher
	rule  string // its name, for people
	byKey bool   // it is an equality by the type's own rule: [schema.Keys] tells of what
	hasty bool   // the first value that is not false decides, even one that is undefined
}

func (n *compare) eval(e *listener.Entry, s *scratch) Result {
	if n.attr.entryDN {
		return n.match(e.DN(), s)
	}
	if n.hasty {
		return n.evalHastily(e, s)
	}
	r := n.attr.absent
	for name, values := range e.All() {
		if n.attr.covers(name) {
			if r = max(r, matchAny(n.matcher, values, s)); r == True {
				break
			}
		}
	}
	return r
}

func (n *compare) evalHastily(e *listener.Entry, s *scratch) Result {
	for name, values := range e.All() {
		if n.attr.covers(name) {
			for v := range values.All() {
				if r := n.match(v, s); r != False {
					return r
				}
			}
		}
	}
	return n.attr.absent
}

// compareAll asserts that a value of any attribute matches.
type compareAll struct {
	text
	matcher
	rule string // its name, for people
}

func (n *compareAll) eval(e *listener.Entry, s *scratch) Result {
	for _, values := range e.All() {
		// Undefined means that the attribute doesn't support the rule, and then it
		// is not among those that the assertion is about (RFC 4511, 4.5.1.7.7).
		if matchAny(n.matcher, values, s) == True {
			return True
		}
	}
	return False
}

// compareDN extends an assertion to the attributes in the entry's DN.
type compareDN struct {
	node              // the assertion on the entry's own attributes
	attr *description // nil: all
	matcher
	hasty bool
}

func (n *compareDN) eval(e *listener.Entry, s *scratch) Result {
	r := n.node.eval(e, s)
	if r == True || r == Undefined && n.hasty {
		return r
	}
	parts, ok := schema.NameParts(e.DN())
	if !ok {
		return Undefined
	}
	for _, a := range parts {
		if n.attr != nil && !n.attr.covers(a.Type) {
			continue
		}
		switch n.match(a.Value, s) {
		case True:
			return True
		case Undefined:
			if n.hasty {
				return Undefined
			}
			if n.attr != nil {
				r = Undefined
			}
		}
	}
	return r
}

// undefined is an assertion that nobody can evaluate.
type undefined struct {
	text
	why string
}

func (undefined) eval(*listener.Entry, *scratch) Result { return Undefined }

// never is an assertion that nothing fits.
type never struct {
	text
	why string
}

func (never) eval(*listener.Entry, *scratch) Result { return False }

func matchAny(m matcher, values listener.Values, s *scratch) Result {
	r := False
	for v := range values.All() {
		if r = max(r, m.match(v, s)); r == True {
			break
		}
	}
	return r
}
