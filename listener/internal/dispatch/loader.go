package dispatch

import "time"

// markAhead is how many numbers of tasks a mark is ahead of those handed out: so a mark
// is written for many tasks, and seldom waited for.
const markAhead = 1 << 14

// runLoader reads tasks from the outbox into the modules' windows.
func (l *lane) runLoader() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.stopping {
		loaded := false
		for _, m := range l.modules {
			if m.wantsLoadLocked() && !l.stopping {
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

func (m *module) wantsLoadLocked() bool {
	return m.more && m.windows[streamLive].room() || m.dueMore && m.windows[streamParked].room()
}

// batch is what one load read.
type batch struct {
	due      []*Task
	next     time.Time
	dueMore  bool
	tasks    []*Task
	refilled bool
	marked   uint64
	last     uint64 // up to which it read
}

// loadLocked reads the module's next tasks. It releases the lane's mutex meanwhile.
func (l *lane) loadLocked(m *module) error {
	wantDue := m.dueMore && m.windows[streamParked].room()
	wantLive := m.more && m.windows[streamLive].room()
	m.loading = true
	if wantDue {
		m.dueMore = false
	}
	if wantLive {
		m.more = false
	}
	after, last := m.loaded, l.told
	windows, handed, passed := m.windows, m.handed, m.passed
	l.mu.Unlock()
	b := batch{last: last}
	var err error
	if wantDue {
		limit, size := windows[streamParked].left()
		b.due, b.next, b.dueMore, err = l.d.Outbox.Due(m.name, time.Now(), passed, m.held, limit, size)
	}
	if wantLive && err == nil {
		limit, size := windows[streamLive].left()
		err = l.read(m, &b, after, last, limit, size, handed)
	}
	l.mu.Lock()
	m.loading = false
	if err != nil {
		return err
	}
	if wantDue {
		m.takeDueLocked(&b)
	}
	if wantLive {
		m.takeLocked(&b)
	}
	m.withdrawLocked()
	for _, c := range m.committed {
		m.committedLocked(c)
	}
	m.committed = nil
	if m.hasWorkLocked() {
		m.quiet.Stop()
	}
	l.work.Broadcast() // for the tasks, for a step that is owed, or for others' tasks
	if !m.busyLocked() {
		l.wakeLocked(m)
	}
	return nil
}

// read reads from the outbox and stores that the tasks may be handed out.
func (l *lane) read(m *module, b *batch, after, last uint64, limit, size int, handed uint64) (err error) {
	b.tasks, err = l.d.Outbox.Load(m.name, after, last, limit, size)
	if err == nil && len(b.tasks) == 0 {
		b.refilled, err = l.d.Outbox.Refill(m.name)
	}
	if n := len(b.tasks); err == nil && n > 0 && b.tasks[n-1].Seq > handed {
		b.marked = b.tasks[n-1].Seq + markAhead
		err = l.d.Outbox.Commit(map[string]*Changes{m.name: {Handed: b.marked}})
	}
	return err
}

// held answers the outbox while the loader reads: then drained does not change.
func (m *module) held(seq uint64) Held { return m.drained[seq] }

// takeDueLocked puts parked tasks into the window.
func (m *module) takeDueLocked(b *batch) {
	m.dueMore = m.dueMore || b.dueMore
	m.waitDueLocked(b.next)
	var left []*Task
	for _, t := range b.due {
		if m.blockedLocked(t) {
			// It stays parked, and those behind it: when the other one is parked as well,
			// they are looked at anew.
			m.addBlocksLocked(t)
			left = append(left, t)
			continue
		}
		m.windows[streamParked].add(t)
		m.drained[t.Seq] = HeldFirst
		if t.Failure != nil {
			m.drained[t.Seq] = HeldRetry
		}
		m.queue.Push(&work{Task: t}, t.Keys...)
	}
	for _, t := range left {
		m.unblockLocked(t)
	}
}

// waitDueLocked lets the loader look again when the next parked task is due.
func (m *module) waitDueLocked(next time.Time) {
	m.nextDue = next
	m.dueTimer.Stop()
	if !next.IsZero() {
		m.dueTimer.Reset(time.Until(next))
	}
}

// dueNow is called when a parked task becomes due.
func (l *lane) dueNow(m *module) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.nextDue = time.Time{}
	m.dueMore = true
	l.load.Signal()
}

// takeLocked puts tasks of the outbox into the window, and has those parked that a
// parked task blocks.
func (m *module) takeLocked(b *batch) {
	if len(b.tasks) > 0 || b.refilled {
		m.more = true
	} else if !m.more {
		m.settled = true
	}
	if m.passed < m.lane.d.Seq {
		m.dueMore = true // after the start parked tasks wait until what is before them is loaded
	}
	if n := len(b.tasks); n > 0 {
		m.passed = max(m.passed, b.tasks[n-1].Seq)
	} else {
		m.passed = max(m.passed, b.last)
	}
	var waiting []*Task
	for _, t := range b.tasks {
		m.windows[streamLive].add(t)
		m.loaded = t.Seq
		w := &work{Task: t}
		switch {
		case t.Failure != nil:
			m.loadFailedLocked(w)
		case t.Blocked || m.blockedLocked(t):
			m.blockLocked(t)
			t.Old, t.New = nil, nil
			waiting = append(waiting, t)
		default:
			m.queue.Push(w, t.Keys...)
		}
	}
	commits := m.lane.d.commits
	if len(waiting) > 0 {
		commits.add(m, func(c *Changes) { c.Waiting = append(c.Waiting, waiting...) })
	}
	m.handed = max(m.handed, b.marked)
	if m.loaded+markAhead/2 > m.handed && len(b.tasks) > 0 {
		commits.mark(m, m.loaded+markAhead)
	}
}
