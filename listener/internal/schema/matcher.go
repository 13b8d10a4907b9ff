package schema

import (
	"bytes"
	"strconv"
	"strings"
)

// Matcher is an assertion, ready to be compared with values. It is immutable and safe
// for concurrent use.
type Matcher interface {
	// Match tells whether the value matches, and whether that can be told: a value that
	// doesn't have the rule's syntax has no answer. buf is scratch memory of the caller's,
	// grown as needed; with enough of it Match doesn't allocate for ASCII values.
	Match(value string, buf *[]byte) (matched, defined bool)
}

// Equality returns the matcher of (type=value); nil if the assertion is undefined: the
// type has no equality rule, or the value doesn't have its syntax.
func (s *Schema) Equality(t *AttributeType, value string) Matcher {
	if !t.Equality.Supported() {
		return nil
	}
	return s.matcher(t.Equality, value)
}

// Ordering returns the matcher of (type>=value), or of (type<=value) if atMost.
func (s *Schema) Ordering(t *AttributeType, value string, atMost bool) Matcher {
	r := t.Ordering
	if !r.Supported() || !s.fits(r, value) {
		return nil
	}
	want, ok := s.appendNormal(nil, r.normal, value, Whole)
	if !ok {
		return nil
	}
	compare := bytes.Compare
	if r.kind == integerOrdering {
		compare = compareIntegers
	}
	return &ordered{s, r.normal, want, compare, atMost}
}

// Substrings returns the matcher of (type=initial*any*final). parts are what is between
// the asterisks; the first and the last may be empty.
func (s *Schema) Substrings(t *AttributeType, parts []string) Matcher {
	r, equal := t.Substr, t.Equality
	if !r.Supported() || r.kind != substrings || !equal.Supported() || s.vendor == Directory389 && r.normal == normalOctets {
		return nil
	}
	m := &parted{s: s, form: r.normal}
	last := len(parts) - 1
	for i, text := range parts {
		part := Any
		switch i {
		case 0:
			part = Initial
		case last:
			part = Final
		}
		if text == "" {
			continue
		}
		// The parts are checked as if they were whole values, as OpenLDAP does it.
		if !s.fits(equal, text) {
			return nil
		}
		normal, ok := s.appendNormal(nil, equal.normal, text, part)
		if s.vendor == Directory389 && (equal.normal == normalName || equal.normal == normalNameAndUID) {
			normal, ok = appendNamePart389(nil, text), true
		}
		if !ok {
			return nil
		}
		switch part {
		case Initial:
			m.initial = normal
		case Final:
			m.final = normal
		default:
			m.any = append(m.any, normal)
		}
	}
	return m
}

// Approximate returns the matcher of (type~=value): on OpenLDAP words that sound alike
// where the equality rule is one for text; else equality.
func (s *Schema) Approximate(t *AttributeType, value string) Matcher {
	r := t.Equality
	if !r.Supported() {
		return nil
	}
	switch {
	case s.vendor == OpenLDAP && r.normal == normalNameAndUID:
		return s.roughNameAndUID(value)
	case s.vendor != OpenLDAP || !r.phonetic && r.normal != normalList:
		return s.matcher(r, value)
	case !s.fits(r, value):
		return nil
	case r.normal == normalList:
		return &equal{s, r.normal, appendRoughList(nil, value)}
	}
	return newSounds(s, r.normal, value)
}

// Extensible returns the matcher of (type:rule:=value).
func (s *Schema) Extensible(r *Rule, value string) Matcher {
	if !r.Supported() {
		return nil
	}
	if r.kind == ordering || r.kind == integerOrdering {
		if !s.fits(r, value) {
			return nil
		}
		// An ordering rule is true of values that are less (RFC 4517, section 4.2.17 and others).
		want, ok := s.appendNormal(nil, r.normal, value, Whole)
		if !ok {
			return nil
		}
		compare := bytes.Compare
		if r.kind == integerOrdering {
			compare = compareIntegers
		}
		return &less{s, r.normal, want, compare}
	}
	return s.matcher(r, value)
}

