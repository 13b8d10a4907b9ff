package route_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/route"
	"github.com/listenerd/listenerd/listener/internal/schema"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// serverSchema is that of a directory with a type "key" of which the definition says more,
// and with more types.
func serverSchema(t testing.TB, key string, more ...string) (*schema.Schema, schema.Definitions) {
	t.Helper()
	d := schema.Definitions{
		Vendor: schema.OpenLDAP,
		MatchingRules: []string{
			"( 2.5.13.0 NAME 'objectIdentifierMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.38 )",
			"( 2.5.13.2 NAME 'caseIgnoreMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )", "( 2.5.13.5 NAME 'caseExactMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )",
		},
		AttributeTypes: append([]string{
			"( 2.5.4.0 NAME 'objectClass' EQUALITY objectIdentifierMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.38 )",
			"( 0.9.2342.19200300.100.1.25 NAME 'dc' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )",
			"( 1.1.1 NAME ( 'key' 'clef' ) " + key + " )",
		}, more...),
	}
	s, problems := schema.Parse(d)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return s, d
}

const (
	ignoresCase = "EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15"
	mindsCase   = "EQUALITY caseExactMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15"
)

func (b *bench) setSchema(key string, more ...string) []string {
	b.t.Helper()
	changed, err := b.router.SetSchema(serverSchema(b.t, key, more...))
	b.must(err)
	return changed
}

func (b *bench) expectWalk(what string, changed []string, want ...string) {
	b.t.Helper()
	if !slices.Equal(changed, want) {
		b.t.Errorf("%s: %q are reconciled, want %q", what, changed, want)
	}
}

func (b *bench) expectKinds(what string, want map[listener.Kind]int) {
	b.t.Helper()
	if got := b.tasks(); !maps.Equal(got, want) {
		b.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func keyed(n int, dn, key string) syncrepl.Entry {
	return single(n, dn, false, listener.Attribute{Name: "key", Values: []string{key}})
}

// A module whose filter comes to mean something else is called with the difference, by the
// router that learns of it, or the one after it.
func TestSchemaChangesAreReconciled(t *testing.T) {
	b := newBench(t)
	b.limits.MinDeletes = 100
	b.open("(&(objectClass=*)(key=A))")
	b.expectWalk("before the first load", b.setSchema(ignoresCase))
	b.begin()
	b.entry(single(1, base, true))
	b.entry(keyed(2, "key=a,"+base, "a"))
	b.entry(keyed(3, "key=1,"+base, "A"))
	b.end("1")
	b.expectKinds("without regard to case", map[listener.Kind]int{listener.KindCreate: 2})

	b.expectWalk("the same once more", b.setSchema(ignoresCase))
	b.expectWalk("another type", b.setSchema(ignoresCase, "( 1.2 NAME 'other' )"))
	b.expectKinds("another type", map[listener.Kind]int{})
	b.expectWalk("case counts", b.setSchema(mindsCase), "m")
	b.expectKinds("case counts", map[listener.Kind]int{listener.KindRemove: 1})

	b.expectWalk("case does not count", b.setSchema(ignoresCase), "m")
	b.open("(&(objectClass=*)(key=A))") // before the walk has begun
	b.expectKinds("after a restart", map[listener.Kind]int{listener.KindCreate: 1})
	b.open("(&(objectClass=*)(key=A))")
	b.expectKinds("after another", map[listener.Kind]int{})
	b.expectWalk("a subtype", b.setSchema(ignoresCase, "( 1.3 NAME 'subkey' SUP key )"), "m")
	b.expectKinds("a subtype", map[listener.Kind]int{})
	b.begin()
	b.end("2")
	b.entry(single(4, "key=4,"+base, false, listener.Attribute{Name: "subkey", Values: []string{"a"}}))
	b.flush()
	b.expectKinds("an entry with the subtype", map[listener.Kind]int{listener.KindCreate: 1})
}

// What the provider calls an attribute is not what a module hears of.
func TestNamesOfAttributes(t *testing.T) {
	b := newBench(t)
	b.setSchema(ignoresCase, "( 1.4 NAME 'stamp' USAGE directoryOperation )")
	b.begin()
	b.entry(single(1, base, true))
	b.entry(keyed(2, "key=a,"+base, "a"))
	b.end("1")
	b.expectKinds("loaded", map[listener.Kind]int{listener.KindCreate: 2})
	entry := func(attribute, value string) {
		b.entry(single(2, "key=a,"+base, false, listener.Attribute{Name: attribute, Values: []string{value}}))
		b.flush()
	}
	for _, attributes := range [][]string{nil, {"key"}, {"1.1.1"}} {
		b.module.Attributes = attributes
		entry("clef", "a")
		b.expectKinds("another name", map[listener.Kind]int{})
		entry("clef", "b")
		b.expectKinds("another name and value", map[listener.Kind]int{listener.KindModify: 1})
		entry("KEY", "a")
		b.expectKinds("the first name, another value", map[listener.Kind]int{listener.KindModify: 1})
	}
	b.module.Attributes = nil
	b.entry(single(2, "key=a,"+base, false, listener.Attribute{Name: "key", Values: []string{"a"}}, listener.Attribute{Name: "stamp", Values: []string{"1"}}))
	b.flush()
	b.expectKinds("an operational attribute", map[listener.Kind]int{})
}

// Containers whose names differ in case are two where case counts: one goes, or moves, with
// what is below it and no more.
func TestContainersWhoseKeysCollide(t *testing.T) {
	b := newBench(t)
	b.setSchema(mindsCase)
	b.begin()
	b.entry(single(1, base, true))
	for i, key := range []string{"a", "A"} {
		b.entry(single(10*(i+1), "key="+key+","+base, true))
		for n := range 3 {
			b.entry(single(10*(i+1)+1+n, "clef="+string(rune('x'+n))+",clef="+key+","+base, false))
		}
	}
	b.end("1")
	b.expectKinds("loaded", map[listener.Kind]int{listener.KindCreate: 9})
	b.begin()
	b.end("2")
	b.entry(single(20, "key=B,"+base, true)) // was A
	b.flush()
	b.expectKinds("one moves", map[listener.Kind]int{listener.KindModify: 4})
	b.entry(single(20, "key=A,"+base, true))
	b.flush()
	b.expectKinds("and back", map[listener.Kind]int{listener.KindModify: 4})
	b.must(b.router.Delete(context.Background(), []syncrepl.UUID{number(10)}))
	b.flush()
	b.expectKinds("one goes", map[listener.Kind]int{listener.KindRemove: 4})
}

// BenchmarkModules measures what the change of an entry costs, by the number of modules,
// one of which wants it.
func BenchmarkModules(b *testing.B) {
	for _, n := range []int{1, 10, 100, 200} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkModules(b, n) })
	}
}

