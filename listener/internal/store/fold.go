package store

import (
	"bytes"
	"encoding/binary"

	"go.etcd.io/bbolt"

	"github.com/listenerd/listenerd/listener"
)

// Folding turns several tasks of one entry into one with the seq of the last. What was
// attempted is never touched, and no order is changed that the handler could see but
// this: the states in between are skipped, and a create may come after those of its
// children.
//
// Only tasks at one name are folded; the last of them may be the one that leaves it. The
// entry had the name all the time, so nobody else's task in between touches it, except
// before a create or after a remove, which the one task that is left comes after, or
// stands for. A task that leaves a name or takes one keeps its place, and with it the
// order of those who take turns at a name. For the same reason a remove and a later
// create stay apart: somebody else may have had the name in the meantime.

// Folding says what may be folded.
type Folding struct {
	// Module whose tasks are folded.
	Module uint32
	// Loaded and Walked are the seq up to which tasks of the outbox and the backlog may
	// have been attempted.
	Loaded, Walked uint64
	// ParkedOnly leaves alone what is not parked.
	ParkedOnly bool
	// Held tells which tasks of the backlog beyond that are in memory. May be nil.
	Held func(seq uint64) Held
	// Same tells whether the module need not hear of the difference.
	Same func(old, new *Record) (bool, error)
}

// Fold folds what the entry has queued and unattempted, and returns how many tasks are
// gone.
func (tx *Tx) Fold(f *Folding, id uint64) (gone int, err error) {
	queue, err := tx.unattempted(f, id)
	if err != nil {
		return 0, err
	}
	left, err := tx.FoldTasks(f, queue)
	return len(queue) - len(left), err
}

// FoldTasks folds tasks of an entry that follow each other, and returns what is left: some
// of them, with other content.
func (tx *Tx) FoldTasks(f *Folding, queue []Task) (left []Task, err error) {
	for len(queue) > 0 {
		n, err := tx.run(queue)
		if err != nil {
			return nil, err
		}
		folded, keep := queue[0], true
		if n > 1 {
			if folded, keep, err = tx.foldRun(f, queue[:n]); err != nil {
				return nil, err
			}
		}
		if keep {
			left = append(left, folded)
		}
		queue = queue[n:]
	}
	return left, nil
}

// Repeats tells whether the module is owed more than one call for the entry.
func (tx *Tx) Repeats(module uint32, id uint64) bool {
	c := tx.pending.Cursor()
	prefix := pendingKey(&tx.key, id, module, 0)[:12]
	if k, _ := c.Seek(prefix); k == nil || !bytes.HasPrefix(k, prefix) {
		return false
	}
	k, _ := c.Next()
	return k != nil && bytes.HasPrefix(k, prefix)
}

// unattempted returns the tasks of the module's entry that were never handed out: all
// behind the last one that may have been.
func (tx *Tx) unattempted(f *Folding, id uint64) (queue []Task, err error) {
	prefix := bytes.Clone(pendingKey(&tx.key, id, f.Module, 0)[:12])
	failed := false
	c := tx.pending.Cursor()
	for k, _ := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		t, err := tx.Task(f.Module, binary.BigEndian.Uint64(k[12:]))
		if err != nil {
			return nil, err
		}
		if f.ParkedOnly && t.Place != InParked {
			break
		}
		attempted := false
		switch t.Place {
		case InOutbox:
			attempted = t.Seq <= f.Loaded
		case InBacklog:
			attempted = t.Seq <= f.Walked || f.Held != nil && f.Held(t.Seq) != NotHeld
		case InParked:
			// Behind a failed one of the entry nothing was called in that run.
			failure := tx.failures.Get(outboxKey(&tx.key, f.Module, t.Seq)) != nil
			attempted = failure || !failed || t.Attempted
			failed = failed || failure
		}
		if attempted {
			queue = queue[:0]
			continue
		}
		queue = append(queue, t)
	}
	return queue, nil
}

// Task returns a task wherever it is.
func (tx *Tx) Task(module uint32, seq uint64) (Task, error) {
	key := outboxKey(&tx.key, module, seq)
	for place, raw := range [][]byte{InOutbox: tx.outbox.Get(key), InBacklog: tx.backlog.Get(key), InParked: tx.parked.Get(key)} {
		if raw != nil {
			t, err := decodeTask(module, seq, raw)
			t.Place = Place(place)
			return t, err
		}
	}
	return Task{}, damaged("pending task", seq)
}

// run returns how many tasks at the beginning of the queue can be folded into one.
func (tx *Tx) run(queue []Task) (int, error) {
	name := []byte(nil)
	for i := range queue {
		keys, err := tx.Keys(&queue[i])
		if err != nil {
			return 0, err
		}
		first, last := []byte(keys[1]), []byte(keys[len(keys)-1])
		if name != nil && !bytes.Equal(name, first) || i > 0 && queue[i-1].New == 0 {
			return i, nil
		}
		if name = last; !bytes.Equal(first, last) {
			return i + 1, nil // it leaves the name
		}
	}
	return len(queue), nil
}

// foldRun puts one task in the place of all, or none.
func (tx *Tx) foldRun(f *Folding, run []Task) (folded Task, keep bool, err error) {
	first := run[0]
	folded = run[len(run)-1]
	folded.Old = first.Old
	keep = folded.Old != 0 || folded.New != 0
	if folded.Old != 0 && folded.New != 0 && first.Kind != listener.KindCreate {
		old, err := tx.Version(folded.ID, folded.Old)
		if err != nil {
			return folded, false, err
		}
		new, err := tx.Version(folded.ID, folded.New)
		if err != nil {
			return folded, false, err
		}
		same, err := f.Same(old, new)
		if err != nil {
			return folded, false, err
		}
		keep = !same
	}
	freed := map[uint64]struct{}{}
	remove := run
	if keep {
		remove = run[:len(run)-1]
		if first.Kind == listener.KindCreate && folded.New != 0 {
			folded.Kind = listener.KindCreate
		}
		if err := tx.rewrite(&folded); err != nil {
			return folded, false, err
		}
	}
	for i := range remove {
		keys, err := tx.Hashes(&remove[i])
		if err != nil {
			return folded, false, err
		}
		for _, k := range keys {
			freed[k] = struct{}{}
		}
		if err := tx.RemoveTask(&remove[i]); err != nil {
			return folded, false, err
		}
	}
	return folded, keep, tx.Release(f.Module, freed)
}

// rewrite stores other content of a task at its place.
func (tx *Tx) rewrite(t *Task) error {
	bucket := [...]*bbolt.Bucket{InOutbox: tx.outbox, InBacklog: tx.backlog, InParked: tx.parked}[t.Place]
	key := outboxKey(&tx.key, t.Module, t.Seq)
	rest := bucket.Get(key)[taskSize:]
	b := appendTask(tx.slabs.alloc(taskSize + len(rest))[:0], t)
	return tx.put(bucket, key, append(b, rest...))
}
