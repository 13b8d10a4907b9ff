package dispatch

import (
	"context"
	"time"
)

// Reset gives the module another queue, and lets it begin with clean. No call and no step
// of it is begun any more; when none is in flight and all that became of them is stored,
// until ctx ends, it calls f, which changes the outbox in a transaction and in that calls
// forget with the transaction's seq: all tasks with a greater seq are of the new queue.
func (d *Dispatcher) Reset(ctx context.Context, name string, f func(forget func(seq uint64)) error) error {
	m, err := d.module(name)
	if err != nil {
		return err
	}
	l := m.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	m.deciding++
	m.resetting = true
	defer func() {
		m.deciding--
		m.resetting = false
		l.load.Signal()
		l.work.Broadcast()
	}()
	if err := m.waitLocked(ctx, func() bool {
		return m.loading || m.uncommitted > 0 || m.acking > 0 || m.inFlight > 0 || m.step != ""
	}); err != nil {
		return err
	}
	m.loading = true
	l.mu.Unlock()
	err = f(func(seq uint64) {
		l.mu.Lock()
		defer l.mu.Unlock()
		m.forgetAllLocked(seq)
	})
	l.mu.Lock()
	m.loadedLocked()
	if err != nil {
		d.fail(err)
	}
	return err
}

// forgetAllLocked forgets the module's queue. Nothing of it is in flight.
func (m *module) forgetAllLocked(seq uint64) {
	m.lane.d.commits.forget(m)
	for w, timer := range m.halted {
		if timer != nil {
			timer.Stop()
		}
		delete(m.halted, w)
	}
	m.newQueue()
	m.ready, m.windows = [streams]readyList{}, [streams]window{}
	clear(m.held)
	clear(m.blocking)
	m.withdrawn, m.since = nil, seq
	m.queued, m.failing, m.setAside = 0, 0, 0
	m.Handed, m.handed = 0, 0
	m.more, m.walkMore, m.dueMore, m.settled, m.beyond = true, true, true, false, false
	m.waitDueLocked(time.Time{})
	m.fold = folding{}
	m.down.timer.Stop()
	clear(m.down.row)
	m.down.probes, m.gaveUp = 0, false
	if m.stepTimer != nil {
		m.stepTimer.Stop()
	}
	m.stepTries, m.stepWait = 0, time.Time{}
	m.steps.Resync = ResyncClean
	m.quiet.Stop()
	m.postDue = m.prepared    // its run ends before
	m.lane.change.Broadcast() // others may wait because it was full
}
