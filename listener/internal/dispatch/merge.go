package dispatch

// mergeLocked has the entry's tasks in the window folded that wait for its earlier calls,
// and those that could be called while the module is not called. One that is next stays as
// it is: on a busy module it would get no turn if each change put it behind those of others.
func (m *module) mergeLocked(entry string) {
	attempted := min(m.Handed, m.lane.d.Seq) // in an earlier run, perhaps
	var list []*work
	for i := range m.queue.Line(entry) {
		w := i.Value
		if w.taken || w.merging || w.Failure != nil || w.stream() != streamLive || w.Seq <= attempted || !i.Waits() && !m.restingLocked() {
			list = list[:0] // only what is behind it follows each other
			continue
		}
		if w.merged {
			list = list[:0] // with what is before it it can't be folded
		}
		list = append(list, w)
	}
	if len(list) < 2 {
		return
	}
	merge := Merge{works: list}
	for _, w := range list {
		w.merging = true
		m.ready[w.class].remove(w)
		merge.Tasks = append(merge.Tasks, w.Task)
	}
	m.merging += len(list)
	m.uncommitted += len(list)
	m.lane.d.commits.add(m, func(c *Changes) { c.Merge = append(c.Merge, merge) })
}

// mergedLocked takes note of what is left of the tasks.
func (m *module) mergedLocked(merge *Merge) {
	m.merging -= len(merge.works)
	m.uncommitted -= len(merge.works)
	var waiting []*Task
	for i, w := range merge.works {
		if w.withdrawn { // a failed call came in between
			m.unblockLocked(w.Task)
			m.uncommitted--
		}
		left := merge.Left[i]
		if left == nil {
			continue // it does not become ready any more
		}
		w.merging, w.merged = false, true
		m.forgetLocked(w.Task)
		m.windows[streamLive].add(left)
		w.Task = left
		switch {
		case w.withdrawn:
			m.blockLocked(left)
			left.Old, left.New = nil, nil
			waiting = append(waiting, left)
		case !w.item.Waits():
			m.ready[w.class].push(w)
		}
	}
	for i, w := range merge.works {
		if merge.Left[i] != nil {
			continue
		}
		m.drainLocked(1)
		m.forgetLocked(w.Task)
		if !w.withdrawn {
			m.queue.Remove(w.item)
		}
	}
	if len(waiting) > 0 {
		m.lane.d.commits.add(m, func(c *Changes) {
			c.Waiting = append(c.Waiting, waiting...)
			c.Fold = true
		})
	}
	if m.foldsLocked() {
		m.mergeLocked(merge.Tasks[0].Keys[0])
	}
	if m.hasWorkLocked() {
		m.quiet.Stop()
	}
	m.lane.work.Broadcast()
}
