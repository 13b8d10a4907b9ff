package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/listenerd/listenerd/listener/internal/schema"
)

// Ahead returns the tasks of the module's backlog, beyond those that loaded tells, that
// have to be called before a task with the keys, and what has to be called before those.
// They come in order.
//
// With tree, parents come first: what creates or moves an entry has to wait for the task
// of the one above it, what moves one for the creates right below its old name, and what
// removes one for all earlier removes.
func (tx *Tx) Ahead(t *Task, keys []string, tree bool, loaded func(seq uint64) bool) ([]Task, error) {
	if err := tx.writeWalkRows(); err != nil {
		return nil, err
	}
	a := &ahead{tx: tx, module: t.Module, tree: tree, loaded: loaded, rows: tx.backlog.Cursor(), found: map[uint64]bool{}}
	if err := a.look(t, keys); err != nil {
		return nil, err
	}
	for done := 0; done < len(a.tasks); done++ {
		t := a.tasks[done]
		keys, err := tx.Keys(&t)
		if err != nil {
			return nil, err
		}
		if err := a.look(&t, keys); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(a.tasks, func(a, b Task) int { return cmp.Compare(a.Seq, b.Seq) })
	return a.tasks, nil
}

// ahead is one run of [Tx.Ahead].
type ahead struct {
	tx     *Tx
	module uint32
	tree   bool
	loaded func(seq uint64) bool
	rows   *bbolt.Cursor
	found  map[uint64]bool
	tasks  []Task
}

// look adds what has to go before the task.
func (a *ahead) look(t *Task, keys []string) error {
	prefix := bytes.Clone(pendingKey(&a.tx.key, t.ID, a.module, 0)[:12])
	if err := a.scan(a.tx.pending.Cursor(), prefix, t.Seq); err != nil {
		return err
	}
	if a.tree && t.New != 0 {
		old, new := keys[1], keys[len(keys)-1]
		keys = slices.Clip(keys)
		if above, ok := schema.ParentKey([]byte(new)); ok {
			keys = append(keys, string(above))
		}
		if old != new {
			keys = append(keys, below(old))
		}
	}
	c := a.tx.walkKeys.Cursor()
	for _, key := range keys {
		prefix := bytes.Clone(blockKey(&a.tx.key, a.module, hashKey(key), 0)[:12])
		if err := a.scan(c, prefix, t.Seq); err != nil {
			return err
		}
	}
	if a.tree && t.New == 0 {
		return a.removes(t.Seq)
	}
	return nil
}

// removes adds the removes before a seq.
func (a *ahead) removes(before uint64) error {
	c := a.tx.backlog.Cursor()
	for k, v := c.Seek(outboxKey(&a.tx.key, a.module, 0)); k != nil && binary.BigEndian.Uint32(k) == a.module; k, v = c.Next() {
		seq := binary.BigEndian.Uint64(k[4:])
		if seq >= before {
			break
		}
		t, err := decodeTask(a.module, seq, v)
		if err != nil {
			return err
		}
		if t.New == 0 && !a.found[seq] && !a.loaded(seq) {
			t.Place = InBacklog
			a.found[seq] = true
			a.tasks = append(a.tasks, t)
		}
	}
	return nil
}

// scan adds the tasks that an index has below the prefix, up to a seq.
func (a *ahead) scan(index *bbolt.Cursor, prefix []byte, before uint64) error {
	for k, _ := index.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, _ = index.Next() {
		seq := binary.BigEndian.Uint64(k[12:])
		if seq >= before {
			break
		}
		if a.found[seq] || a.loaded(seq) {
			continue
		}
		key := outboxKey(&a.tx.key, a.module, seq)
		row, v := a.rows.Seek(key)
		if row == nil || !bytes.Equal(row, key) {
			continue // it is in the outbox, or parked
		}
		t, err := decodeTask(a.module, seq, v)
		if err != nil {
			return err
		}
		t.Place = InBacklog
		a.found[seq] = true
		a.tasks = append(a.tasks, t)
	}
	return nil
}

// below returns the key of what is right below a name. It differs from all names: they
// end in a byte that this does not.
func below(name string) string { return name + "below" }

// Keys returns what orders the task: its entry, and the names that it has.
func (tx *Tx) Keys(t *Task) (keys []string, err error) {
	for _, version := range []uint64{t.Old, t.New} {
		if version == 0 {
			continue
		}
		r, err := tx.Version(t.ID, version)
		if err != nil {
			return nil, err
		}
		if keys == nil {
			keys = append(keys, string(r.UUID[:]))
		}
		keys = append(keys, string(schema.TreeKey(r.DN)))
	}
	return keys, nil
}

// HasBacklog tells whether the module's backlog has a task with a seq greater than after
// and less than before.
func (tx *Tx) HasBacklog(module uint32, after, before uint64) bool {
	k, _ := tx.backlog.Cursor().Seek(outboxKey(&tx.key, module, after+1))
	return k != nil && binary.BigEndian.Uint32(k) == module && binary.BigEndian.Uint64(k[4:]) < before
}
