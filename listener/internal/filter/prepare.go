package filter

import (
	"slices"
	"unicode"
	"unicode/utf8"
)

// preparation is a way to bring strings into the form in which they are compared.
// All of them drop leading and trailing white space.
type preparation struct {
	// plain maps the octets that need no closer look, the visible ASCII
	// characters, to what they become; the others to 0.
	plain [256]byte
	fold  bool // fold the case
	dense bool // drop all white space and hyphens, instead of reducing the space to one
}

var (
	caseIgnore = newPreparation(true, false)
	caseExact  = newPreparation(false, false)
	approx     = newPreparation(true, true)
)

func newPreparation(fold, dense bool) *preparation {
	p := &preparation{fold: fold, dense: dense}
	for c := byte('!'); c <= '~'; c++ {
		switch {
		case dense && c == '-':
		case fold && 'A' <= c && c <= 'Z':
			p.plain[c] = c | 0x20
		default:
			p.plain[c] = c
		}
	}
	return p
}

// end is what a [reader] reads at the end. It sorts before all characters.
const end rune = -1

// reader reads a string character by character in its prepared form. An octet
// that is not UTF-8 is read as a number beyond those of Unicode.
type reader struct {
	*preparation
	s   string
	pos int
}

func (p *preparation) read(s string) reader { return reader{p, s, 0} }

func (r *reader) next() rune {
	if r.pos < len(r.s) {
		if c := r.plain[r.s[r.pos]]; c != 0 {
			r.pos++
			return rune(c)
		}
	}
	return r.special()
}

// special is next for all but visible ASCII characters.
func (r *reader) special() rune {
	for r.pos < len(r.s) {
		start := r.pos
		c, size := utf8.DecodeRuneInString(r.s[start:])
		r.pos += size
		switch {
		case c == utf8.RuneError && size == 1:
			return unicode.MaxRune + 1 + rune(r.s[start])
		case unicode.IsSpace(c):
			r.pos += spaceLen(r.s[r.pos:])
			if !r.dense && start > 0 && r.pos < len(r.s) {
				return ' '
			}
		case r.dense && hyphen(c):
		case r.fold:
			return foldRune(c)
		default:
			return c
		}
	}
	return end
}

// spaceLen returns the length of the white space that s begins with.
func spaceLen(s string) int {
	for i, c := range s {
		if !unicode.IsSpace(c) {
			return i
		}
	}
	return len(s)
}

// hyphen tells whether c is one of the hyphens of RFC 4518, section 2.6.3.
func hyphen(c rune) bool {
	switch c {
	case '-', 0x058a, 0x2010, 0x2011, 0x2212, 0xfe63, 0xff0d:
		return true
	}
	return false
}

// foldRune returns the same character for all that differ in case only: the lower
// case letter for ASCII, the first in Unicode's order for others.
func foldRune(c rune) rune {
	first := c
	for other := unicode.SimpleFold(c); other != c; other = unicode.SimpleFold(other) {
		first = min(first, other)
	}
	if 'A' <= first && first <= 'Z' {
		first |= 0x20
	}
	return first
}

// prepare returns the prepared form of s.
func (p *preparation) prepare(s string) []rune {
	out := make([]rune, 0, len(s))
	r := p.read(s)
	for c := r.next(); c != end; c = r.next() {
		out = append(out, c)
	}
	return out
}

// preparePart returns the prepared form of a part of a substring assertion. White
// space at a side that adjoins an asterisk counts as one space, and so does a part
// of nothing else.
func (p *preparation) preparePart(s string, asteriskBefore, asteriskAfter bool) []rune {
	out := p.prepare(s)
	if len(out) == 0 && s != "" {
		return []rune{' '}
	}
	if first, _ := utf8.DecodeRuneInString(s); asteriskBefore && unicode.IsSpace(first) {
		out = slices.Insert(out, 0, ' ')
	}
	if last, _ := utf8.DecodeLastRuneInString(s); asteriskAfter && unicode.IsSpace(last) {
		out = append(out, ' ')
	}
	return out
}
