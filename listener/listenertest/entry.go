package listenertest

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
)

// Entry makes an entry from one LDIF content record (RFC 2849), and fails the test
// if it is not one; see [ParseEntry].
func Entry(t testing.TB, ldif string) *listener.Entry {
	t.Helper()
	e, err := ParseEntry(ldif)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// ParseEntry makes an entry from one LDIF content record (RFC 2849): "dn:", then
// attributes, with "::" for base64, lines that begin with a space for the rest of
// the line before, and "#" for comments. Tabs before a line are ignored, so that a
// record can be indented with the code around it.
//
// The sync UUID is the value of entryUUID if there is one, and [UUID] of the DN
// otherwise.
func ParseEntry(ldif string) (*listener.Entry, error) {
	var (
		dn    string
		uuid  listener.UUID
		attrs []listener.Attribute
		begun bool
	)
	for _, line := range unfold(ldif) {
		name, value, err := parseLine(line)
		if err != nil {
			return nil, err
		}
		switch {
		case !begun && strings.EqualFold(name, "version"):
		case !begun && strings.EqualFold(name, "dn"):
			dn, uuid, begun = value, UUID(value), true
		case !begun:
			return nil, fmt.Errorf("ldif: the record begins with %q: want dn", line)
		case strings.EqualFold(name, "dn"):
			return nil, fmt.Errorf("ldif: a second record begins with %q: want one", line)
		case strings.EqualFold(name, "changetype"):
			return nil, errors.New("ldif: a change record: want the content of an entry")
		default:
			attrs = add(attrs, name, value)
			if strings.EqualFold(name, "entryUUID") {
				if uuid, err = listener.ParseUUID(value); err != nil {
					return nil, fmt.Errorf("ldif: entryUUID: %w", err)
				}
			}
		}
	}
	if !begun {
		return nil, errors.New("ldif: no record: want dn")
	}
	return listener.NewEntry(uuid, dn, attrs...), nil
}

// UUID returns the sync UUID that [Entry] gives to an entry created under dn: the
// same for the same DN, whatever its case.
func UUID(dn string) listener.UUID {
	sum := sha256.Sum256([]byte(strings.ToLower(dn)))
	u := listener.UUID(sum[:16])
	u[6] = u[6]&0x0f | 0x80 // version 8: of our own making (RFC 9562)
	u[8] = u[8]&0x3f | 0x80
	return u
}

// Set returns e with the values of one attribute replaced; without values, with the
// attribute removed. It stays the same entry: the UUID and the DN are e's.
func Set(e *listener.Entry, name string, values ...string) *listener.Entry {
	var attrs []listener.Attribute
	found := false
	for n, v := range e.All() {
		switch {
		case !strings.EqualFold(n, name):
			attrs = append(attrs, listener.Attribute{Name: n, Values: v.Strings()})
		case len(values) > 0 && !found:
			attrs = append(attrs, listener.Attribute{Name: n, Values: values})
			found = true
		}
	}
	if len(values) > 0 && !found {
		attrs = append(attrs, listener.Attribute{Name: name, Values: values})
	}
	return listener.NewEntry(e.UUID(), e.DN(), attrs...)
}

// Move returns e under another DN, as after a rename. It stays the same entry: the
// UUID and the attributes are e's, also the one that names it; see [Set].
func Move(e *listener.Entry, dn string) *listener.Entry {
	var attrs []listener.Attribute
	for n, v := range e.All() {
		attrs = append(attrs, listener.Attribute{Name: n, Values: v.Strings()})
	}
	return listener.NewEntry(e.UUID(), dn, attrs...)
}

func add(attrs []listener.Attribute, name, value string) []listener.Attribute {
	for i := range attrs {
		if strings.EqualFold(attrs[i].Name, name) {
			attrs[i].Values = append(attrs[i].Values, value)
			return attrs
		}
	}
	return append(attrs, listener.Attribute{Name: name, Values: []string{value}})
}

// unfold returns the logical lines, without comments and empty lines.
func unfold(ldif string) []string {
	var lines []string
	for line := range strings.Lines(ldif) {
		line = strings.TrimLeft(strings.TrimRight(line, "\r\n"), "\t")
		if rest, ok := strings.CutPrefix(line, " "); ok && len(lines) > 0 {
			lines[len(lines)-1] += rest
			continue
		}
		lines = append(lines, line)
	}
	content := lines[:0]
	for _, line := range lines { // only now: a comment may be continued, too
		if strings.TrimSpace(line) != "" && line[0] != '#' {
			content = append(content, line)
		}
	}
	return content
}

func parseLine(line string) (name, value string, err error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok || name == "" || strings.ContainsAny(name, " \t") {
		return "", "", fmt.Errorf("ldif: %q: want a line like \"sn: Lovelace\"", line)
	}
	switch {
	case strings.HasPrefix(value, ":"):
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value[1:]))
		if err != nil {
			return "", "", fmt.Errorf("ldif: %s: %w", name, err)
		}
		return name, string(raw), nil
	case strings.HasPrefix(value, "<"):
		return "", "", fmt.Errorf("ldif: %s: a value from a URL is not supported", name)
	}
	return name, strings.TrimLeft(value, " "), nil
}
