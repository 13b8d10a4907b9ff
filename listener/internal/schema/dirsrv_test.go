package schema_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener/internal/schema"
)

// What a real 389 DS does is compared by the differential test of package filter; these are
// its causes one by one.

func TestNamesOn389(t *testing.T) {
	s := server(t, schema.Directory389)
	key := func(dn string) []byte {
		t.Helper()
		key, ok := s.AppendName(nil, dn)
		if !ok {
			t.Errorf("%q is no name", dn)
		}
		return key
	}
	seen := map[string]string{}
	for _, spellings := range [][]string{
		// spaces
		{"cn=a b,dc=x", "cn=a  b,dc=x", "cn=a \n b;dc=x", " CN = A B , DC=X", `cn="a  b" ; dc=x`, `cn=\61  b,dc=x`, `cn=a\ b,dc=x`, `cn=a\  b,dc=x`},
		{`cn=a\20b,dc=x`}, {`cn=a \20b,dc=x`}, {"cn=a\tb,dc=x", `cn=a\09b,dc=x`},
		{`cn=\20a b,dc=x`, `cn=\ a b,dc=x`, `cn="  a b",dc=x`},
		{`cn=a b\20,dc=x`, `cn=a b\ ,dc=x`, `cn=a b\20  ,dc=x`, `cn="a b  ",dc=x`},
		{`cn=a b \20,dc=x`, `cn=a b \ ,dc=x`},
		{"cn=a,dc=x", `cn=a\0a,dc=x`, "cn=a\r\n,dc=x"},
		// escapes
		{`cn=a\2Cb,dc=x`, `cn=a\,b,dc=x`, `cn="a,b",dc=x`}, {`cn=a\3db,dc=x`, `cn=a\=b,dc=x`, `cn="a=b",dc=x`}, {"cn=a=b,dc=x"},
		{`cn=aq,dc=x`, `cn=a\q,dc=x`}, {`cn=a#b,dc=x`, `cn=a\23b,dc=x`, `cn=a\#b,dc=x`}, {`cn=a000b,dc=x`, `cn=a\00b,dc=x`},
		{"cn=#0a,dc=x", "cn=#0A,dc=x"}, {`cn=\230a,dc=x`, `cn=\#0a,dc=x`, `cn="#0a",dc=x`},
		{`cn=a\5cb,dc=x`, `cn=a\\b,dc=x`}, {`cn=a\5c\5cb,dc=x`, `cn="a\\b",dc=x`},
		// types and parts
		{"commonName=a b,dc=x", "COMMONNAME=a  b,dc=x"}, {"2.5.4.3=a b,dc=x"}, {"homeDirectory=/a,dc=x", "homedirectory=/A,dc=x"},
		{"cn=a b+sn=c,dc=x", "SN=C + cn=a  b,dc=x"}, {"cn=a+cn=b,dc=x", "cn=b+cn=a,dc=x"},
		// case
		{"cn=Müller,dc=x", `cn=M\c3\9cLLER,dc=x`}, {"cn=Ș,dc=x"}, {"cn=ș,dc=x"}, {"cn=\xff,dc=x", `cn=\ff,dc=x`},
	} {
		want := key(spellings[0])
		for _, dn := range spellings[1:] {
			if got := key(dn); !bytes.Equal(got, want) {
				t.Errorf("%q has the key %q, %q has %q", dn, got, spellings[0], want)
			}
			if !s.SameName(spellings[0], dn) && !strings.Contains(dn, `\00`) {
				t.Errorf("%q and %q are not the same", spellings[0], dn)
			}
		}
		if other, twice := seen[string(want)]; twice {
			t.Errorf("%q and %q share the key %q", spellings[0], other, want)
		}
		seen[string(want)] = spellings[0]
	}
	for _, bad := range []string{"a", "cn=a,", "cn=a,,dc=x", `cn=a\`, `cn="a,dc=x`, `cn="a"b,dc=x`, `cn=a"b,dc=x`, "c n=a", "oid.2.5.4.3=a"} {
		if key, ok := s.AppendName(nil, bad); ok {
			t.Errorf("%q has the key %q", bad, key)
		}
	}
}

func TestValuesOn389(t *testing.T) {
	s := server(t, schema.Directory389)
	for _, c := range []struct{ typ, operator, asserted, value, want string }{
		// White space: the first character of each run counts, and none at the ends.
		{"cn", "=", "a  b", "A b", "yes"}, {"cn", "=", "a\tb", "a b", "no"}, {"cn", "=", "a\t b", "a\tb", "yes"}, {"cn", "=", "\ta\u3000", "a", "yes"},
		{"cn", "=", "ab", "a\u200bb", "no"}, {"cn", "=", "a\u00adb", "ab", "no"}, {"cn", "=", "a\u00a0b", "a b", "no"}, {"mail", "=", "a\u2003", "a", "yes"},
		{"cn", "=", "a *", "ab", "yes"}, {"cn", "=", "*a ", "a", "no"}, {"cn", "=", "*a *", "ab", "no"},
		// Case: of the letters of Unicode 2.0, nearly.
		{"cn", "=", "ÇINAR", "çinar", "yes"}, {"cn", "=", "ЁЖ", "ёж", "yes"}, {"cn", "=", "ΣΊΣΥΦΟΣ", "σίσυφοσ", "yes"}, {"cn", "=", "Ａ", "ａ", "yes"},
		{"cn", "=", "Ș", "ș", "no"}, {"cn", "=", "Ⅷ", "ⅷ", "no"}, {"cn", "=", "ẞ", "ß", "no"}, {"cn", "=", "\u212a", "k", "no"},
		{"cn", "=", "İ", "i", "no"}, {"cn", "=", "İ", "ı", "yes"}, {"cn", "=", "Ǝ", "ɘ", "yes"}, {"cn", "=", "Ⴀ", "ა", "yes"},
		// Assertions are not checked, and most other syntaxes are text, too.
		{"uidNumber", "=", "007", "7", "yes"}, {"uidNumber", "=", " -07 ", "-7", "yes"}, {"uidNumber", "=", "-0", "0", "yes"}, {"uidNumber", "=", "0 ", "0", "invalid"}, {"uidNumber", "=", "x", "7", "invalid"},
		{"x121Address", "=", " *", "12", "yes"}, {"x121Address", "=", "1 2", "12", "yes"}, {"telephoneNumber", "=", " *", "12", "no"}, {"telephoneNumber", "=", "+49\t3-0", "+4930", "yes"}, {"telephoneNumber", "=", "A", "a", "yes"},
		{"hasSubordinates", "=", " true", "TRUE", "yes"},
		{"createTimestamp", "=", "20240101000000Z", "202401010000Z", "no"}, {"createTimestamp", "=", "20240101000000z", "20240101000000Z", "yes"}, {"createTimestamp", "=", "2024*", "20240101000000Z", "yes"},
		{"supportedApplicationContext", "=", "cn", "2.5.4.3", "no"}, {"supportedApplicationContext", "=", "CN", "cn", "yes"},
		{"x500UniqueIdentifier", "=", " '01'B", "'01'B", "yes"}, {"x500UniqueIdentifier", "=", "'01'b", "'01'B", "no"}, {"x500UniqueIdentifier", "=", "'0*", "'01'B", "yes"},
		{"objectClass", "=", " person ", "person", "yes"},
		{"uniqueMember", "=", "cn=A, dc=x#'01'b", "cn=a,dc=x#'01'B", "yes"}, {"uniqueMember", "=", "cn=a,dc=x", "cn=a,dc=x#'01'B", "no"},
		// Parts of names are brought into one spelling if they can be.
		{"member", "=", "CN =A*", "cn=a b,dc=x", "yes"}, {"member", "=", "*,DC=X; dc=Y", "cn=a,dc=x,dc=y", "yes"}, {"member", "=", "*, dc=y", "cn=a,dc=x,dc=y", "no"},
		{"member", "=", "*b,dc=x", "cn=a b,dc=x", "yes"}, {"member", "=", "*B,DC=X", "cn=a b,dc=x", "no"}, {"member", "=", `*=a\,b*`, `cn=a\2Cb,dc=x`, "no"}, {"member", "=", `cn=a\,b*`, `cn=a\2Cb,dc=x`, "yes"},
		{"member", "=", "sn=c+cn=a*", "cn=a+sn=c,dc=x", "yes"},
		{"member", "=", "uid=x+ui*", "uid=x+uid=y,dc=x", "yes"}, {"uniqueMember", "=", "*=X#'01'B", "cn=a,dc=x#'01'B", "yes"},
	} {
		if got := outcome(assertion(s, c.typ, c.operator, c.asserted), c.value); got != c.want {
			t.Errorf("(%s%s%q) on %q: %s, want %s", c.typ, c.operator, c.asserted, c.value, got, c.want)
		}
	}
}
