package schema

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// A tree key is the sequence of the name's RDNs from the root down, each ended by rdnEnd:
// of its values what every matching rule looks at, each after avaStart, in order. None of
// the bytes below escapeFloor is left in them, so that rdnEnd is unambiguous and sorts
// before everything.
const (
	rdnEnd      = 0x00
	escape      = 0x01
	escapeFloor = 0x03
	avaEnd      = 0x02
	avaStart    = '='
)

// maxKey bounds a tree key: bbolt takes keys up to 32 KiB. Longer ones are cut and
// end in a hash, which keeps them distinct but loses what is below them.
const maxKey = 16 << 10

// TreeKey returns the tree key of dn, which depends on no schema: names that are equal by
// any schema have one key, and so may others ([Schema.SameName] tells). It takes every
// string: what RFC 4514 does not allow is read as the servers are known to mean it.
//
// To depend on nothing, it leaves out the types, which may have other names; case,
// spaces, hyphens, control characters and marks, that some rule doesn't look at; and
// brings times to one zone. Beyond it is what no server is known to do: to call an entry
// by another order, or other types, inside a value that is a name itself; or by the name
// of an OID for its number.
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
	for i := cut(dn, ',', ';'); i < len(dn); i += 1 + cut(dn[i+1:], ',', ';') {
		r.cuts = append(r.cuts, i)
	}
	return r
}

// cut returns the index of the first a or b in s that neither an escape nor quotes make
// part of a value, and the length of s if there is none.
func cut(s string, a, b byte) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case (c == a || c == b) && !quoted:
			return i
		}
	}
	return len(s)
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

// blankRDNs are what RDNs without anything are written with. They don't count.
const blankRDNs = " ,;"

// Parent returns the name of the entry above dn, and false for a name of one RDN and for
// the empty name.
func Parent(dn string) (string, bool) {
	dn = strings.TrimLeft(dn, blankRDNs)
	parent := strings.TrimLeft(dn[cut(dn, ',', ';'):], blankRDNs)
	return parent, parent != ""
}

// Depth returns the number of RDNs.
func Depth(dn string) (n int) {
	if strings.Trim(dn, blankRDNs) == "" {
		return 0
	}
	for ok := true; ok; dn, ok = Parent(dn) {
		n++
	}
	return n
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
		return appendAVAs(dst, rdn, appendAVA)
	}
	return appendAVA(dst, rdn)
}

// appendAVAs appends the parts of an RDN in an order that doesn't depend on theirs.
func appendAVAs(dst []byte, rdn string, each func([]byte, string) []byte) []byte {
	avas := splitAVAs(rdn)
	normal := make([]string, len(avas))
	for i, ava := range avas {
		normal[i] = string(each(nil, ava))
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

func splitAVAs(rdn string) []string {
	var out []string
	for {
		i := cut(rdn, '+', '+')
		out = append(out, rdn[:i])
		if i == len(rdn) {
			return out
		}
		rdn = rdn[i+1:]
	}
}

func appendAVA(dst []byte, ava string) []byte {
	value := ava
	if i := strings.IndexByte(ava, '='); i >= 0 {
		value = ava[i+1:]
	}
	if hasEscapes(value) {
		value = unescape(value)
	}
	return appendCoarse(append(dst, avaStart), value)
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

// dropped is in plain for the bytes that appendCoarse leaves out.
const dropped = 1

// plain maps the bytes that appendCoarse takes one by one to what they become, and the
// others to zero.
var plain = func() (t [256]byte) {
	for c := range t[:utf8.RuneSelf] {
		if t[c] = byte(unicode.ToLower(rune(c))); c <= ' ' || c == '-' || c == 0x7f {
			t[c] = dropped
		}
	}
	return t
}()

// appendCoarse appends what every matching rule looks at in the value.
func appendCoarse(dst []byte, s string) []byte {
	start := len(dst)
	for i := range len(s) {
		switch c := plain[s[i]]; c {
		default:
			dst = append(dst, c)
		case dropped:
		case 0:
			return appendCoarseText(dst[:start], s)
		}
	}
	if len(dst)-start >= shortestTime && isDigit(dst[start]) {
		return appendCoarseTime(dst, start, s)
	}
	return dst
}

// appendCoarseText is appendCoarse for text beyond ASCII.
func appendCoarseText(dst []byte, s string) []byte {
	text := []byte(s)
	if utf8.Valid(text) {
		text = text[:0]
		for _, r := range norm.NFKD.String(s) {
			if r = mapRune(r); r >= 0 && !unicode.Is(unicode.M, r) {
				text = utf8.AppendRune(text, unicode.ToLower(r))
			}
		}
		text = foldFull(text)
		if ascii(text) {
			return appendCoarse(dst, string(text))
		}
	}
	for _, b := range text {
		switch c := plain[b]; c {
		case dropped:
		case 0:
			dst = append(dst, b)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

func ascii(s []byte) bool {
	for _, c := range s {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// shortestTime is the length of a time without minutes, 2024010100Z.
const shortestTime = 11

// appendCoarseTime brings what may be a time into one zone. The coarse form of s is in dst
// from start on.
func appendCoarseTime(dst []byte, start int, s string) []byte {
	compact := make([]byte, 0, len(s))
	for i := range len(s) {
		if c := s[i]; c > ' ' && c != 0x7f {
			if c == 'z' {
				c = 'Z'
			}
			compact = append(compact, c)
		}
	}
	if t, ok := appendTime(dst[:start], string(compact)); ok {
		return t
	}
	return dst
}
