package dispatch

import (
	"container/heap"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
)

// lane is some modules and the workers that make their calls.
type lane struct {
	d       *Dispatcher
	workers int
	modules []*module

	mu       sync.Mutex // guards the modules' state and what follows
	work     *sync.Cond // workers wait for something to run
	load     *sync.Cond // the loader waits for room and tasks
	change   *sync.Cond // Settle waits for the modules to settle
	told     uint64     // seq up to which tasks may be loaded
	stopping bool       // no new calls
	dead     bool       // no new steps either
}

func newLane(d *Dispatcher, workers int) *lane {
	l := &lane{d: d, workers: workers, told: d.Seq}
	l.work, l.load, l.change = sync.NewCond(&l.mu), sync.NewCond(&l.mu), sync.NewCond(&l.mu)
	return l
}

// stop ends the lane: what is in flight goes on, and unless dead, post_run is called
// where it is owed.
func (l *lane) stop(dead bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopping, l.dead = true, dead
	for _, m := range l.modules {
		m.quiet.Stop()
		m.stepWait = time.Time{}
		m.stepTries = 0
		if m.stepTimer != nil {
			m.stepTimer.Stop()
		}
		for w := range m.failing {
			if w.timer != nil {
				w.timer.Stop()
			}
		}
	}
	l.work.Broadcast()
	l.load.Broadcast()
	l.change.Broadcast()
}

// runWorker makes calls until the lane is stopped.
func (l *lane) runWorker() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		m, step := l.pickLocked()
		switch {
		case m == nil && l.stopping:
			return // who is still in flight runs the steps that are left
		case m == nil:
			l.work.Wait()
		case step != "":
			m.step = step
			attempt := m.stepTries + 1
			l.mu.Unlock()
			err := m.runStep(step, attempt)
			l.mu.Lock()
			l.stepDoneLocked(m, step, err)
		default:
			w := heap.Pop(&m.ready).(*work)
			m.inFlight++
			if m.firstCall.IsZero() {
				m.firstCall = time.Now()
			}
			l.mu.Unlock()
			err := m.runTask(w)
			if err == nil {
				l.d.acks.add(m, w.Task)
			}
			l.mu.Lock()
			l.taskDoneLocked(m, w, err)
		}
	}
}

// pickLocked returns the module whose turn it is, and the step if it is for one.
func (l *lane) pickLocked() (*module, listener.Kind) {
	if l.dead {
		return nil, ""
	}
	var best *module
	for _, m := range l.modules {
		if m.step != "" {
			continue
		}
		if !m.firstCall.IsZero() && !m.postDue && time.Since(m.firstCall) >= m.Settings.PostRunMaxDelay {
			m.postDue = true
		}
		if step := m.nextStepLocked(l.stopping); step != "" {
			waiting := !m.stepWait.IsZero() && time.Now().Before(m.stepWait)
			if m.inFlight == 0 && !waiting {
				return m, step
			}
			if step != listener.KindPostRun || !waiting {
				continue // its calls wait for the step
			}
		}
		if l.stopping || len(m.ready) == 0 {
			continue
		}
		if best == nil || before(m, best) {
			best = m
		}
	}
	if best != nil && l.mayPrecedeLocked(best) {
		return nil, "" // the loader is about to tell
	}
	return best, ""
}

// mayPrecedeLocked tells whether another module of the lane may have a task in the
// outbox that comes before the next one of m and can still be loaded.
func (l *lane) mayPrecedeLocked(m *module) bool {
	for _, other := range l.modules {
		if other != m && other.loaded < m.ready[0].Seq && (other.loading || other.more && other.roomLocked()) {
			return true
		}
	}
	return false
}

// before orders the heads of two modules: by change, then by priority and name.
func before(a, b *module) bool {
	sa, sb := a.ready[0].Seq, b.ready[0].Seq
	switch {
	case sa != sb:
		return sa < sb
	case a.Spec.Priority != b.Spec.Priority:
		return a.Spec.Priority < b.Spec.Priority
	}
	return a.name < b.name
}

func (l *lane) taskDoneLocked(m *module, w *work, err error) {
	m.inFlight--
	if err != nil {
		m.retryLocked(w, err)
	} else {
		m.calls++
		delete(m.failing, w)
		m.queue.Done(w.item)
		w.Old, w.New = nil, nil
	}
	l.wakeLocked(m)
}

// wakeLocked tells the waiting workers what has become possible.
func (l *lane) wakeLocked(m *module) {
	switch {
	case m.inFlight == 0 && m.step == "" && m.nextStepLocked(l.stopping) != "":
		l.work.Signal()
	case len(m.ready) > 1:
		l.work.Signal() // this worker takes one itself
	}
	if !m.busyLocked() {
		if m.prepared && m.hasRun() && !m.postDue && !l.stopping {
			m.quiet.Reset(m.Settings.QuietPeriod)
		}
		l.change.Broadcast()
	}
}

