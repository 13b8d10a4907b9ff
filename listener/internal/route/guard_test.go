package route_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/route"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// guarded is a bench with the base and ten people, all known to the module. Up to three
// of them, or 20 % may go.
func guarded(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.limits = route.Limits{MaxDeletePercent: 20, MinDeletes: 3}
	b.open("(objectClass=*)")
	b.begin()
	b.entry(single(1, base, true))
	for i := range 30 {
		b.entry(person(i))
	}
	b.end("1")
	b.expectTasks("all", listener.KindCreate, 31)
	return b
}

func person(i int) syncrepl.Entry { return single(10+i, fmt.Sprintf("uid=%d,%s", i, base), false) }

// presentPhase runs a refresh in which the provider mentions these people.
func (b *bench) presentPhase(from, to int, cookie string, entries ...syncrepl.Entry) {
	b.t.Helper()
	b.begin()
	ids := []syncrepl.UUID{number(1)}
	for i := from; i < to; i++ {
		ids = append(ids, number(10+i))
	}
	b.must(b.router.Present(context.Background(), ids))
	for _, e := range entries {
		b.entry(e)
	}
	b.must(b.router.Sweep(context.Background()))
	b.end(cookie)
}

func (b *bench) lastGuard() (removes, released uint64) {
	b.t.Helper()
	if len(b.held) == 0 {
		return 0, 0
	}
	g := b.held[len(b.held)-1]
	return g.Removes, g.Released
}

// An empty present list, from a provider with a defect, removes nothing, and the next
// whole one heals it.
func TestScenario33Guard(t *testing.T) {
	b := guarded(t)
	b.presentPhase(0, 0, "2", single(100, "uid=new,"+base, false))
	if n, _ := b.lastGuard(); n != 30 {
		t.Fatalf("held %+v", b.held)
	}
	b.expectTasks("held", listener.KindCreate, 1) // what is new stands
	b.must(b.router.ResetCookie(context.Background(), []byte("9"), errors.New("refresh required")))
	if cookie := b.begin(); cookie != "" {
		t.Errorf("from cookie %q, which leaves out the removes", cookie)
	}
	b.presentPhase(0, 30, "3", single(100, "uid=new,"+base, false))
	if n, _ := b.lastGuard(); n != 0 {
		t.Errorf("held %+v", b.held)
	}
	b.expectTasks("healed", "", 0)
	if cookie := b.begin(); cookie != "3" {
		t.Errorf("from cookie %q", cookie)
	}
}

func TestGuardLimits(t *testing.T) {
	for _, c := range []struct {
		gone int
		held bool
	}{{3, false}, {6, false}, {7, true}} { // 20 % of 31 are 6
		b := guarded(t)
		b.presentPhase(c.gone, 30, "2")
		if n, _ := b.lastGuard(); (n > 0) != c.held {
			t.Errorf("%d are gone: held %v", c.gone, b.held)
		}
		if c.held {
			b.expectTasks("held", "", 0)
		} else {
			b.expectTasks("removed", listener.KindRemove, c.gone)
		}
	}
}

// A release lets go what was reported, and not more.
func TestRelease(t *testing.T) {
	b := guarded(t)
	if _, err := b.router.Release(); !errors.Is(err, route.ErrNothingHeld) {
		t.Errorf("error %v", err)
	}
	b.presentPhase(10, 30, "2")
	r, err := b.router.Release()
	if err != nil || r.Removes != 10 {
		t.Fatalf("%+v %v", r, err)
	}
	b.presentPhase(11, 30, "2")
	b.expectTasks("one more", "", 0)
	if r, err = b.router.Release(); err != nil || r.Removes != 11 {
		t.Fatalf("%+v %v", r, err)
	}
	b.open("(objectClass=*)") // it outlives the process
	b.presentPhase(12, 12, "2")
	b.expectTasks("many more", "", 0)
	if r, err = b.router.Release(); err != nil || r.Removes != 30 {
		t.Fatalf("%+v %v", r, err)
	}
	b.presentPhase(11, 30, "2")
	b.expectTasks("less", listener.KindRemove, 11)
	b.presentPhase(20, 30, "3")
	if n, _ := b.lastGuard(); n != 9 {
		t.Errorf("a release lasts: %+v", b.held)
	}
}

