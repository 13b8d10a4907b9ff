package dispatch_test

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/listenerd/listenerd/listener/internal/dispatch"
)

// memory is an outbox in memory: what the store does, done in the plainest way.
type memory struct {
	mu      sync.Mutex
	tasks   map[string][]*dispatch.Task
	parked  map[string][]*dispatch.Task // in order
	backlog map[string][]*dispatch.Task
	walk    map[string][]*dispatch.Task // what Refill moves over, a task at a time
	steps   map[string]dispatch.Steps
	handed  map[string]uint64
	most    int   // tasks that one Load or Due returned
	fail    error // of Commit

	slow    time.Duration // what a Commit takes
	commits int
}

func newMemory() *memory {
	return &memory{
		tasks: map[string][]*dispatch.Task{}, parked: map[string][]*dispatch.Task{}, backlog: map[string][]*dispatch.Task{}, walk: map[string][]*dispatch.Task{},
		steps: map[string]dispatch.Steps{}, handed: map[string]uint64{},
	}
}

func (o *memory) Load(m string, q dispatch.Query) ([]*dispatch.Task, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.read(m, o.tasks[m], q), nil
}

func (o *memory) Backlog(m string, q dispatch.Query) ([]*dispatch.Task, bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	tasks := o.read(m, o.backlog[m], q)
	beyond := slices.ContainsFunc(o.backlog[m], func(t *dispatch.Task) bool { return t.Seq > q.Last })
	return tasks, beyond, nil
}

// read returns the tasks of the list that are asked for, with those of the backlog that
// come before them.
func (o *memory) read(m string, list []*dispatch.Task, q dispatch.Query) (out []*dispatch.Task) {
	blocking := slices.Clone(o.parked[m])
	found := map[uint64]bool{}
	var add func(t *dispatch.Task)
	add = func(t *dispatch.Task) {
		found[t.Seq] = true
		for _, b := range o.backlog[m] {
			if b.Seq > q.Walked && !found[b.Seq] && q.Held(b.Seq) == dispatch.NotHeld && blocked(t, []*dispatch.Task{b}) {
				add(b)
			}
		}
		c := *t
		if c.Blocked = blocked(&c, blocking); c.Blocked {
			blocking = append(blocking, &c)
		}
		out = append(out, &c)
	}
	n, size := 0, q.Size
	for _, t := range list {
		if t.Seq > q.After && t.Seq <= q.Last && n < q.Limit && size > 0 && !found[t.Seq] && (!t.Walk || q.Held(t.Seq) == dispatch.NotHeld) {
			add(t)
			n++
			size -= t.Size
		}
	}
	o.most = max(o.most, n)
	return out
}

// blocked tells whether an earlier one of the tasks shares a key with t.
func blocked(t *dispatch.Task, tasks []*dispatch.Task) bool {
	return slices.ContainsFunc(tasks, func(other *dispatch.Task) bool {
		return other.Seq < t.Seq && slices.ContainsFunc(t.Keys, func(k string) bool { return slices.Contains(other.Keys, k) })
	})
}

func (o *memory) Due(m string, now time.Time, q dispatch.Query) (out []*dispatch.Task, next time.Time, more bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var waiting []*dispatch.Task // what those after them have to wait for
	for _, t := range o.parked[m] {
		state := q.Held(t.Seq)
		free := !blocked(t, waiting)
		if state != dispatch.HeldFirst {
			waiting = append(waiting, t)
		}
		if !free || state != dispatch.NotHeld || t.Seq > q.Last {
			continue
		}
		if f := t.Failure; f != nil {
			if f.SetAside() || f.NextRun {
				continue
			}
			if f.Next.After(now) {
				if next.IsZero() || f.Next.Before(next) {
					next = f.Next
				}
				continue
			}
		}
		if len(out) == q.Limit {
			return out, next, true, nil
		}
		if t.Failure == nil {
			waiting = waiting[:len(waiting)-1]
		}
		for _, c := range o.read(m, []*dispatch.Task{t}, dispatch.Query{Last: t.Seq, Walked: q.Walked, Held: q.Held, Limit: 1, Size: 1}) {
			if c.Seq == t.Seq {
				c.Parked, c.Walk, c.Blocked = true, false, false
			}
			out = append(out, c)
		}
	}
	o.most = max(o.most, len(out))
	return out, next, false, nil
}

