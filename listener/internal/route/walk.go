package route

import (
	"bytes"
	"strings"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// A step of a walk looks at no more than stepEntries and queues no more than
// stepTasks.
const (
	stepEntries = 20_000
	stepTasks   = 4_000
)

// ahead tells whether the module's walk has yet to come to the entry. If so, the walk
// will report it.
func (m *Module) ahead(r *store.Record) bool {
	return m.walk != nil && (m.walk.Leave || bytes.Compare(store.Position(r), m.walk.Pos) > 0)
}

// Step goes on with the module's walk: it queues the next tasks and stores how far it
// has come, in one transaction. It returns false when the module is live, or when the
// mirror is not filled yet or a container's descendants have yet to follow it; Queued
// tells when they have.
func (r *Router) Step(m *Module) (more bool, err error) {
	added, seq := 0, uint64(0)
	err = r.store.Update(func(tx *store.Tx) error {
		tx.Commits("walk")
		if m.walk == nil {
			return nil
		}
		sync, err := tx.Sync()
		if err != nil || !sync.Filled {
			return err
		}
		if rename, err := tx.FirstRename(); err != nil || rename != nil {
			return err // a container has moved without its descendants yet
		}
		walk := *m.walk
		if walk.Held > 0 {
			return nil
		}
		step, looked := r.enter, 0
		iterate := tx.Walk
		switch {
		case walk.Leave && !walk.Checked:
			step = r.count
		case walk.Leave:
			step, iterate = r.leave, tx.WalkBack
		}
		err = iterate(walk.Pos, func(pos []byte, id uint64) (bool, error) {
			n, err := step(tx, m, &walk, pos, id)
			added += n
			looked++
			walk.Pos = pos
			more = looked >= stepEntries || added >= stepTasks || tx.Size() >= maxTransaction
			return !more, err
		})
		if err != nil {
			return err
		}
		walk.Pos = bytes.Clone(walk.Pos)
		walk.Done += uint64(looked)
		next := &walk
		if !more {
			next = r.nextPass(tx, m, &walk)
			more = next != nil && next.Held == 0
		}
		state, err := tx.Module(m.Name)
		if err != nil {
			return err
		}
		state.Walk = next
		if err := tx.SetModule(m.Name, state); err != nil {
			return err
		}
		m.walk = next
		seq = tx.Counters().Seq
		return nil
	})
	if err != nil {
		return false, err
	}
	if added > 0 && r.Queued != nil {
		r.Queued(seq, map[string]int{m.Name: added})
	}
	return more, nil
}

// nextPass returns the pass after one that is complete, nil after the last one. Members
// may leave when they were counted, and are not too many.
func (r *Router) nextPass(tx *store.Tx, m *Module, walk *store.Walk) *store.Walk {
	switch members := uint64(tx.CountMembers(m.number)); {
	case !walk.Leave:
		return nil
	case walk.Checked && walk.Released > 0 && walk.Removes > walk.Released:
		return &store.Walk{Cause: walk.Cause, Leave: true}
	case walk.Checked:
		return &store.Walk{Cause: walk.Cause}
	case r.Limits.exceeded(walk.Removes, members):
		return &store.Walk{Cause: walk.Cause, Leave: true, Held: walk.Removes, Examples: walk.Examples}
	}
	return &store.Walk{Cause: walk.Cause, Leave: true, Checked: true}
}

// count counts the members that are to leave.
func (r *Router) count(tx *store.Tx, m *Module, walk *store.Walk, _ []byte, id uint64) (int, error) {
	if !tx.IsMember(m.number, id) {
		return 0, nil
	}
	record, matches, err := match(tx, m, id)
	if err != nil || matches {
		return 0, err
	}
	walk.Removes++
	if len(walk.Examples) < maxExamples {
		walk.Examples = append(walk.Examples, strings.Clone(record.DN))
	}
	return 0, nil
}

// enter tells the module of an entry that matches and that it does not know.
func (r *Router) enter(tx *store.Tx, m *Module, walk *store.Walk, pos []byte, id uint64) (int, error) {
	if tx.IsMember(m.number, id) {
		return 0, nil
	}
	record, matches, err := match(tx, m, id)
	if err != nil || !matches {
		return 0, err
	}
	if err := tx.SetMember(m.number, id, true); err != nil {
		return 0, err
	}
	return 1, tx.AddWalkTask(store.Task{
		Module: m.number, Seq: tx.NextSeq(), Kind: listener.KindCreate, Cause: walk.Cause, ID: id, New: record.Seq,
	}, record, pos)
}

// leave takes an entry from the module that it knows and that does not match.
func (r *Router) leave(tx *store.Tx, m *Module, walk *store.Walk, pos []byte, id uint64) (int, error) {
	if !tx.IsMember(m.number, id) {
		return 0, nil
	}
	record, matches, err := match(tx, m, id)
	if err != nil || matches {
		return 0, err
	}
	if walk.Released > 0 {
		if walk.Removes++; walk.Removes > walk.Released {
			return 0, nil // more than was released: it is counted again
		}
	}
	if err := tx.SetMember(m.number, id, false); err != nil {
		return 0, err
	}
	return 1, tx.AddWalkTask(store.Task{
		Module: m.number, Seq: tx.NextSeq(), Kind: listener.KindRemove, Cause: walk.Cause, ID: id, Old: record.Seq,
	}, record, pos)
}

func match(tx *store.Tx, m *Module, id uint64) (*store.Record, bool, error) {
	record, err := tx.Get(id)
	if err != nil || record == nil {
		return nil, false, err
	}
	e, err := record.View()
	if err != nil {
		return nil, false, err
	}
	return record, m.Filter.Match(e) == filter.True, nil
}

// resumeWalks tells that what kept Step from going on is over.
func (r *Router) resumeWalks() {
	if r.Queued == nil {
		return
	}
	walks := map[string]int{}
	for _, m := range r.Modules {
		walks[m.Name] = 0
	}
	r.Queued(0, walks)
}
