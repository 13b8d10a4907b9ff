package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"
)

// Failure is what is kept of a task whose call failed.
type Failure struct {
	// Attempts counts the calls that failed, without those that asked to be repeated
	// after a certain time.
	Attempts int `json:"attempts"`
	// First and Last are when calls failed.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Next is when the call may be repeated; zero: when someone decides so.
	Next time.Time `json:"next,omitzero"`
	// NextRun: the call is not repeated before the daemon starts anew.
	NextRun bool `json:"next_run,omitempty"`
	// Error is the text of the last failure's error.
	Error string `json:"error"`
	// Stack is that of the panic, if the last failure was one.
	Stack string `json:"stack,omitempty"`
	// Run names the run of the daemon that Tries counts the calls in, with those that asked
	// in vain to be repeated.
	Run   int64 `json:"run,omitempty"`
	Tries int   `json:"tries,omitempty"`
}

// SetAside tells whether the task waits for a decision.
func (f *Failure) SetAside() bool { return f.Next.IsZero() }

// Where the index by due time has tasks that a time does not make due.
const dueNextRun = 1<<63 - 1

func (f *Failure) due() (at uint64, ok bool) {
	switch {
	case f == nil:
		return 0, true
	case f.Next.IsZero():
		return 0, false
	case f.NextRun:
		return dueNextRun, true
	}
	return uint64(max(f.Next.UnixNano(), 0)), true
}

// Failure returns the record of the task's failure, nil if it has not failed.
func (tx *Tx) Failure(module uint32, seq uint64) (*Failure, error) {
	raw := tx.failures.Get(outboxKey(&tx.key, module, seq))
	if raw == nil {
		return nil, nil
	}
	f := new(Failure)
	if err := json.Unmarshal(raw, f); err != nil {
		return nil, fmt.Errorf("%w: record of failed task %d: %w", ErrUnusable, seq, err)
	}
	return f, nil
}

// SetFailure stores that the task's call failed. A parked one is due accordingly.
func (tx *Tx) SetFailure(t *Task, f *Failure) error {
	if err := tx.dropFailure(t); err != nil {
		return err
	}
	raw, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if err := tx.put(tx.failures, outboxKey(&tx.key, t.Module, t.Seq), raw); err != nil {
		return err
	}
	if at, ok := f.due(); ok && t.Place == InParked {
		return tx.put(tx.due, dueKey(&tx.key, t.Module, at, t.Seq), nil)
	}
	return nil
}

// dropFailure removes the record, and the place in the index by due time.
func (tx *Tx) dropFailure(t *Task) error {
	f, err := tx.Failure(t.Module, t.Seq)
	if err != nil || f == nil && t.Place != InParked {
		return err
	}
	if at, ok := f.due(); ok && t.Place == InParked {
		if err := tx.del(tx.due, dueKey(&tx.key, t.Module, at, t.Seq)); err != nil {
			return err
		}
	}
	if f == nil {
		return nil
	}
	return tx.del(tx.failures, outboxKey(&tx.key, t.Module, t.Seq))
}

// Hasten makes due at their time the module's failed tasks that were put off to the next
// run; or with all, at now those and all that wait for their time. At most limit, and it
// tells how many they were.
func (tx *Tx) Hasten(module uint32, now time.Time, all bool, limit int) (n int, err error) {
	from := uint64(dueNextRun)
	if all {
		from = uint64(now.UnixNano()) + 1
	}
	var seqs []uint64
	c := tx.due.Cursor()
	for k, _ := c.Seek(dueKey(&tx.key, module, from, 0)); k != nil && binary.BigEndian.Uint32(k) == module && len(seqs) < limit; k, _ = c.Next() {
		seqs = append(seqs, binary.BigEndian.Uint64(k[12:]))
	}
	for _, seq := range seqs {
		t, err := tx.Parked(module, seq)
		if err != nil {
			return 0, err
		}
		f, err := tx.Failure(module, seq)
		if err != nil {
			return 0, err
		}
		if t == nil || f == nil {
			return 0, damaged("failed task", seq)
		}
		if f.NextRun = false; all {
			f.Next = now
		}
		if err := tx.SetFailure(t, f); err != nil {
			return 0, err
		}
	}
	return len(seqs), nil
}

// Failures calls fn with the module's failed tasks with a seq greater than after, in
// order, until it returns false.
func (tx *Tx) Failures(module uint32, after uint64, fn func(seq uint64, f *Failure) (bool, error)) error {
	c := tx.failures.Cursor()
	for k, v := c.Seek(outboxKey(&tx.key, module, after+1)); k != nil && binary.BigEndian.Uint32(k) == module; k, v = c.Next() {
		f := new(Failure)
		if err := json.Unmarshal(v, f); err != nil {
			return fmt.Errorf("%w: record of failed task: %w", ErrUnusable, err)
		}
		if more, err := fn(binary.BigEndian.Uint64(k[4:]), f); err != nil || !more {
			return err
		}
	}
	return nil
}

// CountFailures returns how many of the module's tasks have failed, and how many of
// those wait for a decision.
func (tx *Tx) CountFailures(module uint32) (failed, setAside int, err error) {
	err = tx.Failures(module, 0, func(_ uint64, f *Failure) (bool, error) {
		failed++
		if f.SetAside() {
			setAside++
		}
		return true, nil
	})
	return failed, setAside, err
}

// Mark returns the seq up to which the module's tasks may have been handed out to its
// handler.
func (tx *Tx) Mark(module uint32) uint64 {
	binary.BigEndian.PutUint32(tx.key[:], module)
	return number(tx.marks.Get(tx.key[:4]))
}

// SetMark stores how far the module's tasks may be handed out.
func (tx *Tx) SetMark(module uint32, seq uint64) error {
	v := tx.slabs.alloc(8)
	binary.BigEndian.PutUint64(v, seq)
	binary.BigEndian.PutUint32(tx.key[:], module)
	return tx.put(tx.marks, tx.key[:4], v)
}
