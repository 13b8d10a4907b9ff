package filter

import "strings"

// description is an attribute description (RFC 4512, section 2.5): a type and any
// number of options.
type description struct {
	text    string   // as written
	typ     string   // lower case
	options []string // lower case
}

// parseDescription also returns where s goes wrong and why; why is empty for a
// valid description.
func parseDescription(s string) (d description, at int, why string) {
	typ, rest, more := strings.Cut(s, ";")
	if at, why = checkOID(typ); why != "" {
		return d, at, why
	}
	d = description{text: s, typ: strings.ToLower(typ)}
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

// covers tells whether an assertion about d is about the attribute called name:
// one of d's type that has at least d's options.
func (d *description) covers(name string) bool {
	n := len(d.typ)
	// The first letter settles most cases.
	if len(name) < n || name[0]|0x20 != d.typ[0] {
		return false
	}
	if len(name) > n && name[n] != ';' || !strings.EqualFold(name[:n], d.typ) {
		return false
	}
	for _, option := range d.options {
		if !hasOption(name[n:], option) {
			return false
		}
	}
	return true
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
