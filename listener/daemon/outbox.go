package daemon

import (
	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
	"github.com/listenerd/listenerd/listener/internal/route"
	"github.com/listenerd/listenerd/listener/internal/schema"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// outbox is the dispatcher's view of the store.
type outbox struct {
	store   *store.Store
	router  *route.Router
	modules map[string]*route.Module
}

var _ dispatch.Outbox = (*outbox)(nil)

// Load implements [dispatch.Outbox].
func (o *outbox) Load(name string, after, last uint64, limit, size int) ([]*dispatch.Task, error) {
	var out []*dispatch.Task
	err := o.store.View(func(tx *store.Tx) error {
		rows, err := tx.Tasks(o.modules[name].Number(), after, last, limit)
		if err != nil {
			return err
		}
		out = make([]*dispatch.Task, 0, len(rows))
		for i := range rows {
			t, err := loadTask(tx, &rows[i])
			if err != nil {
				return err
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

func loadTask(tx *store.Tx, row *store.Task) (*dispatch.Task, error) {
	t := &dispatch.Task{Seq: row.Seq, Kind: row.Kind, Cause: row.Cause, Keys: make([]string, 0, 3), Ref: row}
	var err error
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
func (o *outbox) Refill(name string) (bool, error) { return o.router.Step(o.modules[name]) }

// Ack implements [dispatch.Outbox].
func (o *outbox) Ack(done map[string][]*dispatch.Task) error {
	return o.store.Update(func(tx *store.Tx) error {
		for _, tasks := range done {
			for _, t := range tasks {
				if err := tx.RemoveTask(t.Ref.(*store.Task)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

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
