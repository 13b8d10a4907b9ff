package listener

import (
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// UUID identifies an entry for its whole life: the sync UUID of RFC 4533. It is
// the entryUUID attribute on OpenLDAP and nsUniqueId on 389 DS.
type UUID [16]byte

// String returns the form 30593fe3-f028-432e-9840-43c43e5fd2da.
func (u UUID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], u[0:4])
	hex.Encode(b[9:13], u[4:6])
	hex.Encode(b[14:18], u[6:8])
	hex.Encode(b[19:23], u[8:10])
	hex.Encode(b[24:36], u[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// ParseUUID reads the form that [UUID.String] writes, in either case.
func ParseUUID(s string) (UUID, error) {
	var u UUID
	if len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' {
		raw := s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36]
		if _, err := hex.Decode(u[:], []byte(raw)); err == nil {
			return u, nil
		}
	}
	return UUID{}, fmt.Errorf("%q is no UUID: want the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", s)
}

// Entry is one state of a directory entry. It is immutable and safe for
// concurrent use: what an accessor returns is a copy or a string.
//
// Attributes are found by their description (type and options, such as
// "cn;lang-de"), case-insensitively; those of an entry that a handler gets also by the
// other names and the OIDs that the provider's schema has for the type. Values are byte strings: a Go string with
// exactly the bytes that the provider sent, UTF-8 or not.
type Entry struct {
	uuid  UUID
	dn    string
	attrs []attribute // in the provider's order
	names *AttributeNames
}

type attribute struct {
	name   string
	values Values
}

// Attribute is one attribute for [NewEntry].
type Attribute struct {
	Name   string
	Values []string
}

// NewEntry makes an entry; handlers' tests use it. Attributes keep their order.
func NewEntry(uuid UUID, dn string, attrs ...Attribute) *Entry {
	e := &Entry{uuid: uuid, dn: dn, attrs: make([]attribute, 0, len(attrs))}
	for _, a := range attrs {
		var ber []byte
		for _, v := range a.Values {
			ber = appendTLV(ber, tagOctetString, v)
		}
		e.attrs = append(e.attrs, attribute{a.Name, Values{string(ber), len(a.Values)}})
	}
	return e
}

// WithNames returns the same entry, which finds its attributes by all the names they have.
// The engine uses it, and so can handlers' tests.
func (e *Entry) WithNames(names *AttributeNames) *Entry {
	known := *e
	known.names = names
	return &known
}

// Names returns what the entry knows of its directory's schema, as [Entry.WithNames] set
// it; nil if nothing. The engine uses it.
func (e *Entry) Names() *AttributeNames { return e.names }

// UUID returns the sync UUID.
func (e *Entry) UUID() UUID { return e.uuid }

// DN returns the distinguished name as the provider wrote it.
func (e *Entry) DN() string { return e.dn }

// Len returns the number of attributes.
func (e *Entry) Len() int { return len(e.attrs) }

// All iterates over the attributes in the provider's order.
func (e *Entry) All() iter.Seq2[string, Values] {
	return func(yield func(string, Values) bool) {
		for i := range e.attrs {
			if !yield(e.attrs[i].name, e.attrs[i].values) {
				return
			}
		}
	}
}

// Attr returns the values of the attribute; without values when it is absent. Of two
// attributes with one description, which RFC 4511 forbids, the first counts.
func (e *Entry) Attr(name string) Values { return e.find(name).values }

var noAttribute attribute

// find returns the attribute, &noAttribute if there is none.
func (e *Entry) find(name string) *attribute {
	for i := range e.attrs {
		if len(e.attrs[i].name) == len(name) && strings.EqualFold(e.attrs[i].name, name) {
			return &e.attrs[i]
		}
	}
	// Another name for the type, or the options in another order.
	if t := e.names.find(name); t != nil && len(t.names) > 1 || strings.IndexByte(name, ';') >= 0 {
		for i := range e.attrs {
			if e.names.same(e.attrs[i].name, name) {
				return &e.attrs[i]
			}
		}
	}
	return &noAttribute
}

// Has tells whether the entry has the attribute.
func (e *Entry) Has(name string) bool { return e.Attr(name).Len() > 0 }

// Get returns the first value of the attribute, or "". The order of values is the
// provider's and has no meaning in LDAP: use it for single-valued attributes.
func (e *Entry) Get(name string) string {
	for v := range e.Attr(name).All() {
		return v
	}
	return ""
}

// Strings returns all values of the attribute; nil when it is absent.
func (e *Entry) Strings(name string) []string { return e.Attr(name).Strings() }

// Bytes returns all values of the attribute as bytes of the caller's own; nil when
// it is absent.
func (e *Entry) Bytes(name string) [][]byte { return e.Attr(name).Bytes() }

// String returns the DN and the UUID, for logs.
func (e *Entry) String() string {
	if e == nil {
		return "<no entry>"
	}
	return e.dn + " (" + e.uuid.String() + ")"
}