// quietEnded is called when the module had nothing to do for its quiet period.
func (l *lane) quietEnded(m *module) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !m.busyLocked() && m.prepared {
		m.postDue = true
		l.work.Signal()
	}
}

func (l *lane) stepDoneLocked(m *module, step listener.Kind, err error) {
	m.step = ""
	if err != nil {
		m.stepTries++
		if l.stopping {
			l.dead = l.dead || step != listener.KindPostRun
			m.prepared = false // not again in this run: it stays owed
			m.Log.Error("step failed at shutdown and stays owed", zap.String("call", string(step)), zap.Error(err))
			return
		}
		delay := backoff(m.Settings.RetryMin, m.Settings.RetryMax, m.stepTries)
		if d, ok := listener.RetryDelay(err); ok {
			delay = d
		}
		m.failures++
		m.lastError = string(step) + ": " + err.Error()
		m.stepWait = time.Now().Add(delay)
		m.stepTimer = time.AfterFunc(delay, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			m.stepWait = time.Time{}
			l.work.Signal()
		})
		m.Log.Warn("step failed and will be repeated", zap.String("call", string(step)), zap.Int("attempt", m.stepTries),
			zap.Duration("retry_in", delay), zap.Error(err))
	} else {
		m.stepTries = 0
		m.stepWait = time.Time{}
		switch step {
		case listener.KindPreRun:
			m.prepared = true
		case listener.KindPostRun:
			m.prepared, m.postDue = false, false
			m.firstCall = time.Time{}
		}
	}
	l.work.Broadcast() // the barrier is down
	l.wakeLocked(m)
}

// retry makes a failed task ready again.
func (l *lane) retry(m *module, w *work) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopping {
		return
	}
	heap.Push(&m.ready, w)
	m.quiet.Stop()
	l.work.Signal()
}

func (l *lane) settledLocked() bool {
	for _, m := range l.modules {
		if !m.settledLocked() {
			return false
		}
	}
	return true
}

// runLoader reads tasks from the outbox into the modules' windows.
func (l *lane) runLoader() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.stopping {
		loaded := false
		for _, m := range l.modules {
			if m.more && m.roomLocked() && !l.stopping {
				loaded = true
				if err := l.loadLocked(m); err != nil {
					l.d.fail(err)
					return
				}
			}
		}
		if !loaded {
			l.load.Wait()
		}
	}
}

// roomLocked tells whether the module's window is at most half full.
func (m *module) roomLocked() bool { return m.held <= windowTasks/2 && m.bytes <= windowBytes/2 }

// loadLocked reads the module's next tasks. It releases the lane's mutex meanwhile.
func (l *lane) loadLocked(m *module) error {
	m.more, m.loading = false, true
	after, last, limit, size := m.loaded, l.told, windowTasks-m.held, windowBytes-m.bytes
	l.mu.Unlock()
	tasks, err := l.d.Outbox.Load(m.name, after, last, limit, size)
	refilled := false
	if err == nil && len(tasks) == 0 {
		refilled, err = l.d.Outbox.Refill(m.name)
	}
	l.mu.Lock()
	m.loading = false
	if err != nil {
		return err
	}
	if len(tasks) > 0 || refilled {
		m.more = true
	} else if !m.more {
		m.settled = true
	}
	for _, t := range tasks {
		m.held++
		m.bytes += t.Size
		m.loaded = t.Seq
		m.queue.Push(&work{Task: t}, t.Keys...)
	}
	if len(m.ready) > 0 {
		m.quiet.Stop()
	}
	l.work.Broadcast() // for the tasks, for a step that is owed, or for others' tasks
	if !m.busyLocked() {
		l.wakeLocked(m)
	}
	return nil
}

// acker removes what is done from the outbox: everything that has come together
// while the previous transaction was being written, in one.
type acker struct {
	d *Dispatcher

	mu      sync.Mutex // guards what follows
	more    *sync.Cond
	done    map[string][]*Task
	stopped bool
}

func newAcker(d *Dispatcher) *acker {
	a := &acker{d: d, done: map[string][]*Task{}}
	a.more = sync.NewCond(&a.mu)
	return a
}

func (a *acker) add(m *module, t *Task) {
	a.mu.Lock()
	a.done[m.name] = append(a.done[m.name], t)
	a.mu.Unlock()
	a.more.Signal()
}

func (a *acker) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	a.more.Signal()
}

// run ends after stop, when all is written.
func (a *acker) run() {
	for {
		a.mu.Lock()
		for len(a.done) == 0 && !a.stopped {
			a.more.Wait()
		}
		done := a.done
		a.done = map[string][]*Task{}
		a.mu.Unlock()
		if len(done) == 0 {
			return
		}
		if err := a.d.Outbox.Ack(done); err != nil {
			a.d.fail(err)
			return
		}
		for name, tasks := range done {
			m := a.d.modules[name]
			l := m.lane
			l.mu.Lock()
			m.held -= len(tasks)
			m.queued -= len(tasks)
			for _, t := range tasks {
				m.bytes -= t.Size
			}
			l.load.Signal()
			l.mu.Unlock()
		}
	}
}
