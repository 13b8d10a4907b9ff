package store

import (
	"bytes"
	"encoding/binary"

	"github.com/listenerd/listenerd/listener"
)

// Queued returns the module's tasks for the entry, in order, wherever they are.
func (tx *Tx) Queued(module uint32, id uint64) (tasks []Task, err error) {
	prefix := bytes.Clone(pendingKey(&tx.key, id, module, 0)[:12])
	c := tx.pending.Cursor()
	for k, _ := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		t, err := tx.Task(module, binary.BigEndian.Uint64(k[12:]))
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, t)
	}
	return tasks, nil
}

// Drop gives a parked, failed task up, and returns the tasks that are gone. With a create
// the entry's whole queue goes, and its membership: the module was never told of the
// entry. A modify becomes part of the entry's next change; if there is none, its new state
// counts as known. A remove is forgotten, and with it the entry. What waits for a failed
// task has not been attempted, so its content may change.
func (tx *Tx) Drop(t *Task) (gone []Task, err error) {
	queue, err := tx.Queued(t.Module, t.ID)
	if err != nil {
		return nil, err
	}
	for len(queue) > 0 && queue[0].Seq < t.Seq {
		queue = queue[1:]
	}
	gone, rest := queue[:1], queue[1:]
	switch {
	case t.Kind == listener.KindCreate:
		gone = queue
		if err := tx.SetMember(t.Module, t.ID, false); err != nil {
			return nil, err
		}
	case t.Kind == listener.KindModify && len(rest) > 0:
		if err := tx.startFrom(&rest[0], t.Old); err != nil {
			return nil, err
		}
	}
	freed := map[uint64]struct{}{}
	for i := range gone {
		keys, err := tx.Hashes(&gone[i])
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			freed[k] = struct{}{}
		}
		if err := tx.RemoveTask(&gone[i]); err != nil {
			return nil, err
		}
	}
	return gone, tx.Release(t.Module, freed)
}

// startFrom gives a task another old state, and with it other keys.
func (tx *Tx) startFrom(t *Task, old uint64) error {
	if t.Old = old; t.Place != InParked {
		return tx.rewrite(t)
	}
	if err := tx.unpark(t); err != nil {
		return err
	}
	t.Place = InOutbox
	if err := tx.put(tx.outbox, bytes.Clone(outboxKey(&tx.key, t.Module, t.Seq)), appendTask(tx.slabs.alloc(taskSize)[:0], t)); err != nil {
		return err
	}
	keys, err := tx.Keys(t)
	if err != nil {
		return err
	}
	return tx.Park(t, keys)
}

// Latest makes one task of a parked, failed one and of what the entry has queued behind
// it, as far as it is at one name, and returns how many tasks are gone. The task that is
// left has the last one's seq and begins at the state that is known. A create that was
// attempted stands for nothing that a remove could take back unseen: then the remove is
// left.
func (tx *Tx) Latest(t *Task) (gone int, err error) {
	queue, err := tx.Queued(t.Module, t.ID)
	if err != nil {
		return 0, err
	}
	for len(queue) > 0 && queue[0].Seq < t.Seq {
		queue = queue[1:]
	}
	n, err := tx.run(queue)
	if err != nil || n < 2 {
		return 0, err
	}
	if last := queue[n-1]; t.Kind == listener.KindCreate && last.Kind == listener.KindRemove {
		queue[0].Old = last.Old
	}
	_, keep, err := tx.foldRun(&Folding{Module: t.Module, Same: func(_, _ *Record) (bool, error) { return false, nil }}, queue[:n])
	if keep {
		n--
	}
	return n, err
}
