package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/listenerd/listenerd/listener"
)

// Task is one call owed to one module.
type Task struct {
	Module uint32
	Seq    uint64
	Kind   listener.Kind
	Cause  listener.Cause
	ID     uint64 // the entry
	Old    uint64 // version before, 0: none
	New    uint64 // version after, 0: none

	// Parked: the task is among the parked ones, not in the outbox.
	Parked bool
}

var (
	kinds  = []listener.Kind{listener.KindCreate, listener.KindModify, listener.KindRemove}
	causes = []listener.Cause{listener.CauseLive, listener.CauseInitialize, listener.CauseResync, listener.CauseReconcile}
)

const taskSize = 1 + 1 + 8 + 8 + 8

// AddTask puts a task into the outbox.
func (tx *Tx) AddTask(t Task) error {
	b := appendTask(tx.slabs.alloc(taskSize)[:0], &t)
	if err := tx.put(tx.outbox, outboxKey(&tx.key, t.Module, t.Seq), b); err != nil {
		return err
	}
	return tx.put(tx.pending, pendingKey(&tx.key, t.ID, t.Module, t.Seq), nil)
}

func appendTask(b []byte, t *Task) []byte {
	b = append(b, byte(indexOf(kinds, t.Kind)), byte(indexOf(causes, t.Cause)))
	b = binary.BigEndian.AppendUint64(b, t.ID)
	b = binary.BigEndian.AppendUint64(b, t.Old)
	return binary.BigEndian.AppendUint64(b, t.New)
}

func decodeTask(module uint32, seq uint64, v []byte) (Task, error) {
	t := Task{Module: module, Seq: seq}
	if len(v) < taskSize || int(v[0]) >= len(kinds) || int(v[1]) >= len(causes) {
		return t, damaged("task", seq)
	}
	t.Kind, t.Cause = kinds[v[0]], causes[v[1]]
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
	var out []Task
	c := tx.outbox.Cursor()
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
		out = append(out, t)
	}
	return out, nil
}

// CountTasks returns the number of tasks that the module is owed, with those parked.
func (tx *Tx) CountTasks(module uint32) int {
	return tx.countRows(tx.outbox, module) + tx.countRows(tx.parked, module)
}

// countRows counts the rows whose key begins with the module.
func (tx *Tx) countRows(bucket *bbolt.Bucket, module uint32) int {
	n := 0
	c := bucket.Cursor()
	for k, _ := c.Seek(outboxKey(&tx.key, module, 0)); k != nil && binary.BigEndian.Uint32(k) == module; k, _ = c.Next() {
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
	if t.Parked {
		if err := tx.unpark(t); err != nil {
			return err
		}
	} else if err := tx.del(tx.outbox, outboxKey(&tx.key, t.Module, t.Seq)); err != nil {
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
	return tx.members.Get(memberKey(&tx.key, module, id)) != nil
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
	return tx.countRows(tx.members, module)
}

func memberKey(buf *[32]byte, module uint32, id uint64) []byte {
	binary.BigEndian.PutUint32(buf[0:], module)
	binary.BigEndian.PutUint64(buf[4:], id)
	return buf[:12]
}

// ModuleState is what the store keeps of a module instance.
type ModuleState struct {
	// Number keys the module's tasks and members. It is never given twice.
	Number uint32 `json:"number"`
	// Filter and Attributes are what the module was last routed with.
	Filter     string   `json:"filter"`
	Attributes []string `json:"attributes,omitempty"`
	// Walk is set while the module is being brought in line with the mirror.
	Walk *Walk `json:"walk,omitempty"`
	// Initialized: initialize succeeded.
	Initialized bool `json:"initialized,omitempty"`
	// PostRunOwed: pre_run was called and no post_run has succeeded since.
	PostRunOwed bool `json:"post_run_owed,omitempty"`
}

// Walk is how far a reconcile walk has come.
type Walk struct {
	Cause listener.Cause `json:"cause"`
	// Leave is set while the walk takes its first pass, in reverse order, in which
	// members that no longer match are removed.
	Leave bool `json:"leave,omitempty"`
	// Pos is the place of the last entry that was looked at.
	Pos []byte `json:"pos,omitempty"`
	// Done counts the entries looked at in this pass.
	Done uint64 `json:"done"`
}

// Module returns the state of the module instance, nil if it has none.
func (tx *Tx) Module(name string) (*ModuleState, error) {
	raw := tx.modules.Get([]byte(name))
	if raw == nil {
		return nil, nil
	}
	s := new(ModuleState)
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("%w: state of module %s: %w", ErrUnusable, name, err)
	}
	return s, nil
}

// SetModule stores the state of the module instance. A Number of zero is replaced
// by a new one.
func (tx *Tx) SetModule(name string, s *ModuleState) error {
	if s.Number == 0 {
		n, err := tx.modules.NextSequence()
		if err != nil {
			return err
		}
		s.Number = uint32(n)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return tx.put(tx.modules, []byte(name), raw)
}

// Modules returns the names of all module instances that have state, in order.
func (tx *Tx) Modules() []string {
	var names []string
	c := tx.modules.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		names = append(names, string(k))
	}
	return names
}
