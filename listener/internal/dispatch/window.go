package dispatch

import (
	"cmp"
	"slices"

	"github.com/listenerd/listenerd/listener/internal/keyqueue"
)

// The window of tasks that a module holds in memory, of each stream.
const (
	windowTasks = 2_000
	windowBytes = 8 << 20
)

// stream is where tasks of a module come from. Each has a window of its own, so that
// none waits for room behind another.
type stream uint8

const (
	streamLive   stream = iota // the outbox
	streamParked               // what failed, and what waited for it
	streamWalk                 // what walks added
	streams      = iota
)

func (t *Task) stream() stream {
	switch {
	case t.Parked:
		return streamParked
	case t.Walk:
		return streamWalk
	}
	return streamLive
}

type item = keyqueue.Item[string, *work]

// work is a task in memory.
type work struct {
	*Task
	item  *item
	class stream // where it gets its turn
	probe bool   // the one call of a module that backs off
	taken bool   // it is being called, or was

	merging   bool // it is being folded with others; meanwhile it is not called
	merged    bool // it is what was left by that
	withdrawn bool // and it is no longer in the queue
}

// window is how much of a stream is in memory, with what is done and not yet committed.
type window struct{ tasks, bytes int }

// room tells whether the window is at most half full.
func (w *window) room() bool { return w.tasks <= windowTasks/2 && w.bytes <= windowBytes/2 }

// left is what still fits in.
func (w *window) left() (tasks, bytes int) { return windowTasks - w.tasks, windowBytes - w.bytes }

func (w *window) add(t *Task)    { w.tasks++; w.bytes += t.Size }
func (w *window) remove(t *Task) { w.tasks--; w.bytes -= t.Size }

// readyList is the tasks that may run, in the order of their seq. Most become ready in
// that order, so that it is quicker than a heap.
type readyList []*work

func (l *readyList) push(w *work) {
	i := len(*l)
	if i > 0 && (*l)[i-1].Seq > w.Seq {
		i, _ = slices.BinarySearchFunc(*l, w.Seq, func(w *work, seq uint64) int { return cmp.Compare(w.Seq, seq) })
	}
	*l = slices.Insert(*l, i, w)
}

func (l *readyList) pop() *work {
	w := (*l)[0]
	(*l)[0] = nil
	*l = (*l)[1:]
	return w
}

// remove takes a task out, if it is there.
func (l *readyList) remove(w *work) bool {
	i := slices.Index(*l, w)
	if i >= 0 {
		*l = slices.Delete(*l, i, i+1)
	}
	return i >= 0
}