// What a full load would remove is found by another one only.
func TestGuardOfFullLoad(t *testing.T) {
	b := guarded(t)
	b.router.LoadAll()
	for range 2 {
		if cookie := b.begin(); cookie != "" {
			t.Fatalf("from cookie %q", cookie)
		}
		b.entry(single(1, base, true))
		b.must(b.router.Sweep(context.Background()))
		b.end("2")
		if n, _ := b.lastGuard(); n != 30 {
			t.Errorf("held %+v", b.held)
		}
	}
	if _, err := b.router.Release(); err != nil {
		t.Fatal(err)
	}
	b.begin()
	b.entry(single(1, base, true))
	b.must(b.router.Sweep(context.Background()))
	b.end("2")
	b.expectTasks("released", listener.KindRemove, 30)
	if cookie := b.begin(); cookie != "2" {
		t.Errorf("from cookie %q", cookie)
	}
}

// Before more than a handful go, the provider is asked for them. One that has them
// after all has a defect.
func TestContradiction(t *testing.T) {
	b := guarded(t)
	b.there = func(n syncrepl.Name) bool { return n.DN == "uid=4,"+base && n.UUID == number(14) }
	b.presentPhase(6, 30, "2")
	if n, _ := b.lastGuard(); n != 6 || len(b.held[0].Examples) != 1 || b.held[0].Examples[0] != "uid=4,"+base {
		t.Fatalf("held %+v", b.held)
	}
	b.expectTasks("held", "", 0)
	b.there = nil
	b.presentPhase(6, 30, "2")
	b.expectTasks("not there any more", listener.KindRemove, 6)
}

// While removes are held, a name that one of those entries has is not given to another,
// and what is left out is told when they have gone.
func TestNamesOfHeldRemoves(t *testing.T) {
	b := guarded(t)
	again := []syncrepl.Entry{single(200, "uid=0,"+base, true), single(201, "cn=x,uid=0,"+base, false)}
	b.presentPhase(0, 0, "2", again...)
	b.expectTasks("held", "", 0)
	b.entry(single(202, "uid=1,"+base, false)) // live
	b.entry(single(203, "cn=y,uid=0,"+base, false))
	b.flush()
	b.expectTasks("live", "", 0)
	if _, err := b.router.Release(); err != nil {
		t.Fatal(err)
	}
	b.presentPhase(0, 0, "3", append(again, single(202, "uid=1,"+base, false), single(203, "cn=y,uid=0,"+base, false))...)
	if got := b.tasks(); got[listener.KindCreate] != 4 || got[listener.KindRemove] != 30 {
		t.Errorf("tasks %v", got)
	}
}

// An entry of a provider that lags behind is not taken, but from a full load it is.
func TestOlderEntry(t *testing.T) {
	b := newBench(t)
	at := func(csn string) syncrepl.Entry {
		return single(2, "uid=a,"+base, false, listener.Attribute{Name: "entryCSN", Values: []string{csn}}, listener.Attribute{Name: "sn", Values: []string{csn}})
	}
	const older, newer = "20260101000000.000000Z#000000#001#000000", "20260102000000.000000Z#000000#002#000000"
	b.begin()
	b.entry(single(1, base, true))
	b.entry(at(newer))
	b.end("1")
	b.tasks()
	b.entry(at(older))
	b.flush()
	b.expectTasks("live", "", 0)
	b.begin()
	b.entry(at(older))
	b.end("2")
	b.expectTasks("in a refresh", "", 0)
	b.router.LoadAll()
	b.begin()
	b.entry(single(1, base, true))
	b.entry(at(older))
	b.must(b.router.Sweep(context.Background()))
	b.end("3")
	b.expectTasks("in a full load", listener.KindModify, 1)
}
