package dispatch

import (
	"slices"
	"strings"
	"time"
)

// ModuleStatus is what is to be known of a module at a moment.
type ModuleStatus struct {
	Name string
	// State is cleaning, initializing, running, idle, failing, backing off, stopped, stuck or paused.
	State string
	// Queued counts the calls owed, including those in flight and failing.
	Queued int
	// Told is the seq of the last change that the tasks in Queued are known up to.
	Told uint64
	// InFlight counts the calls that run now.
	InFlight int
	// Failing counts the entries whose call failed and that wait for a retry or were
	// set aside.
	Failing int
	// SetAside counts those of them that are not retried.
	SetAside int
	// Calls counts the calls that succeeded since the start.
	Calls uint64
	// Failures counts the calls that failed since the start.
	Failures uint64
	// LastError is the last failed call's error, and what it was for.
	LastError string
	// NextProbe is when a module that backs off makes its next call.
	NextProbe time.Time
	// Folded: the module is at its limit, and what it has queued was folded.
	Folded bool
	// Stalled: the module is at its limit, and [Dispatcher.Room] waits for it.
	Stalled bool
	// Stuck counts the calls that ignore their timeout, StuckFor is how long the oldest
	// of them has been running.
	Stuck    int
	StuckFor time.Duration
}

// Status returns the modules' states, by name.
func (d *Dispatcher) Status() []ModuleStatus {
	var out []ModuleStatus
	for _, l := range d.lanes {
		l.mu.Lock()
		for _, m := range l.modules {
			out = append(out, m.statusLocked())
		}
		l.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b ModuleStatus) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (m *module) statusLocked() ModuleStatus {
	s := ModuleStatus{
		Name: m.name, Queued: m.queued, Told: m.lane.told, InFlight: m.inFlight, Failing: m.failing, SetAside: m.setAside,
		Calls: m.calls, Failures: m.failures, LastError: m.lastError, Stuck: m.stuck,
		Folded: m.fold.folded || m.fold.on, Stalled: m.stallsLocked(),
	}
	for _, w := range m.lane.at {
		if w.stuck && w.module == m {
			s.StuckFor = max(s.StuckFor, time.Since(w.since))
		}
	}
	if m.down.probes > 0 && !m.gaveUp {
		s.NextProbe = m.down.until
	}
	switch {
	case m.Paused:
		s.State = "paused"
	case m.stuck > 0:
		s.State = "stuck"
	case m.down.probes > 0:
		s.State = "backing off"
	case m.stoppedLocked():
		s.State = "stopped"
	case m.steps.Resync == ResyncClean || m.resetting:
		s.State = "cleaning"
	case m.steps.Resync == ResyncInitialize || m.wantsInit() && m.queued > 0:
		s.State = "initializing"
	case m.stepTries > 0:
		s.State = "failing"
	case m.busyLocked():
		s.State = "running"
	case m.failing > 0:
		s.State = "failing"
	default:
		s.State = "idle"
	}
	return s
}
