package dispatch

import (
	"container/heap"
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
}

// window is how much of a stream is in memory, with what is done and not yet committed.
type window struct{ tasks, bytes int }

// room tells whether the window is at most half full.
func (w *window) room() bool { return w.tasks <= windowTasks/2 && w.bytes <= windowBytes/2 }

// left is what still fits in.
func (w *window) left() (tasks, bytes int) { return windowTasks - w.tasks, windowBytes - w.bytes }

func (w *window) add(t *Task)    { w.tasks++; w.bytes += t.Size }
func (w *window) remove(t *Task) { w.tasks--; w.bytes -= t.Size }

// readyHeap orders the tasks that may run by seq.
type readyHeap []*work

func (h readyHeap) Len() int           { return len(h) }
func (h readyHeap) Less(i, j int) bool { return h[i].Seq < h[j].Seq }
func (h readyHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *readyHeap) Push(x any)        { *h = append(*h, x.(*work)) }
func (h *readyHeap) Pop() any {
	old := *h
	last := len(old) - 1
	x := old[last]
	old[last] = nil
	*h = old[:last]
	return x
}

func (h *readyHeap) push(w *work) { heap.Push(h, w) }
func (h *readyHeap) pop() *work   { return heap.Pop(h).(*work) }

// remove takes a task out, if it is there.
func (h *readyHeap) remove(w *work) bool {
	i := slices.Index(*h, w)
	if i >= 0 {
		heap.Remove(h, i)
	}
	return i >= 0
}
