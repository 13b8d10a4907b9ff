package route_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/route"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// A walk does not come between a container that has moved and its descendants that
// have yet to follow: it would tell of them at names whose parent it never told.
func TestWalkWaitsForFollowers(t *testing.T) {
	s, err := store.Open(t.TempDir())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	t.Cleanup(func() { must(s.Close()) })
	everything, err := filter.Compile("(objectClass=*)", nil)
	must(err)
	live, walking := &route.Module{Name: "live", Filter: everything}, &route.Module{Name: "walking", Filter: everything}
	var r *route.Router
	moves, inBetween := false, 0
	r, err = route.New(s, route.Config{
		Base: base, Modules: []*route.Module{live, walking},
		Room: func(context.Context) error {
			if !moves {
				return nil
			}
			inBetween++
			_, err := r.Step(walking)
			return err
		},
		Queued: func(uint64, map[string]int) { moves = true },
	})
	must(err)
	ctx := context.Background()
	entry := func(id byte, dn string) {
		must(r.Entry(ctx, ber(listener.NewEntry(listener.UUID{id}, dn, listener.Attribute{Name: "objectClass", Values: []string{"x"}}))))
	}
	_, err = r.Begin(ctx, syncrepl.Session{URI: "ldap://x"})
	must(err)
	entry(1, base)
	entry(2, "ou=z,"+base)
	entry(3, "uid=a,ou=z,"+base)
	must(r.RefreshDone(ctx))
	must(r.Flush(ctx))
	for more := true; more; {
		more, err = r.Step(live)
		must(err)
	}
	moves, inBetween = false, 0
	entry(2, "ou=b,"+base)
	must(r.Flush(ctx))
	if inBetween != 1 {
		t.Errorf("%d times between the container and its descendant, want 1", inBetween)
	}
	for more := true; more; {
		more, err = r.Step(walking)
		must(err)
	}
	var got []string
	must(s.View(func(tx *store.Tx) error {
		tasks, err := tx.Backlog(walking.Number(), 0, math.MaxUint64, math.MaxInt)
		for _, task := range tasks {
			record, err := tx.Version(task.ID, task.New)
			must(err)
			got = append(got, string(task.Kind)+" "+record.DN)
		}
		return err
	}))
	want := []string{"create " + base, "create ou=b," + base, "create uid=a,ou=b," + base}
	if !slices.Equal(got, want) {
		t.Errorf("called with %q, want %q", got, want)
	}
}
