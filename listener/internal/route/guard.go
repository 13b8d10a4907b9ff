package route

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/listenerd/listenerd/listener/internal/schema"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// Limits of what may go without being released: more than MinDeletes entries and more
// than MaxDeletePercent of all of them may not. The zero value lets nothing go.
type Limits struct {
	MaxDeletePercent int
	MinDeletes       uint64
}

// exceeded tells whether n of total are too many.
func (l Limits) exceeded(n, total uint64) bool {
	return n > l.MinDeletes && n*100 > total*uint64(l.MaxDeletePercent)
}

// Before more than handful entries go in a refresh, the provider is asked for up to
// sample of them. Up to maxExamples are named in messages.
const (
	handful     = 5
	sample      = 1_000
	maxExamples = 10
)

// ErrNothingHeld is returned by Release when there is nothing to release.
var ErrNothingHeld = errors.New("no removes are held")

// guard is what the sink remembers of removes that are held back.
type guard struct {
	// holds: the last refresh was held. No cookie is stored.
	holds bool
	// ghosts are the entries that it would have removed.
	ghosts bitset
	// skipped are the keys of the names of entries that were left out since then, because a ghost has
	// their name, or that of an ancestor: the next refresh reports them again.
	skipped map[string]bool
}

func (g *guard) begin() { *g = guard{} }

// blocks tells whether an entry has to be left out, and notes its name if so.
func (g *guard) blocks(tx *store.Tx, r *store.Record, base string) bool {
	if !g.holds {
		return false
	}
	for _, name := range namesAbove(r.DN, base) {
		ghost := slices.ContainsFunc(tx.At(name), func(id uint64) bool {
			if !g.ghosts.has(id) {
				return false
			}
			record, err := tx.Get(id)
			return err == nil && record != nil && record.UUID != r.UUID
		})
		if ghost || g.skipped[string(schema.TreeKey(name))] {
			g.skipped[string(schema.TreeKey(r.DN))] = true
			return true
		}
	}
	return false
}

