package route_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/route"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// bench is a router with a module that takes everything, and a provider that answers as
// a test wants.
type bench struct {
	t        *testing.T
	store    *store.Store
	router   *route.Router
	module   *route.Module
	limits   route.Limits
	held     []store.Guard
	queued   func() // called after each transaction that adds tasks
	subtree  func(base string, take func([]syncrepl.Entry) error) error
	there    func(syncrepl.Name) bool
	attempts int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s, err := store.Open(t.TempDir())
	b := &bench{t: t, store: s, limits: route.Limits{MaxDeletePercent: 100}}
	b.must(err)
	t.Cleanup(func() { b.must(errors.Join(s.Check(), s.Close())) })
	b.open("(objectClass=*)")
	return b
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// open makes a new router, as a new process would.
func (b *bench) open(text string) {
	b.t.Helper()
	f, err := filter.Compile(text, nil)
	b.must(err)
	b.module = &route.Module{Name: "m", Filter: f}
	b.router, err = route.New(b.store, route.Config{
		Base: base, Modules: []*route.Module{b.module}, Parents: true, Limits: b.limits,
		Held: func(g store.Guard) { b.held = append(b.held, g) },
		Queued: func(uint64, map[string]int) {
			if b.queued != nil {
				b.queued()
			}
		},
	})
	b.must(err)
}

func (b *bench) Subtree(_ context.Context, base string, take func([]syncrepl.Entry) error) error {
	if b.subtree == nil {
		return nil
	}
	return b.subtree(base, take)
}

func (b *bench) There(_ context.Context, entries []syncrepl.Name) ([]bool, error) {
	out := make([]bool, len(entries))
	for i, e := range entries {
		out[i] = b.there != nil && b.there(e)
	}
	return out, nil
}

func (b *bench) begin() string {
	b.t.Helper()
	b.attempts++
	cookie, err := b.router.Begin(context.Background(), syncrepl.Session{URI: "ldap://x", Attempt: b.attempts, Provider: b})
	b.must(err)
	return string(cookie)
}

func (b *bench) end(cookie string) {
	b.t.Helper()
	b.must(b.router.RefreshDone(context.Background()))
	b.must(b.router.Cookie(context.Background(), []byte(cookie)))
	b.must(b.router.Flush(context.Background()))
}

func number(n int) syncrepl.UUID {
	return syncrepl.UUID{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), 1}
}

func single(n int, dn string, container bool, more ...listener.Attribute) syncrepl.Entry {
	e := listener.NewEntry(listener.UUID(number(n)), dn, append([]listener.Attribute{
		{Name: "objectClass", Values: []string{"x"}}, {Name: "entryDN", Values: []string{dn}},
		{Name: "hasSubordinates", Values: []string{strings.ToUpper(fmt.Sprint(container))}},
	}, more...)...)
	return *ber(e)
}

func (b *bench) entry(e syncrepl.Entry) {
	b.t.Helper()
	b.must(b.router.Entry(context.Background(), &e))
}

func (b *bench) flush() {
	b.t.Helper()
	b.must(b.router.Flush(context.Background()))
}

// tasks takes all tasks from the outbox and counts them by kind.
func (b *bench) tasks() map[listener.Kind]int {
	b.t.Helper()
	for more := true; more; {
		var err error
		more, err = b.router.Step(b.module)
		b.must(err)
	}
	kinds := map[listener.Kind]int{}
	for {
		n := 0
		b.must(b.store.Update(func(tx *store.Tx) error {
			tasks, err := tx.Tasks(b.module.Number(), 0, math.MaxUint64, 5_000)
			walked, walkErr := tx.Backlog(b.module.Number(), 0, math.MaxUint64, 5_000)
			err = errors.Join(err, walkErr)
			tasks = append(tasks, walked...)
			n = len(tasks)
			for i := range tasks {
				kinds[tasks[i].Kind]++
				err = errors.Join(err, tx.RemoveTask(&tasks[i]))
			}
			return err
		}))
		if n == 0 {
			return kinds
		}
	}
}

func (b *bench) expectTasks(what string, kind listener.Kind, n int) {
	b.t.Helper()
	if got := b.tasks(); len(got) != min(n, 1) || got[kind] != n {
		b.t.Errorf("%s: tasks %v, want %d of kind %s", what, got, n, kind)
	}
}

// names counts the entries below the name, in the tree and by their own words.
func (b *bench) names(below string) (n int) {
	b.t.Helper()
	b.must(b.store.View(func(tx *store.Tx) error {
		return tx.Walk(nil, func(_ []byte, id uint64) (bool, error) {
			r, err := tx.Get(id)
			if err != nil {
				return false, err
			}
			e, err := r.Entry()
			if strings.HasSuffix(r.DN, below) && e.Get("entryDN") == r.DN {
				n++
			}
			return true, err
		})
	}))
	return n
}

var errStop = errors.New("the process ends here")

