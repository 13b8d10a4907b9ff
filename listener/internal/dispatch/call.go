package dispatch

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/listenerd/listenerd/listener"
)

// stuckAfter is how long after its timeout a call is waited for until it counts as
// stuck.
const stuckAfter = 5 * time.Second

// call is one invocation of a handler's method, with panics turned into errors.
func (m *module) call(by *worker, info *listener.Call, f func(context.Context) error) (err error) {
	ctx := listener.WithCall(m.lane.d.calls, info)
	if m.Settings.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, m.Settings.Timeout, fmt.Errorf("timeout of %v", m.Settings.Timeout))
		defer cancel()
		n := by.calls
		defer context.AfterFunc(ctx, func() { time.AfterFunc(stuckAfter, func() { m.lane.stuck(by, n) }) })()
	}
	defer recoverPanic(&err)
	return f(ctx)
}

// panicError is a handler's panic.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("handler panicked: %v", e.value) }

func recoverPanic(err *error) {
	if v := recover(); v != nil {
		*err = &panicError{v, debug.Stack()}
	}
}

// runTask makes the call of a task. The lane's mutex is not held.
func (m *module) runTask(by *worker, w *work) error {
	info := listener.Call{
		Module: m.name, Kind: w.Kind, Seq: w.Seq, Attempt: 1, Cause: w.Cause, Old: w.Old, New: w.New,
	}
	if w.Failure != nil {
		info.Attempt += w.Failure.Attempts
	}
	return m.call(by, &info, func(ctx context.Context) error {
		var err error
		switch w.Kind {
		case listener.KindCreate:
			err = m.Handler.Create(ctx, w.New)
		case listener.KindModify:
			err = m.Handler.Modify(ctx, w.Old, w.New)
		case listener.KindRemove:
			err = m.Handler.Remove(ctx, w.Old)
		}
		if h, ok := m.Handler.(listener.ErrorHandler); ok && err != nil {
			if classified := h.HandleError(ctx, info, err); classified != nil {
				err = classified
			}
		}
		return err
	})
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
	err := m.call(by, &listener.Call{Module: m.name, Kind: kind, Attempt: attempt}, func(ctx context.Context) error {
		switch kind {
		case listener.KindClean:
			if h, ok := m.Handler.(listener.Cleaner); ok {
				return h.Clean(ctx)
			}
		case listener.KindInitialize:
			if h, ok := m.Handler.(listener.Initializer); ok {
				return h.Initialize(ctx)
			}
		case listener.KindPreRun:
			if h, ok := m.Handler.(listener.PreRunner); ok {
				return h.PreRun(ctx)
			}
		case listener.KindPostRun:
			if h, ok := m.Handler.(listener.PostRunner); ok {
				return h.PostRun(ctx)
			}
		}
		return nil
	})
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
