package dispatch

import (
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/keyqueue"
)

// module is the state of one module in its lane, whose mutex guards it.
type module struct {
	Module
	name  string
	lane  *lane
	index int // in the lane

	queue   *keyqueue.Queue[string, *work]
	ready   [streams]readyList
	windows [streams]window
	held    map[uint64]Held // tasks in the window: the parked ones as they were when they were loaded, and of the backlog

	loaded   uint64 // seq of the last task read from the outbox
	walked   uint64 // seq of the last task read from the backlog in its turn
	passed   uint64 // up to this seq nothing is in the outbox that was not loaded
	handed   uint64 // durable: tasks of the outbox may be handed out up to this seq
	more     bool   // the outbox may have tasks after loaded
	walkMore bool   // the backlog may have tasks after walked and up to passed
	beyond   bool   // it has some after passed
	dueMore  bool   // parked tasks may be due
	loading  bool   // the loader reads
	settled  bool   // Refill had nothing

	turn  stream // that was loaded from last
	other stream // of the last call that was not live

	nextDue  time.Time // when a parked task becomes due
	dueTimer *time.Timer

	blocking    map[string]int // keys of tasks that are about to be parked
	committed   []*Changes     // while the loader reads: what has become durable
	withdrawn   []*Task        // while the loader reads: parked tasks that left the window
	deciding    int            // who waits to decide on failed tasks
	resetting   bool           // no call and no step is begun: another queue is about to come
	merging     int            // tasks that are being folded with each other
	uncommitted int            // tasks that failed, wait or were parked, and whose change is not yet stored
	acking      int            // tasks that succeeded, and whose acknowledgement is not yet stored
	since       uint64         // seq from which on tasks are those of the present queue

	queued   int // owed
	inFlight int
	stuck    int // calls that ignore their timeout
	failing  int // tasks that have failed
	setAside int // of those, tasks that wait for a decision

	fold folding

	halted map[*work]*time.Timer // tasks that stop the module
	asked  map[uint64]uint64     // calls that had succeeded when a task's call asked to be repeated, by seq
	down   down
	gaveUp bool // no more calls in this run
	cutOff bool // a call ended with the shutdown, or did not

	steps     Steps
	prepared  bool          // pre_run is through
	step      listener.Kind // the barrier that runs now
	stepTries int
	stepWait  time.Time // not before
	stepTimer *time.Timer
	firstCall time.Time // since the last post_run
	quiet     *time.Timer
	postDue   bool // post_run is to run as soon as nothing is in flight

	calls, failures uint64
	lastError       string
}

func (l *lane) add(c Module) *module {
	m := &module{
		Module: c, name: c.Name, lane: l, index: len(l.modules), more: true, walkMore: true, dueMore: true, handed: c.Handed,
		queued: c.Queued, failing: c.Failed, setAside: c.SetAside, steps: c.Steps,
		held: map[uint64]Held{}, blocking: map[string]int{}, halted: map[*work]*time.Timer{},
		asked: map[uint64]uint64{},
	}
	m.newQueue()
	m.quiet = idleTimer(func() { l.quietEnded(m) })
	m.dueTimer = idleTimer(func() { l.dueNow(m) })
	m.down.timer = idleTimer(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.work.Broadcast()
	})
	l.modules = append(l.modules, m)
	return m
}

func (m *module) newQueue() {
	m.queue = keyqueue.New(func(i *item) {
		w := i.Value
		w.item = i
		if w.merging {
			return // when that is stored
		}
		if w.Failure != nil && !w.Parked {
			m.haltLocked(w)
			return
		}
		m.ready[w.class].push(w)
	})
}

// idleTimer returns a timer that does nothing before it is reset.
func idleTimer(f func()) *time.Timer {
	t := time.AfterFunc(time.Hour, f)
	t.Stop()
	return t
}

// wantsInit tells whether initialize has to run before anything else.
func (m *module) wantsInit() bool {
	return !m.steps.Initialized && m.Executor.Has(listener.KindInitialize)
}

// hasRun tells whether the module has steps around its calls.
func (m *module) hasRun() bool {
	return m.Executor.Has(listener.KindPreRun) || m.hasPostRun()
}

func (m *module) hasPostRun() bool { return m.Executor.Has(listener.KindPostRun) }

// readyLocked counts the tasks in the window that wait for nothing.
func (m *module) readyLocked() int {
	n := 0
	for _, h := range m.ready {
		n += len(h)
	}
	return n
}

// hasWorkLocked tells whether there are tasks that could run now, once the steps
// before them are through.
func (m *module) hasWorkLocked() bool {
	switch {
	case m.gaveUp || m.Paused:
		return false
	case m.stoppedLocked():
		return len(m.ready[streamParked]) > 0
	}
	return m.readyLocked() > 0
}

// restingLocked tells whether tasks in the window are not called for now.
func (m *module) restingLocked() bool { return m.gaveUp || m.Paused || m.stoppedLocked() }

// busyLocked tells whether there is work that can run now or is about to.
func (m *module) busyLocked() bool {
	if m.hasWorkLocked() || m.inFlight > 0 || m.loading || m.fold.on || m.merging > 0 {
		return true
	}
	if m.restingLocked() {
		return m.wantsLoadLocked()
	}
	return m.more || m.walkMore || m.dueMore
}

// settledLocked tells whether the module has nothing that could run without a
// change from outside: no task but those set aside and those behind them.
func (m *module) settledLocked() bool {
	if m.busyLocked() || m.step != "" || m.uncommitted > 0 {
		return false
	}
	if m.gaveUp || m.Paused {
		return true
	}
	if m.steps.Resync != "" || m.resetting {
		return false
	}
	for _, timer := range m.halted {
		if timer != nil {
			return false
		}
	}
	return m.nextDue.IsZero() && (m.settled || m.stoppedLocked())
}

// cleans tells whether the module has a Cleaner.
func (m *module) cleans() bool { return m.Executor.Has(listener.KindClean) }

// mayCleanLocked tells whether what a resynchronized module begins with may run, or for a
// module that has no Cleaner, is over: all that it was owed was called for.
func (m *module) mayCleanLocked() bool {
	if m.Paused || m.gaveUp {
		return false
	}
	return m.cleans() || m.settled && m.uncommitted == 0 && !m.busyLocked() && !m.restingLocked()
}

// nextStepLocked returns the barrier that has to run before anything else, if any.
func (m *module) nextStepLocked(stopping bool) listener.Kind {
	switch {
	case m.prepared && (m.postDue || stopping):
		return listener.KindPostRun
	case stopping:
		return ""
	case m.steps.Resync == ResyncClean && m.mayCleanLocked():
		return listener.KindClean
	case m.steps.Resync == ResyncInitialize && !m.Paused && !m.gaveUp, m.wantsInit() && m.hasWorkLocked():
		return listener.KindInitialize
	case !m.prepared && !m.Paused && m.hasRun() && !m.wantsInit() && (m.hasWorkLocked() || m.steps.PostRunOwed && m.hasPostRun()):
		return listener.KindPreRun
	}
	return ""
}
