//go:build !race

package filter_test

import (
	"testing"

	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/schema"
)

// The race detector makes pools forget what they hold, which then is allocated again: the
// tests of this file say nothing there.

func TestMatchDoesNotAllocate(t *testing.T) {
	for _, s := range []*schema.Schema{nil, schema.Builtin(), testSchema(t)} {
		for _, bm := range benchmarks {
			if bm.name == "dn" {
				continue // parses the DN
			}
			f := compile(t, s, bm.filter)[0]
			if n := testing.AllocsPerRun(100, func() { f.Match(person) }); n != 0 {
				t.Errorf("%s: %v allocations", bm.filter, n)
			}
		}
	}
	f := mustCompile(t, "(|(cn=Ärger*\\ff*ß)(sn~=É - )(sn>=Ö))")
	e := entry("cn: ÄRGER über \xff\xfe Maß", "sn: Ñandú")
	if n := testing.AllocsPerRun(100, func() { f.Match(e) }); n != 0 {
		t.Errorf("beyond ASCII, without a schema: %v allocations", n)
	}
}

func TestSetDoesNotAllocate(t *testing.T) {
	set := filter.NewSet(compile(t, schema.Builtin(), "(&(objectClass=inetOrgPerson)(mail=*@example.org)(!(loginShell=/bin/false)))", "(uid=other)", "(uidNumber>=7)", "(objectClass=device)"))
	dst := make([]int, 0, 10)
	if n := testing.AllocsPerRun(100, func() { dst = set.Match(dst[:0], person) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
