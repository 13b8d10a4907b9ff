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

// unchecked tells, of an entry that is there, that whether members may leave is yet to be
// seen.
func (m *Module) unchecked(new *store.Record) bool {
	return new != nil && m.walk != nil && m.walk.Leave && !m.walk.Checked
}

// known tells whether the module is being taken to know what there is. Then it is told of
// changes from the start: what the walk has yet to come to is known as it was before them.
func (r *Router) known(m *Module) bool {
	return m.walk != nil && m.walk.Known && (r.refresh == nil || r.refresh.filled)
}

// Step goes on with the module's walk: it queues the next tasks and stores how far it
// has come, in one transaction. It returns false when the module is live, or when the
// mirror is not filled yet or a container's descendants have yet to follow it; Queued
// tells when they have.
func (r *Router) Step(m *Module) (more bool, err error) {
	err = r.commit(func(tx *store.Tx) (map[string]int, error) {
		tx.Commits("walk")
		added, goesOn, err := r.step(tx, m)
		more = goesOn
		if err != nil || added == 0 {
			return nil, err
		}
		return map[string]int{m.Name: added}, nil
	})
	return more && err == nil, err
}

// step is Step in a transaction.
func (r *Router) step(tx *store.Tx, m *Module) (added int, more bool, err error) {
	state, err := tx.Module(m.Name)
	if err != nil || state.Walk == nil && len(state.Subtrees) == 0 {
		return 0, false, err
	}
	sync, err := tx.Sync()
	if err != nil || !sync.Filled && state.Resync != store.ResyncClean {
		return 0, false, err
	}
	if rename, err := tx.FirstRename(); err != nil || rename != nil {
		return 0, false, err // a container has moved without its descendants yet
	}
	switch {
	case state.Resync == store.ResyncClean:
		added, more, err = r.takeOver(tx, m, state)
	case state.Resync != "":
		return 0, false, nil
	case len(state.Subtrees) > 0:
		added, more, err = r.subtree(tx, m, state)
	case state.Walk.Held > 0:
		return 0, false, nil
	default:
		added, more, err = r.walk(tx, m, state)
	}
	if err != nil {
		return 0, false, err
	}
	return added, more, m.store(tx, state)
}

// walk looks at the next entries of a walk.
func (r *Router) walk(tx *store.Tx, m *Module, state *store.ModuleState) (added int, more bool, err error) {
	walk := *state.Walk
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
		return 0, false, err
	}
	walk.Pos = bytes.Clone(walk.Pos)
	walk.Done += uint64(looked)
	next := &walk
	if !more {
		next = r.nextPass(tx, m, &walk)
		more = next != nil && next.Held == 0
	}
	if state.Walk = next; next == nil {
		err = retire(tx, state)
	}
	return added, more, err
}

// nextPass returns the pass after one that is complete, nil after the last one. Members
// may leave when they were counted, and are not too many.
func (r *Router) nextPass(tx *store.Tx, m *Module, walk *store.Walk) *store.Walk {
	members := uint64(tx.CountMembers(m.number))
	for _, f := range m.former {
		members += uint64(tx.CountMembers(f.Number))
	}
	next := &store.Walk{Cause: walk.Cause, Known: walk.Known}
	switch {
	case !walk.Leave:
		return nil
	case walk.Checked && walk.Released > 0 && walk.Removes > walk.Released:
		next.Leave = true
	case walk.Checked:
	case r.Limits.exceeded(walk.Removes, members):
		next.Leave, next.Held, next.Examples = true, walk.Removes, walk.Examples
	default:
		next.Leave, next.Checked = true, true
	}
	return next
}

// member tells whether the module was told of the entry, also before it was
// resynchronized, and if so under which number and of which version; zero: the mirror's.
func (m *Module) member(tx *store.Tx, id uint64) (number uint32, version uint64, err error) {
	if tx.IsMember(m.number, id) {
		return m.number, 0, nil
	}
	return m.formerly(tx, id)
}

// count counts the members that are to leave.
func (r *Router) count(tx *store.Tx, m *Module, walk *store.Walk, _ []byte, id uint64) (int, error) {
	if number, _, err := m.member(tx, id); err != nil || number == 0 {
		return 0, err
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
	if walk.Known {
		return 0, nil
	}
	t := store.Task{Module: m.number, Seq: tx.NextSeq(), Kind: listener.KindCreate, Cause: walk.Cause, ID: id, New: record.Seq}
	if err := m.takeKnown(tx, &t, record.Seq); err != nil {
		return 0, err
	}
	if t.Old != 0 { // it may have had another name
		return 1, tx.AddTask(t)
	}
	return 1, tx.AddWalkTask(t, record, pos)
}

// leave takes an entry from the module that it knows and that does not match.
func (r *Router) leave(tx *store.Tx, m *Module, walk *store.Walk, pos []byte, id uint64) (int, error) {
	number, version, err := m.member(tx, id)
	if err != nil || number == 0 {
		return 0, err
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
	if err := tx.SetMember(number, id, false); err != nil {
		return 0, err
	}
	t := store.Task{Module: m.number, Kind: listener.KindRemove, Cause: walk.Cause, ID: id, Old: record.Seq, Seq: tx.NextSeq()}
	if version != 0 && version != record.Seq { // which may have had another name
		t.Old = version
		return 1, tx.AddTask(t)
	}
	return 1, tx.AddWalkTask(t, record, pos)
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
