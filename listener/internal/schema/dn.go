package schema

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A tree key is the sequence of the name's RDNs from the root down, each in its
// normal form and ended by rdnEnd. Inside an RDN, the bytes below escapeFloor are
// escaped, so that rdnEnd is unambiguous and sorts before everything.
const (
	rdnEnd      = 0x00
	escape      = 0x01
	escapeFloor = 0x03
	avaEnd      = 0x02
)

// maxKey bounds a tree key: bbolt takes keys up to 32 KiB. Longer ones are cut and
// end in a hash, which keeps them distinct but loses what is below them.
const maxKey = 16 << 10

// TreeKey returns the tree key of dn. It takes every string: what RFC 4514 does
// not allow is read as the servers are known to mean it.
func TreeKey(dn string) []byte { return AppendTreeKey(nil, dn) }

// AppendTreeKey appends the tree key of dn to dst.
func AppendTreeKey(dst []byte, dn string) []byte {
	start := len(dst)
	for r := fromRoot(dn); r.next(); {
		if rdn := dn[r.begin:r.end]; strings.Trim(rdn, " ") != "" {
			dst = append(appendRDN(dst, rdn), rdnEnd)
		}
	}
	return limitKey(dst, start)
}

// rdns iterates over the RDNs of a name from the last to the first.
type rdns struct {
	dn         string
	cuts       []int // the separators left, if the name has escapes or quotes
	escaped    bool
	begin, end int // the current RDN is dn[begin:end]
}

func fromRoot(dn string) rdns {
	r := rdns{dn: dn, begin: len(dn) + 1}
	if !hasEscapes(dn) {
		return r
	}
	r.escaped = true
	quoted := false
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++
		case '"':
			quoted = !quoted
		case ',', ';':
			if !quoted {
				r.cuts = append(r.cuts, i)
			}
		}
	}
	return r
}

func (r *rdns) next() bool {
	if r.begin == 0 {
		return false
	}
	r.end = r.begin - 1
	cut := -1
	if !r.escaped {
		for cut = r.end - 1; cut >= 0 && r.dn[cut] != ',' && r.dn[cut] != ';'; cut-- {
		}
	} else if n := len(r.cuts); n > 0 {
		cut, r.cuts = r.cuts[n-1], r.cuts[:n-1]
	}
	r.begin = cut + 1
	return true
}

// hasEscapes tells whether s has what makes a separator part of a value.
func hasEscapes(s string) bool {
	return strings.IndexByte(s, '\\') >= 0 || strings.IndexByte(s, '"') >= 0
}

// ParentKey returns the key of the entry above key, and false for a name of one
// RDN and for the empty name.
func ParentKey(key []byte) ([]byte, bool) {
	if len(key) == 0 {
		return nil, false
	}
	for i := len(key) - 2; i >= 0; i-- {
		if key[i] == rdnEnd {
			return key[:i+1], true
		}
	}
	return nil, false
}

// Rebase returns dn with the ancestor that has the name from renamed to to. dn must
// be a descendant of from, whose number of RDNs says how many are replaced.
func Rebase(dn, from, to string) string {
	r, ancestor := fromRoot(dn), fromRoot(from)
	for ancestor.next() {
		r.next()
	}
	if r.begin == 0 {
		return to
	}
	return dn[:r.begin-1] + "," + to
}

func appendRDN(dst []byte, rdn string) []byte {
	if strings.IndexByte(rdn, '+') >= 0 {
		avas := splitAVAs(rdn)
		if len(avas) > 1 {
			normal := make([]string, len(avas))
			for i, ava := range avas {
				normal[i] = string(appendAVA(nil, ava))
			}
			slices.Sort(normal)
			for i, ava := range normal {
				if i > 0 {
					dst = append(dst, avaEnd)
				}
				dst = append(dst, ava...)
			}
			return dst
		}
	}
	return appendAVA(dst, rdn)
}

func splitAVAs(rdn string) []string {
	var out []string
	begin, quoted := 0, false
	for i := 0; i < len(rdn); i++ {
		switch rdn[i] {
		case '\\':
			i++
		case '"':
			quoted = !quoted
		case '+':
			if !quoted {
				out = append(out, rdn[begin:i])
				begin = i + 1
			}
		}
	}
	return append(out, rdn[begin:])
}

func appendAVA(dst []byte, ava string) []byte {
	typ, value, ok := strings.Cut(ava, "=")
	if !ok {
		return appendFolded(dst, strings.Trim(ava, " "))
	}
	typ = strings.Trim(typ, " ")
	if len(typ) > 4 && strings.EqualFold(typ[:4], "oid.") {
		typ = typ[4:]
	}
	dst = appendFolded(dst, typ)
	dst = append(dst, '=')
	if !hasEscapes(value) {
		return appendFolded(dst, strings.Trim(value, " "))
	}
	return appendFolded(dst, unescape(value))
}

// unescape resolves the escapes and quotes of RFC 4514 (and of RFC 2253, section 4)
// and strips the white space around the value that is not escaped.
func unescape(value string) string {
	value = strings.TrimLeft(value, " ")
	out := make([]byte, 0, len(value))
	keep := 0 // out[:keep] ends in something escaped: not to be trimmed
	quoted := false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && i+2 < len(value) && isHex(value[i+1]) && isHex(value[i+2]):
			out = append(out, hexValue(value[i+1])<<4|hexValue(value[i+2]))
			i += 2
			keep = len(out)
		case c == '\\' && i+1 < len(value):
			i++
			out = append(out, value[i])
			keep = len(out)
		case c == '"':
			quoted = !quoted
			keep = len(out)
		default:
			out = append(out, c)
			if quoted {
				keep = len(out)
			}
		}
	}
	for len(out) > keep && out[len(out)-1] == ' ' {
		out = out[:len(out)-1]
	}
	return string(out)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func hexValue(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

// plain maps the bytes that appendFolded takes one by one to what they become, and
// the others to zero.
var plain = func() (t [256]byte) {
	for c := escapeFloor; c < utf8.RuneSelf; c++ {
		t[c] = byte(unicode.ToLower(rune(c)))
	}
	t[' '] = 0
	return t
}()

// appendFolded appends s in lower case, each run of spaces as one. As insignificant
// as inner runs are those at the ends of a value (RFC 4518, section 2.6.1).
func appendFolded(dst []byte, s string) []byte {
	start := len(dst)
	for i := 0; i < len(s); {
		c := s[i]
		if p := plain[c]; p != 0 {
			dst = append(dst, p)
			i++
			continue
		}
		switch {
		case c == ' ':
			if len(dst) > start && dst[len(dst)-1] != ' ' {
				dst = append(dst, ' ')
			}
			i++
		case c < escapeFloor:
			dst = append(dst, escape, c+escapeFloor)
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
