package schema_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener/internal/schema"
)

func TestNamesBySchema(t *testing.T) {
	for _, s := range []*schema.Schema{server(t, schema.OpenLDAP), server(t, schema.Standard), schema.Builtin()} {
		for _, names := range [][]string{
			{"uid=a,ou=x", "UID=A, OU=x", "userid=a;ou=X", "0.9.2342.19200300.100.1.1=a,2.5.4.11=x", `uid="a" , ou = x`, `uid=\61,ou=x`},
			{"cn=a+uid=b,dc=x", "uid=B+commonName=A,dc=X"},
			{`cn=a\,b,dc=x`, `cn=A\2cB,dc=x`, `cn="a,b",dc=x`},
			{"cn=Ärger,dc=x", `cn=\c3\84rger,dc=x`, "cn=A\u0308rger,dc=x"},
			{"telephoneNumber=1-2,dc=x", "telephoneNumber=1 2,dc=x"},
			{""},
		} {
			want, ok := s.AppendName(nil, names[0])
			if !ok {
				t.Errorf("%q is no name", names[0])
			}
			for _, name := range names[1:] {
				if got, ok := s.AppendName(nil, name); !ok || !bytes.Equal(got, want) {
					t.Errorf("%s: %q has the key %q (%v), %q has %q", s.Vendor(), name, got, ok, names[0], want)
				}
			}
		}
		distinct := []string{"dc=x", "cn=a,dc=x", "cn=b,dc=x", "sn=a,dc=x", "homeDirectory=/a,dc=x", "homeDirectory=/A,dc=x",
			`cn=a\,dc=x`, `cn=\00,dc=x`, `cn=a\+sn=a,dc=x`, "cn=a+sn=a,dc=x"}
		if s.Vendor() == schema.OpenLDAP { // elsewhere control characters don't count
			distinct = append(distinct, `cn=\01,dc=x`, `cn=\02,dc=x`)
		}
		seen := map[string]string{}
		for _, name := range distinct {
			key, ok := s.AppendName(nil, name)
			if other, twice := seen[string(key)]; twice || !ok {
				t.Errorf("%s: %q and %q share the key %q (%v)", s.Vendor(), name, other, key, ok)
			}
			seen[string(key)] = name
			if parent, _ := schema.ParentKey(key); name != "dc=x" && name != `cn=a\,dc=x` && seen[string(parent)] != "dc=x" {
				t.Errorf("%q is not below dc=x", name)
			}
		}
	}
}

func TestWhatIsNoName(t *testing.T) {
	strict, lenient := server(t, schema.OpenLDAP), schema.Builtin()
	for _, name := range []string{"a", " ", "cn=a,", ",cn=a", "=a", "cn=a,,dc=x", `cn=a\`, `cn=a\x`, `cn="a`, `cn="a"b`, "cn=a<b", "cn=#04", "cn=a+cn=b", "cn=a+", "x y=a"} {
		if key, ok := strict.AppendName(nil, name); ok {
			t.Errorf("%q has the key %q", name, key)
		}
		if key, ok := lenient.AppendName([]byte("kept"), name); ok || string(key) != "kept" {
			t.Errorf("%q has the key %q (%v) in the fallback", name, key, ok)
		}
	}
	for _, name := range []string{"noSuchType=a", "cn=", "uidNumber=x"} {
		if key, ok := strict.AppendName(nil, name); ok {
			t.Errorf("%q has the key %q", name, key)
		}
		if _, ok := lenient.AppendName(nil, name); !ok {
			t.Errorf("%q is no name in the fallback", name)
		}
	}
}

func TestNameParts(t *testing.T) {
	got, ok := schema.NameParts(`cn=Jane\, Roe + uid=7, OU="R & D" ;o=Ace\20`)
	want := []schema.NamePart{{"cn", "Jane, Roe"}, {"uid", "7"}, {"OU", "R & D"}, {"o", "Ace "}}
	if !ok || !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, bad := range []string{"a", "=a", `cn=\`} {
		if got, ok := schema.NameParts(bad); ok {
			t.Errorf("%q has the parts %q", bad, got)
		}
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"", "uid=a,dc=x", `cn=a\,b+uid="x+y";dc=x`, `\`, `="`, "cn=\xff\x00,dc=x", "2.5.4.3=\u212b", "member=cn\\=a", "createTimestamp=20240101000000.5-0100"} {
		f.Add(s)
	}
	schemas := []*schema.Schema{server(f, schema.OpenLDAP), server(f, schema.Directory389)}
	f.Fuzz(func(t *testing.T, dn string) {
		for _, s := range schemas {
			key, ok := s.AppendName(nil, dn)
			if len(key) > 32<<10 || !ok && len(key) > 0 {
				t.Fatalf("%v: %d bytes", ok, len(key))
			}
			if !ok {
				continue
			}
			if _, ok := schema.NameParts(dn); !ok && s.Vendor() == schema.OpenLDAP { // 389 DS takes more
				t.Fatalf("%q has no parts", dn)
			}
			if dn != "" {
				below, ok := s.AppendName(nil, "uid=below,"+dn)
				if !ok || len(key) < 16<<10 && !bytes.HasPrefix(below, key) {
					t.Fatalf("%q (%v) does not begin with %q", below, ok, key)
				}
			}
		}
	})
}

// TestHostileNamesCostLinearTimeBySchema would not come to an end with quadratic time.
func TestHostileNamesCostLinearTimeBySchema(t *testing.T) {
	for _, dn := range []string{strings.Repeat("cn=b,", 1<<18), strings.Repeat(`cn=\,,`, 1<<17), strings.Repeat("cn=b+", 1<<18), strings.Repeat(`"`, 1<<20),
		"cn=" + strings.Repeat("a", 1<<20), "cn=" + strings.Repeat("é", 1<<19), "cn=" + strings.Repeat("a\u0301", 1<<18), "cn=" + strings.Repeat("\u0301", 1<<19)} {
		for _, s := range []*schema.Schema{server(t, schema.OpenLDAP), server(t, schema.Directory389)} {
			if key, ok := s.AppendName(nil, dn+"dc=x"); ok && len(key) > 32<<10 {
				t.Errorf("%s: %.10q...: key of %d bytes", s.Vendor(), dn, len(key))
			}
			s.Substrings(s.Attribute("member"), []string{dn, dn, ""})
		}
	}
}

func BenchmarkName(b *testing.B) {
	s := server(b, schema.OpenLDAP)
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = s.AppendName(buf[:0], "uid=user4711,ou=people,ou=berlin,dc=example,dc=com")
	}
}
