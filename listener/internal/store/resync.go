package store

import (
	"bytes"
	"encoding/binary"
	"slices"

	"go.etcd.io/bbolt"
)

// Resync is how far the resynchronization of a module has come.
type Resync string

// What is next for a module that is resynchronized.
const (
	// ResyncWanted: its state is to be given up.
	ResyncWanted Resync = "wanted"
	// ResyncClean: clean, or for a module without it the removes that it was owed.
	ResyncClean Resync = "clean"
	// ResyncInitialize: initialize. After that there is only the walk.
	ResyncInitialize Resync = "initialize"
)

// Former is a number that a module had before it was resynchronized, as long as what it
// was told then matters.
type Former struct {
	Number uint32 `json:"number"`
	// Handed is the seq up to which tasks may have been called without a trace: in a run
	// that was killed.
	Handed uint64 `json:"handed,omitempty"`
	// Taken is the seq up to which the removes that were owed have been taken over, Done
	// that all of them have.
	Taken uint64 `json:"taken,omitempty"`
	Done  bool   `json:"done,omitempty"`
}

// Subtree is an entry with all below it that a module is to be told of again.
type Subtree struct {
	// DN is the entry's.
	DN string `json:"dn"`
	// Pos is the place of the last entry that was looked at.
	Pos []byte `json:"pos,omitempty"`
}

// Renumber gives the module's state a new number, under which it was told of nothing and is
// owed nothing, and returns the one it had. To be followed by [Tx.SetModule].
func (s *ModuleState) Renumber() (former uint32) {
	former, s.Number = s.Number, 0
	return former
}

// Forget removes the module's state. What is kept under its numbers is retired.
func (tx *Tx) Forget(name string, s *ModuleState) error {
	for _, f := range s.Former {
		if err := tx.Retire(f.Number); err != nil {
			return err
		}
	}
	if err := tx.Retire(s.Number); err != nil {
		return err
	}
	return tx.del(tx.modules, []byte(name))
}

// Retire gives up all that is kept under the number of a module, which nobody uses any
// more. [Tx.Purge] removes it.
func (tx *Tx) Retire(number uint32) error {
	return tx.put(tx.retired, binary.BigEndian.AppendUint32(nil, number), []byte{})
}

// What one Purge removes at most. A task is in several places, which may be on pages of
// their own: so many tasks dirty less than 16 MiB.
const (
	purgeTasks   = 500
	purgeMembers = 20_000
)

// Purge removes a part of what retired numbers have, and tells whether there is more.
func (tx *Tx) Purge() (more bool, err error) {
	k, _ := tx.retired.Cursor().First()
	if k == nil {
		return false, nil
	}
	key := bytes.Clone(k)
	number := binary.BigEndian.Uint32(key)
	left := purgeTasks
	freed := map[uint64]struct{}{}
	for place, bucket := range []*bbolt.Bucket{InOutbox: tx.outbox, InBacklog: tx.backlog, InParked: tx.parked} {
		tasks, err := tx.tasks(bucket, Place(place), number, 0, 1<<64-1, left)
		if err != nil {
			return false, err
		}
		for i := range tasks {
			hashes, err := tx.Hashes(&tasks[i])
			if err != nil {
				return false, err
			}
			for _, hash := range hashes {
				freed[hash] = struct{}{}
			}
			if err := tx.RemoveTask(&tasks[i]); err != nil {
				return false, err
			}
		}
		left -= len(tasks)
	}
	if err := tx.Release(number, freed); err != nil || left == 0 {
		return true, err
	}
	var members [][]byte
	c := tx.members.Cursor()
	for k, _ := c.Seek(key); bytes.HasPrefix(k, key) && len(members) < purgeMembers; k, _ = c.Next() {
		members = append(members, bytes.Clone(k))
	}
	for _, k := range members {
		if err := tx.del(tx.members, k); err != nil {
			return false, err
		}
	}
	if len(members) == purgeMembers {
		return true, nil
	}
	if err := tx.del(tx.marks, key); err != nil {
		return false, err
	}
	if err := tx.del(tx.retired, key); err != nil {
		return false, err
	}
	k, _ = tx.retired.Cursor().First()
	return k != nil, nil
}

// EachTask calls fn with the module's tasks with a seq greater than after, in order and
// wherever they are, until it returns false.
func (tx *Tx) EachTask(module uint32, after uint64, fn func(*Task) (bool, error)) error {
	type front struct {
		c    *bbolt.Cursor
		k, v []byte
		at   Place
	}
	var fronts []*front
	prefix := binary.BigEndian.AppendUint32(nil, module)
	for place, bucket := range []*bbolt.Bucket{InOutbox: tx.outbox, InBacklog: tx.backlog, InParked: tx.parked} {
		f := &front{c: bucket.Cursor(), at: Place(place)}
		f.k, f.v = f.c.Seek(outboxKey(&tx.key, module, after+1))
		fronts = append(fronts, f)
	}
	for {
		fronts = slices.DeleteFunc(fronts, func(f *front) bool { return !bytes.HasPrefix(f.k, prefix) })
		if len(fronts) == 0 {
			return nil
		}
		first := slices.MinFunc(fronts, func(a, b *front) int { return bytes.Compare(a.k, b.k) })
		t, err := decodeTask(module, binary.BigEndian.Uint64(first.k[4:]), first.v)
		if err != nil {
			return err
		}
		t.Place = first.at
		first.k, first.v = first.c.Next()
		if more, err := fn(&t); err != nil || !more {
			return err
		}
	}
}

// MayHaveBeenCalled tells whether the call of a task may have been made: it has failed, or
// could be handed out in a run that was killed, up to the seq handed.
func (tx *Tx) MayHaveBeenCalled(t *Task, handed uint64) bool {
	return t.Seq <= handed || tx.failures.Get(outboxKey(&tx.key, t.Module, t.Seq)) != nil
}
