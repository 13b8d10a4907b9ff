package dispatch

import (
	"context"
	"fmt"
	"time"

	"github.com/listenerd/listenerd/listener"
)

// stuckAfter is how long after its timeout a call is waited for until it counts as
// stuck.
const stuckAfter = 5 * time.Second

// call makes a call where the module's handler runs, within its time.
func (m *module) call(by *worker, call *listener.Call) error {
	ctx := m.lane.d.calls
	if m.Settings.Timeout > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, m.Settings.Timeout, fmt.Errorf("timeout of %v", m.Settings.Timeout))
		defer cancel()
		n := by.calls
		defer context.AfterFunc(limited, func() { time.AfterFunc(stuckAfter, func() { m.lane.stuck(by, n) }) })()
		ctx = limited
	}
	return m.Executor.Call(ctx, call)
}

// runTask makes the call of a task. The lane's mutex is not held.
func (m *module) runTask(by *worker, w *work) error {
	call := listener.Call{
		Module: m.name, Kind: w.Kind, Seq: w.Seq, Attempt: 1, Cause: w.Cause, Old: w.Old, New: w.New,
	}
	if w.Failure != nil {
		call.Attempt += w.Failure.Attempts
	}
	return m.call(by, &call)
}

// runStep runs a barrier. The lane's mutex is not held.
func (m *module) runStep(by *worker, kind listener.Kind, attempt int) error {
	d := m.lane.d
	steps := m.steps
	if kind == listener.KindPreRun && m.hasPostRun() && !steps.PostRunOwed {
		// Owed from before the first call on, so that a crash does not forget it.
		steps.PostRunOwed = true
		if err := d.Outbox.Update(m.name, steps); err != nil {
			d.fail(err)
			return err
		}
	}
	var err error
	if m.Executor.Has(kind) {
		err = m.call(by, &listener.Call{Module: m.name, Kind: kind, Attempt: attempt})
	}
	if err == nil {
		switch kind {
		case listener.KindClean:
			steps.Resync, steps.Initialized = ResyncInitialize, false
		case listener.KindInitialize:
			steps.Resync, steps.Initialized = "", true
		case listener.KindPostRun:
			steps.PostRunOwed = false
		}
		if steps != m.steps {
			if err := d.Outbox.Update(m.name, steps); err != nil {
				d.fail(err)
				return err
			}
		}
	}
	m.lane.mu.Lock()
	m.steps = steps
	m.lane.mu.Unlock()
	return err
}
