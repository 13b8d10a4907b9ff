package schema

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Part says which part of a value a string is. White space at a side that adjoins an
// asterisk of a substring assertion counts.
type Part uint8

// The parts.
const (
	Whole Part = iota
	Initial
	Any
	Final
)

// appendPrepared appends a directory string as it is compared (RFC 4518): mapped,
// normalized (NFKC), case folded if fold, runs of spaces reduced to one and those at
// the ends dropped.
//
// OpenLDAP leaves the mapping step out, folds the case character by character before it
// normalizes and not after, and knows of no white space but the space.
func appendPrepared(dst []byte, s string, fold, slapd bool, part Part) ([]byte, bool) {
	ascii := 0
	for ascii < len(s) && s[ascii] < utf8.RuneSelf && (slapd || s[ascii] >= ' ' && s[ascii] != 0x7f) {
		ascii++
	}
	if ascii == len(s) {
		return appendSpaced(dst, s, fold, slapd, part), true
	}
	if !utf8.ValidString(s) {
		return dst, false
	}
	mapped := make([]byte, 0, len(s)+8)
	for _, r := range s {
		if !slapd {
			if r = mapRune(r); r < 0 {
				continue
			}
		}
		if fold {
			r = foldRune(r, slapd)
		}
		mapped = utf8.AppendRune(mapped, r)
	}
	mapped = norm.NFKC.Bytes(mapped)
	if fold && !slapd {
		mapped = norm.NFKC.Bytes(foldFull(mapped))
	}
	return appendSpaced(dst, mapped, false, slapd, part), true
}

// foldRune folds the case of one character. OpenLDAP folds letters only: the numeral Ⅷ
// keeps its case.
func foldRune(r rune, slapd bool) rune {
	if slapd && !unicode.In(r, unicode.Lu, unicode.Lt) {
		return r
	}
	return unicode.ToLower(r)
}

// appendSpaced folds ASCII letters and runs of spaces. A string of spaces alone is one
// space; OpenLDAP drops it where it is the final part of a substring assertion.
func appendSpaced[T string | []byte](dst []byte, s T, fold, slapd bool, part Part) []byte {
	start := len(dst)
	space := part == Whole || part == Initial // drop spaces from here on
	for i := range len(s) {
		c := s[i]
		switch {
		case c == ' ':
			if space {
				continue
			}
			space = true
		case fold && 'A' <= c && c <= 'Z':
			c |= 0x20
			space = false
		default:
			space = false
		}
		dst = append(dst, c)
	}
	if len(dst) > start {
		if dst[len(dst)-1] == ' ' && (part == Whole || part == Final) {
			dst = dst[:len(dst)-1]
		}
		if len(dst) > start {
			return dst
		}
	}
	if len(s) > 0 && !(slapd && part == Final) {
		dst = append(dst, ' ')
	}
	return dst
}

// mapRune is the mapping of RFC 4518, section 2.2; -1 for what is mapped to nothing.
func mapRune(r rune) rune {
	switch {
	case r >= 0x09 && r <= 0x0d, r == 0x85, unicode.In(r, unicode.Zs, unicode.Zl, unicode.Zp):
		return ' '
	case r < ' ', r >= 0x7f && r <= 0x9f, r == 0xad, r == 0x1806, r == 0x34f, r >= 0x180b && r <= 0x180d,
		r >= 0xfe00 && r <= 0xfe0f, r == 0xfffc, r == 0x200b, unicode.Is(unicode.Cf, r):
		return -1
	}
	return r
}

// foldFull folds the case of what NFKC left: capitals that appear only then, and those
// letters whose folding is several characters.
func foldFull(s []byte) []byte {
	out := make([]byte, 0, len(s))
	for len(s) > 0 {
		r, size := utf8.DecodeRune(s)
		s = s[size:]
		switch r {
		case 'ß', 'ẞ':
			out = append(out, "ss"...)
		case 'ς':
			out = utf8.AppendRune(out, 'σ')
		default:
			out = utf8.AppendRune(out, unicode.ToLower(r))
		}
	}
	return out
}

// appendIA5 appends an IA5 string as it is compared. The parts of a substring assertion
// lose the spaces at their ends, too, on OpenLDAP, for which a NUL ends the string.
func appendIA5(dst []byte, s string, fold, slapd bool, part Part) []byte {
	if slapd {
		part = Whole
		s, _, _ = strings.Cut(s, "\x00")
		if strings.Trim(s, " ") == "" {
			return dst
		}
	}
	return appendSpaced(dst, s, fold, slapd, part)
}

// appendList appends a list of lines as it is compared, line by line. The escapes stay:
// they are the same in every value.
func appendList(dst []byte, s string, slapd bool, part Part) ([]byte, bool) {
	for first := true; ; first = false {
		line, rest, more := strings.Cut(s, "$")
		if !first {
			dst = append(dst, '$')
		}
		if line != "" {
			var ok bool
			if dst, ok = appendPrepared(dst, line, true, slapd, part); !ok {
				return dst, false
			}
		}
		if !more {
			return dst, true
		}
		s = rest
	}
}

// appendWithout appends s without its spaces, and hyphens if hyphens; a space if
// nothing is left of something.
func appendWithout(dst []byte, s string, hyphens, fold bool) []byte {
	start := len(dst)
	for i := range len(s) {
		c := s[i]
		if c == ' ' || hyphens && c == '-' {
			continue
		}
		if fold && 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	if len(dst) == start && s != "" {
		dst = append(dst, ' ')
	}
	return dst
}

// appendRoughList appends a list of lines as OpenLDAP asserts it with ~=: without what is
// not ASCII after decomposition.
func appendRoughList(dst []byte, s string) []byte {
	for i, line := range strings.Split(s, "$") {
		if i > 0 {
			dst = append(dst, '$')
		}
		line = strings.Map(func(r rune) rune { return foldRune(r, true) }, line)
		dst = appendSpaced(dst, appendSounds(nil, line), false, true, Whole)
	}
	return dst
}

// appendSounds appends what of a string OpenLDAP compares with ~=: the ASCII letters
// that are left after decomposition.
func appendSounds(dst []byte, s string) []byte {
	for _, c := range norm.NFKD.String(s) {
		if c < utf8.RuneSelf {
			dst = append(dst, byte(c))
		}
	}
	return dst
}
