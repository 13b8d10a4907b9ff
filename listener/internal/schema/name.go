package schema

import (
	"crypto/sha256"
	"slices"
	"strings"
	"unicode/utf8"
)

// AppendName appends the tree key of a distinguished name as the schema has it: types
// by any of their names, values by their matching rules, the parts of an RDN in any
// order. Names are equal exactly when their keys are. The key has the properties of
// [TreeKey]. False for what is no name: a malformed one (RFC 4514, with the quotes and
// semicolons of RFC 2253), and, unless the schema is a fallback, one with an unknown
// type or a value that doesn't fit.
//
// 389 DS compares names without its schema: types as they are written, values as text. So
// does this for a schema of its.
func (s *Schema) AppendName(dst []byte, dn string) ([]byte, bool) {
	start := len(dst)
	if dn == "" {
		return dst, true
	}
	for r := fromRoot(dn); r.next(); {
		var ok bool
		if dst, ok = s.appendNormalRDN(dst, dn[r.begin:r.end]); !ok {
			return dst[:start], false
		}
		dst = append(dst, rdnEnd)
	}
	return limitKey(dst, start), true
}

// limitKey cuts a key that is too long for the store.
func limitKey(dst []byte, start int) []byte {
	if len(dst)-start <= maxKey {
		return dst
	}
	sum := sha256.Sum256(dst[start:])
	dst = append(dst[:start+maxKey], escape, escape)
	for _, b := range sum {
		dst = append(dst, 0x10|b>>4, 0x10|b&15)
	}
	return append(dst, rdnEnd)
}

func (s *Schema) appendNormalRDN(dst []byte, rdn string) ([]byte, bool) {
	if strings.IndexByte(rdn, '+') < 0 {
		_, dst, ok := s.appendNormalAVA(dst, rdn)
		return dst, ok
	}
	type ava struct {
		key    string // of the type
		normal string
	}
	var avas []ava
	for _, text := range splitAVAs(rdn) {
		key, normal, ok := s.appendNormalAVA(nil, text)
		if !ok {
			return dst, false
		}
		avas = append(avas, ava{key, string(normal)})
	}
	slices.SortFunc(avas, func(a, b ava) int { return strings.Compare(a.normal, b.normal) })
	for i, a := range avas {
		if i > 0 {
			if avas[i-1].key == a.key && s.vendor != Directory389 { // RFC 4512, section 2.3.2
				return dst, false
			}
			dst = append(dst, avaEnd)
		}
		dst = append(dst, a.normal...)
	}
	return dst, true
}

// appendNormalAVA appends one type=value. It returns the type's key, too.
func (s *Schema) appendNormalAVA(dst []byte, ava string) (key string, out []byte, ok bool) {
	if s.vendor == Directory389 {
		out, ok = appendAVA389(dst, ava)
		return "", out, ok
	}
	typ, text, ok := strings.Cut(ava, "=")
	if !ok {
		return "", dst, false
	}
	typ = strings.Trim(typ, " ")
	if len(typ) > 4 && strings.EqualFold(typ[:4], "oid.") {
		typ = typ[4:]
	}
	t := s.Attribute(typ)
	switch {
	case t != nil:
		key = t.keys[0]
	case s.fallback && (validDescriptor(typ) || validNumericOID(typ)):
		key = strings.ToLower(typ)
	default:
		return "", dst, false
	}
	value, ok := nameValue(text)
	if !ok || value == "" && !s.fallback {
		return "", dst, false
	}
	dst = append(append(dst, key...), '=')
	mark := len(dst)
	form := normalFolded
	if t != nil {
		if !s.fallback && !s.validStored(t, value) {
			return "", dst, false
		}
		form = normalOctets
		// A UUID in a name is compared as it is written: OpenLDAP's normal form of it is no text.
		if t.Equality.Supported() && t.Equality.normal != normalUUID {
			form = t.Equality.normal
		}
	}
	normal, ok := s.appendNormal(dst, form, value, Whole)
	if !ok {
		if !s.fallback {
			return "", dst, false
		}
		normal = append(dst[:mark], value...)
	}
	return key, escapeKey(normal, mark), true
}

