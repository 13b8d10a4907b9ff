package dispatch

import (
	"time"

	"github.com/listenerd/listenerd/listener"
)

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
			load := l.loadLocked
			if m.fold.on && !m.wantsLoadLocked() {
				load = l.foldLocked
			}
			if (m.fold.on || m.wantsLoadLocked()) && !l.stopping && m.deciding == 0 {
				loaded = true
				if err := load(m); err != nil {
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

// wantsLocked tells whether the stream has something to load and room for it.
func (m *module) wantsLocked(s stream) bool {
	more := [streams]bool{streamLive: m.more, streamWalk: m.walkMore, streamParked: m.dueMore}
	return more[s] && m.windows[s].room()
}

func (m *module) wantsLoadLocked() bool {
	return m.wantsLocked(streamLive) || m.wantsLocked(streamWalk) || m.wantsLocked(streamParked)
}

// nextStreamLocked returns the stream to load from, in turn.
func (m *module) nextStreamLocked() stream {
	for {
		if m.turn = (m.turn + 1) % streams; m.wantsLocked(m.turn) {
			return m.turn
		}
	}
}

// batch is what one load read from one stream.
type batch struct {
	stream   stream
	last     uint64 // of the outbox
	tasks    []*Task
	next     time.Time // when a parked task becomes due
	more     bool      // parked tasks are left
	beyond   bool      // the backlog has some after what was passed
	fold     bool      // fold before
	folded   int       // tasks that are gone by it
	refilled bool      // the walk has added some
	marked   uint64
}

// loadLocked reads the module's next tasks. It releases the lane's mutex meanwhile.
func (l *lane) loadLocked(m *module) error {
	b := batch{stream: m.nextStreamLocked(), last: l.told, fold: m.foldsLocked()}
	m.loading = true
	switch b.stream {
	case streamLive:
		m.more = false
	case streamWalk:
		m.walkMore = false
	case streamParked:
		m.dueMore = false
	}
	limit, size := m.windows[b.stream].left()
	handed := m.handed
	l.mu.Unlock()
	err := l.d.read(m, &b, limit, size, handed)
	l.mu.Lock()
	if err != nil {
		return err
	}
	m.drainLocked(b.folded)
	switch b.stream {
	case streamLive:
		m.takeLiveLocked(&b)
	case streamWalk:
		m.takeWalkLocked(&b)
	case streamParked:
		m.takeDueLocked(&b)
	}
	m.handed = max(m.handed, b.marked)
	if front := max(m.loaded, m.walked); front+markAhead/2 > m.handed && m.queued > 0 {
		l.d.commits.mark(m, front+markAhead)
	}
	m.loadedLocked()
	return nil
}

// loadedLocked ends what the loader did for a module.
func (m *module) loadedLocked() {
	l := m.lane
	m.loading = false
	m.withdrawLocked()
	for _, c := range m.committed {
		m.committedLocked(c)
	}
	m.committed = nil
	if m.hasWorkLocked() {
		m.quiet.Stop()
	}
	if m.deciding > 0 {
		l.change.Broadcast()
	}
	l.work.Broadcast() // for the tasks, for a step that is owed, or for others' tasks
	if !m.busyLocked() {
		l.wakeLocked(m)
	}
}

// read reads from a stream, and stores that its tasks may be handed out.
func (d *Dispatcher) read(m *module, b *batch, limit, size int, handed uint64) (err error) {
	q := Query{Last: m.passed, Walked: m.walked, Held: m.heldNow, Tree: m.lane.shared, Limit: limit, Size: size}
	switch b.stream {
	case streamLive:
		q.After, q.Last = m.loaded, b.last
		if b.fold {
			if _, b.folded, err = d.fold(m, false, q); err != nil {
				return err
			}
		}
		b.tasks, err = d.Outbox.Load(m.name, q)
	case streamWalk:
		q.After = m.walked
		b.tasks, b.beyond, err = d.Outbox.Backlog(m.name, q)
		if err == nil && len(b.tasks) == 0 && !b.beyond {
			b.refilled, err = d.Outbox.Refill(m.name)
		}
	case streamParked:
		b.tasks, b.next, b.more, err = d.Outbox.Due(m.name, time.Now(), q)
	}
	last := uint64(0)
	for _, t := range b.tasks {
		last = max(last, t.Seq)
	}
	if err == nil && last > handed {
		b.marked = last + markAhead
		err = d.Outbox.Commit(map[string]*Changes{m.name: {Handed: b.marked}})
	}
	return err
}

// heldNow answers the outbox while the loader reads: then held does not change.
func (m *module) heldNow(seq uint64) Held { return m.held[seq] }

// takeLiveLocked takes what was read from the outbox.
func (m *module) takeLiveLocked(b *batch) {
	tasks := b.tasks
	if m.passed < m.lane.d.Seq {
		m.dueMore = true // after the start parked tasks wait until what is before them is loaded
	}
	m.walkMore = m.walkMore || m.beyond
	if len(tasks) == 0 {
		m.passed = max(m.passed, b.last)
		return
	}
	m.more = true
	m.takeLocked(tasks)
}

// takeWalkLocked takes what was read from the backlog.
func (m *module) takeWalkLocked(b *batch) {
	tasks := b.tasks
	if m.beyond = b.beyond; len(tasks) > 0 || b.refilled {
		m.walkMore = true
		m.more = m.more || b.refilled // so that what is new is passed
	} else if !m.walkMore && !m.beyond {
		m.settled = true
	}
	for _, t := range tasks {
		m.walked = max(m.walked, t.Seq)
	}
	m.takeLocked(tasks)
}

// takeLocked puts tasks into the window, and has those parked that a parked task blocks.
func (m *module) takeLocked(tasks []*Task) {
	var waiting []*Task
	fold := m.foldsLocked()
	for _, t := range tasks {
		m.windows[t.stream()].add(t)
		if t.Walk {
			m.held[t.Seq] = HeldFirst
		} else {
			m.loaded = t.Seq
			m.passed = max(m.passed, t.Seq)
		}
		w := &work{Task: t}
		switch {
		case t.Failure != nil:
			m.loadFailedLocked(w)
		case t.Blocked || m.blockedLocked(t):
			m.blockLocked(t)
			t.Old, t.New = nil, nil
			waiting = append(waiting, t)
		default:
			m.pushLocked(w)
		}
	}
	for _, t := range tasks {
		if fold {
			m.mergeLocked(t.Keys[0])
		}
	}
	if len(waiting) > 0 {
		m.lane.d.commits.add(m, func(c *Changes) {
			c.Waiting = append(c.Waiting, waiting...)
			c.Fold = c.Fold || fold
		})
	}
}

// pushLocked puts a task into the queue. What a live one waits for is as urgent.
func (m *module) pushLocked(w *work) {
	w.class = w.stream()
	w.item = m.queue.Push(w, w.Keys...)
	if w.class != streamLive || m.windows[streamWalk].tasks == 0 {
		return
	}
	for open := []*work{w}; len(open) > 0; open = open[1:] {
		for _, first := range m.beforeLocked(open[0]) {
			first.class = streamLive
			if m.ready[streamWalk].remove(first) {
				m.ready[streamLive].push(first)
			}
			open = append(open, first)
		}
	}
}

// beforeLocked returns the walk's tasks that have to be called before w: those it waits
// for, and in the synchronous lane those that make parents come first.
func (m *module) beforeLocked(w *work) (before []*work) {
	live := func(w *work) bool { return w.class == streamLive } // and so is what it waits for
	if w.item.Waits() {
		for _, i := range m.queue.Ahead(w.item, live) {
			if i.Value.class == streamWalk {
				before = append(before, i.Value)
			}
		}
	}
	if !m.lane.shared {
		return before
	}
	if w.Kind == listener.KindRemove {
		for _, other := range m.ready[streamWalk] {
			if other.Kind == listener.KindRemove && other.Seq < w.Seq {
				before = append(before, other)
			}
		}
		return before
	}
	for i := range m.queue.Line(w.Above) {
		if other := i.Value; other.class == streamWalk && other.Seq < w.Seq {
			before = append(before, other)
		}
	}
	if len(w.Keys) < 3 || w.Keys[1] == w.Keys[2] {
		return before
	}
	for _, other := range m.ready[streamWalk] { // it moves: what was below it is created before
		if other.Above == w.Keys[1] && other.Seq < w.Seq {
			before = append(before, other)
		}
	}
	return before
}

// maySkipLocked tells whether a task of a walk may be called before live ones. In the
// synchronous lane parents come first, and children when they are removed.
func (m *module) maySkipLocked(w *work) bool {
	if !m.lane.shared {
		return true
	}
	if w.Kind == listener.KindRemove {
		live := m.ready[streamLive]
		return len(live) == 0 || live[0].Seq > w.Seq
	}
	for i := range m.queue.Line(w.Above) {
		if i.Value.class == streamLive && i.Value.Seq < w.Seq {
			return false
		}
	}
	return true
}

// takeDueLocked takes parked tasks.
func (m *module) takeDueLocked(b *batch) {
	m.dueMore = m.dueMore || b.more
	m.waitDueLocked(b.next)
	var left []*Task
	for _, t := range b.tasks {
		if !t.Parked {
			m.takeLocked([]*Task{t}) // of the backlog
			continue
		}
		if m.blockedLocked(t) {
			// It stays parked, and those behind it: when the other one is parked as well,
			// they are looked at anew.
			m.addBlocksLocked(t)
			left = append(left, t)
			continue
		}
		m.windows[streamParked].add(t)
		m.held[t.Seq] = HeldFirst
		if t.Failure != nil {
			m.held[t.Seq] = HeldRetry
		}
		m.pushLocked(&work{Task: t})
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
