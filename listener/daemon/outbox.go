package daemon

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
	"github.com/listenerd/listenerd/listener/internal/schema"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// outbox is the dispatcher's view of the store.
type outbox struct {
	store  *store.Store
	refill func(module string) (bool, error)
	attrs  map[string][]string // that the modules want to hear of; none: all
	calls  callLog

	decoded decoded

	mu      sync.RWMutex      // guards what follows
	numbers map[string]uint32 // of the modules
	before  map[string]uint64 // up to this seq tasks may have been handed out in earlier runs
}

// number returns the number of a module, zero if there is none.
func (o *outbox) number(module string) uint32 {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.numbers[module]
}

// renumber notes a module's new number, of which nothing was handed out.
func (o *outbox) renumber(module string, number uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.numbers[module], o.before[module] = number, 0
}

func (o *outbox) handedBefore(module string) uint64 {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.before[module]
}

var _ dispatch.Outbox = (*outbox)(nil)

// finish stores, at the end of a run, that what was handed out in it was done or is known to
// have failed; but not for the modules whose calls were cut off.
func (o *outbox) finish(cutOff map[string]bool) error {
	o.mu.RLock()
	numbers, handed := maps.Clone(o.numbers), maps.Clone(o.before)
	o.mu.RUnlock()
	return o.store.Update(func(tx *store.Tx) error {
		tx.Commits("finish")
		for name, number := range numbers {
			if before := handed[name]; !cutOff[name] && tx.Mark(number) > before {
				if err := tx.SetMark(number, before); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Load implements [dispatch.Outbox].
func (o *outbox) Load(name string, q dispatch.Query) (out []*dispatch.Task, err error) {
	module := o.number(name)
	err = o.store.View(func(tx *store.Tx) error {
		rows, err := tx.Tasks(module, q.After, q.Last, q.Limit)
		if err != nil {
			return err
		}
		out, err = o.newReading(tx, module, &q).all(rows)
		return err
	})
	return out, err
}

// Backlog implements [dispatch.Outbox].
func (o *outbox) Backlog(name string, q dispatch.Query) (out []*dispatch.Task, beyond bool, err error) {
	module := o.number(name)
	err = o.store.View(func(tx *store.Tx) error {
		for {
			rows, err := tx.Backlog(module, q.After, q.Last, q.Limit)
			if err != nil || len(rows) == 0 {
				beyond = tx.HasBacklog(module, q.Last, math.MaxUint64)
				return err
			}
			r := o.newReading(tx, module, &q)
			r.inTurn = true
			if out, err = r.all(rows); err != nil || len(out) > 0 {
				return err
			}
			q.After = rows[len(rows)-1].Seq // the dispatcher has all of these
		}
	})
	return out, beyond, err
}

// Due implements [dispatch.Outbox].
func (o *outbox) Due(name string, now time.Time, q dispatch.Query) (out []*dispatch.Task, next time.Time, more bool, err error) {
	module := o.number(name)
	err = o.store.View(func(tx *store.Tx) error {
		r := o.newReading(tx, module, &q)
		at := int64(0)
		at, more, err = tx.Due(module, now.UnixNano(), q.Last, func(seq uint64) store.Held { return store.Held(q.Held(seq)) }, r.add)
		if at > 0 {
			next = time.Unix(0, at)
		}
		out = r.tasks
		return err
	})
	return out, next, more, err
}

// reading collects the tasks for one query.
type reading struct {
	tx      *store.Tx
	decoded *decoded
	module  uint32
	q       *dispatch.Query
	tasks   []*dispatch.Task
	found   map[uint64]bool // of the backlog
	blocked map[string]bool // by tasks that are blocked themselves
	parked  *store.Blocks
	inTurn  bool // the rows are those of the backlog, from q.Walked on
	left    int  // of the limit
	size    int  // that is left
}

func (o *outbox) newReading(tx *store.Tx, module uint32, q *dispatch.Query) *reading {
	return &reading{
		tx: tx, decoded: &o.decoded, module: module, q: q, found: map[uint64]bool{}, blocked: map[string]bool{}, parked: tx.Blocks(module),
		left: q.Limit, size: q.Size,
	}
}

func (r *reading) all(rows []store.Task) ([]*dispatch.Task, error) {
	r.tasks = make([]*dispatch.Task, 0, len(rows))
	for i := range rows {
		more, err := r.add(&rows[i])
		if r.inTurn {
			r.q.Walked = rows[i].Seq // nothing of the backlog before it is left
		}
		if err != nil || !more {
			return r.tasks, err
		}
	}
	return r.tasks, nil
}

// add adds a task behind what it has to wait for in the backlog, unless that has it or
// the dispatcher has. It tells whether there is room for more.
func (r *reading) add(row *store.Task) (more bool, err error) {
	if row.Place == store.InBacklog && r.loaded(row.Seq) {
		return true, nil
	}
	t, err := loadTask(r.tx, row, r.decoded)
	if err != nil {
		return false, err
	}
	if !r.inTurn && r.tx.HasBacklog(r.module, r.q.Walked, row.Seq) { // in turn, what is ahead came before
		ahead, err := r.tx.Ahead(row, t.Keys, r.q.Tree, r.loaded)
		if err != nil {
			return false, err
		}
		for i := range ahead {
			first, err := loadTask(r.tx, &ahead[i], r.decoded)
			if err != nil {
				return false, err
			}
			r.take(first)
		}
	}
	r.take(t)
	r.left--
	r.size -= t.Size
	return r.left > 0 && r.size > 0, nil
}

// loaded tells whether the dispatcher has a task of the backlog.
func (r *reading) loaded(seq uint64) bool {
	return seq <= r.q.Walked || r.found[seq] || r.q.Held(seq) != dispatch.NotHeld
}

func (r *reading) take(t *dispatch.Task) {
	r.tasks = append(r.tasks, t)
	if t.Walk {
		r.found[t.Seq] = true
	}
	if t.Parked {
		return
	}
	if r.parked.Has(t.Seq, t.Keys) || len(r.blocked) > 0 && slices.ContainsFunc(t.Keys, func(k string) bool { return r.blocked[k] }) {
		t.Blocked = true
		for _, k := range t.Keys {
			r.blocked[k] = true
		}
	}
}

func loadTask(tx *store.Tx, row *store.Task, known *decoded) (*dispatch.Task, error) {
	t := &dispatch.Task{Seq: row.Seq, Kind: row.Kind, Cause: row.Cause, Keys: make([]string, 0, 3), Ref: row}
	t.Parked, t.Walk = row.Place == store.InParked, row.Place == store.InBacklog
	f, err := tx.Failure(row.Module, row.Seq)
	if err != nil {
		return nil, err
	}
	t.Failure = (*dispatch.Failure)(f)
	if t.Old, err = loadEntry(tx, t, known, version{row.ID, row.Old, tx.Names()}); err != nil {
		return nil, err
	}
	if t.Kind == listener.KindCreate {
		t.Old = nil // it matters for the order only
	}
	if t.New, err = loadEntry(tx, t, known, version{row.ID, row.New, tx.Names()}); t.New != nil {
		above, _ := schema.ParentKey([]byte(t.Keys[len(t.Keys)-1]))
		t.Above = string(above)
	}
	return t, err
}

func loadEntry(tx *store.Tx, t *dispatch.Task, known *decoded, v version) (*listener.Entry, error) {
	if v.seq == 0 {
		return nil, nil
	}
	e := known.get(v)
	if e == nil {
		record, err := tx.Version(v.id, v.seq)
		if err != nil {
			return nil, err
		}
		e = &decodedEntry{size: 256 + len(record.DN) + len(record.Attrs), key: string(schema.TreeKey(record.DN))}
		if e.entry, err = record.Entry(); err != nil {
			return nil, err
		}
		if !t.Walk { // modules walk at times of their own
			known.put(v, e)
		}
	}
	t.UUID = e.entry.UUID()
	t.Size += e.size
	if len(t.Keys) == 0 {
		t.Keys = append(t.Keys, string(t.UUID[:]))
	}
	t.Keys = append(t.Keys, e.key)
	return e.entry, nil
}

// Refill implements [dispatch.Outbox].
func (o *outbox) Refill(name string) (bool, error) { return o.refill(name) }

// Fold implements [dispatch.Outbox].
func (o *outbox) Fold(name string, parked bool, attempted uint64, q dispatch.Query) (last uint64, gone int, err error) {
	module := o.number(name)
	ids := map[uint64]bool{}
	err = o.store.View(func(tx *store.Tx) error { // most often there is nothing to write
		list := tx.Tasks
		if parked {
			list = tx.ParkedTasks
		}
		rows, err := list(module, q.After, q.Last, q.Limit)
		for i := range rows {
			last = rows[i].Seq
			if id := rows[i].ID; !ids[id] && tx.Repeats(module, id) {
				ids[id] = true
			}
		}
		return err
	})
	if err != nil || len(ids) == 0 {
		return last, 0, err
	}
	f := o.folding(name)
	f.Loaded, f.Walked = attempted, q.Walked
	if q.Held != nil {
		f.Held = func(seq uint64) store.Held { return store.Held(q.Held(seq)) }
	}
	err = o.store.Update(func(tx *store.Tx) error {
		tx.Commits("fold")
		gone = 0
		for id := range ids {
			n, err := tx.Fold(f, id)
			if err != nil {
				return err
			}
			gone += n
		}
		return nil
	})
	return last, gone, err
}

// folding returns how the module's tasks are folded.
func (o *outbox) folding(name string) *store.Folding {
	return &store.Folding{
		Module: o.number(name),
		Same: func(old, new *store.Record) (bool, error) {
			if old.DN != new.DN {
				return false, nil
			}
			a, err := old.View()
			if err != nil {
				return false, err
			}
			b, err := new.View()
			return err == nil && !listener.Changed(a, b, o.attrs[name]...), err
		},
	}
}

// Commit implements [dispatch.Outbox].
func (o *outbox) Commit(changes map[string]*dispatch.Changes) error {
	err := o.store.Update(func(tx *store.Tx) error {
		tx.Commits("outcome")
		for name, c := range changes {
			err := errors.Join(commit(tx, o.number(name), o.handedBefore(name), c), o.merge(tx, name, c), o.foldWaiting(tx, name, c))
			if err != nil {
				return fmt.Errorf("module %s: %w", name, err)
			}
		}
		return nil
	})
	if err == nil {
		o.calls.note(changes)
	}
	return err
}

func commit(tx *store.Tx, module uint32, before uint64, c *dispatch.Changes) error {
	freed := map[uint64]struct{}{}
	free := func(row *store.Task) error {
		keys, err := tx.Hashes(row)
		for _, k := range keys {
			freed[k] = struct{}{}
		}
		return err
	}
	for _, t := range c.Done {
		tx.Commits("acknowledge")
		row := rowOf(t)
		if row.Place == store.InParked {
			if err := free(row); err != nil {
				return err
			}
		}
		if err := tx.RemoveTask(row); err != nil {
			return err
		}
	}
	for _, t := range c.Failed {
		tx.Commits("park")
		if err := errors.Join(tx.Park(rowOf(t), t.Keys), tx.SetFailure(rowOf(t), (*store.Failure)(t.Failure))); err != nil {
			return err
		}
	}
	for _, t := range c.Stopped {
		tx.Commits("halt")
		if err := tx.SetFailure(rowOf(t), (*store.Failure)(t.Failure)); err != nil {
			return err
		}
	}
	for _, t := range c.Waiting {
		tx.Commits("wait")
		rowOf(t).Attempted = t.Seq <= before
		if err := tx.Park(rowOf(t), t.Keys); err != nil {
			return err
		}
		if err := free(rowOf(t)); err != nil { // what blocked it may be gone by now
			return err
		}
	}
	if err := tx.Release(module, freed); err != nil || c.Handed == 0 {
		return err
	}
	tx.Commits("mark")
	return tx.SetMark(module, c.Handed)
}

// merge folds tasks with each other that the dispatcher has.
func (o *outbox) merge(tx *store.Tx, name string, c *dispatch.Changes) error {
	for i := range c.Merge {
		tx.Commits("merge")
		merge := &c.Merge[i]
		rows := make([]store.Task, len(merge.Tasks))
		for i, t := range merge.Tasks {
			rows[i] = *rowOf(t)
		}
		left, err := tx.FoldTasks(o.folding(name), rows)
		if err != nil {
			return err
		}
		merge.Left = make([]*dispatch.Task, len(merge.Tasks))
		for i, t := range merge.Tasks {
			if len(left) == 0 || left[0].Seq != t.Seq {
				continue
			}
			if merge.Left[i], err = loadTask(tx, &left[0], &o.decoded); err != nil {
				return err
			}
			left = left[1:]
		}
	}
	return nil
}

// foldWaiting folds what waits for failed tasks.
func (o *outbox) foldWaiting(tx *store.Tx, name string, c *dispatch.Changes) error {
	if c.Folded = 0; !c.Fold {
		return nil
	}
	f := o.folding(name)
	tx.Commits("fold-waiting")
	f.ParkedOnly = true
	done := map[uint64]bool{}
	for _, t := range c.Waiting {
		id := rowOf(t).ID
		if done[id] {
			continue
		}
		done[id] = true
		gone, err := tx.Fold(f, id)
		if err != nil {
			return err
		}
		c.Folded += gone
	}
	return nil
}

func rowOf(t *dispatch.Task) *store.Task { return t.Ref.(*store.Task) }

// Update implements [dispatch.Outbox].
func (o *outbox) Update(name string, steps dispatch.Steps) error {
	return o.store.Update(func(tx *store.Tx) error {
		tx.Commits("step")
		state, err := tx.Module(name)
		if err != nil {
			return err
		}
		state.Initialized, state.PostRunOwed = steps.Initialized, steps.PostRunOwed
		if state.Resync != store.ResyncWanted { // this is stored by others
			state.Resync = store.Resync(steps.Resync)
		}
		return tx.SetModule(name, state)
	})
}
