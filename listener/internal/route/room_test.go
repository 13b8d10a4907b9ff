package route_test

import (
	"context"
	"errors"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/route"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// Nothing is written before there is room for its tasks, and what was collected is not
// lost by waiting.
func TestFlushWaitsForRoom(t *testing.T) {
	s, err := store.Open(t.TempDir())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	t.Cleanup(func() { must(s.Close()) })
	full := errors.New("full")
	reason, asked := full, 0
	r, err := route.New(s, route.Config{Base: base, Room: func(context.Context) error { asked++; return reason }})
	must(err)
	ctx := t.Context()
	_, err = r.Begin(ctx, syncrepl.Session{URI: "ldap://x"})
	must(err)
	must(r.Flush(ctx))
	if asked > 0 {
		t.Error("room was asked for nothing")
	}
	must(r.Entry(ctx, ber(listener.NewEntry(listener.UUID{1}, base, listener.Attribute{Name: "objectClass", Values: []string{"x"}}))))
	must(r.RefreshDone(ctx))
	entries := func() (n uint64) {
		must(s.View(func(tx *store.Tx) error { n = tx.Counters().Entries; return nil }))
		return n
	}
	if err := r.Flush(ctx); !errors.Is(err, full) || entries() != 0 {
		t.Errorf("Flush returned %v, and there are %d entries", err, entries())
	}
	reason = nil
	must(r.Flush(ctx))
	if n := entries(); n != 1 {
		t.Errorf("%d entries", n)
	}
}
