package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/schema"
)

// Task is one call owed to one module.
type Task struct {
	Module uint32
	Seq    uint64
	Kind   listener.Kind
	Cause  listener.Cause
	ID     uint64 // the entry
	Old    uint64 // version before, 0: none. Of a create: what the module was told before it was resynchronized
	New    uint64 // version after, 0: none

	// Place is where the task is.
	Place Place
	// Attempted is set for a parked task that waits for a failed one, and whose own call
	// may have been made before that in an earlier run.
	Attempted bool
}

// Place is where a task is kept.
type Place uint8

// The places of tasks.
const (
	// InOutbox are those of live changes, in order.
	InOutbox Place = iota
	// InBacklog are those that walks add: live ones need not wait behind them.
	InBacklog
	// InParked are those that failed, or wait for one that did.
	InParked
)

var (
	kinds  = []listener.Kind{listener.KindCreate, listener.KindModify, listener.KindRemove}
	causes = []listener.Cause{listener.CauseLive, listener.CauseInitialize, listener.CauseResync, listener.CauseReconcile}
)

const taskSize = 1 + 1 + 8 + 8 + 8

// attempted is set in the octet of the cause.
const attempted = 0x80

// AddTask puts a task into the outbox, or the backlog if it does not tell of a live
// change.
func (tx *Tx) AddTask(t Task) error {
	if t.Cause == listener.CauseLive {
		return tx.addTask(&t, tx.outbox, appendTask(tx.slabs.alloc(taskSize)[:0], &t))
	}
	keys, err := tx.Keys(&t)
	if err != nil {
		return err
	}
	return tx.addToBacklog(&t, keys)
}

// AddWalkTask is AddTask for a create or remove of an entry that a walk came to at pos.
func (tx *Tx) AddWalkTask(t Task, r *Record, pos []byte) error {
	name, _ := splitTreeKey(pos)
	return tx.addToBacklog(&t, []string{string(r.UUID[:]), string(name)})
}

func (tx *Tx) addToBacklog(t *Task, keys []string) error {
	if t.Kind == listener.KindCreate {
		keys = keys[1:] // by its entry it is found among the pending ones
		if above, ok := schema.ParentKey([]byte(keys[len(keys)-1])); ok {
			keys = append(keys, below(string(above)))
		}
	}
	b := appendTask(tx.slabs.alloc(taskSize + 8*len(keys))[:0], t)
	for i, key := range keys {
		if slices.Contains(keys[:i], key) { // an entry that keeps its name has it twice
			continue
		}
		hash := hashKey(key)
		b = binary.BigEndian.AppendUint64(b, hash)
		tx.walkRows = append(tx.walkRows, [20]byte(blockKey(&tx.key, t.Module, hash, t.Seq)))
	}
	return tx.addTask(t, tx.backlog, b)
}

func (tx *Tx) addTask(t *Task, bucket *bbolt.Bucket, row []byte) error {
	if err := tx.put(bucket, outboxKey(&tx.key, t.Module, t.Seq), row); err != nil {
		return err
	}
	return tx.put(tx.pending, pendingKey(&tx.key, t.ID, t.Module, t.Seq), nil)
}

// writeWalkRows writes the rows of the index that were collected, in order: each would go
// to a place of its own among those before it.
func (tx *Tx) writeWalkRows() error {
	slices.SortFunc(tx.walkRows, func(a, b [20]byte) int { return bytes.Compare(a[:], b[:]) })
	for i := range tx.walkRows {
		if err := tx.put(tx.walkKeys, tx.walkRows[i][:], nil); err != nil {
			return err
		}
	}
	tx.walkRows = nil
	return nil
}

// takeOut removes the row of a task that is not parked.
func (tx *Tx) takeOut(t *Task) error {
	if err := tx.writeWalkRows(); err != nil {
		return err
	}
	if t.Place == InOutbox {
		return tx.del(tx.outbox, outboxKey(&tx.key, t.Module, t.Seq))
	}
	if raw := tx.backlog.Get(outboxKey(&tx.key, t.Module, t.Seq)); len(raw) > taskSize {
		for _, hash := range hashes(raw[taskSize:]) {
			if err := tx.del(tx.walkKeys, blockKey(&tx.key, t.Module, hash, t.Seq)); err != nil {
				return err
			}
		}
	}
	return tx.del(tx.backlog, outboxKey(&tx.key, t.Module, t.Seq))
}

func appendTask(b []byte, t *Task) []byte {
	cause := byte(indexOf(causes, t.Cause))
	if t.Attempted {
		cause |= attempted
	}
	b = append(b, byte(indexOf(kinds, t.Kind)), cause)
	b = binary.BigEndian.AppendUint64(b, t.ID)
	b = binary.BigEndian.AppendUint64(b, t.Old)
	return binary.BigEndian.AppendUint64(b, t.New)
}

func decodeTask(module uint32, seq uint64, v []byte) (Task, error) {
	t := Task{Module: module, Seq: seq}
	if len(v) < taskSize || int(v[0]) >= len(kinds) || int(v[1]&^attempted) >= len(causes) {
		return t, damaged("task", seq)
	}
	t.Kind, t.Cause, t.Attempted = kinds[v[0]], causes[v[1]&^attempted], v[1]&attempted != 0
	t.ID, t.Old, t.New = binary.BigEndian.Uint64(v[2:]), binary.BigEndian.Uint64(v[10:]), binary.BigEndian.Uint64(v[18:])
	return t, nil
}

