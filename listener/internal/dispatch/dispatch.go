// Package dispatch runs the calls that the outbox owes to the modules.
//
// # Lanes
//
// A lane is a number of workers for some modules. All synchronous modules share one
// lane with one worker: calls are made one at a time, in the order of the changes and
// for one change by (priority, name). Live calls go before retries and walks, which get
// every fourth call, in turn over the modules; so do live calls of a module that is
// behind the others. Each asynchronous module has a lane of its own
// with as many workers as its parallelism.
//
// # Order
//
// Within a module a task waits for every earlier one that has its entry, or its old
// or new name. A task that fails is parked: it and what waits for it leave the window
// for the disk, and everything else goes ahead. Its retry, and after that what waited,
// come back through a window of their own, so that neither the number of failing
// entries nor the length of their queues costs memory.
//
// When ten different entries of a module fail in a row, what it works on is taken to be
// down: the module backs off as a whole and makes one call at a time until one succeeds.
//
// # Steps
//
// initialize, pre_run and post_run are barriers: a worker runs them when nothing else
// of the module is in flight, and nothing else is started before they are through.
//
//	start                    quiet_period       shutdown
//	  | initialize (once ever)    |                 |
//	  | pre_run  calls ...  calls |post_run  pre_run calls |post_run
//
// # Durability
//
// A task leaves the outbox in a transaction after its handler returned nil. Later
// tasks of the entry need not wait for that: after a crash the unacknowledged calls
// of an entry are a contiguous suffix, and are repeated in their order. All that is
// known of a failure is in the transaction that parks the task. A mark, written ahead,
// tells after a crash which tasks may have been handed out.
package dispatch

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
)

// Module is a module to dispatch to.
type Module struct {
	Name     string
	Spec     listener.Spec
	Workers  int      // of an asynchronous module
	Executor Executor // where its handler runs
	Log      *zap.Logger
	Steps    Steps  // as stored
	Queued   int    // tasks owed at start, with those parked
	Failed   int    // of those, tasks that have failed
	SetAside int    // of those, tasks that wait for a decision
	Handed   uint64 // how far tasks of the outbox may have been handed out, as stored
	Paused   bool   // no call is made
	Settings Settings
}

// Settings of a module; see package config for what they mean.
type Settings struct {
	QuietPeriod, PostRunMaxDelay time.Duration
	Timeout                      time.Duration // of one call; 0: none
	RetryMin, RetryMax           time.Duration
	MaxAttempts                  int // 0: unlimited
	// OnceAttempts is after how many attempts in this run an entry is left to the
	// next run; 0: this one does not end by itself.
	OnceAttempts int
	// Latest: what is queued and unattempted for an entry becomes one call.
	Latest bool
	// MaxTasks is how many tasks may be queued until they are folded, or with Stall
	// [Dispatcher.Room] waits; 0: any number.
	MaxTasks int
	Stall    bool
	// StopOnError: a failed call halts the module until it succeeds or is decided on.
	StopOnError bool
}

// Config of a Dispatcher.
type Config struct {
	Outbox Outbox
	// ShutdownTimeout is how long calls in flight get at the end; half of it until
	// their context is cancelled.
	ShutdownTimeout time.Duration
	// Seq is that of the last change in the outbox at start.
	Seq uint64
	Log *zap.Logger
}

// Dispatcher runs the calls of all modules.
type Dispatcher struct {
	Config
	modules map[string]*module
	lanes   []*lane
	commits *committer
	run     int64          // names this run
	running sync.WaitGroup // loaders and workers

	calls    context.Context // of all calls; ends with ErrStopping at shutdown
	stopCall context.CancelCauseFunc

	failed chan error // the first fatal error
}

// New returns a dispatcher for the modules. Nothing is called before Run.
func New(c Config, modules []Module) *Dispatcher {
	d := &Dispatcher{Config: c, modules: map[string]*module{}, failed: make(chan error, 1), run: time.Now().UnixNano()}
	d.calls, d.stopCall = context.WithCancelCause(context.Background())
	d.commits = newCommitter(d)
	sync := newLane(d, 1, true)
	for _, m := range modules {
		l := sync
		if m.Spec.RunAsynchronously {
			l = newLane(d, max(m.Workers, 1), false)
			d.lanes = append(d.lanes, l)
		}
		d.modules[m.Name] = l.add(m)
	}
	if len(sync.modules) > 0 {
		d.lanes = append(d.lanes, sync)
	}
	return d
}

