package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
)

// downAfter is how many different entries have to fail in a row until a module's
// target is taken to be down.
const downAfter = 10

// What is kept of an error at most.
const (
	maxErrorText = 4 << 10
	maxStack     = 16 << 10
)

// down is a module's backoff as a whole.
type down struct {
	row    map[listener.UUID]struct{} // entries that failed since the last success
	probes int                        // that failed, 1 at the beginning; 0: it is up
	until  time.Time
	timer  *time.Timer
}

// failedLocked decides how a failed task goes on, and has it and what waits for it
// parked.
func (m *module) failedLocked(w *work, err error) {
	if context.Cause(m.lane.d.calls) != nil {
		m.cutOff = true
		return // shutdown: it is repeated after the next start
	}
	m.failures++
	m.lastError = fmt.Sprintf("%s %s: %v", w.Kind, w.dn(), err)
	if w.Failure == nil {
		m.failing++
	}
	w.Failure = m.judgeLocked(w, err)
	if w.Failure.SetAside() {
		m.setAside++
	}
	m.countLocked(w, err)
	if m.Settings.StopOnError {
		m.stopLocked(w)
		return
	}
	m.parkLocked(w)
}

// judgeLocked returns the record of a failure: whether and when the call is repeated.
func (m *module) judgeLocked(w *work, err error) *Failure {
	now := time.Now()
	f := &Failure{First: now}
	if w.Failure != nil {
		*f = *w.Failure
	}
	if f.Run != m.lane.d.run {
		f.Run, f.Tries = m.lane.d.run, 0
	}
	f.Last, f.Error, f.Stack, f.NextRun = now, shortened(err.Error(), maxErrorText), "", false
	if p, ok := errors.AsType[*PanicError](err); ok {
		f.Stack = shortened(string(p.Stack), maxStack)
	}
	delay, asked := listener.RetryDelay(err)
	if !asked || m.inVainLocked(w) {
		f.Tries++
	}
	if !asked {
		f.Attempts++
		delay = backoff(m.Settings.RetryMin, m.Settings.RetryMax, f.Attempts)
	}
	f.Next = now.Add(delay)
	once := m.Settings.OnceAttempts
	fields := []zap.Field{
		zap.String("call", string(w.Kind)), zap.String("dn", w.dn()), zap.Stringer("uuid", w.UUID), zap.Uint64("seq", w.Seq),
		zap.Int("attempt", max(f.Attempts, 1)), zap.Error(err),
	}
	if f.Stack != "" {
		fields = append(fields, zap.String("stack", f.Stack))
	}
	switch {
	case errors.Is(err, listener.ErrPermanent) || m.Settings.MaxAttempts > 0 && f.Attempts >= m.Settings.MaxAttempts:
		f.Next = time.Time{}
		m.Log.Error("call failed; the entry is set aside until someone decides", fields...)
	case once > 0 && f.Tries >= once:
		if f.NextRun = true; !asked {
			f.Next = now // the next run need not wait
		}
		m.Log.Error("call failed; the entry is left to the next run", fields...)
	default:
		m.Log.Warn("call failed and will be repeated", append(fields, zap.Duration("retry_in", delay))...)
	}
	return f
}

// inVainLocked takes note that a call asked to be repeated, and tells whether none of the
// module's calls has succeeded since it did so before: what it waits for is none of these
// then, and a run that ends by itself does not wait for ever.
func (m *module) inVainLocked(w *work) bool {
	if m.Settings.OnceAttempts == 0 {
		return false
	}
	before, again := m.asked[w.Seq]
	m.asked[w.Seq] = m.calls
	return !again || before == m.calls
}

func shortened(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + " ..."
}

// parkLocked takes a failed task and all that wait for it out of the window, to be
// parked.
func (m *module) parkLocked(w *work) {
	var waiting []*Task
	for _, i := range m.queue.Withdraw(w.item) {
		t := i.Value.Task
		switch {
		case i.Value.merging:
			i.Value.withdrawn = true
			m.blockLocked(t)
		case !t.Parked:
			m.blockLocked(t)
			t.Old, t.New = nil, nil
			waiting = append(waiting, t)
		case m.loading: // the loader goes by what is in the window; so it stays until it is through
			m.blockLocked(t)
			m.withdrawn = append(m.withdrawn, t)
		default:
			m.forgetLocked(t)
		}
	}
	slices.SortFunc(waiting, func(a, b *Task) int { return cmp.Compare(a.Seq, b.Seq) })
	m.blockLocked(w.Task)
	w.Old, w.New = nil, nil
	fold := m.foldsLocked()
	m.lane.d.commits.add(m, func(c *Changes) {
		c.Failed = append(c.Failed, w.Task)
		c.Waiting = append(c.Waiting, waiting...)
		c.Fold = c.Fold || fold
	})
}

