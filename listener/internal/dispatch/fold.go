package dispatch

import (
	"context"
	"math"
	"slices"
)

// foldBatch is how many tasks one transaction of a fold looks at.
const foldBatch = 5_000

// folding is the folding of a module that is at its limit, from the first unattempted
// task of the outbox to the last one, and then the same for the parked ones.
type folding struct {
	on     bool
	parked bool
	after  uint64
	next   int  // when so many are queued it begins anew
	folded bool // it has been done, and the module is still at its limit
}

// fillLocked looks whether the module has come to its limit.
func (m *module) fillLocked() {
	if m.Settings.MaxTasks > 0 && !m.Settings.Stall && m.queued >= max(m.fold.next, m.Settings.MaxTasks) && !m.fold.on {
		m.fold = folding{on: true, after: m.loaded, folded: m.fold.folded}
	}
}

// drainLocked takes note that fewer tasks are queued.
func (m *module) drainLocked(n int) {
	limit, before := m.Settings.MaxTasks, m.queued
	m.queued -= n
	if limit == 0 || before < limit || m.queued >= limit {
		return
	}
	m.fold.folded, m.fold.next = false, 0
	if m.Settings.Stall {
		m.lane.change.Broadcast()
	}
}

// foldsLocked tells whether what waits for a failed task is folded at once.
func (m *module) foldsLocked() bool { return m.Settings.Latest || m.fold.on || m.fold.folded }

// foldLocked goes on with the folding. It releases the lane's mutex meanwhile.
func (l *lane) foldLocked(m *module) error {
	m.loading = true
	f := m.fold
	l.mu.Unlock()
	last, gone, err := l.d.fold(m, f.parked, Query{After: f.after, Last: math.MaxUint64, Limit: foldBatch})
	l.mu.Lock()
	m.drainLocked(gone)
	switch {
	case last > 0:
		m.fold.after = last
	case !f.parked:
		m.fold.parked, m.fold.after = true, 0
	default:
		full := m.queued >= m.Settings.MaxTasks
		m.fold = folding{folded: full, next: m.queued + m.queued/4}
	}
	m.loadedLocked()
	return err
}

// fold folds a part of what the module has queued. The loader calls it.
func (d *Dispatcher) fold(m *module, parked bool, q Query) (last uint64, gone int, err error) {
	q.Walked, q.Held = max(m.walked, m.Handed), m.heldNow
	return d.Outbox.Fold(m.name, parked, max(m.loaded, m.Handed), q)
}

// Room waits until no module that is to stall has come to its limit. It returns when ctx
// or the calls end.
func (d *Dispatcher) Room(ctx context.Context) error {
	for _, l := range d.lanes {
		stop := context.AfterFunc(ctx, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.change.Broadcast()
		})
		l.mu.Lock()
		for ctx.Err() == nil && !l.stopping && l.fullLocked() {
			l.change.Wait()
		}
		l.mu.Unlock()
		stop()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// fullLocked tells whether a module stalls.
func (l *lane) fullLocked() bool {
	return slices.ContainsFunc(l.modules, (*module).stallsLocked)
}

// stallsLocked tells whether the module is to stall and has come to its limit. In a run
// that ends by itself one does not that can get no further.
func (m *module) stallsLocked() bool {
	return m.Settings.Stall && m.Settings.MaxTasks > 0 && m.queued >= m.Settings.MaxTasks && (m.Settings.OnceAttempts == 0 || !m.settledLocked())
}
