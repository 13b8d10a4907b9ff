package dispatch

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/keyqueue"
)

// The window of tasks that a module holds in memory.
const (
	windowTasks = 2_000
	windowBytes = 8 << 20
)

type item = keyqueue.Item[string, *work]

// work is a task in memory.
type work struct {
	*Task
	item     *item
	attempts int
	err      error       // of the last attempt
	timer    *time.Timer // of the retry
	setAside bool
}

// module is the state of one module in its lane, whose mutex guards it.
type module struct {
	Module
	name string
	lane *lane

	queue *keyqueue.Queue[string, *work]
	ready readyHeap

	loaded  uint64 // seq of the last task read from the outbox
	more    bool   // the outbox may have tasks after that
	loading bool
	settled bool // Refill had nothing

	queued   int // in the outbox
	held     int // in memory, including those done but not yet acknowledged
	bytes    int // of those
	inFlight int
	failing  map[*work]struct{}

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

// readyHeap orders the tasks that may run by seq.
type readyHeap []*work

func (h readyHeap) Len() int           { return len(h) }
func (h readyHeap) Less(i, j int) bool { return h[i].Seq < h[j].Seq }
func (h readyHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *readyHeap) Push(x any)        { *h = append(*h, x.(*work)) }
func (h *readyHeap) Pop() any {
	old := *h
	last := len(old) - 1
	x := old[last]
	old[last] = nil
	*h = old[:last]
	return x
}

func (l *lane) add(c Module) *module {
	m := &module{
		Module: c, name: c.Name, lane: l, more: true,
		queued: c.Queued, failing: map[*work]struct{}{}, steps: c.Steps,
	}
	m.queue = keyqueue.New(func(i *item) {
		i.Value.item = i
		heap.Push(&m.ready, i.Value)
	})
	m.quiet = time.AfterFunc(time.Hour, func() { l.quietEnded(m) })
	m.quiet.Stop()
	l.modules = append(l.modules, m)
	return m
}

// wantsInit tells whether initialize has to run before anything else.
func (m *module) wantsInit() bool {
	if m.steps.Initialized {
		return false
	}
	_, ok := m.Handler.(listener.Initializer)
	return ok
}

// hasRun tells whether the module has steps around its calls.
func (m *module) hasRun() bool {
	_, pre := m.Handler.(listener.PreRunner)
	return pre || m.hasPostRun()
}

func (m *module) hasPostRun() bool {
	_, post := m.Handler.(listener.PostRunner)
	return post
}

// hasWorkLocked tells whether there are tasks that could run now, once the steps
// before them are through.
func (m *module) hasWorkLocked() bool { return len(m.ready) > 0 }

// busyLocked tells whether there is work that can run now or is about to.
func (m *module) busyLocked() bool {
	return m.hasWorkLocked() || m.inFlight > 0 || m.more || m.loading
}

// settledLocked tells whether the module has nothing that could run without a
// change from outside: no task but those set aside and those behind them.
func (m *module) settledLocked() bool {
	if m.busyLocked() || m.step != "" || !m.settled {
		return false
	}
	for w := range m.failing {
		if !w.setAside {
			return false
		}
	}
	return true
}

// nextStepLocked returns the barrier that has to run before anything else, if any.
func (m *module) nextStepLocked(stopping bool) listener.Kind {
	switch {
	case m.prepared && (m.postDue || stopping):
		return listener.KindPostRun
	case stopping:
		return ""
	case m.wantsInit() && m.hasWorkLocked():
		return listener.KindInitialize
	case !m.prepared && m.hasRun() && !m.wantsInit() && (m.hasWorkLocked() || m.steps.PostRunOwed && m.hasPostRun()):
		return listener.KindPreRun
	}
	return ""
}

// runStep runs a barrier. The lane's mutex is not held.
func (m *module) runStep(kind listener.Kind, attempt int) error {
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
	err := d.call(m, &listener.Call{Module: m.name, Kind: kind, Attempt: attempt}, func(ctx context.Context) error {
		switch kind {
		case listener.KindInitialize:
			return m.Handler.(listener.Initializer).Initialize(ctx)
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
		case listener.KindInitialize:
			steps.Initialized = true
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

// runTask makes the call of a task. The lane's mutex is not held.
func (m *module) runTask(w *work) error {
	info := listener.Call{
		Module: m.name, Kind: w.Kind, Seq: w.Seq, Attempt: w.attempts + 1, Cause: w.Cause, Old: w.Old, New: w.New,
	}
	err := m.lane.d.call(m, &info, func(ctx context.Context) error {
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
	return err
}

// retryLocked decides how a failed task goes on.
func (m *module) retryLocked(w *work, err error) {
	if context.Cause(m.lane.d.calls) != nil { // shutdown: it is repeated after the next start
		w.setAside = true
		return
	}
	m.failures++
	w.err = err
	m.failing[w] = struct{}{}
	delay, asked := listener.RetryDelay(err)
	if !asked {
		w.attempts++
		delay = backoff(m.Settings.RetryMin, m.Settings.RetryMax, w.attempts)
	}
	dn := w.dn()
	m.lastError = fmt.Sprintf("%s %s: %v", w.Kind, dn, err)
	fields := []zap.Field{
		zap.String("call", string(w.Kind)), zap.String("dn", dn), zap.Stringer("uuid", w.UUID), zap.Uint64("seq", w.Seq),
		zap.Int("attempt", max(w.attempts, 1)), zap.Error(err),
	}
	if p, ok := errors.AsType[*panicError](err); ok {
		fields = append(fields, zap.ByteString("stack", p.stack))
	}
	if errors.Is(err, listener.ErrPermanent) || m.Settings.MaxAttempts > 0 && w.attempts >= m.Settings.MaxAttempts {
		w.setAside = true
		m.Log.Error("call failed; the entry is set aside until the next start", fields...)
		return
	}
	m.Log.Warn("call failed and will be repeated", append(fields, zap.Duration("retry_in", delay))...)
	w.timer = time.AfterFunc(delay, func() { m.lane.retry(m, w) })
}

func (w *work) dn() string {
	if w.New != nil {
		return w.New.DN()
	}
	if w.Old != nil {
		return w.Old.DN()
	}
	return ""
}

// backoff returns the delay before the repetition that follows the n-th attempt:
// min, doubled up to max, with up to a quarter of it taken off at random.
func backoff(min, max time.Duration, n int) time.Duration {
	d := min
	for ; n > 1 && d < max; n-- {
		d *= 2
	}
	if d > max {
		d = max
	}
	return d - rand.N(d/4+1)
}

func (m *module) statusLocked() ModuleStatus {
	s := ModuleStatus{
		Name: m.name, Queued: m.queued, InFlight: m.inFlight, Failing: len(m.failing),
		Calls: m.calls, Failures: m.failures, LastError: m.lastError,
	}
	for w := range m.failing {
		if w.setAside {
			s.SetAside++
		}
	}
	switch {
	case m.wantsInit() && m.queued > 0:
		s.State = "initializing"
	case m.stepTries > 0:
		s.State = "failing"
	case m.busyLocked():
		s.State = "running"
	case len(m.failing) > 0:
		s.State = "failing"
	default:
		s.State = "idle"
	}
	return s
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
