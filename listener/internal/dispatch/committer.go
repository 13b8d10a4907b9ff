package dispatch

import (
	"slices"
	"sync"
)

// committer makes durable what became of tasks: everything that has come together
// while the previous transaction was being written, in one.
type committer struct {
	d *Dispatcher

	mu      sync.Mutex // guards what follows; may be taken with a lane's mutex held
	more    *sync.Cond
	changes map[string]*Changes
	wanted  bool // there is more than marks
	stopped bool
}

func newCommitter(d *Dispatcher) *committer {
	c := &committer{d: d, changes: map[string]*Changes{}}
	c.more = sync.NewCond(&c.mu)
	return c
}

func (c *committer) of(m *module) *Changes {
	out := c.changes[m.name]
	if out == nil {
		out = new(Changes)
		c.changes[m.name] = out
	}
	return out
}

// done adds a task whose call succeeded.
func (c *committer) done(m *module, t *Task) {
	c.mu.Lock()
	out := c.of(m)
	out.Done = append(out.Done, t)
	c.wanted = true
	c.mu.Unlock()
	c.more.Signal()
}

// add adds what else became of tasks.
func (c *committer) add(m *module, change func(*Changes)) {
	c.mu.Lock()
	change(c.of(m))
	c.wanted = true
	c.mu.Unlock()
	c.more.Signal()
}

// mark adds a mark to the next transaction and asks for none.
func (c *committer) mark(m *module, handed uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.of(m)
	out.Handed = max(out.Handed, handed)
}

// forget drops what is not yet written of a module.
func (c *committer) forget(m *module) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.changes, m.name)
}

func (c *committer) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.more.Signal()
}

// run ends after stop, when all is written.
func (c *committer) run() {
	for {
		c.mu.Lock()
		for !c.wanted && !c.stopped {
			c.more.Wait()
		}
		changes := c.changes
		c.changes, c.wanted = map[string]*Changes{}, false
		c.mu.Unlock()
		if len(changes) == 0 {
			return
		}
		if err := c.d.Outbox.Commit(changes); err != nil {
			c.d.fail(err)
			return
		}
		for name, change := range changes {
			m := c.d.modules[name]
			m.lane.mu.Lock()
			if m.loading {
				m.committed = append(m.committed, change) // what the loader reads may be older
			} else {
				m.committedLocked(change)
			}
			m.lane.mu.Unlock()
		}
	}
}

// committedLocked takes note of what is durable.
func (m *module) committedLocked(c *Changes) {
	l := m.lane
	m.handed = max(m.handed, c.Handed)
	m.drainLocked(len(c.Done) + c.Folded)
	m.acking -= len(c.Done)
	for _, t := range c.Done {
		m.forgetLocked(t)
		if t.Parked { // something may have waited for it
			m.dueMore = true
			m.uncommitted--
		}
	}
	for _, tasks := range [][]*Task{c.Failed, c.Waiting} {
		for _, t := range tasks {
			m.unblockLocked(t)
			m.forgetLocked(t)
		}
		m.dueMore = m.dueMore || len(tasks) > 0
	}
	m.uncommitted -= len(c.Failed) + len(c.Waiting) + len(c.Stopped)
	for i := range c.Merge {
		m.mergedLocked(&c.Merge[i])
	}
	if m.deciding > 0 {
		l.change.Broadcast()
	}
	if m.dueMore || m.more || m.walkMore {
		l.load.Signal()
	}
	if !m.busyLocked() {
		l.wakeLocked(m)
	}
}

// forgetLocked takes a task out of the window.
func (m *module) forgetLocked(t *Task) {
	m.windows[t.stream()].remove(t)
	if t.Parked || t.Walk {
		delete(m.held, t.Seq)
	}
}

// blockLocked keeps tasks from being loaded that share a key with one that is about to
// be parked, until it is.
func (m *module) blockLocked(t *Task) {
	m.addBlocksLocked(t)
	m.uncommitted++
}

func (m *module) addBlocksLocked(t *Task) {
	for _, k := range t.Keys {
		m.blocking[k]++
	}
}

func (m *module) unblockLocked(t *Task) {
	for _, k := range t.Keys {
		if m.blocking[k]--; m.blocking[k] == 0 {
			delete(m.blocking, k)
		}
	}
}

func (m *module) blockedLocked(t *Task) bool {
	return len(m.blocking) > 0 && slices.ContainsFunc(t.Keys, func(k string) bool { return m.blocking[k] > 0 })
}
