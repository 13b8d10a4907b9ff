package schema_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/listenerd/listenerd/listener/internal/schema"
)

func schemas(t testing.TB) []*schema.Schema {
	return []*schema.Schema{server(t, schema.OpenLDAP), server(t, schema.Standard), server(t, schema.Directory389), schema.Builtin()}
}

func TestSameName(t *testing.T) {
	for _, s := range schemas(t) {
		for _, c := range []struct {
			a, b string
			same bool
		}{
			{"uid=a,ou=x", "UID=A,OU=X", true},
			{"uid=a,ou=x", "userid=a,2.5.4.11=x", s.Vendor() != schema.Directory389},
			{"uid=a,ou=x", "cn=a,ou=x", false},
			{"homeDirectory=/a,ou=x", "homeDirectory=/A,ou=x", s.Vendor() == schema.Directory389},
			{"homeDirectory=/a,ou=x", "homedirectory=/a,ou=X", true},
			{"telephoneNumber=1-2,ou=x", "telephoneNumber=12,ou=x", s.Vendor() != schema.Directory389},
			{"noSuchType=A,ou=x", "nosuchtype=a,OU=x", true}, // as long as nothing is known of it
			{"noSuchType=A,ou=x", "otherType=a,ou=x", false},
			{"cn=a+uid=b,ou=x", "UID=b+cn=a,ou=x", true},
			{"malformed,ou=x", "malformed,ou=x", true},
			{"malformed,ou=x", "formed,ou=x", false},
			{`cn=\00a,ou=x`, `cn=a,ou=x`, false},
			{"cn=\xff,ou=x", "cn=\xfe,ou=x", false},
			{"", "", true}, {"", "ou=x", false},
		} {
			if got := s.SameName(c.a, c.b); got != c.same {
				t.Errorf("%s: SameName(%q, %q) is %v", s.Vendor(), c.a, c.b, got)
			}
			child := "cn=child," + c.b
			if got := s.Below(child, c.a); got != (c.same || c.a == "") {
				t.Errorf("%s: Below(%q, %q) is %v", s.Vendor(), child, c.a, got)
			}
			if s.Below(c.a, c.a) {
				t.Errorf("%s: %q is below itself", s.Vendor(), c.a)
			}
		}
		if s.Below(`cn=a\,ou=x`, "ou=x") || s.Below("cn=aou=x", "ou=x") || s.Below(`cn="a,ou=x`, "ou=x") {
			t.Errorf("%s: something is below an escaped comma", s.Vendor())
		}
	}
}

// TestTreeKeysAreOneForEqualNames is what lets the tree do without a schema: whatever the
// types' rules are, names that are equal by them have one key.
func TestTreeKeysAreOneForEqualNames(t *testing.T) {
	values := []string{
		"", " ", "a", "A", " a", "a  b", "A B", "ab", "a-b", "A-b", "1-2", "1 2", "12", "+1 2", "TRUE", "true", "0", "-1", "1", "01", "007",
		"é", "e\u0301", "É", "\u00a0a", "a\u200b", "a\u00ad", "ß", "ss", "SS", "ẞ", "ﬁ", "fi", "Ⅷ", "viii", "VIII", "ⅷ", "\u212b", "å", "Å", "ſ", "s", "ς", "σ", "Σ",
		"İ", "i", "ı", "K", "k", "\xff", "\xff\xfe", "１２", "㎏", "kg", "a\tb", "a\nb", "\x7fa",
		"20240101000000Z", "20240101000000z", "2024010100Z", "20240101010000+0100", "202312311900-0500", "20240101000000.50Z", "20240101000000,5Z", "２0240101000000Z",
		"'0101'B", "30593fe3-f028-432e-9840-43c43e5fd2da", "30593FE3-F028-432E-9840-43C43E5FD2DA", "a$b", "a $ b", `a\24b`, "person", "PERSON", "1.2.3", "ab==", "AB==", "a=b",
	}
	types := []string{"cn", "commonName", "2.5.4.3", "uid", "homeDirectory", "dc", "telephoneNumber", "uidNumber", "createTimestamp", "postalAddress", "entryUUID",
		"x121Address", "hasSubordinates", "seeAlso", "userPassword", "x500UniqueIdentifier", "destinationIndicator", "noSuchType"}
	for _, s := range schemas(t) {
		places := map[string]string{}
		for _, typ := range types {
			for _, v := range values {
				var escaped strings.Builder
				for _, c := range []byte(v) {
					fmt.Fprintf(&escaped, `\%02x`, c)
				}
				name := typ + "=" + escaped.String() + ",dc=x"
				place := string(schema.Place(s, name))
				if other, ok := places[place]; ok && !bytes.Equal(schema.TreeKey(other), schema.TreeKey(name)) {
					t.Errorf("%s: %q and %q are one name (%q) and have the keys %q and %q", s.Vendor(), other, name, place, schema.TreeKey(other), schema.TreeKey(name))
				}
				places[place] = name
			}
		}
	}
}

// TestTreeKeysOfEveryLetter is the same for each letter by itself, in text.
func TestTreeKeysOfEveryLetter(t *testing.T) {
	for _, s := range schemas(t) {
		for _, typ := range []string{"cn", "homePostalAddress", "noSuchType"} {
			places := map[string]rune{}
			for r := rune(0x80); r < 0x1f000; r++ {
				if !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.Z, unicode.C, unicode.Sc) || unicode.In(r, unicode.Han, unicode.Hangul, unicode.Co, unicode.Cs) {
					continue
				}
				name := typ + "=a" + string(r) + "b"
				place := string(schema.Place(s, name))
				if other, ok := places[place]; ok && !bytes.Equal(schema.TreeKey(typ+"=a"+string(other)+"b"), schema.TreeKey(name)) {
					t.Errorf("%s: %U and %U are one in %s, and have other keys", s.Vendor(), r, other, typ)
				}
				places[place] = r
			}
		}
	}
}

// FuzzPlace looks for names that are one by a schema and have two tree keys, and for
// places that the tree doesn't find below others.
func FuzzPlace(f *testing.F) {
	for _, s := range [][2]string{{"uid=a,dc=x", "UID=A,dc=x"}, {`cn=a\,b+uid="x+y";dc=x`, "dc=x"}, {"createTimestamp=20240101000000.5-0100", "dc=x"}, {"", ""}} {
		f.Add(s[0], s[1])
	}
	all := schemas(f)
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, s := range all {
			keyA, keyB := schema.TreeKey(a), schema.TreeKey(b)
			if s.SameName(a, b) && !bytes.Equal(keyA, keyB) && !strings.Contains(a+b, `\`) { // what is escaped may be a name
				t.Fatalf("%s: %q and %q are one and have the keys %q, %q", s.Vendor(), a, b, keyA, keyB)
			}
			if utf8.ValidString(a) && s.SameName(a, strings.ToUpper(a)) && !bytes.Equal(keyA, schema.TreeKey(strings.ToUpper(a))) && !strings.Contains(a, `\`) {
				t.Fatalf("%s: %q has another key in upper case", s.Vendor(), a)
			}
			if len(keyA) > 8<<10 || len(keyB) > 8<<10 {
				continue
			}
			if s.Below(a, b) && !bytes.HasPrefix(keyA, keyB) {
				t.Fatalf("%s: %q is below %q, and %q doesn't begin with %q", s.Vendor(), a, b, keyA, keyB)
			}
			if parent, ok := schema.Parent(a); ok && schema.Depth(a) != schema.Depth(parent)+1 {
				t.Fatalf("%q has %d parts, its parent %q has %d", a, schema.Depth(a), parent, schema.Depth(parent))
			}
		}
	})
}
