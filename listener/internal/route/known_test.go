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

// A module that is taken to know what there is, is told of what changes from then on, also
// before the walk has noted what it knows.
func TestWhatIsThereIsKnown(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := store.Open(t.TempDir())
	must(err)
	t.Cleanup(func() { must(s.Close()) })
	wanted, err := filter.Compile("(objectClass=wanted)", nil)
	must(err)
	ctx := context.Background()
	var r *route.Router
	entry := func(id byte, rdn, class, sn string) {
		r.Entry(ctx, ber(listener.NewEntry(listener.UUID{id}, rdn+","+base, listener.Attribute{Name: "objectClass", Values: []string{class}},
			listener.Attribute{Name: "sn", Values: []string{sn}})))
	}
	module := &route.Module{Name: "m", Filter: wanted, Known: true}
	r, err = route.New(s, route.Config{Base: base, Modules: []*route.Module{module}})
	must(err)
	_, err = r.Begin(ctx, syncrepl.Session{URI: "ldap://x"})
	must(err)
	for id, rdn := range []string{"uid=a", "uid=b", "uid=c", "uid=d", "uid=e"} {
		entry(byte(id+1), rdn, "wanted", "0")
	}
	entry(6, "uid=f", "other", "0")
	must(r.RefreshDone(ctx))
	must(r.Flush(ctx))
	change := func() {
		must(r.Flush(ctx))
	}
	entry(1, "uid=a", "wanted", "1")
	entry(2, "uid=b", "other", "0")
	must(r.Delete(ctx, []syncrepl.UUID{{3}}))
	entry(6, "uid=f", "wanted", "0")
	entry(7, "uid=g", "wanted", "0")
	entry(4, "uid=d", "wanted", "0") // nothing has changed
	change()
	for more := true; more; {
		more, err = r.Step(module)
		must(err)
	}
	entry(4, "uid=d", "wanted", "1")
	entry(5, "uid=x", "wanted", "0")
	change()
	var got []string
	must(s.View(func(tx *store.Tx) error {
		tasks, err := tx.Tasks(module.Number(), 0, math.MaxUint64, math.MaxInt)
		for _, task := range tasks {
			version := task.New
			if version == 0 {
				version = task.Old
			}
			record, err := tx.Version(task.ID, version)
			must(err)
			got = append(got, string(task.Kind)+" "+record.DN[:5])
		}
		if n := tx.CountTasks(module.Number()); n != len(tasks) {
			t.Errorf("the walk added %d tasks", n-len(tasks))
		}
		if n := tx.CountMembers(module.Number()); n != 5 {
			t.Errorf("%d members, want a, d, f, g and x", n)
		}
		return err
	}))
	want := []string{"modify uid=a", "remove uid=b", "remove uid=c", "create uid=f", "create uid=g", "modify uid=d", "modify uid=x"}
	if !slices.Equal(got, want) {
		t.Errorf("called with %q, want %q", got, want)
	}
}
