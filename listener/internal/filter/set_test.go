package filter_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/schema"
)

func compile(t testing.TB, s *schema.Schema, texts ...string) []*filter.Filter {
	t.Helper()
	var out []*filter.Filter
	for _, text := range texts {
		f, err := filter.Compile(text, s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

func TestSet(t *testing.T) {
	set := filter.NewSet(compile(t, schema.Builtin(),
		"(uid=JROE)", "(uid=other)", "(objectClass=person)", "(objectClass=device)", "(!(uid=jroe))", "(mail=*@example.org)",
		"(memberOf=*)", "(&(objectClass=person)(uid=jroe))", "(|(uid=jroe)(uid=other))", "(|(uid=jroe)(!(cn=*)))", "(&)", "(|)",
		"(name=jane roe)", "(entryDN=uid=jroe,ou=people,dc=example,dc=org)", "(uidNumber>=10000)", "(unknown=x)", "(cn>=x)", "(ou:dn:=people)",
		"(2.5.4.4=roe)", "(cn;lang-de=jane roe)"))
	got := set.Match([]int{-1}, person)
	if want := []int{-1, 0, 2, 5, 7, 8, 9, 10, 12, 13, 14, 17, 18}; !slices.Equal(got, want) {
		t.Errorf("matches %v, want %v", got, want)
	}
	if got := filter.NewSet(nil).Match(nil, person); len(got) != 0 {
		t.Errorf("an empty set matches %v", got)
	}
}

// TestSetAgreesWithItsFilters on what the generator makes, with each kind of schema.
func TestSetAgreesWithItsFilters(t *testing.T) {
	for _, s := range []*schema.Schema{nil, schema.Builtin(), testSchema(t)} {
		rapid.Check(t, func(t *rapid.T) {
			g := newGenerator(rapid.Uint64().Draw(t, "seed"))
			var filters []*filter.Filter
			for len(filters) < 100 {
				if f, err := filter.Compile(g.filter(1+g.IntN(4)), s); err == nil {
					filters = append(filters, f)
				}
			}
			set := filter.NewSet(filters)
			for range 5 {
				e := g.entry()
				var want []int
				for i, f := range filters {
					if f.Match(e) == filter.True {
						want = append(want, i)
					}
				}
				if got := set.Match(nil, e); !slices.Equal(got, want) {
					for i, f := range filters {
						if slices.Contains(got, i) != slices.Contains(want, i) {
							t.Errorf("%s: set %v", f, slices.Contains(got, i))
						}
					}
				}
			}
		})
	}
}

// entry returns an entry as a server might have it, without asking one.
func (g *generator) entry() *listener.Entry {
	r := g.addRequest(1, "dc=example,dc=com")
	var attrs []listener.Attribute
	for _, a := range r.Attributes {
		attrs = append(attrs, listener.Attribute{Name: a.Type, Values: a.Vals})
	}
	return listener.NewEntry(listener.UUID{}, r.DN, attrs...)
}

// testSchema is the schema of an OpenLDAP server with the tests' own types.
func testSchema(t testing.TB) *schema.Schema {
	t.Helper()
	s, problems := schema.Parse(testDefinitions())
	for _, p := range problems {
		t.Error(p)
	}
	return s
}

func testDefinitions() schema.Definitions {
	return schema.Definitions{
		Vendor:         schema.OpenLDAP,
		AttributeTypes: slices.Concat(testTypes, schemaLines),
		ObjectClasses: slices.Concat(testClasses, []string{"( 2.5.6.0 NAME 'top' ABSTRACT )", "( 2.5.6.6 NAME 'person' SUP top )",
			"( 2.16.840.1.113730.3.2.2 NAME 'inetOrgPerson' SUP person )", "( 1.3 NAME 'posixAccount' SUP top AUXILIARY )"}),
	}
}

var schemaLines = []string{
	"( 2.5.4.0 NAME 'objectClass' EQUALITY objectIdentifierMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.38 )",
	"( 2.5.4.41 NAME 'name' EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )",
	"( 2.5.4.3 NAME ( 'cn' 'commonName' ) SUP name )", "( 2.5.4.4 NAME ( 'sn' 'surname' ) SUP name )", "( 2.5.4.11 NAME 'ou' SUP name )", "( 2.5.4.12 NAME 'title' SUP name )",
	"( 0.9.2342.19200300.100.1.1 NAME ( 'uid' 'userid' ) EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )",
	"( 0.9.2342.19200300.100.1.25 NAME 'dc' EQUALITY caseIgnoreIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )",
	"( 2.5.4.31 NAME 'member' EQUALITY distinguishedNameMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.12 )",
	"( 1.3.6.1.1.1.1.0 NAME 'uidNumber' EQUALITY integerMatch ORDERING integerOrderingMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 )",
	"( 1.3.6.1.1.1.1.3 NAME 'homeDirectory' EQUALITY caseExactIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )",
	"( 0.9.2342.19200300.100.1.3 NAME 'mail' EQUALITY caseIgnoreIA5Match SUBSTR caseIgnoreIA5SubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )",
	"( 2.5.21.9 NAME 'structuralObjectClass' EQUALITY objectIdentifierMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.38 USAGE directoryOperation )",
	"( 1.3.6.1.1.20 NAME 'entryDN' EQUALITY distinguishedNameMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.12 USAGE directoryOperation )",
}

// BenchmarkSet measures what 200 modules with distinct filters cost for one change. The
// filters of "prunable" need values that the entry lacks; those of "alike" all need what
// it has, and are told apart by a negation.
func BenchmarkSet(b *testing.B) {
	make200 := func(pattern string) []string {
		var out []string
		for i := range 200 {
			out = append(out, strings.ReplaceAll(pattern, "#", fmt.Sprint(i)))
		}
		return out
	}
	for _, bm := range []struct{ name, pattern string }{
		{"value", "(&(objectClass=inetOrgPerson)(employeeNumber=E-#))"},
		{"attribute", "(&(objectClass=inetOrgPerson)(x#=*)(!(loginShell=/bin/false)))"},
		{"class", "(&(objectClass=class#)(mail=*@example.org))"},
		{"alike", "(&(objectClass=inetOrgPerson)(mail=*@example.org)(!(loginShell=/bin/#)))"},
	} {
		for name, s := range map[string]*schema.Schema{"fallback": schema.Builtin(), "none": nil} {
			set := filter.NewSet(compile(b, s, make200(bm.pattern)...))
			b.Run(bm.name+"/"+name, func(b *testing.B) {
				dst := make([]int, 0, 200)
				b.ReportAllocs()
				for b.Loop() {
					dst = set.Match(dst[:0], person)
				}
			})
		}
	}
}
