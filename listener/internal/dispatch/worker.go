package dispatch

import (
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
)

// worker is a goroutine that makes calls. The lane's mutex guards it; calls does not
// change while one runs.
type worker struct {
	calls  int     // that it has made
	module *module // whose call runs; nil: none does
	since  time.Time
	stuck  bool // the call has not returned long after its timeout
	left   bool // another worker is in its place
}

// runWorker makes calls until the lane is stopped.
func (l *lane) runWorker() {
	l.mu.Lock()
	defer l.mu.Unlock()
	by := new(worker)
	l.at = append(l.at, by)
	l.active++
	defer func() {
		l.at = slices.DeleteFunc(l.at, func(other *worker) bool { return other == by })
		m := by.module
		by.module = nil
		replaced := m != nil // its call has ended this goroutine
		if replaced && by.stuck {
			replaced = l.backLocked(by, m)
		}
		if !by.left {
			l.active--
		}
		if replaced {
			l.d.running.Go(l.runWorker)
		}
	}()
	for {
		m, step, w := l.pickLocked()
		switch {
		case m == nil && l.stopping:
			return // who is still in flight runs the steps that are left
		case m == nil:
			l.work.Wait()
			continue
		}
		by.calls++
		by.module, by.since = m, time.Now()
		if step != "" {
			l.runStepLocked(by, m, step)
		} else {
			l.runTaskLocked(by, m, w)
		}
		by.module = nil
		if by.stuck && !l.backLocked(by, m) {
			return
		}
	}
}

// errGoexit is the error of a call that did not return but ended its goroutine. The worker
// ends with it, and another one takes its place.
var errGoexit = errors.New("the handler has ended its goroutine (runtime.Goexit)")

// runStepLocked releases the lane's mutex meanwhile.
func (l *lane) runStepLocked(by *worker, m *module, step listener.Kind) {
	m.step = step
	attempt := m.stepTries + 1
	err := errGoexit
	defer func() {
		l.mu.Lock()
		l.stepDoneLocked(m, step, err)
	}()
	l.mu.Unlock()
	err = m.runStep(by, step, attempt)
}

// runTaskLocked releases the lane's mutex meanwhile.
func (l *lane) runTaskLocked(by *worker, m *module, w *work) {
	m.inFlight++
	if m.firstCall.IsZero() {
		m.firstCall = by.since
	}
	err := errGoexit
	defer func() {
		l.mu.Lock()
		l.taskDoneLocked(m, w, err)
	}()
	l.mu.Unlock()
	if err = m.runTask(by, w); err == nil {
		l.d.commits.done(m, w.Task)
	}
}

// stuck is called when a worker's n-th call has ignored its timeout for long. In the
// synchronous lane another worker goes on with the other modules.
func (l *lane) stuck(by *worker, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if by.calls != n || by.module == nil || l.stopping {
		return
	}
	by.stuck = true
	by.module.stuck++
	by.module.Log.Error("a call ignores its timeout; the module gets no other one in its place until it returns",
		zap.Duration("running", time.Since(by.since)))
	if l.shared {
		by.left = true
		l.active--
		l.d.running.Go(l.runWorker)
	}
}

// backLocked takes note that a stuck call has returned, and tells whether its worker
// goes on.
func (l *lane) backLocked(by *worker, m *module) bool {
	by.stuck = false
	m.stuck--
	m.Log.Warn("the call that ignored its timeout has returned", zap.Duration("after", time.Since(by.since)))
	l.work.Broadcast() // the module is called again
	if !by.left {
		return true
	}
	if l.stopping && l.active == 0 {
		by.left = false // nobody else is left for the last steps
		l.active++
		return true
	}
	return false
}
