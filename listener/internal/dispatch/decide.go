package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrUnknownModule is returned for a module that has no calls made here.
var ErrUnknownModule = errors.New("no such module is running")

// ErrInFlight is returned when a call is being made that was to be decided on.
var ErrInFlight = errors.New("the call is being made right now")

func (d *Dispatcher) module(name string) (*module, error) {
	m := d.modules[name]
	if m == nil {
		return nil, fmt.Errorf("%w: %s", ErrUnknownModule, name)
	}
	return m, nil
}

// SetPaused has no new call of the module made, until it is told to go on. A call in
// flight finishes, and then post_run is due after the quiet period.
func (d *Dispatcher) SetPaused(name string, paused bool) error {
	m, err := d.module(name)
	if err != nil {
		return err
	}
	l := m.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	m.Paused = paused
	m.quiet.Stop()
	l.work.Broadcast()
	l.wakeLocked(m)
	return nil
}

// Decision is what is done with failed tasks of a module.
type Decision struct {
	// Gone counts the tasks that are gone, Failed those of them that had failed, and
	// SetAside those that waited for a decision and do so no longer.
	Gone, Failed, SetAside int
}

// Decide calls f, which changes tasks of the module in the outbox: the failed one with
// the seq, and what waits for it. Meanwhile nothing is loaded, all that has failed is
// stored as such, and these tasks are not in memory. It waits for that, until ctx ends.
func (d *Dispatcher) Decide(ctx context.Context, name string, seq uint64, f func() (Decision, error)) error {
	m, err := d.module(name)
	if err != nil {
		return err
	}
	l := m.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	m.deciding++
	defer func() { m.deciding-- }()
	if err := m.waitLocked(ctx, func() bool { return m.loading || m.uncommitted > 0 }); err != nil {
		return err
	}
	if m.held[seq] != NotHeld && !m.withdrawReadyLocked(seq) {
		return fmt.Errorf("%w: module %s, seq %d", ErrInFlight, name, seq)
	}
	m.loading = true
	l.mu.Unlock()
	done, err := f()
	l.mu.Lock()
	if err == nil {
		m.drainLocked(done.Gone)
		m.failing -= done.Failed
		m.setAside -= done.SetAside
	}
	m.dueMore = true
	m.loadedLocked()
	l.load.Signal()
	l.change.Broadcast()
	return err
}

// waitLocked waits while the module is busy, until ctx ends.
func (m *module) waitLocked(ctx context.Context, busy func() bool) error {
	l := m.lane
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.change.Broadcast()
	})
	defer stop()
	for busy() {
		switch {
		case l.stopping:
			return fmt.Errorf("module %s is busy, and all modules are about to stop", m.name)
		case ctx.Err() != nil:
			return fmt.Errorf("module %s is busy: %w", m.name, context.Cause(ctx))
		}
		l.change.Wait()
	}
	return nil
}

// withdrawReadyLocked takes a parked task out of the window that has not been called
// yet; nothing of what waits for it is there, since it has failed before.
func (m *module) withdrawReadyLocked(seq uint64) bool {
	for _, w := range m.ready[streamParked] {
		if w.Seq == seq {
			m.ready[streamParked].remove(w)
			for _, i := range m.queue.Withdraw(w.item) {
				m.forgetLocked(i.Value.Task) // by a collision at most
			}
			m.forgetLocked(w.Task)
			return true
		}
	}
	return false
}

// Again makes the failed call with the seq due that keeps the module halted (StopOnError).
// It returns [ErrInFlight] when the call is being made, or is yet to be loaded for that.
func (d *Dispatcher) Again(name string, seq uint64) error {
	m, err := d.module(name)
	if err != nil {
		return err
	}
	l := m.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	for w, timer := range m.halted {
		if w.Seq != seq {
			continue
		}
		if timer == nil && !w.Failure.SetAside() && !w.Failure.NextRun {
			if slices.Contains(m.ready[streamParked], w) {
				return nil // it is due
			}
			break
		}
		if timer != nil {
			timer.Stop()
		}
		if w.Failure.SetAside() {
			m.setAside--
		}
		f := *w.Failure
		f.Next, f.NextRun = time.Now(), false
		w.Failure = &f
		m.againLocked(w)
		return nil
	}
	return fmt.Errorf("%w: module %s, seq %d", ErrInFlight, name, seq)
}