// checkRemoves holds back the removes of the refresh if they are too many, or if the
// provider has some of the entries.
func (r *Router) checkRemoves(ctx context.Context) error {
	f := r.refresh
	var state store.Guard
	total := uint64(0)
	err := r.store.View(func(tx *store.Tx) (err error) {
		state, err = tx.Guard()
		total = tx.Counters().Entries
		return err
	})
	if err != nil {
		return err
	}
	victims, err := r.victims(slices.Collect(f.doomed.all))
	if err != nil {
		return err
	}
	n := uint64(len(victims))
	reason, examples := "", victims
	switch {
	case n <= state.Released:
	case r.Limits.exceeded(n, total):
		reason = fmt.Sprintf("the provider no longer has %d of %d entries", n, total)
	case n > handful && r.provider != nil:
		if examples, err = r.contradictions(ctx, victims); err != nil {
			return err
		}
		if len(examples) > 0 {
			reason = fmt.Sprintf("the refresh leaves out %d of %d entries, and a search finds some of them at the provider", n, total)
		}
	}
	if reason == "" {
		if state.Removes == 0 && state.Released == 0 {
			return nil
		}
		return r.setGuard(store.Guard{})
	}
	f.doomed = nil
	r.guard = guard{holds: true, skipped: map[string]bool{}}
	for _, v := range victims {
		r.guard.ghosts.add(v.id)
	}
	held := store.Guard{Removes: n, Entries: total, Full: f.full, Reason: reason, Since: state.Since}
	if held.Since.IsZero() {
		held.Since = time.Now()
	}
	err = r.store.View(func(tx *store.Tx) error {
		for _, v := range examples[:min(len(examples), maxExamples)] {
			record, err := tx.Get(v.id)
			if err != nil {
				return err
			}
			held.Examples = append(held.Examples, record.Clone().DN)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.setGuard(held)
}

// contradictions asks the provider for some of the entries, taken from all over the
// tree, and returns those that it has.
func (r *Router) contradictions(ctx context.Context, victims []victim) ([]victim, error) {
	asked := victims
	if len(victims) > sample {
		asked = nil
		for i := range sample {
			asked = append(asked, victims[i*len(victims)/sample])
		}
	}
	var names []syncrepl.Name
	err := r.store.View(func(tx *store.Tx) error {
		for _, v := range asked {
			record, err := tx.Get(v.id)
			if err != nil {
				return err
			}
			names = append(names, syncrepl.Name{UUID: syncrepl.UUID(record.UUID), DN: record.Clone().DN})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	there, err := r.provider.There(ctx, names)
	if err != nil {
		return nil, err
	}
	var found []victim
	for i, v := range asked {
		if there[i] {
			found = append(found, v)
		}
	}
	return found, nil
}

func (r *Router) setGuard(g store.Guard) error {
	err := r.update(func(tx *store.Tx) error {
		tx.Commits("guard")
		return tx.SetGuard(g)
	})
	if err != nil {
		return err
	}
	if r.Held != nil {
		r.Held(g)
	}
	return nil
}

// Holds tells whether the removes of the last refresh are held back, so that no cookie is
// stored. It belongs to the sink's goroutine.
func (r *Router) Holds() bool { return r.guard.holds }

// Holds tells whether the removes of the last refresh, or those of a module's walk, are
// held back.
func Holds(s *store.Store) (holds bool, err error) {
	err = s.View(func(tx *store.Tx) error {
		g, err := tx.Guard()
		holds = g.Removes > 0
		if err != nil {
			return err
		}
		for _, name := range tx.Modules() {
			state, err := tx.Module(name)
			if err != nil {
				return err
			}
			holds = holds || state.Walk != nil && state.Walk.Held > 0
		}
		return nil
	})
	return holds, err
}

// Released is what a release lets go.
type Released struct {
	// Removes of the next refresh, at most.
	Removes uint64
	// Modules that may remove so many of the entries they know.
	Modules map[string]uint64
}

// Release lets go what is held back: of the next refresh at most as many removes as were
// reported, and so for each module's walk. It may be used on the store of a daemon that
// does not run; a running one has [Router.Release]. The error is ErrNothingHeld when
// nothing was held.
func Release(s *store.Store) (out Released, err error) {
	err = s.Update(func(tx *store.Tx) error {
		tx.Commits("release-offline")
		out, err = release(tx)
		return err
	})
	return out, err
}

// Release is the function Release for a running router: the modules' walks go on. For
// the next refresh, the session has to be ended. Safe for concurrent use.
func (r *Router) Release() (out Released, err error) {
	err = r.store.Update(func(tx *store.Tx) error {
		tx.Commits("release")
		if out, err = release(tx); err != nil {
			return err
		}
		for _, m := range r.Modules {
			if out.Modules[m.Name] > 0 {
				m.walk = releasedWalk(m.walk)
			}
		}
		return nil
	})
	if err == nil {
		r.resumeWalks()
	}
	return out, err
}

func release(tx *store.Tx) (Released, error) {
	out := Released{Modules: map[string]uint64{}}
	g, err := tx.Guard()
	if err != nil {
		return out, err
	}
	if g.Removes > 0 {
		g.Released, out.Removes = g.Removes, g.Removes
		if err := tx.SetGuard(g); err != nil {
			return out, err
		}
	}
	for _, name := range tx.Modules() {
		state, err := tx.Module(name)
		if err != nil {
			return out, err
		}
		if state.Walk == nil || state.Walk.Held == 0 {
			continue
		}
		out.Modules[name] = state.Walk.Held
		state.Walk = releasedWalk(state.Walk)
		if err := tx.SetModule(name, state); err != nil {
			return out, err
		}
	}
	if out.Removes == 0 && len(out.Modules) == 0 {
		return out, ErrNothingHeld
	}
	return out, nil
}

func releasedWalk(w *store.Walk) *store.Walk {
	return &store.Walk{Cause: w.Cause, Known: w.Known, Leave: true, Checked: true, Released: w.Held}
}