// Queued tells how many tasks a transaction added to the outbox, by module, and the
// seq of its last change; zero tasks say that the module's walk may go on. What was
// not told is not loaded: so the modules of a lane learn of a change at once, on which
// their order depends. Safe for concurrent use, before Run too.
func (d *Dispatcher) Queued(seq uint64, added map[string]int) {
	for _, l := range d.lanes {
		l.mu.Lock()
		l.told = max(l.told, seq)
		for _, m := range l.modules {
			if n, ok := added[m.name]; ok && (n == 0 || seq > m.since) {
				m.queued += n
				m.more = true
				m.fillLocked()
				if n == 0 || !m.settled { // else there is no walk
					m.walkMore, m.settled = true, false
				}
				l.load.Signal()
			}
		}
		l.mu.Unlock()
	}
}

// Run makes the calls until ctx ends, and then shuts down: no new calls are started,
// those in flight get ShutdownTimeout, and post_run is called where it is owed. It
// returns nil, or the error of the outbox that ended it.
func (d *Dispatcher) Run(ctx context.Context) error {
	var acking sync.WaitGroup
	acking.Go(d.commits.run)
	for _, l := range d.lanes {
		d.running.Go(l.runLoader)
		for range l.workers {
			d.running.Go(l.runWorker)
		}
	}
	var fatal error
	select {
	case <-ctx.Done():
	case fatal = <-d.failed:
	}
	ended := make(chan struct{})
	for _, l := range d.lanes {
		l.stop(fatal != nil)
	}
	go func() { // ends when the last handler returns
		d.running.Wait()
		d.commits.stop()
		acking.Wait()
		close(ended)
	}()
	cancelCalls := time.AfterFunc(d.ShutdownTimeout/2, func() { d.stopCall(listener.ErrStopping) })
	defer cancelCalls.Stop()
	limit := time.NewTimer(d.ShutdownTimeout)
	defer limit.Stop()
	select {
	case <-ended:
	case <-limit.C:
		for _, name := range d.inFlight() {
			d.Log.Warn("a call did not return in time and is left behind; it will be repeated after the next start", zap.String("module", name))
		}
		d.commits.stop()
		acking.Wait()
	}
	d.stopCall(listener.ErrStopping)
	select {
	case err := <-d.failed:
		fatal = errors.Join(fatal, err)
	default:
	}
	return fatal
}

func (d *Dispatcher) inFlight() []string {
	var names []string
	for _, l := range d.lanes {
		l.mu.Lock()
		for _, m := range l.modules {
			if m.inFlight > 0 || m.step != "" {
				names = append(names, m.name)
			}
		}
		l.mu.Unlock()
	}
	return names
}

// fail ends Run with err.
func (d *Dispatcher) fail(err error) {
	select {
	case d.failed <- err:
	default:
	}
}

// CutOff returns, after Run, the modules with calls that were ended by the shutdown or had
// not ended: what became of them is not known to the outbox. What was handed out to the
// others was done, or has failed.
func (d *Dispatcher) CutOff() map[string]bool {
	out := map[string]bool{}
	for _, l := range d.lanes {
		l.mu.Lock()
		for _, m := range l.modules {
			out[m.name] = m.cutOff || m.inFlight > 0
		}
		l.mu.Unlock()
	}
	return out
}

// Settle waits until no module has anything left that could run now or later by
// itself: every task is acknowledged or set aside.
func (d *Dispatcher) Settle(ctx context.Context) error {
	for _, l := range d.lanes {
		stop := context.AfterFunc(ctx, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.change.Broadcast()
		})
		l.mu.Lock()
		for ctx.Err() == nil && !l.settledLocked() {
			l.change.Wait()
		}
		l.mu.Unlock()
		stop()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// Owed returns the number of calls that are not acknowledged, and the modules whose
// post_run is owed, or what a resynchronization begins with.
func (d *Dispatcher) Owed() (calls int, steps []string) {
	for _, l := range d.lanes {
		l.mu.Lock()
		for _, m := range l.modules {
			calls += m.queued
			if m.steps.PostRunOwed || m.steps.Resync != "" {
				steps = append(steps, m.name)
			}
		}
		l.mu.Unlock()
	}
	return calls, steps
}