func benchmarkModules(b *testing.B, n int) {
	const people, flush = 1_000, 1_000
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	s, err := store.Open(b.TempDir())
	must(err)
	defer func() { _ = s.Close() }()
	var modules []*route.Module
	for i := range n {
		f, err := filter.Compile(fmt.Sprintf("(&(objectClass=inetOrgPerson)(departmentNumber=%d))", i), nil)
		must(err)
		modules = append(modules, &route.Module{Name: fmt.Sprint(i), Filter: f, Attributes: []string{"mail"}})
	}
	r, err := route.New(s, route.Config{Base: base, Modules: modules, Limits: route.Limits{MaxDeletePercent: 100}})
	must(err)
	entry := func(i, version int) *syncrepl.Entry {
		var attrs []listener.Attribute
		for _, a := range [][2]string{{"objectClass", "inetOrgPerson"}, {"uid", fmt.Sprint(i)}, {"departmentNumber", "0"}, {"description", fmt.Sprint(version)},
			{"cn", "Jane Roe"}, {"sn", "Roe"}, {"givenName", "Jane"}, {"mail", "jane@example.com"}, {"telephoneNumber", "+49 30 1"}, {"employeeNumber", "7"}} {
			attrs = append(attrs, listener.Attribute{Name: a[0], Values: []string{a[1]}})
		}
		return ber(listener.NewEntry(listener.UUID(number(i+1)), fmt.Sprintf("uid=%d,%s", i, base), attrs...))
	}
	ctx := context.Background()
	_, err = r.Begin(ctx, syncrepl.Session{})
	must(err)
	for i := range people {
		must(r.Entry(ctx, entry(i, 0)))
	}
	must(r.RefreshDone(ctx))
	must(r.Flush(ctx))
	for _, m := range modules {
		for more := true; more; {
			more, err = r.Step(m)
			must(err)
		}
	}
	b.ResetTimer()
	for i := range b.N {
		must(r.Entry(ctx, entry(i%people, i+1)))
		if i%flush == flush-1 {
			must(r.Flush(ctx))
		}
	}
	must(r.Flush(ctx))
}