func indexOf[T comparable](list []T, v T) int {
	for i := range list {
		if list[i] == v {
			return i
		}
	}
	panic(fmt.Sprintf("store: no code for %v", v)) // a constant that is not in the list
}

func outboxKey(buf *[32]byte, module uint32, seq uint64) []byte {
	binary.BigEndian.PutUint32(buf[0:], module)
	binary.BigEndian.PutUint64(buf[4:], seq)
	return buf[:12]
}

func pendingKey(buf *[32]byte, id uint64, module uint32, seq uint64) []byte {
	binary.BigEndian.PutUint64(buf[0:], id)
	binary.BigEndian.PutUint32(buf[8:], module)
	binary.BigEndian.PutUint64(buf[12:], seq)
	return buf[:20]
}

// Tasks returns up to limit tasks of the module in the outbox, in order: those with a
// seq greater than after and not greater than last.
func (tx *Tx) Tasks(module uint32, after, last uint64, limit int) ([]Task, error) {
	return tx.tasks(tx.outbox, InOutbox, module, after, last, limit)
}

// Backlog is Tasks for what walks added.
func (tx *Tx) Backlog(module uint32, after, last uint64, limit int) ([]Task, error) {
	return tx.tasks(tx.backlog, InBacklog, module, after, last, limit)
}

// ParkedTasks is Tasks for the parked ones.
func (tx *Tx) ParkedTasks(module uint32, after, last uint64, limit int) ([]Task, error) {
	return tx.tasks(tx.parked, InParked, module, after, last, limit)
}

func (tx *Tx) tasks(bucket *bbolt.Bucket, place Place, module uint32, after, last uint64, limit int) ([]Task, error) {
	var out []Task
	c := bucket.Cursor()
	for k, v := c.Seek(outboxKey(&tx.key, module, after+1)); k != nil && len(out) < limit; k, v = c.Next() {
		if binary.BigEndian.Uint32(k) != module {
			break
		}
		seq := binary.BigEndian.Uint64(k[4:])
		if seq > last {
			break
		}
		t, err := decodeTask(module, seq, v)
		if err != nil {
			return nil, err
		}
		t.Place = place
		out = append(out, t)
	}
	return out, nil
}

// CountTasks returns the number of tasks that the module is owed, wherever they are.
func (tx *Tx) CountTasks(module uint32) int {
	return tx.CountTasksAfter(module, 0) + tx.countRows(tx.parked, module, 0)
}

// CountTasksAfter returns the number of tasks with a seq greater than after that the
// module is owed and that are not parked.
func (tx *Tx) CountTasksAfter(module uint32, after uint64) int {
	return tx.countRows(tx.outbox, module, after+1) + tx.countRows(tx.backlog, module, after+1)
}

// countRows counts the rows whose key begins with the module, and goes on with from or
// more.
func (tx *Tx) countRows(bucket *bbolt.Bucket, module uint32, from uint64) int {
	n := 0
	c := bucket.Cursor()
	for k, _ := c.Seek(outboxKey(&tx.key, module, from)); k != nil && binary.BigEndian.Uint32(k) == module; k, _ = c.Next() {
		n++
	}
	return n
}

// RemoveTask takes an acknowledged task out of the outbox, or from where it was
// parked, with the record of its failure. What waited for it may run then: see
// [Tx.Release].
func (tx *Tx) RemoveTask(t *Task) error {
	if err := tx.dropFailure(t); err != nil {
		return err
	}
	remove := tx.takeOut
	if t.Place == InParked {
		remove = tx.unpark
	}
	if err := remove(t); err != nil {
		return err
	}
	if err := tx.del(tx.pending, pendingKey(&tx.key, t.ID, t.Module, t.Seq)); err != nil {
		return err
	}
	if tx.HasTasks(t.ID) {
		return nil
	}
	id := tx.key8(t.ID)
	c := tx.versions.Cursor()
	for k, _ := c.Seek(id); k != nil && bytes.HasPrefix(k, id); k, _ = c.Seek(id) {
		if err := tx.del(tx.versions, bytes.Clone(k)); err != nil {
			return err
		}
	}
	return nil
}

// HasTasks tells whether any module is owed a call for the entry.
func (tx *Tx) HasTasks(id uint64) bool {
	prefix := tx.key8(id)
	k, _ := tx.pending.Cursor().Seek(prefix)
	return k != nil && bytes.HasPrefix(k, prefix)
}

// IsMember tells whether the module was told of the entry.
func (tx *Tx) IsMember(module uint32, id uint64) bool {
	if tx.member == nil { // one for all: Bucket.Get makes one each time
		tx.member = tx.members.Cursor()
	}
	key := memberKey(&tx.key, module, id)
	found, _ := tx.member.Seek(key)
	return bytes.Equal(found, key)
}

// SetMember notes whether the module has been told of the entry.
func (tx *Tx) SetMember(module uint32, id uint64, member bool) error {
	k := memberKey(&tx.key, module, id)
	if !member {
		return tx.del(tx.members, k)
	}
	return tx.put(tx.members, k, []byte{})
}

// CountMembers returns the number of entries that the module was told of.
func (tx *Tx) CountMembers(module uint32) int {
	return tx.countRows(tx.members, module, 0)
}

func memberKey(buf *[32]byte, module uint32, id uint64) []byte {
	binary.BigEndian.PutUint32(buf[0:], module)
	binary.BigEndian.PutUint64(buf[4:], id)
	return buf[:12]
}
