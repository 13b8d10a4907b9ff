package schema

import (
	"strings"
)

// normalForm is a way to write values so that equal ones have equal bytes.
type normalForm uint8

const (
	normalOctets normalForm = iota // as they are
	normalBits                     // as they are, on 389 DS as text
	normalCased
	normalFolded
	normalIA5Cased
	normalIA5Folded
	normalNumeric
	normalTelephone
	normalList
	normalBoolean
	normalInteger
	normalTime
	normalName
	normalNameAndUID
	normalUUID
	normalOID
	normalCSN
)

// appendNormal appends the normal form of a value; false for a value that has none.
// It doesn't allocate when dst has room and the value is ASCII.
func (s *Schema) appendNormal(dst []byte, form normalForm, v string, part Part) ([]byte, bool) {
	slapd := s.vendor == OpenLDAP
	if s.vendor == Directory389 {
		return s.appendNormal389(dst, form, v, part)
	}
	switch form {
	case normalCased, normalFolded:
		return appendPrepared(dst, v, form == normalFolded, slapd, part)
	case normalIA5Cased, normalIA5Folded:
		return appendIA5(dst, v, form == normalIA5Folded, slapd, part), true
	case normalNumeric:
		return appendWithout(dst, v, false, false), true
	case normalTelephone:
		return appendWithout(dst, v, true, !slapd), true
	case normalList:
		return appendList(dst, v, slapd, part)
	case normalBoolean:
		return appendLower(dst, v), s.validValue(syntaxBoolean, v)
	case normalInteger:
		return append(dst, v...), validInteger(v)
	case normalTime:
		return appendTime(dst, v)
	case normalName:
		return s.AppendName(dst, v)
	case normalNameAndUID:
		return s.appendNameAndUID(dst, v)
	case normalUUID:
		return append(dst, strings.ToLower(v)...), validUUID(v)
	case normalOID:
		return s.appendOID(dst, v), v != ""
	case normalCSN:
		return appendCSN(dst, v)
	}
	return append(dst, v...), true
}

// appendNameAndUID appends the normal form of a DN that a bit string may follow,
// cn=x#'0101'B.
func (s *Schema) appendNameAndUID(dst []byte, v string) ([]byte, bool) {
	name, uid := splitUID(v)
	dst, ok := s.AppendName(dst, name)
	return append(append(dst, '#'), uid...), ok
}

func splitUID(v string) (name, uid string) {
	trimmed := strings.TrimRight(v, " ")
	if i := strings.LastIndexByte(trimmed, '#'); i >= 0 && validBitString(trimmed[i+1:]) {
		return trimmed[:i], trimmed[i+1:]
	}
	return v, ""
}

// appendOID appends an OID or a name. OpenLDAP compares what is written; elsewhere a
// name and its OID are one.
func (s *Schema) appendOID(dst []byte, v string) []byte {
	if s.vendor != OpenLDAP {
		if t := s.Attribute(v); t != nil {
			return append(dst, t.OID...)
		}
		if c := s.Class(v); c != nil {
			return append(dst, c.OID...)
		}
		if r := s.Rule(v); r != nil {
			return append(dst, r.OID...)
		}
		return appendLower(dst, v)
	}
	return append(dst, v...)
}

func appendLower(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}

// appendCSN appends a change sequence number, yyyymmddhhmmss.ffffffZ#cccccc#sss#mmmmmm.
// OpenLDAP checks no more than where the parts end. Its forms before 2.4 are not read.
func appendCSN(dst []byte, v string) ([]byte, bool) {
	const time, counter, server = 22, 29, 33 // where these end
	if len(v) != 40 || strings.IndexByte(v, '#') != time || v[counter] != '#' || v[server] != '#' {
		return dst, false
	}
	return appendLower(append(dst, v[:time]...), v[time:]), true
}