// Fold keeps the last one of an entry's creates.
func (o *memory) Fold(m string, parked bool, attempted uint64, q dispatch.Query) (last uint64, gone int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if parked {
		return 0, 0, nil
	}
	var left []*dispatch.Task
	for i, t := range o.tasks[m] {
		if t.Seq > q.After && t.Seq <= q.Last {
			last = t.Seq
		}
		if t.Seq > attempted && blockedBy(t, o.tasks[m][i+1:]) {
			gone++
			continue
		}
		left = append(left, t)
	}
	o.tasks[m] = left
	return last, gone, nil
}

func blockedBy(t *dispatch.Task, later []*dispatch.Task) bool {
	return slices.ContainsFunc(later, func(l *dispatch.Task) bool { return l.UUID == t.UUID })
}

func (o *memory) Refill(m string) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.walk[m]) == 0 {
		return false, nil
	}
	t := *o.walk[m][0]
	t.Walk = true
	o.backlog[m] = append(o.backlog[m], &t)
	o.walk[m] = o.walk[m][1:]
	return true, nil
}

func (o *memory) Commit(changes map[string]*dispatch.Changes) error {
	time.Sleep(o.slow)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.commits++
	if o.fail != nil {
		return o.fail
	}
	for m, c := range changes {
		o.handed[m] = max(o.handed[m], c.Handed)
		for _, t := range c.Done {
			o.take(m, t.Seq)
		}
		for _, t := range c.Failed {
			o.park(m, t.Seq).Failure = t.Failure
		}
		for _, t := range c.Waiting {
			o.park(m, t.Seq)
		}
		for i := range c.Merge { // creates, of which the last one is left
			merge := &c.Merge[i]
			last := len(merge.Tasks) - 1
			for _, t := range merge.Tasks[:last] {
				o.take(m, t.Seq)
			}
			left := *merge.Tasks[last]
			merge.Left = append(make([]*dispatch.Task, last), &left)
		}
		if c.Fold {
			o.foldParked(m, c)
		}
		for _, t := range c.Stopped {
			for _, stored := range o.tasks[m] {
				if stored.Seq == t.Seq {
					stored.Failure = t.Failure
				}
			}
		}
	}
	return nil
}

// foldParked folds what waits for failed creates.
func (o *memory) foldParked(m string, c *dispatch.Changes) {
	var left []*dispatch.Task
	for i, t := range o.parked[m] {
		if t.Failure == nil && blockedBy(t, o.parked[m][i+1:]) {
			c.Folded++
			continue
		}
		left = append(left, t)
	}
	o.parked[m] = left
}

func (o *memory) take(m string, seq uint64) *dispatch.Task {
	for _, list := range []map[string][]*dispatch.Task{o.tasks, o.backlog, o.parked} {
		if i := slices.IndexFunc(list[m], func(t *dispatch.Task) bool { return t.Seq == seq }); i >= 0 {
			t := list[m][i]
			list[m] = slices.Delete(list[m], i, i+1)
			return t
		}
	}
	panic("a task is done or parked that the outbox does not have")
}

func (o *memory) park(m string, seq uint64) *dispatch.Task {
	t := *o.take(m, seq)
	o.parked[m] = append(o.parked[m], &t)
	slices.SortFunc(o.parked[m], func(a, b *dispatch.Task) int { return cmp.Compare(a.Seq, b.Seq) })
	return &t
}

func (o *memory) Update(m string, s dispatch.Steps) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.steps[m] = s
	return nil
}

func (o *memory) add(m string, tasks ...*dispatch.Task) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tasks[m] = append(o.tasks[m], tasks...)
}

func (o *memory) left(m string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.tasks[m]) + len(o.backlog[m]) + len(o.parked[m])
}

// committed returns the number of transactions.
func (o *memory) committed() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.commits
}

// failures returns the records of the module's failed tasks, by seq.
func (o *memory) failures(m string) map[uint64]dispatch.Failure {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := map[uint64]dispatch.Failure{}
	for _, t := range slices.Concat(o.tasks[m], o.parked[m]) {
		if t.Failure != nil {
			out[t.Seq] = *t.Failure
		}
	}
	return out
}

// drop takes a task out.
func (o *memory) drop(m string, seq uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.take(m, seq)
}

// hasten makes due what was put off to the next run.
func (o *memory) hasten(m string) {
	for _, t := range o.parked[m] {
		if t.Failure != nil && !t.Failure.SetAside() {
			f := *t.Failure
			f.Next, f.NextRun = time.Now(), false
			t.Failure = &f
		}
	}
}
