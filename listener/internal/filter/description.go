package filter

import (
	"strings"

	"github.com/listenerd/listenerd/listener/internal/schema"
)

// description is an attribute description (RFC 4512, section 2.5): a type and any
// number of options.
type description struct {
	text    string   // as written
	typ     string   // lower case
	options []string // lower case

	names   []string            // of the type and its subtypes, lower case
	index   map[string]struct{} // of the names, if they are many
	entryDN bool                // the attribute is the entry's name, and no server stores it
	// absent is the result for an entry without such an attribute.
	absent Result

	twoValued bool // what doesn't fit the type is false, as 389 DS has it

	attribute *schema.AttributeType // nil: the schema doesn't say
	unknown   bool                  // there is no such attribute in the directory
}

// parseDescription also returns where s goes wrong and why; why is empty for a
// valid description.
func parseDescription(s string) (d description, at int, why string) {
	typ, rest, more := strings.Cut(s, ";")
	if at, why = checkOID(typ); why != "" {
		return d, at, why
	}
	d = description{text: s, typ: strings.ToLower(typ)}
	d.names = []string{d.typ}
	for more {
		at = len(s) - len(rest)
		var option string
		option, rest, more = strings.Cut(rest, ";")
		if option == "" {
			return d, at, "missing attribute option after ';'"
		}
		if i := strings.IndexByte(option, '.'); i >= 0 {
			return d, at + i, "unexpected '.' in an attribute option"
		}
		d.options = append(d.options, strings.ToLower(option))
	}
	return d, 0, ""
}

// checkOID checks that s, which consists of [descriptionOctet] octets, is the name
// or the numeric OID of an attribute type or a matching rule (RFC 4512, 1.4).
func checkOID(s string) (at int, why string) {
	if s == "" {
		return 0, "missing attribute description"
	}
	if letter(s[0]) {
		if i := strings.IndexAny(s, ".;"); i >= 0 {
			return i, "unexpected '" + s[i:i+1] + "' in a name"
		}
		return 0, ""
	}
	if !digit(s[0]) {
		return 0, "a name begins with a letter"
	}
	for i := range len(s) {
		if !digit(s[i]) && s[i] != '.' {
			return i, "unexpected '" + s[i:i+1] + "' in a numeric OID"
		}
		if s[i] == '.' && (i+1 == len(s) || s[i+1] == '.') {
			return i + 1, "missing number in a numeric OID"
		}
	}
	if strings.IndexByte(s, '.') < 0 {
		return len(s), "missing '.' in a numeric OID"
	}
	return 0, ""
}

// descriptionOctet tells whether c occurs in attribute descriptions.
func descriptionOctet(c byte) bool {
	return letter(c) || digit(c) || c == '-' || c == '.' || c == ';'
}

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func digit(c byte) bool  { return '0' <= c && c <= '9' }

// manyNames is from where a map beats comparing names one by one.
const manyNames = 8

// entryDN is RFC 5020's attribute for the name of an entry.
const entryDN = "1.3.6.1.1.20"

// resolve fills in what the schema says of the attribute.
func (d *description) resolve(s *schema.Schema) {
	if s == nil {
		return
	}
	d.attribute = s.Attribute(d.typ)
	t := d.attribute
	if t == nil {
		d.unknown = !s.Fallback()
		return
	}
	d.entryDN = t.OID == entryDN
	d.twoValued = s.Vendor() == schema.Directory389
	if s.Vendor() == schema.Directory389 { // it knows no subtypes
		d.name([]*schema.AttributeType{t})
	} else {
		d.name(t.WithSubtypes())
	}
	if s.Fallback() {
		return
	}
	for _, option := range d.options {
		switch {
		case t.Usage.Operational(), option == "binary" && !s.Binary(t):
			d.unknown = true
		case option != "binary" && !strings.HasPrefix(option, "lang-"):
			// Which other options a server knows is not in its schema. If it has such an
			// attribute it does; else it takes the option for unknown, as it is by default.
			d.absent = Undefined
		}
	}
}

// name makes the description cover attributes of the types.
func (d *description) name(types []*schema.AttributeType) {
	d.names = nil
	for _, t := range types {
		d.names = append(d.names, t.Keys()...)
	}
	if len(d.names) > manyNames {
		d.index = make(map[string]struct{}, len(d.names))
		for _, n := range d.names {
			d.index[n] = struct{}{}
		}
	}
}

// covers tells whether an assertion about d is about the attribute called name:
// one of d's type, or of a subtype, that has at least d's options.
func (d *description) covers(name string) bool {
	n := d.typeLength(name)
	if n < 0 {
		return false
	}
	for _, option := range d.options {
		if !hasOption(name[n:], option) {
			return false
		}
	}
	return true
}

// typeLength returns the length of the type in name if it is one of d's, else -1.
func (d *description) typeLength(name string) int {
	if d.index != nil {
		n := strings.IndexByte(name, ';')
		if n < 0 {
			n = len(name)
		}
		var buf [64]byte
		if n > len(buf) {
			return -1
		}
		if _, ok := d.index[string(lower(buf[:0], name[:n]))]; ok {
			return n
		}
		return -1
	}
	for _, want := range d.names {
		n := len(want)
		// The first letter settles most cases.
		if len(name) < n || name[0]|0x20 != want[0] || len(name) > n && name[n] != ';' {
			continue
		}
		if strings.EqualFold(name[:n], want) {
			return n
		}
	}
	return -1
}

// lower appends s with its ASCII letters in lower case.
func lower(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}

// hasOption looks for option, which may be a range, in a list of the form ;a;b.
func hasOption(list, option string) bool {
	for have := range strings.SplitSeq(list, ";") {
		if strings.EqualFold(have, option) {
			return true
		}
		if prefix, isRange := strings.CutSuffix(option, "-"); isRange &&
			len(have) >= len(prefix) && strings.EqualFold(have[:len(prefix)], prefix) &&
			(len(have) == len(prefix) || have[len(prefix)] == '-') {
			return true
		}
	}
	return false
}
