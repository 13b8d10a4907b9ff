package daemon

import (
	"math"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener/internal/config"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
	"github.com/listenerd/listenerd/listener/internal/route"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// orphan is a module that is no longer in the configuration. Nobody makes its calls, so
// nobody else keeps them within bounds.
type orphan struct {
	module   *route.Module
	number   uint32
	attrs    []string
	queued   int
	foldNext int // when so many are queued
}

// orphan returns the orphan with the name, nil if there is none.
func (d *Daemon) orphan(name string) *orphan {
	d.orphanMu.Lock()
	defer d.orphanMu.Unlock()
	return d.orphaned[name]
}

// foldOrphans folds what orphans are owed when it becomes too much. Calls that tell of
// an orphan come from the router alone, since it is not walked.
func (d *Daemon) foldOrphans(added map[string]int) {
	d.orphanMu.Lock()
	defer d.orphanMu.Unlock()
	for name, o := range d.orphaned {
		if added[name] == 0 {
			continue
		}
		if o.queued += added[name]; o.queued < max(o.foldNext, config.DefaultMaxTasks) {
			continue
		}
		if err := d.foldOrphan(name, o); err != nil {
			d.log.Error("fold the calls of a module that is not in the configuration", zap.String("module", name), zap.Error(err))
		}
		o.foldNext = o.queued + o.queued/4
	}
}

func (d *Daemon) foldOrphan(name string, o *orphan) error {
	box := &outbox{store: d.store, numbers: map[string]uint32{name: o.number}, attrs: map[string][]string{name: o.attrs}}
	mark := uint64(0)
	err := d.store.View(func(tx *store.Tx) error {
		mark = tx.Mark(o.number)
		return nil
	})
	for _, parked := range []bool{false, true} {
		for after, more := uint64(0), err == nil; more; {
			last, gone := uint64(0), 0
			last, gone, err = box.Fold(name, parked, mark, dispatch.Query{After: after, Last: math.MaxUint64, Walked: mark, Limit: hastenBatch})
			o.queued -= gone
			after, more = last, err == nil && last > 0
		}
	}
	return err
}