// A subtree of 100,000 entries moves in, is renamed and moves out, each in bounded
// transactions, and each goes on where it was when the process ended in between.
func TestScenario8LargeSubtree(t *testing.T) {
	const many = 100_000
	b := newBench(t)
	b.begin()
	b.entry(single(1, base, true))
	b.end("1")
	b.tasks()

	// It moves in: the provider reports the root, the rest is read. That breaks down at
	// first; the next session makes up for it.
	read := func(until int) func(string, func([]syncrepl.Entry) error) error {
		return func(at string, take func([]syncrepl.Entry) error) error {
			batch := []syncrepl.Entry{single(2, at, true)}
			for i := range many {
				batch = append(batch, single(10+i, fmt.Sprintf("uid=%d,%s", i, at), false))
				if len(batch) == 5_000 {
					if i > until {
						return errStop
					}
					if err := take(batch); err != nil {
						return err
					}
					batch = nil
				}
			}
			return take(batch)
		}
	}
	b.subtree = read(many / 2)
	b.entry(single(2, "ou=a,"+base, true))
	b.must(b.router.Cookie(context.Background(), []byte("2")))
	if err := b.router.Flush(context.Background()); !errors.Is(err, errStop) {
		t.Fatalf("error %v", err)
	}
	b.expectTasks("the root", listener.KindCreate, 1)
	b.open("(objectClass=*)")
	if cookie := b.begin(); cookie != "1" {
		t.Fatalf("from cookie %q", cookie)
	}
	b.subtree = read(many)
	b.end("2")
	b.expectTasks("moved in", listener.KindCreate, many)

	// It is renamed, and the process ends in the middle.
	transactions := 0
	b.queued = func() {
		if transactions++; transactions == 2 {
			panic(errStop)
		}
	}
	func() {
		defer func() {
			if recover() != errStop {
				t.Error("it is one transaction")
			}
		}()
		b.entry(single(2, "ou=b,"+base, true))
		b.flush()
	}()
	b.queued = nil
	if moved := b.names(",ou=b," + base); moved == 0 || moved == many {
		t.Errorf("%d entries have moved when the process ends", moved)
	}
	b.open("(objectClass=*)")
	b.begin()
	b.end("3")
	b.expectTasks("renamed", listener.KindModify, many+1)
	if n := b.names(",ou=b," + base); n != many {
		t.Errorf("%d entries below the new name", n)
	}

	// It moves out.
	b.must(b.router.Delete(context.Background(), []syncrepl.UUID{number(2)}))
	b.flush()
	b.expectTasks("moved out", listener.KindRemove, many+1)
	if n := b.names(base); n != 1 {
		t.Errorf("%d entries are left", n)
	}
}

// The root of a subtree that has moved in is elsewhere when the subtree is read: it is
// read when the session has told where.
func TestSubtreeMovesOn(t *testing.T) {
	b := newBench(t)
	b.begin()
	b.entry(single(1, base, true))
	b.end("1")
	b.tasks()
	b.subtree = func(at string, take func([]syncrepl.Entry) error) error {
		if at != "ou=b,"+base {
			return nil
		}
		return take([]syncrepl.Entry{single(3, "uid=x,"+at, false), single(2, at, true)})
	}
	b.entry(single(2, "ou=a,"+base, true))
	b.flush()
	b.expectTasks("the root", listener.KindCreate, 1)
	b.entry(single(2, "ou=b,"+base, true))
	b.flush()
	if got := b.tasks(); got[listener.KindModify] != 1 || got[listener.KindCreate] != 1 {
		t.Errorf("tasks %v", got)
	}
}

// The process ends before the subtree is read, and its root moves on before the next
// session: the refresh tells of the root at its new name, or only of a container above.
func TestSubtreeMovesOnWhileAway(t *testing.T) {
	for name, report := range map[string]struct {
		at    string
		entry syncrepl.Entry
	}{
		"the root":  {"ou=b,ou=top," + base, single(2, "ou=b,ou=top,"+base, true)},
		"one above": {"ou=a,ou=peak," + base, single(4, "ou=peak,"+base, true)},
	} {
		b := newBench(t)
		b.begin()
		b.entry(single(1, base, true))
		b.entry(single(4, "ou=top,"+base, false))
		b.end("1")
		b.tasks()
		b.subtree = func(string, func([]syncrepl.Entry) error) error { return errStop }
		b.entry(single(2, "ou=a,ou=top,"+base, true))
		if err := b.router.Flush(context.Background()); !errors.Is(err, errStop) {
			t.Fatalf("error %v", err)
		}
		b.tasks()
		b.open("(objectClass=*)")
		b.begin()
		b.subtree = func(at string, take func([]syncrepl.Entry) error) error {
			if at != report.at {
				return nil
			}
			return take([]syncrepl.Entry{single(3, "uid=x,"+at, false), single(2, at, true)})
		}
		b.entry(report.entry)
		b.end("2")
		if got := b.tasks(); got[listener.KindCreate] != 1 {
			t.Errorf("%s has moved: tasks %v", name, got)
		}
	}
}

// The root of a subtree that moved in while we were away may have moved on by the end of
// the refresh. Then the subtree is read when it is reported where the root is.
func TestSubtreeMovesOnDuringARefresh(t *testing.T) {
	b := newBench(t)
	b.begin()
	b.entry(single(1, base, true))
	b.entry(single(2, "ou=a,"+base, true))
	b.end("1")

	b.begin()
	b.entry(single(3, "ou=in,ou=a,"+base, true))
	b.subtree = func(at string, take func([]syncrepl.Entry) error) error {
		if at != "ou=in,ou=b,"+base {
			return nil
		}
		return take([]syncrepl.Entry{single(3, at, true), single(4, "uid=x,"+at, false)})
	}
	b.end("2")
	if n := b.names("ou=in,ou=a," + base); n != 1 {
		t.Errorf("%d entries came at the name that the root no longer has", n)
	}
	b.entry(single(2, "ou=b,"+base, true))
	b.flush()
	if n := b.names("ou=in,ou=b," + base); n != 2 {
		t.Errorf("%d entries where it is, want 2", n)
	}
}