// validStored tells whether v can be a value of the type. Of syntaxes that this package
// does not know, everything is.
func (s *Schema) validStored(t *AttributeType, v string) bool {
	switch t.Syntax {
	case syntaxDirectory, syntaxIA5, syntaxPrintable, syntaxTelephone, syntaxCountry, syntaxNumeric, syntaxInteger,
		syntaxBoolean, syntaxTime, syntaxUUID, syntaxPostal, syntaxBitString:
		return s.validValue(t.Syntax, v)
	case syntaxName:
		_, ok := s.AppendName(nil, v)
		return ok
	}
	return true
}

// escapeKey escapes, in dst from mark on, the bytes that have a meaning in keys.
func escapeKey(dst []byte, mark int) []byte {
	special := 0
	for _, c := range dst[mark:] {
		if c < escapeFloor {
			special++
		}
	}
	if special == 0 {
		return dst
	}
	value := string(dst[mark:])
	dst = dst[:mark]
	for i := range len(value) {
		if c := value[i]; c < escapeFloor {
			dst = append(dst, escape, c+escapeFloor)
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// nameValue resolves the escapes and quotes of a value in a name; false for what must
// be escaped and is not, and for the hexadecimal form of a BER value.
func nameValue(text string) (string, bool) {
	text = strings.TrimLeft(text, " ")
	if text != "" && text[0] == '"' {
		return quotedValue(strings.TrimRight(text, " "))
	}
	if !strings.ContainsAny(text, "\\\"<>#\x00") {
		return strings.TrimRight(text, " "), true
	}
	if text[0] == '#' {
		return "", false
	}
	out := make([]byte, 0, len(text))
	keep := 0 // out[:keep] ends in something escaped: not to be trimmed
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\\':
			octet, size := escaped(text[i+1:])
			if size == 0 {
				return "", false
			}
			out = append(out, octet)
			i += size
			keep = len(out)
		case '"', '<', '>', 0:
			return "", false
		default:
			out = append(out, c)
		}
	}
	for len(out) > keep && out[len(out)-1] == ' ' {
		out = out[:len(out)-1]
	}
	return string(out), true
}

// escaped reads what follows a backslash.
func escaped(s string) (octet byte, size int) {
	switch {
	case len(s) >= 2 && isHex(s[0]) && isHex(s[1]):
		return hexValue(s[0])<<4 | hexValue(s[1]), 2
	case s != "" && strings.IndexByte(` "#+,;<=>\`, s[0]) >= 0:
		return s[0], 1
	}
	return 0, 0
}

func quotedValue(text string) (string, bool) {
	if len(text) < 2 || text[len(text)-1] != '"' {
		return "", false
	}
	text = text[1 : len(text)-1]
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\\':
			octet, size := escaped(text[i+1:])
			if size == 0 {
				return "", false
			}
			out = append(out, octet)
			i += size
		case '"':
			return "", false
		default:
			out = append(out, c)
		}
	}
	return string(out), true
}

// NamePart is one type=value of a distinguished name.
type NamePart struct{ Type, Value string }

// NameParts returns all types and values of a name, from the leaf up, with escapes
// resolved; false if it is malformed.
func NameParts(dn string) ([]NamePart, bool) {
	if strings.Trim(dn, " ") == "" {
		return nil, true
	}
	var out []NamePart
	for r := fromRoot(dn); r.next(); {
		for _, ava := range slices.Backward(splitAVAs(dn[r.begin:r.end])) {
			typ, text, ok := strings.Cut(ava, "=")
			if !ok {
				return nil, false
			}
			value, ok := nameValue(text)
			typ = strings.Trim(typ, " ")
			if !ok || typ == "" || !utf8.ValidString(typ) {
				return nil, false
			}
			out = append(out, NamePart{typ, value})
		}
	}
	slices.Reverse(out)
	return out, true
}
