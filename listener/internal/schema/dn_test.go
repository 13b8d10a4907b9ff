package schema_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener/internal/schema"
)

func TestEqualNamesHaveEqualKeys(t *testing.T) {
	for _, names := range [][]string{
		{"uid=a,ou=x,dc=com", "UID=A,OU=X,DC=com", " uid = a , ou=x; dc=com ", "uid=\\61,ou=x,dc=com", `uid="a",ou=x,dc=com`, "OID.uid=a,ou=x,dc=com",
			"userid=a,ou=x,dc=com", "0.9.2342.19200300.100.1.1=a,ou=x,dc=com"},
		{"cn=Max  Muster,dc=x", "cn=max muster,dc=x", "CN= Max Muster ,dc=x"},
		{"cn=a+uid=b,dc=x", "uid=b+cn=a,dc=x", "UID=B + CN=a,dc=x"},
		{`cn=a\,b,dc=x`, `cn=a\2cb,dc=x`, `cn="a,b",dc=x`},
		{"cn=Ärger,dc=x", "cn=ärger,dc=x", `cn=\c3\84rger,dc=x`, "cn=a\u0308rger,dc=x"},
		{"cn=Straße,dc=x", "cn=STRASSE,dc=x"},
		{`telephoneNumber=\+49 421-1,dc=x`, `telephoneNumber=\+494211,dc=x`},
		{"createTimestamp=20240101000000Z,dc=x", `createTimestamp=2024010101\+0100,dc=x`, "createTimestamp=202312311900-0500,dc=x"},
	} {
		want := schema.TreeKey(names[0])
		for _, name := range names[1:] {
			if got := schema.TreeKey(name); !bytes.Equal(got, want) {
				t.Errorf("%q and %q differ: %q, %q", names[0], name, want, got)
			}
		}
	}
}

func TestDifferentNamesHaveDifferentKeys(t *testing.T) {
	names := []string{
		"", "dc=x", "ou=a,dc=x", "ou=b,dc=x", `ou=a\,dc=x`, `ou=a\+b=c,dc=x`, "ou=a+b=c,dc=x", "ou=,dc=x",
		"ou=\xff,dc=x", "ou=\xfe,dc=x", "uid=4711,dc=x", "uid=4712,dc=x", "cn=202401010000001Z,dc=x", "reqStart=20240101000000.000001Z,dc=x",
		"reqStart=20240101000000.000002Z,dc=x", "cn=ab==,dc=x", "cn=abc=,dc=x",
		"ou=" + strings.Repeat("a", 40000) + ",dc=x", "ou=" + strings.Repeat("a", 40000) + "b,dc=x",
	}
	seen := map[string]string{}
	for _, name := range names {
		key := string(schema.TreeKey(name))
		if other, ok := seen[key]; ok {
			t.Errorf("%.40q and %.40q share the key %.40q", name, other, key)
		}
		if len(key) > 32<<10 {
			t.Errorf("key of %.40q has %d bytes", name, len(key))
		}
		seen[key] = name
	}
}

func TestKeysSortParentsFirstAndNestByPrefix(t *testing.T) {
	for _, c := range []struct{ parent, child string }{
		{"dc=com", "dc=x,dc=com"},
		{"ou=p,dc=x", "uid=a,ou=p,dc=x"},
		{`cn=a\,b,dc=x`, `uid=1,cn="a,b",dc=x`},
	} {
		parent, child := schema.TreeKey(c.parent), schema.TreeKey(c.child)
		if !bytes.HasPrefix(child, parent) || bytes.Compare(parent, child) >= 0 {
			t.Errorf("%q is not below %q: %q, %q", c.child, c.parent, child, parent)
		}
		if up, ok := schema.ParentKey(child); !ok || !bytes.Equal(up, parent) {
			t.Errorf("parent of %q is %q, want %q", child, up, parent)
		}
	}
	if bytes.HasPrefix(schema.TreeKey("ou=pp,dc=x"), schema.TreeKey("ou=p,dc=x")) {
		t.Error("ou=pp counts as below ou=p")
	}
	if _, ok := schema.ParentKey(schema.TreeKey("dc=com")); ok {
		t.Error("dc=com has a parent")
	}
}

func TestRebase(t *testing.T) {
	for _, c := range []struct{ dn, from, to, want string }{
		{"uid=a,ou=old,dc=x", "ou=old,dc=x", "ou=new,dc=x", "uid=a,ou=new,dc=x"},
		{"uid=a,OU=Old, DC=x", "ou=old,dc=x", "ou=new,ou=deep,dc=x", "uid=a,ou=new,ou=deep,dc=x"},
		{`uid=1,cn=a\,b,ou=old,dc=x`, "ou=old,dc=x", "dc=x", `uid=1,cn=a\,b,dc=x`},
		{"ou=old,dc=x", "ou=old,dc=x", "ou=new,dc=x", "ou=new,dc=x"},
	} {
		if got := schema.Rebase(c.dn, c.from, c.to); got != c.want {
			t.Errorf("Rebase(%q, %q, %q) = %q, want %q", c.dn, c.from, c.to, got, c.want)
		}
	}
}

func TestParentAndDepth(t *testing.T) {
	for _, c := range []struct {
		dn, parent string
		depth      int
	}{
		{"uid=a,ou=p,dc=x", "ou=p,dc=x", 3}, {`uid=a\,b, ou="p,q";dc=x`, `ou="p,q";dc=x`, 3}, {"dc=x", "", 1}, {"", "", 0}, {" ", "", 0},
		{",", "", 0}, {" , uid=a,, dc=x;", "dc=x;", 2},
	} {
		parent, ok := schema.Parent(c.dn)
		if parent != c.parent || ok != (c.depth > 1) || schema.Depth(c.dn) != c.depth {
			t.Errorf("%q: parent %q (%v), depth %d, want %q, %d", c.dn, parent, ok, schema.Depth(c.dn), c.parent, c.depth)
		}
	}
}

func FuzzTreeKey(f *testing.F) {
	for _, s := range []string{"", "uid=a,dc=x", `cn=a\,b+uid="x+y";dc=x`, `\`, `="`, "cn=\xff\x00,dc=x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, dn string) {
		key := schema.TreeKey(dn)
		if len(key) > 32<<10 {
			t.Fatalf("%d bytes", len(key))
		}
		if dn != "" && !strings.ContainsAny(dn, `\"`) {
			if below := schema.TreeKey("uid=below," + dn); !bytes.HasPrefix(below, key) && len(key) < 16<<10 {
				t.Fatalf("%q does not begin with %q", below, key)
			}
		}
	})
}

func BenchmarkTreeKey(b *testing.B) {
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf = schema.AppendTreeKey(buf[:0], "uid=user4711,ou=people,ou=berlin,dc=example,dc=com")
	}
}

func TestHostileNamesCostLinearTime(t *testing.T) {
	for _, dn := range []string{strings.Repeat("a=b,", 1<<18), strings.Repeat(`a=\,,`, 1<<18), strings.Repeat("a=b+", 1<<18), strings.Repeat(`"`, 1<<20)} {
		if key := schema.TreeKey(dn); len(key) == 0 || len(key) > 32<<10 {
			t.Errorf("%.10q...: key of %d bytes", dn, len(key))
		}
	}
}
