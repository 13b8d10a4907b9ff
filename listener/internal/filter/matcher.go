package filter

import "github.com/listenerd/listenerd/listener/internal/schema"

// matcher tells whether an attribute value satisfies an assertion. It doesn't
// allocate.
type matcher interface {
	match(value string, s *scratch) Result
}

// scratch is memory that a match works in.
type scratch struct {
	buf     []byte
	results []uint8 // of the shared assertions of a [Set]: a Result and 1, or 0
}

// typed matches by the rules of the attribute's type.
type typed struct{ schema.Matcher }

func (m typed) match(value string, s *scratch) Result {
	matched, defined := m.Match(value, &s.buf)
	if !defined {
		return Undefined
	}
	return resultOf(matched)
}

// twoValued is typed, and false where that is undefined.
type twoValued struct{ schema.Matcher }

func (m twoValued) match(value string, s *scratch) Result {
	matched, defined := m.Match(value, &s.buf)
	return resultOf(matched && defined)
}

// equal matches values whose prepared form is want.
type equal struct {
	*preparation
	want []rune
}

func newEqual(p *preparation, value string) matcher { return &equal{p, p.prepare(value)} }

func (m *equal) match(value string, _ *scratch) Result {
	r := m.read(value)
	for _, c := range m.want {
		if r.next() != c {
			return False
		}
	}
	return resultOf(r.next() == end)
}

// ordered matches values that are at least, or at most, the asserted one.
type ordered struct {
	*preparation
	want    []rune
	number  integer // of the asserted value, if numeric
	numeric bool
	atMost  bool
}

func newOrdered(p *preparation, value string, atMost bool) matcher {
	number, numeric := parseInteger(value)
	return &ordered{p, p.prepare(value), number, numeric, atMost}
}

func (m *ordered) match(value string, _ *scratch) Result {
	order := m.compare(value)
	return resultOf(order == 0 || order < 0 == m.atMost)
}

func (m *ordered) compare(value string) int {
	if m.numeric {
		if n, ok := parseInteger(value); ok {
			return n.compare(m.number)
		}
	}
	r := m.read(value)
	for _, want := range m.want {
		if c := r.next(); c != want {
			return int(c - want)
		}
	}
	return int(r.next() - end)
}

// substrings matches values that contain the parts in order, without overlap. An
// initial part is at the beginning, a final one at the end.
type substrings struct {
	*preparation
	initial []rune
	any     []pattern
	final   *pattern
}

// newSubstrings compiles the parts between the asterisks; the first and the last
// of parts may be empty.
func newSubstrings(p *preparation, parts []string) matcher {
	last := len(parts) - 1
	m := &substrings{preparation: p, initial: p.preparePart(parts[0], false, true)}
	for _, part := range parts[1:last] {
		m.any = append(m.any, newPattern(p.preparePart(part, true, true)))
	}
	if parts[last] != "" {
		final := newPattern(p.preparePart(parts[last], true, false))
		m.final = &final
	}
	return m
}

func (m *substrings) match(value string, _ *scratch) Result {
	r := m.read(value)
	for _, c := range m.initial {
		if r.next() != c {
			return False
		}
	}
	for i := range m.any {
		p := &m.any[i]
		for matched := 0; matched < len(p.want); {
			c := r.next()
			if c == end {
				return False
			}
			matched = p.advance(matched, c)
		}
	}
	if m.final == nil {
		return True
	}
	matched := 0
	for c := r.next(); c != end; c = r.next() {
		matched = m.final.advance(matched, c)
	}
	return resultOf(matched == len(m.final.want))
}

// pattern finds a non-empty string in a stream of characters in linear time
// (Knuth, Morris and Pratt).
type pattern struct {
	want []rune
	// border[i] is the length of the longest proper prefix of want[:i] that is
	// its suffix, too.
	border []int32
}

func newPattern(want []rune) pattern {
	p := pattern{want, make([]int32, len(want)+1)}
	for i := 1; i < len(want); i++ {
		p.border[i+1] = int32(p.advance(int(p.border[i]), want[i]))
	}
	return p
}

// advance returns how many characters of want match at the end of the stream
// after c, when matched of them did before c.
func (p *pattern) advance(matched int, c rune) int {
	for matched == len(p.want) || p.want[matched] != c {
		if matched == 0 {
			return 0
		}
		matched = int(p.border[matched])
	}
	return matched + 1
}

// equalInteger matches integers by value. Other values are undefined.
type equalInteger struct{ want integer }

func (m equalInteger) match(value string, _ *scratch) Result {
	n, ok := parseInteger(value)
	if !ok {
		return Undefined
	}
	return resultOf(n == m.want)
}

// masked matches integers in which all, or at least one, of the bits of mask are
// set. Values beyond 64 bits are undefined.
type masked struct {
	mask int64
	all  bool
}

func (m masked) match(value string, _ *scratch) Result {
	n, ok := parseInteger(value)
	if !ok {
		return Undefined
	}
	v, ok := n.int64()
	if !ok {
		return Undefined
	}
	if m.all {
		return resultOf(v&m.mask == m.mask)
	}
	return resultOf(v&m.mask != 0)
}
