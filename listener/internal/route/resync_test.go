package route_test

import (
	"context"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/route"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// After a resync without a Cleaner the module still has the entry. When it goes before the
// create that the walk added was called, folding them leaves the remove.
func TestFoldedCreateOfAKnownEntry(t *testing.T) {
	b := newBench(t)
	walk := func() {
		t.Helper()
		for more := true; more; {
			var err error
			more, err = b.router.Step(b.module)
			b.must(err)
		}
	}
	b.begin()
	b.entry(single(1, base, true))
	b.entry(single(2, "uid=a,"+base, false))
	b.end("1")
	walk()
	b.expectTasks("the first walk", listener.KindCreate, 2)
	id := uint64(0)
	b.must(b.store.View(func(tx *store.Tx) error {
		id, _ = tx.LookupID(listener.UUID(number(2)))
		return nil
	}))
	b.must(route.WantResync(b.store, "m"))
	b.must(b.router.Resync(b.module, false, 0, func(uint64) {}))
	walk()
	b.must(b.store.Update(func(tx *store.Tx) error { // as when there is nothing to initialize
		state, err := tx.Module("m")
		b.must(err)
		state.Resync = ""
		return tx.SetModule("m", state)
	}))
	walk()
	b.must(b.router.Delete(context.Background(), []syncrepl.UUID{number(2)}))
	b.flush()
	b.must(b.store.Update(func(tx *store.Tx) error {
		gone, err := tx.Fold(&store.Folding{Module: b.module.Number(), Same: func(_, _ *store.Record) (bool, error) { return true, nil }}, id)
		if gone != 1 {
			t.Errorf("%d tasks are gone, want 1", gone)
		}
		return err
	}))
	if got := b.tasks(); got[listener.KindCreate] != 1 || got[listener.KindRemove] != 1 {
		t.Errorf("tasks %v, want a create of the base and a remove", got)
	}
}
