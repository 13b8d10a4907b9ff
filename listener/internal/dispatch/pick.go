package dispatch

import (
	"time"

	"github.com/listenerd/listenerd/listener"
)

// liveInARow is how many live calls a lane makes before one of the others gets its turn.
const liveInARow = 3

// turn remembers whose turn it is.
type turn struct {
	live int // live calls since the last one of the others
	next int // module that is asked first for another one
}

// pickLocked returns the module whose turn it is, and the step, or the task that it
// took out of the window.
func (l *lane) pickLocked() (*module, listener.Kind, *work) {
	if l.dead {
		return nil, "", nil
	}
	var live *module
	others := false
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
				return m, step, nil
			}
			if step != listener.KindPostRun || !waiting {
				continue // its calls wait for the step
			}
		}
		if l.stopping || !m.mayCallLocked() {
			continue
		}
		if len(m.ready[streamLive]) > 0 && !m.stoppedLocked() && (live == nil || before(m, live)) {
			live = m
		}
		others = others || len(m.ready[streamParked]) > 0
	}
	if live != nil && l.mayPrecedeLocked(live) {
		live = nil // the loader is about to tell
		if !others {
			return nil, "", nil
		}
	}
	if live != nil && (!others || l.turn.live < liveInARow) {
		l.turn.live++
		return live, "", live.takeReadyLocked(streamLive)
	}
	if others {
		return l.pickOtherLocked()
	}
	return nil, "", nil
}

// pickOtherLocked returns a call that is not live, in turn over the modules.
func (l *lane) pickOtherLocked() (*module, listener.Kind, *work) {
	l.turn.live = 0
	for i := range l.modules {
		at := (l.turn.next + i) % len(l.modules)
		m := l.modules[at]
		if len(m.ready[streamParked]) == 0 || m.step != "" || !m.mayCallLocked() || m.heldBackLocked() {
			continue
		}
		l.turn.next = at + 1
		return m, "", m.takeReadyLocked(streamParked)
	}
	return nil, "", nil
}

// heldBackLocked tells whether the module's calls wait for a step.
func (m *module) heldBackLocked() bool {
	step := m.nextStepLocked(m.lane.stopping)
	return step != "" && (step != listener.KindPostRun || m.stepWait.IsZero() || !time.Now().Before(m.stepWait))
}

// mayCallLocked tells whether the module may be called at all now.
func (m *module) mayCallLocked() bool {
	if m.gaveUp || m.stuck > 0 && m.lane.shared {
		return false
	}
	return m.down.probes == 0 || m.inFlight == 0 && !time.Now().Before(m.down.until)
}

// stoppedLocked tells whether nothing is called but what has failed.
func (m *module) stoppedLocked() bool { return m.Settings.StopOnError && m.failing > 0 }

func (m *module) takeReadyLocked(s stream) *work {
	w := m.ready[s].pop()
	w.probe = m.down.probes > 0
	return w
}

// mayPrecedeLocked tells whether another module of the lane may have a task in the
// outbox that comes before the next one of m and can still be loaded.
func (l *lane) mayPrecedeLocked(m *module) bool {
	for _, other := range l.modules {
		if other != m && other.loaded < m.ready[streamLive][0].Seq && (other.loading || other.more && other.windows[streamLive].room()) {
			return true
		}
	}
	return false
}

// before orders the heads of two modules: by change, then by priority and name.
func before(a, b *module) bool {
	sa, sb := a.ready[streamLive][0].Seq, b.ready[streamLive][0].Seq
	switch {
	case sa != sb:
		return sa < sb
	case a.Spec.Priority != b.Spec.Priority:
		return a.Spec.Priority < b.Spec.Priority
	}
	return a.name < b.name
}
