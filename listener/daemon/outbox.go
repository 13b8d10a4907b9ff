package daemon

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
	"github.com/listenerd/listenerd/listener/internal/schema"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// outbox is the dispatcher's view of the store.
type outbox struct {
	store   *store.Store
	numbers map[string]uint32 // of the modules
	refill  func(module string) (bool, error)
}

var _ dispatch.Outbox = (*outbox)(nil)

// Load implements [dispatch.Outbox].
func (o *outbox) Load(name string, after, last uint64, limit, size int) ([]*dispatch.Task, error) {
	var out []*dispatch.Task
	number := o.numbers[name]
	err := o.store.View(func(tx *store.Tx) error {
		rows, err := tx.Tasks(number, after, last, limit)
		if err != nil {
			return err
		}
		parked := tx.HasParked(number)
		blocked := map[string]bool{} // by those in rows that are blocked themselves
		out = make([]*dispatch.Task, 0, len(rows))
		for i := range rows {
			t, err := loadTask(tx, &rows[i])
			if err != nil {
				return err
			}
			if parked && tx.IsBlocked(number, t.Seq, t.Keys) || len(blocked) > 0 && slices.ContainsFunc(t.Keys, func(k string) bool { return blocked[k] }) {
				t.Blocked = true
				for _, k := range t.Keys {
					blocked[k] = true
				}
			}
			out = append(out, t)
			if size -= t.Size; size <= 0 {
				break
			}
		}
		return nil
	})
	return out, err
}

// Due implements [dispatch.Outbox].
func (o *outbox) Due(name string, now time.Time, last uint64, held func(uint64) dispatch.Held, limit, size int) (out []*dispatch.Task, next time.Time, more bool, err error) {
	err = o.store.View(func(tx *store.Tx) error {
		at := int64(0)
		at, more, err = tx.Due(o.numbers[name], now.UnixNano(), last, func(seq uint64) store.Held { return store.Held(held(seq)) },
			func(row *store.Task) (bool, error) {
				t, err := loadTask(tx, row)
				if err != nil {
					return false, err
				}
				t.Parked = true
				out = append(out, t)
				size -= t.Size
				return len(out) < limit && size > 0, nil
			})
		if at > 0 {
			next = time.Unix(0, at)
		}
		return err
	})
	return out, next, more, err
}

func loadTask(tx *store.Tx, row *store.Task) (*dispatch.Task, error) {
	t := &dispatch.Task{Seq: row.Seq, Kind: row.Kind, Cause: row.Cause, Keys: make([]string, 0, 3), Ref: row}
	f, err := tx.Failure(row.Module, row.Seq)
	if err != nil {
		return nil, err
	}
	t.Failure = (*dispatch.Failure)(f)
	if t.Old, err = loadEntry(tx, t, row.ID, row.Old); err != nil {
		return nil, err
	}
	t.New, err = loadEntry(tx, t, row.ID, row.New)
	return t, err
}

func loadEntry(tx *store.Tx, t *dispatch.Task, id, version uint64) (*listener.Entry, error) {
	if version == 0 {
		return nil, nil
	}
	record, err := tx.Version(id, version)
	if err != nil {
		return nil, err
	}
	t.UUID = record.UUID
	t.Size += 256 + len(record.DN) + len(record.Attrs)
	if len(t.Keys) == 0 {
		t.Keys = append(t.Keys, string(record.UUID[:]))
	}
	t.Keys = append(t.Keys, string(schema.TreeKey(record.DN)))
	return record.Entry()
}

// Refill implements [dispatch.Outbox].
func (o *outbox) Refill(name string) (bool, error) { return o.refill(name) }

// Commit implements [dispatch.Outbox].
func (o *outbox) Commit(changes map[string]*dispatch.Changes) error {
	return o.store.Update(func(tx *store.Tx) error {
		for name, c := range changes {
			if err := commit(tx, o.numbers[name], c); err != nil {
				return fmt.Errorf("module %s: %w", name, err)
			}
		}
		return nil
	})
}

func commit(tx *store.Tx, module uint32, c *dispatch.Changes) error {
	freed := map[uint64]struct{}{}
	free := func(row *store.Task) error {
		keys, err := tx.Hashes(row)
		for _, k := range keys {
			freed[k] = struct{}{}
		}
		return err
	}
	for _, t := range c.Done {
		row := rowOf(t)
		if row.Parked {
			if err := free(row); err != nil {
				return err
			}
		}
		if err := tx.RemoveTask(row); err != nil {
			return err
		}
	}
	for _, t := range c.Failed {
		if err := errors.Join(tx.Park(rowOf(t), t.Keys), tx.SetFailure(rowOf(t), (*store.Failure)(t.Failure))); err != nil {
			return err
		}
	}
	for _, t := range c.Stopped {
		if err := tx.SetFailure(rowOf(t), (*store.Failure)(t.Failure)); err != nil {
			return err
		}
	}
	for _, t := range c.Waiting {
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
	return tx.SetMark(module, c.Handed)
}

func rowOf(t *dispatch.Task) *store.Task { return t.Ref.(*store.Task) }

// Update implements [dispatch.Outbox].
func (o *outbox) Update(name string, steps dispatch.Steps) error {
	return o.store.Update(func(tx *store.Tx) error {
		state, err := tx.Module(name)
		if err != nil {
			return err
		}
		state.Initialized, state.PostRunOwed = steps.Initialized, steps.PostRunOwed
		return tx.SetModule(name, state)
	})
}
