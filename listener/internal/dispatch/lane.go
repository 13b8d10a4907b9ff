package dispatch

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
)

// lane is some modules and the workers that make their calls.
type lane struct {
	d       *Dispatcher
	workers int
	shared  bool // by the synchronous modules
	modules []*module

	mu       sync.Mutex // guards the modules' state and what follows
	work     *sync.Cond // workers wait for something to run
	load     *sync.Cond // the loader waits for room and tasks
	change   *sync.Cond // Settle waits for the modules to settle
	told     uint64     // seq up to which tasks may be loaded
	stopping bool       // no new calls
	dead     bool       // no new steps either
	turn     turn
	open     []*module // scratch: those that may be called
	at       []*worker // those that run
	active   int       // of them, those that are not left to a stuck call
}

func newLane(d *Dispatcher, workers int, shared bool) *lane {
	l := &lane{d: d, workers: workers, shared: shared, told: d.Seq, turn: turn{last: -1}}
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
		m.dueTimer.Stop()
		m.down.timer.Stop()
		m.stepWait = time.Time{}
		m.stepTries = 0
		if m.stepTimer != nil {
			m.stepTimer.Stop()
		}
		for _, timer := range m.halted {
			if timer != nil {
				timer.Stop()
			}
		}
	}
	l.work.Broadcast()
	l.load.Broadcast()
	l.change.Broadcast()
}

func (l *lane) taskDoneLocked(m *module, w *work, err error) {
	m.inFlight--
	delete(m.halted, w)
	if err != nil {
		m.failedLocked(w, err)
	} else {
		m.calls++
		m.acking++
		if w.Parked {
			m.uncommitted++ // what waited for it comes after that
		}
		if w.Failure != nil {
			delete(m.asked, w.Seq)
			m.failing--
			if m.Settings.StopOnError {
				l.work.Broadcast()
			}
		}
		if len(m.down.row) > 0 || m.down.probes > 0 {
			m.upLocked()
		}
		m.queue.Done(w.item)
		w.Old, w.New = nil, nil
	}
	l.wakeLocked(m)
}

// wakeLocked tells the waiting workers what has become possible.
func (l *lane) wakeLocked(m *module) {
	if m.resetting {
		l.change.Broadcast()
	}
	switch {
	case m.inFlight == 0 && m.step == "" && m.nextStepLocked(l.stopping) != "":
		l.work.Signal()
	case m.readyLocked() > 1:
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
		if step == listener.KindPostRun && m.steps.Resync != "" && !l.stopping {
			// What it was to finish is undone, or repeated.
			m.stepTries, m.prepared, m.postDue, m.firstCall = 0, false, false, time.Time{}
			m.Log.Warn("step failed and stays owed; the module is resynchronized first", zap.String("call", string(step)), zap.Error(err))
			l.work.Broadcast()
			return
		}
		if once := m.Settings.OnceAttempts; once > 0 && m.stepTries >= once && step != listener.KindPostRun && !l.stopping {
			m.gaveUp = true
		}
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
		case listener.KindClean, listener.KindInitialize:
			m.postDue = m.postDue || m.prepared && m.steps.Resync != "" // another run begins
			m.walkMore, m.settled = true, false
			l.load.Signal()
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

func (l *lane) settledLocked() bool {
	for _, m := range l.modules {
		if !m.settledLocked() {
			return false
		}
	}
	return true
}
