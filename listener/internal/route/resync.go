package route

import (
	"errors"
	"fmt"
	"slices"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// A resync has a module begin anew. Its state gets another number, under which it was told
// of nothing and is owed nothing; what is kept under the old one is purged by and by. Then
// clean is called and initialize, and a walk tells of everything that matches.
//
// A module without a Cleaner still has what it was told of. So it gets the removes that it
// was owed first; and until the walk has come to an entry, one that goes or stops to match
// is removed from it if it was told of the entry before.

// ErrResyncing is returned when a module is resynchronized as a whole already.
var ErrResyncing = errors.New("the module is being resynchronized already")

// ErrNotNoted is returned while it is not yet noted what a new module is taken to know.
var ErrNotNoted = errors.New("what the module knows from the start (bootstrap: none) is not noted yet; try again when it is no longer walking")

// ErrNoEntry is returned when there is no entry at or below a DN.
var ErrNoEntry = errors.New("the mirror has no entry at or below that DN")

// WantResync stores that the module is to be resynchronized. The daemon does so at once
// with [Router.Resync], or when it starts. The error is [ErrResyncing] if it does already, and
// [ErrNotNoted] if it cannot be yet.
func WantResync(s *store.Store, module string) error {
	return s.Update(func(tx *store.Tx) error {
		tx.Commits("want-resync")
		state, err := tx.Module(module)
		if err != nil || state == nil {
			return err // a module without state is told of everything anyway
		}
		if err := mayResync(state); err != nil {
			return err
		}
		state.Resync = store.ResyncWanted
		return tx.SetModule(module, state)
	})
}

func mayResync(state *store.ModuleState) error {
	switch {
	case state.Resync != "":
		return ErrResyncing
	case state.Walk != nil && state.Walk.Known:
		return ErrNotNoted
	}
	return nil
}

// WantSubtree stores that the module is to be told again of the entry with the name and of
// all below it. A running daemon goes on with [Router.Resume].
func WantSubtree(s *store.Store, module, dn string) error {
	return s.Update(func(tx *store.Tx) error {
		tx.Commits("want-subtree")
		state, err := tx.Module(module)
		if err != nil || state == nil {
			return err
		}
		if err := mayResync(state); err != nil {
			return err
		}
		if len(tx.At(dn)) == 0 && !tx.HasBelow(dn) {
			return fmt.Errorf("%w: %s", ErrNoEntry, dn)
		}
		state.Subtrees = slices.DeleteFunc(state.Subtrees, func(s store.Subtree) bool { return tx.Schema().SameName(s.DN, dn) })
		state.Subtrees = append(state.Subtrees, store.Subtree{DN: dn})
		return tx.SetModule(module, state)
	})
}

// Resync begins what [WantResync] asked for, in one transaction: no call of the module may
// be in flight, and those made are done or known to have failed, but for what was handed out
// in earlier runs, up to that seq. cleans tells that the module has a Cleaner. forget is called in the
// transaction with its seq: later tasks are those of the new number.
func (r *Router) Resync(m *Module, cleans bool, handed uint64, forget func(seq uint64)) error {
	return r.store.Update(func(tx *store.Tx) error {
		tx.Commits("resync")
		state, err := tx.Module(m.Name)
		if err != nil || state.Resync != store.ResyncWanted {
			return err
		}
		if err := restart(tx, state, cleans, handed); err != nil {
			return err
		}
		if err := m.store(tx, state); err != nil {
			return err
		}
		forget(tx.NextSeq())
		return nil
	})
}

// restart gives a module a new number.
func restart(tx *store.Tx, state *store.ModuleState, cleans bool, handed uint64) error {
	leave := state.Walk != nil && state.Walk.Leave && !cleans
	state.Former = append(state.Former, store.Former{Number: state.Renumber(), Handed: handed})
	state.Resync, state.Subtrees = store.ResyncClean, nil
	state.Walk = &store.Walk{Cause: listener.CauseResync, Leave: leave}
	if cleans {
		return retire(tx, state)
	}
	return nil
}

func retire(tx *store.Tx, state *store.ModuleState) error {
	for _, f := range state.Former {
		if err := tx.Retire(f.Number); err != nil {
			return err
		}
	}
	state.Former = nil
	return nil
}

// Cleans tells, before anything is routed, that the module has a Cleaner: if it is to be
// cleaned, nothing that it was told of or owed before matters.
func (r *Router) Cleans(m *Module) error {
	return r.store.Update(func(tx *store.Tx) error {
		tx.Commits("resync-now-cleans")
		state, err := tx.Module(m.Name)
		if err != nil || state.Resync != store.ResyncClean || len(state.Former) == 0 {
			return err
		}
		if err := restart(tx, state, true, 0); err != nil {
			return err
		}
		return m.store(tx, state)
	})
}

// Resume has Step called again.
func (r *Router) Resume() { r.resumeWalks() }

// Forget removes the state of a module that is routed to, for nobody: nothing more is added
// for it. Safe for concurrent use.
func (r *Router) Forget(m *Module) error {
	return r.store.Update(func(tx *store.Tx) error {
		state, err := tx.Module(m.Name)
		if err != nil || state == nil {
			return err
		}
		m.forgotten = true
		tx.Commits("forget")
		return tx.Forget(m.Name, state)
	})
}

// store stores a module's state, and takes it over.
func (m *Module) store(tx *store.Tx, state *store.ModuleState) error {
	if err := tx.SetModule(m.Name, state); err != nil {
		return err
	}
	m.take(state)
	return nil
}

func (m *Module) take(state *store.ModuleState) {
	m.number, m.walk, m.former = state.Number, state.Walk, state.Former
}

// takeOver adds the removes that the module was owed before it was resynchronized, each
// from the state that was acknowledged last.
func (r *Router) takeOver(tx *store.Tx, m *Module, state *store.ModuleState) (added int, more bool, err error) {
	for i := range state.Former {
		f := &state.Former[i]
		looked := 0
		err := tx.EachTask(f.Number, f.Taken, func(t *store.Task) (bool, error) {
			n, err := takeRemove(tx, m, f, t)
			f.Taken = t.Seq
			added += n
			looked++
			more = looked >= stepEntries || added >= stepTasks || tx.Size() >= maxTransaction
			return !more, err
		})
		if err != nil || more {
			return added, more, err
		}
	}
	return added, false, nil
}

// takeRemove adds what a former task owes, if it is the last remove of its entry.
func takeRemove(tx *store.Tx, m *Module, f *store.Former, t *store.Task) (int, error) {
	if t.Kind != listener.KindRemove {
		return 0, nil
	}
	queue, err := tx.Queued(t.Module, t.ID)
	if err != nil {
		return 0, err
	}
	for _, later := range queue {
		if later.Seq > t.Seq && later.Kind == listener.KindRemove {
			return 0, nil
		}
	}
	old, known := told(tx, f, queue)
	if !known {
		return 0, nil
	}
	return 1, tx.AddTask(store.Task{
		Module: m.number, Seq: tx.NextSeq(), Kind: listener.KindRemove, Cause: listener.CauseResync, ID: t.ID, Old: old,
	})
}

// told returns the version of an entry that a module knows which is owed these calls for
// it; false if it knows none.
func told(tx *store.Tx, f *store.Former, queue []store.Task) (version uint64, known bool) {
	first := &queue[0]
	if first.Kind != listener.KindCreate {
		return first.Old, true
	}
	return first.New, tx.MayHaveBeenCalled(first, f.Handed)
}

// formerly returns the version of an entry that the module was told of before it was
// resynchronized, and under which number; it was not if that is zero. The version is zero
// if it is the mirror's.
func (m *Module) formerly(tx *store.Tx, id uint64) (number uint32, version uint64, err error) {
	for _, f := range slices.Backward(m.former) {
		if !tx.IsMember(f.Number, id) {
			continue
		}
		queue, err := tx.Queued(f.Number, id)
		if err != nil {
			return 0, 0, err
		}
		for i := len(queue) - 1; i >= 0; i-- {
			if queue[i].Kind == listener.KindRemove { // this one is taken over
				queue = queue[i+1:]
				break
			}
		}
		if len(queue) == 0 {
			return f.Number, 0, nil
		}
		version, known := told(tx, &f, queue)
		if !known {
			return 0, 0, nil
		}
		return f.Number, version, nil
	}
	return 0, 0, nil
}

// subtree goes on with telling again of a subtree.
func (r *Router) subtree(tx *store.Tx, m *Module, state *store.ModuleState) (added int, more bool, err error) {
	s := &state.Subtrees[0]
	looked := 0
	each := func(id uint64) error {
		n, err := r.again(tx, m, id)
		added += n
		looked++
		return err
	}
	if s.Pos == nil {
		for _, id := range tx.At(s.DN) {
			if err := each(id); err != nil {
				return added, false, err
			}
		}
	}
	for added < stepTasks && looked < stepEntries && tx.Size() < maxTransaction {
		ids, last := tx.Below(s.DN, s.Pos, chunk)
		if len(ids) == 0 {
			state.Subtrees = state.Subtrees[1:]
			return added, true, nil // and on with the next one, or the walk
		}
		for _, id := range ids {
			if err := each(id); err != nil {
				return added, false, err
			}
		}
		s.Pos = last
	}
	return added, true, nil
}

// again tells the module of an entry as it is. What is queued for the entry does so anyway.
func (r *Router) again(tx *store.Tx, m *Module, id uint64) (int, error) {
	queue, err := tx.Queued(m.number, id)
	if err != nil || len(queue) > 0 {
		return 0, err
	}
	record, matches, err := match(tx, m, id)
	if err != nil || record == nil {
		return 0, err
	}
	t := store.Task{Module: m.number, Cause: listener.CauseResync, ID: id}
	switch member := tx.IsMember(m.number, id); {
	case member && matches:
		t.Kind, t.Old, t.New = listener.KindModify, record.Seq, record.Seq
	case member && m.walk != nil && m.walk.Leave && !m.walk.Checked:
		return 0, nil // whether it may leave is yet to be seen
	case member:
		t.Kind, t.Old = listener.KindRemove, record.Seq
	case matches:
		t.Kind, t.New = listener.KindCreate, record.Seq
	default:
		return 0, nil
	}
	if err := tx.SetMember(m.number, id, matches); err != nil {
		return 0, err
	}
	t.Seq = tx.NextSeq()
	return 1, tx.AddTask(t)
}