// withdrawLocked finishes what parkLocked left because the loader was reading.
func (m *module) withdrawLocked() {
	for _, t := range m.withdrawn {
		m.unblockLocked(t)
		m.forgetLocked(t)
		m.uncommitted--
		m.dueMore = true
	}
	m.withdrawn = nil
}

// stopLocked keeps a failed task at its place, and halts the module.
func (m *module) stopLocked(w *work) {
	m.uncommitted++
	t := *w.Task // as it is now: it may be repeated, and fail, before this is stored
	m.lane.d.commits.add(m, func(c *Changes) { c.Stopped = append(c.Stopped, &t) })
	m.haltLocked(w)
}

// haltLocked has a failed task repeated when its time comes.
func (m *module) haltLocked(w *work) {
	m.halted[w] = nil
	if w.Failure.SetAside() || w.Failure.NextRun {
		return
	}
	m.halted[w] = time.AfterFunc(time.Until(w.Failure.Next), func() {
		l := m.lane
		l.mu.Lock()
		defer l.mu.Unlock()
		if _, waits := m.halted[w]; waits && !l.stopping {
			m.againLocked(w)
		}
	})
}

// againLocked makes a task that halted the module ready once more.
func (m *module) againLocked(w *work) {
	m.halted[w] = nil
	m.ready[streamParked].push(w)
	m.quiet.Stop()
	m.lane.work.Signal()
}

// loadFailedLocked puts a task into the window that failed at its place in an earlier
// run.
func (m *module) loadFailedLocked(w *work) {
	if !m.Settings.StopOnError {
		// The setting was another one then. It has nothing before it: it was called.
		m.blockLocked(w.Task)
		m.lane.d.commits.add(m, func(c *Changes) { c.Failed = append(c.Failed, w.Task) })
		return
	}
	if w.Failure.NextRun || m.Settings.OnceAttempts > 0 && !w.Failure.SetAside() {
		f := *w.Failure
		if f.NextRun = false; m.Settings.OnceAttempts > 0 {
			f.Next = time.Now()
		}
		w.Failure = &f
	}
	m.pushLocked(w)
}

// countLocked counts failures in a row, and decides whether the module backs off as a
// whole.
func (m *module) countLocked(w *work, err error) {
	_, asked := listener.RetryDelay(err)
	if asked || errors.Is(err, listener.ErrPermanent) { // this is about the entry
		if w.probe {
			m.upLocked()
		}
		return
	}
	if m.Settings.StopOnError {
		return // it has halted
	}
	if w.probe {
		m.down.probes++
		m.backOffLocked(err)
		return
	}
	if m.down.probes > 0 {
		return
	}
	if m.down.row == nil {
		m.down.row = map[listener.UUID]struct{}{}
	}
	if m.down.row[w.UUID] = struct{}{}; len(m.down.row) >= downAfter {
		m.down.probes = 1
		m.backOffLocked(err)
	}
}

func (m *module) backOffLocked(err error) {
	delay := backoff(m.Settings.RetryMin, m.Settings.RetryMax, m.down.probes)
	m.down.until = time.Now().Add(delay)
	if once := m.Settings.OnceAttempts; once > 0 && m.down.probes > once {
		m.gaveUp = true
		m.Log.Error("the module's calls fail one after the other; they are left to the next run", zap.Error(err))
		return
	}
	m.Log.Warn("the module's calls fail one after the other; it backs off as a whole", zap.Duration("probe_in", delay), zap.Error(err))
	m.down.timer.Reset(delay)
}

// upLocked ends the backoff as a whole.
func (m *module) upLocked() {
	if m.down.probes > 0 {
		m.Log.Info("the module's calls succeed again")
		m.lane.work.Broadcast()
	}
	clear(m.down.row)
	m.down.probes = 0
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