// ExtensibleAny returns the matcher of (:rule:=value). OpenLDAP normalizes that value twice,
// which folds the case of what became letters the first time.
func (s *Schema) ExtensibleAny(r *Rule, value string) Matcher {
	if s.vendor == OpenLDAP && r.Supported() && r.normal == normalFolded && s.fits(r, value) {
		if normal, ok := s.appendNormal(nil, r.normal, value, Whole); ok {
			value = string(normal)
		}
	}
	return s.Extensible(r, value)
}

// matcher makes the matcher of a rule that is none of order or substrings.
func (s *Schema) matcher(r *Rule, value string) Matcher {
	if r.kind == classEquality {
		return s.classMatcher(value)
	}
	if !s.fits(r, value) {
		return nil
	}
	want, ok := s.appendNormal(nil, r.normal, value, Whole)
	if !ok {
		return nil
	}
	switch r.kind {
	case equality:
		if r.normal == normalFolded || r.normal == normalIA5Folded {
			return &equalFolded{equal{s, r.normal, want}}
		}
		return &equal{s, r.normal, want}
	case bitAnd, bitOr:
		mask, err := strconv.ParseInt(value, 10, 64)
		return &bits{mask, err != nil, r.kind == bitAnd}
	case nameUnder, nameBelow, nameJustBelow, nameAbove:
		return &relation{s, want, r.kind}
	}
	return nil
}

// fits tells whether the value can be asserted by the rule. 389 DS doesn't ask.
func (s *Schema) fits(r *Rule, value string) bool {
	return s.vendor == Directory389 || s.validValue(r.implementation.syntax, value)
}

// Keys returns the keys of an equality assertion: it is true of exactly those values whose
// [Schema.AppendKey] is one of them. False for other matchers.
func Keys(m Matcher) ([]string, bool) {
	switch m := m.(type) {
	case *equal:
		return []string{string(m.want)}, true
	case *equalFolded:
		return []string{string(m.want)}, true
	case *classes:
		return m.keys, true
	}
	return nil, false
}

// AppendKey appends the key of a value of the type. False if it has none, and so equals
// nothing.
func (s *Schema) AppendKey(dst []byte, t *AttributeType, value string) ([]byte, bool) {
	switch r := t.Equality; {
	case !r.Supported():
		return dst, false
	case r.kind == classEquality:
		if c := s.Class(value); c != nil {
			return append(dst, c.keys[0]...), true
		}
		return appendLower(dst, value), true
	default:
		return s.appendNormal(dst, r.normal, value, Whole)
	}
}

type equal struct {
	s    *Schema
	form normalForm
	want []byte
}

func (m *equal) Match(value string, buf *[]byte) (bool, bool) {
	normal, ok := m.s.appendNormal((*buf)[:0], m.form, value, Whole)
	*buf = normal[:0]
	return ok && bytes.Equal(normal, m.want), ok
}

// equalFolded is equal for text in which case doesn't count: most values differ in their
// first character, and then nothing has to be prepared.
type equalFolded struct{ equal }

func (m *equalFolded) Match(value string, buf *[]byte) (bool, bool) {
	if value != "" && len(m.want) > 0 {
		if c := value[0]; c > ' ' && c < 0x7f {
			if 'A' <= c && c <= 'Z' {
				c |= 0x20
			}
			// A combining character may change the first one.
			if c != m.want[0] && (len(value) == 1 || value[1] < 0x7f) && m.want[0] < 0x7f {
				return false, true
			}
		}
	}
	return m.equal.Match(value, buf)
}

type ordered struct {
	s       *Schema
	form    normalForm
	want    []byte
	compare func(a, b []byte) int
	atMost  bool
}

func (m *ordered) Match(value string, buf *[]byte) (bool, bool) {
	normal, ok := m.s.appendNormal((*buf)[:0], m.form, value, Whole)
	*buf = normal[:0]
	if !ok {
		return false, false
	}
	order := m.compare(normal, m.want)
	return order == 0 || order < 0 == m.atMost, true
}

type less struct {
	s       *Schema
	form    normalForm
	want    []byte
	compare func(a, b []byte) int
}

func (m *less) Match(value string, buf *[]byte) (bool, bool) {
	normal, ok := m.s.appendNormal((*buf)[:0], m.form, value, Whole)
	*buf = normal[:0]
	return ok && m.compare(normal, m.want) < 0, ok
}

