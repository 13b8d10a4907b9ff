package schema

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// SameName tells whether two names are those of one place in the tree, as the schema has
// it: by [Schema.AppendName], but RDN by RDN and for any string. An RDN that is malformed
// or has a type that the schema lacks is compared as it is written, without regard to
// case.
func (s *Schema) SameName(a, b string) bool {
	return a == b || bytes.Equal(s.appendPlace(nil, a), s.appendPlace(nil, b))
}

// Below tells whether dn is the name of a place below that of ancestor.
func (s *Schema) Below(dn, ancestor string) bool {
	if n := len(dn) - len(ancestor); n > 0 && !hasEscapes(dn[:n]) && dn[n-1] == ',' && dn[n:] == ancestor {
		return true
	}
	key, above := s.appendPlace(nil, dn), s.appendPlace(nil, ancestor)
	return len(key) > len(above) && bytes.HasPrefix(key, above)
}

// appendPlace appends what tells the place of dn from others.
func (s *Schema) appendPlace(dst []byte, dn string) []byte {
	for r := fromRoot(dn); r.next(); {
		rdn := dn[r.begin:r.end]
		if strings.Trim(rdn, " ") == "" {
			continue // as in a tree key
		}
		mark, ok := len(dst), false
		if dst, ok = s.appendNormalRDN(dst, rdn); !ok || strings.Contains(rdn, nul) {
			dst = appendWrittenRDN(append(dst[:mark], escape), rdn)
		}
		dst = append(dst, rdnEnd)
	}
	return dst
}

// nul is how names write a NUL, which rules read in ways that contradict each other.
const nul = `\00`

// appendWrittenRDN appends an RDN of which the schema says nothing.
func appendWrittenRDN(dst []byte, rdn string) []byte {
	if strings.IndexByte(rdn, '+') >= 0 {
		return appendAVAs(dst, rdn, appendWrittenAVA)
	}
	return appendWrittenAVA(dst, rdn)
}

func appendWrittenAVA(dst []byte, ava string) []byte {
	typ, value, ok := strings.Cut(ava, "=")
	if !ok {
		return appendFolded(dst, strings.Trim(ava, " "))
	}
	typ = strings.Trim(typ, " ")
	if len(typ) > 4 && strings.EqualFold(typ[:4], "oid.") {
		typ = typ[4:]
	}
	dst = append(appendFolded(dst, typ), '=')
	if !hasEscapes(value) {
		return appendFolded(dst, strings.Trim(value, " "))
	}
	return appendFolded(dst, unescape(value))
}

// appendFolded appends s in lower case, each run of spaces as one. As insignificant
// as inner runs are those at the ends of a value (RFC 4518, section 2.6.1).
func appendFolded(dst []byte, s string) []byte {
	start := len(dst)
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == ' ':
			if len(dst) > start && dst[len(dst)-1] != ' ' {
				dst = append(dst, ' ')
			}
			i++
		case c < escapeFloor:
			dst = append(dst, escape, c+escapeFloor)
			i++
		case c < utf8.RuneSelf:
			dst = append(dst, byte(unicode.ToLower(rune(c))))
			i++
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 { // no UTF-8: byte by byte
				dst = append(dst, c)
			} else {
				dst = utf8.AppendRune(dst, unicode.ToLower(r))
			}
			i += size
		}
	}
	if len(dst) > start && dst[len(dst)-1] == ' ' {
		dst = dst[:len(dst)-1]
	}
	return dst
}
