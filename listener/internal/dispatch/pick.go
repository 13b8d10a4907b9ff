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
	last int // module that made it
}

// pickLocked returns the module whose turn it is, and the step, or the task that it
// took out of the window.
func (l *lane) pickLocked() (*module, listener.Kind, *work) {
	if l.dead {
		return nil, "", nil
	}
	l.open = l.open[:0]
	front := uint64(0)
	for _, m := range l.modules {
		if m.step != "" || m.resetting {
			continue
		}
		if m.prepared && !m.postDue && !m.firstCall.IsZero() && time.Since(m.firstCall) >= m.Settings.PostRunMaxDelay {
			m.postDue = true
		}
		if step := m.nextStepLocked(l.stopping); step != "" {
			waiting := !m.stepWait.IsZero() && time.Now().Before(m.stepWait)
			if m.inFlight == 0 && !waiting && m.stuck == 0 {
				return m, step, nil
			}
			if step != listener.KindPostRun || !waiting {
				continue // its calls wait for the step
			}
		}
		if l.stopping || !m.mayCallLocked() {
			continue
		}
		l.open = append(l.open, m)
		if m.hasLiveLocked() {
			front = max(front, m.ready[streamLive][0].Seq)
		}
	}
	var live *module
	others := false
	for _, m := range l.open {
		behind := m.behindLocked(front)
		if m.hasLiveLocked() && !behind && (live == nil || before(m, live)) {
			live = m
		}
		others = others || m.otherLocked(behind, m.other) < streams
	}
	if live != nil && l.mayPrecedeLocked(live) {
		live = nil // the loader is about to tell
	}
	switch {
	case live != nil && (!others || l.turn.live < liveInARow):
		l.turn.live++
		return live, "", live.takeReadyLocked(streamLive)
	case others:
		return l.pickOtherLocked(front)
	}
	return nil, "", nil
}

// hasLiveLocked tells whether there is a live call that may be made.
func (m *module) hasLiveLocked() bool { return len(m.ready[streamLive]) > 0 && !m.stoppedLocked() }

// behindLocked tells whether the module has more to do than its window holds before it
// comes to front, where another module of the lane is. Then its live calls are backlog.
func (m *module) behindLocked(front uint64) bool {
	return m.more && m.loaded < front && !m.windows[streamLive].room()
}

// otherLocked returns the stream of the module's next call that is not live, in turn
// after the given one.
func (m *module) otherLocked(behind bool, after stream) stream {
	for i := range stream(streams) {
		s := (after + 1 + i) % streams
		switch {
		case len(m.ready[s]) == 0, s != streamParked && m.stoppedLocked(), s == streamLive && !behind,
			s == streamWalk && !m.maySkipLocked(m.ready[s][0]):
		default:
			return s
		}
	}
	return streams
}

// pickOtherLocked returns a call that is not live, in turn over the modules that are
// open for calls.
func (l *lane) pickOtherLocked(front uint64) (*module, listener.Kind, *work) {
	l.turn.live = 0
	first := 0
	for first < len(l.open) && l.open[first].index <= l.turn.last {
		first++
	}
	for i := range l.open {
		m := l.open[(first+i)%len(l.open)]
		if s := m.otherLocked(m.behindLocked(front), m.other); s < streams {
			l.turn.last, m.other = m.index, s
			return m, "", m.takeReadyLocked(s)
		}
	}
	return nil, "", nil
}

// mayCallLocked tells whether the module may be called at all now.
func (m *module) mayCallLocked() bool {
	if m.gaveUp || m.Paused || m.stuck > 0 && m.lane.shared {
		return false
	}
	return m.down.probes == 0 || m.inFlight == 0 && !time.Now().Before(m.down.until)
}

// stoppedLocked tells whether nothing is called but what has failed.
func (m *module) stoppedLocked() bool { return m.Settings.StopOnError && m.failing > 0 }

func (m *module) takeReadyLocked(s stream) *work {
	w := m.ready[s].pop()
	w.probe, w.taken = m.down.probes > 0, true
	return w
}

// mayPrecedeLocked tells whether another module of the lane may have a task in the
// outbox that comes before the next one of m and can still be loaded.
func (l *lane) mayPrecedeLocked(m *module) bool {
	for _, other := range l.modules {
		if other != m && !other.resetting && other.loaded < m.ready[streamLive][0].Seq && (other.loading || other.more && other.windows[streamLive].room()) {
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