// Values is the immutable value set of one attribute. The zero value is empty.
type Values struct {
	ber string // content octets of the SET OF AttributeValue
	n   int
}

// Len returns the number of values.
func (v Values) Len() int { return v.n }

// All iterates over the values in the provider's order. It does not allocate.
func (v Values) All() iter.Seq[string] {
	return func(yield func(string) bool) {
		for rest := v.ber; rest != ""; {
			_, value, tail, ok := readTLV(rest)
			if !ok || !yield(value) {
				return
			}
			rest = tail
		}
	}
}

// Strings returns the values as a new slice; nil when there are none.
func (v Values) Strings() []string {
	if v.n == 0 {
		return nil
	}
	return slices.AppendSeq(make([]string, 0, v.n), v.All())
}

// Bytes returns copies of the values; nil when there are none.
func (v Values) Bytes() [][]byte {
	if v.n == 0 {
		return nil
	}
	out := make([][]byte, 0, v.n)
	for s := range v.All() {
		out = append(out, []byte(s))
	}
	return out
}

// Contains tells whether one of the values has exactly these bytes.
func (v Values) Contains(value string) bool {
	for s := range v.All() {
		if s == value {
			return true
		}
	}
	return false
}

// ErrMalformedEntry matches the errors of [EntryFromBER].
var ErrMalformedEntry = errors.New("malformed entry")

// EntryFromBER makes an entry from the content octets of an RFC 4511
// PartialAttributeList, as a SearchResultEntry carries it. The entry refers to
// attributes; it copies none of it. Only definite lengths are accepted (RFC 4511,
// section 5.1). The engine and its tools use it.
func EntryFromBER(uuid UUID, dn, attributes string) (*Entry, error) {
	n := 0
	for rest := attributes; rest != ""; n++ {
		tag, _, tail, ok := readTLV(rest)
		if !ok || tag != tagSequence {
			return nil, malformed(dn, "attribute list")
		}
		rest = tail
	}
	e := &Entry{uuid: uuid, dn: dn, attrs: make([]attribute, 0, n)}
	for rest := attributes; rest != ""; {
		_, body, tail, _ := readTLV(rest)
		rest = tail
		tag, name, body, ok := readTLV(body)
		if !ok || tag != tagOctetString || name == "" {
			return nil, malformed(dn, "attribute description")
		}
		tag, set, body, ok := readTLV(body)
		if !ok || tag != tagSet || body != "" {
			return nil, malformed(dn, "values of "+name)
		}
		count := 0
		for values := set; values != ""; count++ {
			tag, _, tail, ok := readTLV(values)
			if !ok || tag != tagOctetString {
				return nil, malformed(dn, "a value of "+name)
			}
			values = tail
		}
		e.attrs = append(e.attrs, attribute{name, Values{set, count}})
	}
	return e, nil
}

func malformed(dn, what string) error {
	return fmt.Errorf("%w: %q: %s", ErrMalformedEntry, dn, what)
}

// The universal tags that entries consist of (RFC 4511, appendix B).
const (
	tagOctetString = 0x04
	tagSequence    = 0x30
	tagSet         = 0x31
)

// readTLV splits the first BER element off s. Lengths are definite and at most
// four octets; ok is false for anything else, and for an element longer than s.
func readTLV(s string) (tag byte, content, rest string, ok bool) {
	if len(s) < 2 {
		return 0, "", "", false
	}
	tag, n, head := s[0], int(s[1]), 2
	if n >= 0x80 {
		octets := n & 0x7f
		if octets == 0 || octets > 4 || len(s) < 2+octets {
			return 0, "", "", false
		}
		n = 0
		for _, b := range []byte(s[2 : 2+octets]) {
			n = n<<8 | int(b)
		}
		head += octets
	}
	if n < 0 || n > len(s)-head { // below zero: four octets on a 32-bit machine
		return 0, "", "", false
	}
	return tag, s[head : head+n], s[head+n:], true
}

func appendTLV(b []byte, tag byte, content string) []byte {
	return append(appendHeader(b, tag, len(content)), content...)
}

// appendHeader appends the tag and the length of an element with n octets of content.
func appendHeader(b []byte, tag byte, n int) []byte {
	b = append(b, tag)
	switch {
	case n < 0x80:
		return append(b, byte(n))
	case n < 1<<8:
		return append(b, 0x81, byte(n))
	case n < 1<<16:
		return append(b, 0x82, byte(n>>8), byte(n))
	case n < 1<<24:
		return append(b, 0x83, byte(n>>16), byte(n>>8), byte(n))
	default:
		return append(b, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
}

// sizeTLV returns the size of an element with n octets of content.
func sizeTLV(n int) int {
	switch {
	case n < 0x80:
		return 2 + n
	case n < 1<<8:
		return 3 + n
	case n < 1<<16:
		return 4 + n
	case n < 1<<24:
		return 5 + n
	default:
		return 6 + n
	}
}
