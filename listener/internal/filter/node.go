package filter

import (
	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener"
)

// node is a part of a compiled filter.
type node interface {
	eval(e *listener.Entry) Result
	// append appends the canonical text.
	append(b []byte) []byte
}

type (
	and []node
	or  []node
	not struct{ sub node }
)

func (n and) eval(e *listener.Entry) Result {
	r := True
	for _, sub := range n {
		if r = min(r, sub.eval(e)); r == False {
			break
		}
	}
	return r
}

func (n or) eval(e *listener.Entry) Result {
	r := False
	for _, sub := range n {
		if r = max(r, sub.eval(e)); r == True {
			break
		}
	}
	return r
}

func (n not) eval(e *listener.Entry) Result { return True - n.sub.eval(e) }

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

func (n *present) eval(e *listener.Entry) Result {
	for name, values := range e.All() {
		if values.Len() > 0 && n.attr.covers(name) {
			return True
		}
	}
	return False
}

// compare asserts that a value of the attribute matches.
type compare struct {
	text
	attr description
	matcher
}

func (n *compare) eval(e *listener.Entry) Result {
	r := False
	for name, values := range e.All() {
		if n.attr.covers(name) {
			if r = max(r, matchAny(n.matcher, values)); r == True {
				break
			}
		}
	}
	return r
}

// compareAll asserts that a value of any attribute matches.
type compareAll struct {
	text
	matcher
}

func (n *compareAll) eval(e *listener.Entry) Result {
	for _, values := range e.All() {
		// Undefined means that the attribute doesn't support the rule, and then it
		// is not among those that the assertion is about (RFC 4511, 4.5.1.7.7).
		if matchAny(n.matcher, values) == True {
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
}

func (n *compareDN) eval(e *listener.Entry) Result {
	r := n.node.eval(e)
	if r == True {
		return True
	}
	dn, err := ldap.ParseDN(e.DN())
	if err != nil {
		return Undefined
	}
	for _, rdn := range dn.RDNs {
		for _, a := range rdn.Attributes {
			if n.attr != nil && !n.attr.covers(a.Type) {
				continue
			}
			switch n.match(a.Value) {
			case True:
				return True
			case Undefined:
				if n.attr != nil {
					r = Undefined
				}
			}
		}
	}
	return r
}

// undefined is an assertion that nobody can evaluate.
type undefined struct{ text }

func (undefined) eval(*listener.Entry) Result { return Undefined }

func matchAny(m matcher, values listener.Values) Result {
	r := False
	for v := range values.All() {
		if r = max(r, m.match(v)); r == True {
			break
		}
	}
	return r
}
