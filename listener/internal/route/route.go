// Package route turns what the provider reports into the mirror's next state and
// into the calls owed to the modules.
//
// A [Router] is the sink of the syncrepl consumer. It collects what arrives and, at
// each Flush, writes in one transaction the entries, the memberships, the tasks and
// the cookie. A crash at any point replays: an entry that is already stored in the
// same state changes nothing and calls nobody.
//
// # Refreshes
//
// While a refresh runs, providers may report things in an order that no directory
// ever was in: a new entry at a name whose old owner is deleted later, a container
// deleted before its children are moved out, children before their new parent. So in
// a refresh of a mirror that is filled, only changes of entries that keep their name
// are written as they come. What takes a name is held back, and deletes are noted. At
// the end all of it is written in an order that a directory could have been changed in:
// names are left before they are taken, parents come before their children and go after
// them, and descendants follow their container at once. A refresh in which the directory
// was changed may have no such order; it is repeated then.
//
// # Subtrees
//
// Of a subtree that is renamed, moves in or goes, providers report the root only. Its
// descendants are moved or removed with it, and what came with it is read from the
// provider.
//
// # The guard
//
// A refresh that would remove more than the configured part of the mirror, or entries
// that the provider still has, removes nothing. Its cookie is not stored, so that the
// next refresh reports the same again, until the provider has recovered or somebody has
// released the removes.
//
// # Walks
//
// A walk brings a module in line with the mirror: it goes through the mirror in tree
// order and makes the module's members equal to the entries that match. It is what
// happens at the first start, when a module is added and when its filter changes. It
// goes on at the pace of the module; see [Router.Step].
package route

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// maxTransaction bounds the bytes that one transaction writes: bbolt holds them in
// memory, and nobody else writes meanwhile.
const maxTransaction = 8 << 20

// Module is what routing knows of a module instance.
type Module struct {
	// Name of the instance.
	Name string
	// Filter that entries must match. The router compiles it for the schema of the store.
	Filter *filter.Filter
	// Attributes whose change is worth a Modify; empty: all non-operational ones.
	Attributes []string

	// Known: when the module is new, what is there already is taken as known to it.
	Known bool

	// Used inside Update transactions only.
	number    uint32
	walk      *store.Walk    // nil: live
	former    []store.Former // earlier numbers whose members the walk has yet to come to
	forgotten bool
}

// Number keys the module's tasks in the store.
func (m *Module) Number() uint32 { return m.number }

// Config is what a Router works with.
type Config struct {
	// Base is the search base.
	Base string
	// Fingerprint names the search and the bind identity. A cookie that was stored
	// with another one is not used.
	Fingerprint string
	// Modules are routed to.
	Modules []*Module
	// Parents tells that the search finds containers too: then an entry without parent
	// is one whose parent is yet to be reported.
	Parents bool
	// Limits of the removes that are made without being released.
	Limits Limits
	// Held is called when the guard holds back the removes of a refresh, and with the
	// zero Guard when it no longer does. May be nil.
	Held func(store.Guard)
	// Queued is called after a transaction with the seq of its last change and the
	// number of tasks it added, by the modules' names, in the order of the transactions;
	// zero says that the module's walk may go on. It must not call the router. May be nil.
	Queued func(seq uint64, added map[string]int)
	// Room waits until tasks may be queued, before what was collected is written and
	// before a part of a subtree is; it ends with ctx. May be nil.
	Room func(ctx context.Context) error
	// Progress is called after each transaction of a sink. May be nil.
	Progress func(Progress)
}

// Phase is where the synchronization stands.
type Phase string

// The phases.
const (
	// PhaseConnecting: no session stands.
	PhaseConnecting Phase = "connecting"
	// PhaseRefresh: the provider reports what changed while we were away.
	PhaseRefresh Phase = "refresh"
	// PhasePersist: the mirror is up to date and follows live.
	PhasePersist Phase = "persist"
)

// Progress tells how a refresh goes.
type Progress struct {
	Phase    Phase
	Provider string
	// Full: the refresh began without a cookie.
	Full bool
	// Received counts the entries received since the session began.
	Received uint64
}

// Router implements [syncrepl.Sink]. Its methods as a sink belong to one goroutine;
// Step may run beside them.
type Router struct {
	store *store.Store
	Config

	ops   []op
	bytes int

	loadAll  bool     // the next session begins without the cookie
	refresh  *refresh // nil: not in a refresh
	provider syncrepl.Provider
	guard    guard
	repeats  int // of the refresh, in a row
	// unfetched: a subtree could not be read, as its root has moved.
	unfetched bool
	progress  atomic.Pointer[Progress]

	filters *filter.Set // of the modules, in their order
	matches []bool      // whether the entry in question matches each of them
	indexes []int       // scratch

	committing sync.Mutex // held from a transaction's begin until its tasks were told

	// Of the sink's running transaction:
	added map[string]int
}

