package listenertest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/listenertest"
)

func ExampleParseEntry() {
	e, err := listenertest.ParseEntry(`
		# tabs before a line are ignored
		dn: uid=ada,ou=people,dc=example,dc=com
		objectClass: person
		objectClass: inetOrgPerson
		cn:: QWRhIMOJLg==
		description: a long value that
		  goes on`)
	fmt.Println(e.DN(), err)
	for name, values := range e.All() {
		fmt.Printf("%s %q\n", name, values.Strings())
	}
	// Output:
	// uid=ada,ou=people,dc=example,dc=com <nil>
	// objectClass ["person" "inetOrgPerson"]
	// cn ["Ada É."]
	// description ["a long value that goes on"]
}

func ExampleSet() {
	ada, _ := listenertest.ParseEntry("dn: uid=ada\nsn: Byron\nmail: ada@example.com")
	married := listenertest.Set(ada, "SN", "King")
	unreachable := listenertest.Set(married, "mail")
	fmt.Println(ada.Get("sn"), married.Get("sn"), unreachable.Has("mail"))
	// Output: Byron King false
}

func ExampleMove() {
	ada, _ := listenertest.ParseEntry("dn: uid=ada,ou=people\nuid: ada")
	moved := listenertest.Move(ada, "uid=ada,ou=alumni")
	fmt.Println(moved.DN(), moved.UUID() == ada.UUID())
	// Output: uid=ada,ou=alumni true
}

func TestUUID(t *testing.T) {
	a, b := listenertest.Entry(t, "dn: uid=a"), listenertest.Entry(t, "dn: UID=A")
	other := listenertest.Entry(t, "dn: uid=b")
	if a.UUID() != b.UUID() || a.UUID() == other.UUID() || a.UUID() != listenertest.UUID("uid=a") {
		t.Error("the UUID does not follow the DN")
	}
	const given = "30593fe3-f028-432e-9840-43c43e5fd2da"
	e := listenertest.Entry(t, "dn: uid=a\nEntryUUID: "+given)
	if e.UUID().String() != given || e.Get("entryUUID") != given {
		t.Errorf("got %s, attribute %q", e.UUID(), e.Get("entryUUID"))
	}
}

func TestParseEntry(t *testing.T) {
	for name, c := range map[string]struct{ ldif, dn, attrs string }{
		"slapcat":         {"version: 1\n\ndn: uid=a\nsn: A\n\n", "uid=a", "sn=[A]"},
		"line ends":       {"dn: uid=a\r\nsn: A\r\n", "uid=a", "sn=[A]"},
		"base64 DN":       {"dn:: dWlkPcOp", "uid=é", ""},
		"folded DN":       {"dn: uid=a,\n ou=p", "uid=a,ou=p", ""},
		"folded base64":   {"dn: uid=a\ncn:: QWRh\n IMOJLg==", "uid=a", "cn=[Ada É.]"},
		"folded comment":  {"# x\n sn: B\ndn: uid=a\n# y\n  z", "uid=a", ""},
		"no space":        {"dn:uid=a\nsn:A:B", "uid=a", "sn=[A:B]"},
		"empty value":     {"dn: uid=a\nsn:\ncn: ", "uid=a", "sn=[] cn=[]"},
		"root":            {"dn:\nsn: A", "", "sn=[A]"},
		"trailing spaces": {"dn: uid=a\nsn: A ", "uid=a", "sn=[A ]"},
		"case and order":  {"dn: uid=a\nsn: A\ncn: B\nSN: C", "uid=a", "sn=[A C] cn=[B]"},
		"options":         {"dn: uid=a\ncn: A\ncn;lang-de: B", "uid=a", "cn=[A] cn;lang-de=[B]"},
		"bytes":           {"dn: uid=a\njpegPhoto:: /w==", "uid=a", "jpegPhoto=[\xff]"},
	} {
		t.Run(name, func(t *testing.T) {
			e := listenertest.Entry(t, c.ldif)
			var attrs []string
			for name, values := range e.All() {
				attrs = append(attrs, fmt.Sprintf("%s=%s", name, values.Strings()))
			}
			if got := strings.Join(attrs, " "); e.DN() != c.dn || got != c.attrs {
				t.Errorf("got %q %q", e.DN(), got)
			}
		})
	}
}

func TestParseEntryRefuses(t *testing.T) {
	for ldif, want := range map[string]string{
		"":                                   "no record",
		"# only a comment":                   "no record",
		"sn: A":                              "want dn",
		" dn: uid=a":                         "want a line like",
		"dn: uid=a\nsn":                      "want a line like",
		"dn: uid=a\n: x":                     "want a line like",
		"dn: uid=a\nsn A: x":                 "want a line like",
		"dn: uid=a\nsn: A\n\ndn: uid=b":      "a second record",
		"dn: uid=a\nchangetype: add\nsn: A":  "a change record",
		"dn: uid=a\nsn:: ?":                  "sn: illegal base64",
		"dn: uid=a\nphoto:< file:///x.jpg":   "a value from a URL",
		"dn: uid=a\nentryUUID: 30593fe3-f02": "no UUID",
	} {
		if _, err := listenertest.ParseEntry(ldif); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v: want %q", ldif, err, want)
		}
	}
}

func TestEntryFailsTheTest(t *testing.T) {
	r := record(t, func(t testing.TB) { listenertest.Entry(t, "sn: A") })
	if len(r.fatals) != 1 || !strings.Contains(r.fatals[0], "want dn") {
		t.Errorf("got %q", r.fatals)
	}
}

func TestSet(t *testing.T) {
	e := listenertest.Entry(t, "dn: uid=a\nsn: A\ncn: B\nmail: C")
	for name, c := range map[string]struct {
		got  *listener.Entry
		want []string
	}{
		"replace": {listenertest.Set(e, "CN", "x", "y"), []string{"sn", "cn", "mail"}},
		"add":     {listenertest.Set(e, "uid", "a"), []string{"sn", "cn", "mail", "uid"}},
		"remove":  {listenertest.Set(e, "sn"), []string{"cn", "mail"}},
		"nothing": {listenertest.Set(e, "uid"), []string{"sn", "cn", "mail"}},
	} {
		var names []string
		for name := range c.got.All() {
			names = append(names, name)
		}
		if !slices.Equal(names, c.want) || c.got.UUID() != e.UUID() || c.got.DN() != e.DN() {
			t.Errorf("%s: got %q of %s", name, names, c.got)
		}
	}
	if got := listenertest.Set(e, "CN", "x", "y").Strings("cn"); !slices.Equal(got, []string{"x", "y"}) {
		t.Errorf("got %q", got)
	}
}
