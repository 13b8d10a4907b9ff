package filter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/schema"
)

// person has 20 attributes, as inetOrgPerson entries with a POSIX account do.
var person = listener.NewEntry(listener.UUID{}, "uid=jroe,ou=people,dc=example,dc=org",
	listener.Attribute{Name: "objectClass", Values: []string{"top", "person", "organizationalPerson", "inetOrgPerson", "posixAccount"}},
	listener.Attribute{Name: "uid", Values: []string{"jroe"}},
	listener.Attribute{Name: "cn", Values: []string{"Jane Roe"}},
	listener.Attribute{Name: "sn", Values: []string{"Roe"}},
	listener.Attribute{Name: "givenName", Values: []string{"Jane"}},
	listener.Attribute{Name: "displayName", Values: []string{"Jane Roe"}},
	listener.Attribute{Name: "mail", Values: []string{"jane.roe@example.org", "jroe@example.org"}},
	listener.Attribute{Name: "telephoneNumber", Values: []string{"+49 30 123456"}},
	listener.Attribute{Name: "uidNumber", Values: []string{"10042"}},
	listener.Attribute{Name: "gidNumber", Values: []string{"5000"}},
	listener.Attribute{Name: "homeDirectory", Values: []string{"/home/jroe"}},
	listener.Attribute{Name: "loginShell", Values: []string{"/bin/bash"}},
	listener.Attribute{Name: "description", Values: []string{"Works on the second floor, in the room behind the stairs"}},
	listener.Attribute{Name: "employeeNumber", Values: []string{"E-4711"}},
	listener.Attribute{Name: "structuralObjectClass", Values: []string{"inetOrgPerson"}},
	listener.Attribute{Name: "entryUUID", Values: []string{"30593fe3-f028-432e-9840-43c43e5fd2da"}},
	listener.Attribute{Name: "creatorsName", Values: []string{"cn=admin,dc=example,dc=org"}},
	listener.Attribute{Name: "createTimestamp", Values: []string{"20240131235959Z"}},
	listener.Attribute{Name: "modifyTimestamp", Values: []string{"20250228101500Z"}},
	listener.Attribute{Name: "entryCSN", Values: []string{"20250228101500.000000Z#000000#000#000000"}},
)

// benchmarks are filters in which no assertion is decided by the one before it.
var benchmarks = []struct{ name, filter string }{
	{"typical", "(&(objectClass=inetOrgPerson)(mail=*@example.org)(!(loginShell=/bin/false)))"},
	{"equality", "(uid=jroe)"},
	{"absent", "(memberOf=cn=admins,dc=example,dc=org)"},
	{"present", "(entryCSN=*)"},
	{"substrings", "(description=work*second*behind*stairs)"},
	{"ordering", "(&(uidNumber>=10000)(modifyTimestamp<=20260101000000Z))"},
	{"bits", "(gidNumber:1.2.840.113556.1.4.803:=8)"},
	{"dn", "(ou:dn:=people)"},
}

func BenchmarkMatch(b *testing.B) {
	for _, bm := range benchmarks {
		for name, s := range map[string]*schema.Schema{"schema": schema.Builtin(), "none": nil} {
			b.Run(bm.name+"/"+name, func(b *testing.B) {
				f := compile(b, s, bm.filter)[0]
				b.ReportAllocs()
				for b.Loop() {
					f.Match(person)
				}
			})
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := filter.Compile(benchmarks[0].filter, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCompileSize shows that the time per byte doesn't depend on the length.
func BenchmarkCompileSize(b *testing.B) {
	for _, n := range []int{100, 10_000, 1_000_000} {
		for name, s := range map[string]string{
			"list":     "(|" + strings.Repeat("(cn=a)", n/6) + ")",
			"parts":    "(cn=" + strings.Repeat("a*", n/2) + ")",
			"escapes":  "(cn=" + strings.Repeat(`\c3\a4`, n/6) + ")",
			"periodic": "(cn=*" + strings.Repeat("aab", n/3) + "*)",
			"options":  "(cn" + strings.Repeat(";x-a", n/4) + "=a)",
		} {
			b.Run(fmt.Sprintf("%s-%d", name, n), func(b *testing.B) {
				b.SetBytes(int64(len(s)))
				for b.Loop() {
					mustCompile(b, s)
				}
			})
		}
	}
}