var _ syncrepl.Sink = (*Router)(nil)

// after is what has to follow a transaction, in transactions of its own; nil if nothing
// has to.
type after func(context.Context) error

// op is one thing reported, not yet written.
type op struct {
	kind   opKind
	entry  *syncrepl.Entry
	ids    []listener.UUID
	cookie []byte
}

type opKind uint8

const (
	opEntry opKind = iota
	opPresent
	opDelete
	opSweep
	opDone
	opCookie
)

// New prepares the modules' state in the store and returns a router.
//
// A module without state begins with a walk, and so does one whose filter does not mean
// what it meant when it was last routed with. An instance that has state but is not among the modules is
// left as it is.
func New(s *store.Store, c Config) (*Router, error) {
	r := &Router{store: s, Config: c, added: map[string]int{}}
	r.progress.Store(&Progress{Phase: PhaseConnecting})
	err := s.Update(func(tx *store.Tx) error {
		tx.Commits("modules")
		filters, err := compile(c.Modules, tx.Schema())
		if err != nil {
			return err
		}
		_, err = r.take(tx, filters, true)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// unbegun tells whether the module knows nothing yet, as its walk has not begun. Before a
// walk that takes things as known, it may be told of changes.
func unbegun(s *store.ModuleState) bool {
	w := s.Walk
	return w != nil && w.Cause != listener.CauseReconcile && !w.Known && !w.Leave && w.Pos == nil && len(s.Former) == 0
}

// State returns the state of the synchronization. Safe for concurrent use.
func (r *Router) State() Progress { return *r.progress.Load() }

func (r *Router) setProgress(change func(*Progress)) {
	p := *r.progress.Load()
	change(&p)
	r.progress.Store(&p)
	if r.Progress != nil {
		r.Progress(p)
	}
}

// Disconnected notes that no session stands.
func (r *Router) Disconnected() {
	r.setProgress(func(p *Progress) { p.Phase = PhaseConnecting })
}

// LoadAll makes the next session begin without the cookie, which is kept: a refresh of
// everything there is, in which also entries may become older than they are mirrored. It
// belongs to the sink's goroutine.
func (r *Router) LoadAll() { r.loadAll = true }

// Begin implements [syncrepl.Sink].
func (r *Router) Begin(ctx context.Context, session syncrepl.Session) ([]byte, error) {
	r.ops, r.bytes = r.ops[:0], 0
	r.provider = session.Provider
	var cookie []byte
	filled := false
	err := r.update(func(tx *store.Tx) error {
		tx.Commits("session")
		sync, err := tx.Sync()
		if err != nil {
			return err
		}
		filled = sync.Filled
		if sync.Fingerprint != r.Fingerprint || sync.URI != session.URI {
			if sync.Fingerprint != r.Fingerprint {
				sync.Cookie = nil
			}
			sync.Fingerprint, sync.URI = r.Fingerprint, session.URI
			if err := tx.SetSync(sync); err != nil {
				return err
			}
		}
		held, err := tx.Guard()
		if err != nil {
			return err
		}
		if !r.loadAll && !(held.Removes > 0 && held.Full) {
			cookie = append(cookie, sync.Cookie...)
		}
		return tx.DropHeld()
	})
	if err != nil {
		return nil, err
	}
	r.refresh, r.loadAll = nil, false
	if err := r.follow(ctx); err != nil {
		return nil, err
	}
	r.guard.begin()
	if r.refresh = (&refresh{filled: filled, full: len(cookie) == 0}); !filled {
		if r.refresh.fill, err = r.store.StartFill(); err != nil {
			return nil, err
		}
	}
	r.setProgress(func(p *Progress) {
		*p = Progress{Phase: PhaseRefresh, Provider: session.URI, Full: len(cookie) == 0}
	})
	return cookie, nil
}

// Entry implements [syncrepl.Sink].
func (r *Router) Entry(_ context.Context, e *syncrepl.Entry) error {
	if f := r.refresh; f != nil && f.fill != nil && len(r.ops) == 0 {
		f.loaded++
		return f.fill.Add(&store.Record{UUID: listener.UUID(e.UUID), DN: text(e.DN), Attrs: text(e.Attributes)})
	}
	r.ops = append(r.ops, op{kind: opEntry, entry: e})
	return nil
}

// Present implements [syncrepl.Sink].
func (r *Router) Present(_ context.Context, ids []syncrepl.UUID) error {
	r.ops = append(r.ops, op{kind: opPresent, ids: copyIDs(ids)})
	return nil
}

// Delete implements [syncrepl.Sink].
func (r *Router) Delete(_ context.Context, ids []syncrepl.UUID) error {
	r.ops = append(r.ops, op{kind: opDelete, ids: copyIDs(ids)})
	return nil
}

func copyIDs(ids []syncrepl.UUID) []listener.UUID {
	out := make([]listener.UUID, len(ids))
	for i, id := range ids {
		out[i] = listener.UUID(id)
	}
	return out
}

// Sweep implements [syncrepl.Sink].
func (r *Router) Sweep(context.Context) error {
	r.ops = append(r.ops, op{kind: opSweep})
	return nil
}

// RefreshDone implements [syncrepl.Sink].
func (r *Router) RefreshDone(context.Context) error {
	r.ops = append(r.ops, op{kind: opDone})
	return nil
}

// Cookie implements [syncrepl.Sink].
func (r *Router) Cookie(_ context.Context, cookie []byte) error {
	if n := len(r.ops); n > 0 && r.ops[n-1].kind == opCookie {
		r.ops[n-1].cookie = cookie
		return nil
	}
	r.ops = append(r.ops, op{kind: opCookie, cookie: cookie})
	return nil
}

// ResetCookie implements [syncrepl.Sink].
func (r *Router) ResetCookie(_ context.Context, cookie []byte, _ error) error {
	if r.guard.holds {
		cookie = nil // the one to go on from would leave out what is held
	}
	return r.update(func(tx *store.Tx) error {
		tx.Commits("reset")
		return setCookie(tx, cookie)
	})
}

func setCookie(tx *store.Tx, cookie []byte) error {
	sync, err := tx.Sync()
	if err != nil {
		return err
	}
	sync.Cookie = cookie
	return tx.SetSync(sync)
}

// Flush implements [syncrepl.Sink]: it writes what was collected. Entries of a first fill
// are being written by then, and durable when something else comes.
func (r *Router) Flush(ctx context.Context) error {
	if len(r.ops) > 0 {
		if err := r.room(ctx); err != nil {
			return err
		}
	}
	ops := r.ops
	received := uint64(0)
	if f := r.refresh; f != nil && f.fill != nil {
		received, f.loaded = f.loaded, 0
		if len(ops) > 0 { // something else than entries
			if err := f.fill.Finish(); err != nil {
				return err
			}
			f.fill = nil
		}
	}
	for len(ops) > 0 {
		var after after // what has to follow in transactions of its own
		done := 0
		err := r.update(func(tx *store.Tx) error {
			for done < len(ops) && after == nil && tx.Size() < maxTransaction {
				o := &ops[done]
				done++
				var err error
				switch o.kind {
				case opEntry:
					received++
					after, err = r.entry(tx, o.entry)
				case opPresent:
					r.present(tx, o.ids)
				case opDelete:
					after, err = r.delete(tx, o.ids)
				case opSweep:
					after = r.sweep
				case opDone:
					after = r.finish
				case opCookie:
					if !r.guard.holds {
						tx.Commits("cookie")
						err = setCookie(tx, o.cookie)
					}
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil && after != nil {
			err = after(ctx)
		}
		if err != nil {
			return err
		}
		ops = ops[done:]
	}
	clear(r.ops)
	r.ops = r.ops[:0]
	if r.unfetched && received > 0 && r.refresh == nil {
		r.unfetched = false
		if err := r.fetch(ctx); err != nil {
			return err
		}
	}
	r.setProgress(func(p *Progress) {
		p.Received += received
		if r.refresh == nil && p.Phase == PhaseRefresh {
			p.Phase = PhasePersist
		}
	})
	return nil
}

func (r *Router) room(ctx context.Context) error {
	if r.Room == nil {
		return nil
	}
	return r.Room(ctx)
}

// update is commit for the sink's transactions, which count in r.added.
func (r *Router) update(fn func(*store.Tx) error) error {
	return r.commit(func(tx *store.Tx) (map[string]int, error) {
		clear(r.added)
		if err := fn(tx); err != nil || len(r.added) == 0 {
			return nil, err
		}
		added := r.added
		r.added = map[string]int{}
		return added, nil
	})
}

// commit runs a transaction and tells about the tasks that fn says it added, by the
// modules' names. It tells in the order of the transactions: who is told of a seq takes it
// that all before it was told.
func (r *Router) commit(fn func(*store.Tx) (added map[string]int, err error)) error {
	r.committing.Lock()
	defer r.committing.Unlock()
	var added map[string]int
	seq := uint64(0)
	err := r.store.Update(func(tx *store.Tx) (err error) {
		added, err = fn(tx)
		seq = tx.Counters().Seq
		return err
	})
	if err == nil && len(added) > 0 && r.Queued != nil {
		r.Queued(seq, added)
	}
	return err
}
