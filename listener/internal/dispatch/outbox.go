package dispatch

import (
	"time"

	"github.com/listenerd/listenerd/listener"
)

// Task is one call owed to a module, with its entries.
type Task struct {
	Seq   uint64
	Kind  listener.Kind
	Cause listener.Cause
	UUID  listener.UUID
	// Old and New are the entries; nil where the kind of call has none.
	Old, New *listener.Entry
	// Keys are the entry and its normalized names, the old one first: what orders the
	// task.
	Keys []string
	// Above is the name above that of New, as a key; empty if there is none.
	Above string
	// Size is about how many bytes of memory the task takes.
	Size int
	// Parked: the task is a parked one. Walk: it is of the backlog.
	Parked, Walk bool
	// Blocked is set by [Outbox.Load] when a parked task shares a key: this one has to
	// be parked behind it, and is not called now.
	Blocked bool
	// Failure is set if the task's call has failed before.
	Failure *Failure
	// Ref is the outbox's own.
	Ref any
}

// Failure is what is kept of a task whose call failed.
type Failure struct {
	// Attempts counts the calls that failed, without those that asked to be repeated
	// after a certain time.
	Attempts int
	// First and Last are when calls failed.
	First, Last time.Time
	// Next is when the call may be repeated; zero: when someone decides so.
	Next time.Time
	// NextRun: it is not repeated in this run any more.
	NextRun bool
	// Error is the text of the last error, Stack that of a panic.
	Error, Stack string
	// Run names the run of the daemon that Tries counts the calls in, with those that asked
	// in vain to be repeated.
	Run   int64
	Tries int
}

// SetAside tells whether the task waits for a decision.
func (f *Failure) SetAside() bool { return f != nil && f.Next.IsZero() }

// Held says whether the dispatcher has a task in memory.
type Held uint8

// What the dispatcher has.
const (
	NotHeld   Held = iota
	HeldFirst      // it has not failed: what waits for it may be handed out too
	HeldRetry      // it has failed: what waits for it has to wait
)

// Query asks for tasks of a module.
type Query struct {
	// After and Last bound the seq of tasks: greater than After, not greater than Last.
	After, Last uint64
	// Walked is the seq up to which the backlog was loaded.
	Walked uint64
	// Held tells of parked tasks, and of those of the backlog beyond Walked, whether
	// the dispatcher has them.
	Held func(seq uint64) Held
	// Tree asks for parents first: a task that creates or moves an entry has to wait for
	// the backlog's task of the one above it, one that moves it for creates below its old
	// name, and one that removes it for all earlier removes of the backlog.
	Tree bool
	// At most Limit tasks are wanted, and no further one when they take Size bytes.
	Limit, Size int
}

// Changes are what becomes of a module's tasks, in one transaction.
type Changes struct {
	// Done tasks are removed, with the records of their failures. What waited for
	// them is due.
	Done []*Task
	// Failed tasks are parked, and their Failure is stored.
	Failed []*Task
	// Stopped tasks have failed as well, but keep their place in the outbox.
	Stopped []*Task
	// Waiting tasks are parked: a parked one shares a key with each. If none does any
	// more, they are due.
	Waiting []*Task
	// Merge folds tasks of the outbox that were not attempted.
	Merge []Merge
	// Fold folds, after all that, what the entries of Waiting have queued. Folded is set
	// to the number of tasks that are gone by it.
	Fold   bool
	Folded int
	// Handed, if not 0, is how far tasks of the outbox may be handed out from now on.
	Handed uint64
}

// Merge is tasks of one entry that follow each other. Left has what is there in place of
// each after the transaction, or nil; those that are left have the seq they had.
type Merge struct {
	Tasks, Left []*Task

	works []*work // the tasks'
}

// Outbox is the durable side of dispatching. Its errors are fatal. Load, Backlog, Due,
// Fold and Refill of a module are called by one goroutine, the others beside it.
type Outbox interface {
	// Load returns tasks of live changes, in order. A blocked task blocks those after it
	// that share a key. Before a task come those of the backlog that it has to wait for
	// and that are neither walked nor held; they do not count for the limits.
	Load(module string, q Query) ([]*Task, error)
	// Backlog is Load for tasks that walks added. beyond tells that there are some
	// with a seq greater than Last.
	Backlog(module string, q Query) (tasks []*Task, beyond bool, err error)
	// Due returns the parked tasks of the module that may run now and are not held, in
	// an order in which they may run: those whose time has come, and behind those that
	// never failed what waits for nothing but what was handed out. Tasks of the backlog
	// are among them as in Load. next is when a further one becomes due, zero if none
	// does by itself; more tells that a limit ended the list. Those with a seq greater
	// than q.Last are left out: what they wait for may not be loaded yet. q.After is not
	// used.
	Due(module string, now time.Time, q Query) (tasks []*Task, next time.Time, more bool, err error)
	// Fold folds what the entries of up to q.Limit tasks have queued and unattempted:
	// of tasks of the outbox, or of the parked ones, with a seq from q.After to q.Last.
	// Tasks of the outbox up to attempted and of the backlog up to q.Walked may have been
	// attempted, and what is held. It returns the seq of the last task it looked at, 0 if
	// there was none, and how many are gone.
	Fold(module string, parked bool, attempted uint64, q Query) (last uint64, gone int, err error)
	// Refill asks for tasks beyond those stored, from the module's walk; it returns
	// false when there are none for now.
	Refill(module string) (bool, error)
	// Commit stores changes, by module.
	Commit(changes map[string]*Changes) error
	// Update changes the module's stored state of its steps.
	Update(module string, steps Steps) error
}

// Resync is how far the resynchronization of a module has come.
type Resync string

// What is next for a module that is resynchronized.
const (
	// ResyncClean: clean. For a module without a Cleaner, what is queued: removes that it
	// was owed.
	ResyncClean Resync = "clean"
	// ResyncInitialize: initialize, also if nothing is to be called after it.
	ResyncInitialize Resync = "initialize"
)

// Steps is what is stored of a module's steps.
type Steps struct {
	// Resync is empty unless the module is resynchronized and its walk is yet to begin.
	Resync Resync
	// Initialized: initialize succeeded.
	Initialized bool
	// PostRunOwed: there may have been calls since the last post_run.
	PostRunOwed bool
}