// compareIntegers compares two integers in their only valid form.
func compareIntegers(a, b []byte) int {
	negative := len(a) > 0 && a[0] == '-'
	if other := len(b) > 0 && b[0] == '-'; negative != other {
		if negative {
			return -1
		}
		return 1
	}
	order := len(a) - len(b)
	if order == 0 {
		order = bytes.Compare(a, b)
	}
	if negative {
		return -order
	}
	return order
}

type parted struct {
	s       *Schema
	form    normalForm
	initial []byte
	any     [][]byte
	final   []byte
}

func (m *parted) Match(value string, buf *[]byte) (bool, bool) {
	normal, ok := m.s.appendNormal((*buf)[:0], m.form, value, Whole)
	*buf = normal[:0]
	if !ok {
		return false, false
	}
	rest, ok := bytes.CutPrefix(normal, m.initial)
	if !ok {
		return false, true
	}
	for _, part := range m.any {
		i := bytes.Index(rest, part)
		if i < 0 {
			return false, true
		}
		rest = rest[i+len(part):]
	}
	return bytes.HasSuffix(rest, m.final), true
}

// roughNameAndUID matches names that a bit string may follow: it counts only where both
// have one.
type roughNameAndUID struct {
	s    *Schema
	name []byte
	uid  string
}

func (s *Schema) roughNameAndUID(value string) Matcher {
	name, uid := splitUID(value)
	key, ok := s.AppendName(nil, name)
	if !ok {
		return nil
	}
	return &roughNameAndUID{s, key, uid}
}

func (m *roughNameAndUID) Match(value string, buf *[]byte) (bool, bool) {
	name, uid := splitUID(value)
	key, ok := m.s.AppendName((*buf)[:0], name)
	*buf = key[:0]
	return ok && bytes.Equal(key, m.name) && (uid == "" || m.uid == "" || uid == m.uid), ok
}

type bits struct {
	mask   int64
	beyond bool // the mask has more than 64 bits: no value can be compared with it
	all    bool
}

func (m *bits) Match(value string, _ *[]byte) (bool, bool) {
	v, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err != nil || m.beyond:
		return false, false
	case m.all:
		return v&m.mask == m.mask, true
	}
	return v&m.mask != 0, true
}

// relation matches names by where they are in the tree: keys tell it by their prefix.
type relation struct {
	s    *Schema
	want []byte
	kind ruleKind
}

func (m *relation) Match(value string, buf *[]byte) (bool, bool) {
	key, ok := m.s.AppendName((*buf)[:0], value)
	*buf = key[:0]
	if !ok {
		return false, false
	}
	below := len(key) > len(m.want) && bytes.HasPrefix(key, m.want)
	switch m.kind {
	case nameUnder:
		return below || bytes.Equal(key, m.want), true
	case nameBelow:
		return below, true
	case nameJustBelow:
		parent, ok := ParentKey(key)
		return ok && bytes.Equal(parent, m.want) || !ok && len(key) > 0 && len(m.want) == 0, true
	}
	return len(m.want) > len(key) && bytes.HasPrefix(m.want, key), true // nameAbove
}

// classMatcher matches an object class and what descends from it.
func (s *Schema) classMatcher(value string) Matcher {
	if s.vendor == Directory389 {
		value = strings.TrimFunc(value, white389)
	}
	c := s.Class(value)
	if c == nil {
		if s.fallback && (validDescriptor(value) || validNumericOID(value)) {
			names := []string{strings.ToLower(value)}
			return &classes{names: names, keys: names}
		}
		return nil
	}
	m := &classes{}
	for _, sub := range c.WithSubclasses() {
		m.names = append(m.names, sub.keys...)
		m.keys = append(m.keys, sub.keys[0])
	}
	if len(m.names) > fewNames {
		m.index = make(map[string]*struct{}, len(m.names))
		for _, n := range m.names {
			m.index[n] = &struct{}{}
		}
	}
	return m
}

// fewNames is up to where comparing names one by one beats a map.
const fewNames = 8

type classes struct {
	names []string             // in lower case
	keys  []string             // one of each class
	index map[string]*struct{} // of the names, if they are many
}

func (m *classes) Match(value string, _ *[]byte) (bool, bool) {
	if m.index != nil {
		return lookup(m.index, value) != nil, true
	}
	for _, n := range m.names {
		if len(n) == len(value) && strings.EqualFold(n, value) {
			return true, true
		}
	}
	return false, true
}
