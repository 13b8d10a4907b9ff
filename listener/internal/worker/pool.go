package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
)

// Grace is how long a call may go on after its time is over until its process is killed.
const Grace = 3 * time.Second

// Config of a [Pool].
type Config struct {
	// Module is the instance's name.
	Module string
	// Workers is the number of processes, and so of calls at a time.
	Workers int
	// Command is the program of a worker process, which calls [Serve], and its arguments.
	Command []string
	// Env is added to the daemon's environment, NAME=value each.
	Env []string
	// User is whom to run as; nil: as the daemon.
	User *User
	// Nice is the niceness of the processes; 0: the daemon's.
	Nice int
	// MemoryLimit is how much anonymous memory a process may use, in bytes; 0: any.
	MemoryLimit uint64
	// Timeout of one call, as the worker's contexts have it; 0: none.
	Timeout time.Duration
	// CloseTimeout is how long the handlers may take to close.
	CloseTimeout time.Duration
	// Setup is for the function that opens the handler; see [Serve].
	Setup []byte
	// Answer answers what workers ask by [Session.Ask]; it must not wait for long. With
	// nil nothing may be asked.
	Answer func(question []byte) []byte
	// Log gets what the handlers log, what the processes print, and what becomes of them.
	Log *zap.Logger
}

// What a process that does not start is given, and how long it is until the next one.
const (
	startLimit = 10 * time.Minute
	minPause   = 100 * time.Millisecond
	maxPause   = 30 * time.Second
	// A process that ended by itself within this time and made no call has not started.
	tooShort = 5 * time.Second
	// A call waits for a process that starts, or is started within the first of these times,
	// but not longer than the second: other modules may be waiting for the call.
	worthWaiting = time.Second
	patience     = 5 * time.Second
)

// Pool is a module's worker processes, as an executor.
type Pool struct {
	Config
	launcher *launcher
	life     context.Context // of the processes; ended by Close
	end      context.CancelFunc
	running  sync.WaitGroup // what looks after the processes
	handler  uint64         // the handler's steps, as bits

	mu      sync.Mutex // guards what follows
	slots   []*slot
	changed chan struct{} // closed when something becomes of a slot that someone waits for
	waiting int
	closed  bool
	errs    []error // of closing
}

var _ dispatch.Executor = (*Pool)(nil)

// slot is the place of one process after the other. The pool's mutex guards it.
type slot struct {
	process  *child // nil: none
	child    *child // the same, when it is ready for calls
	busy     bool
	calls    int // that the process made
	started  time.Time
	restarts int
	failed   int       // starts in a row
	next     time.Time // of the next start, while it is waited for
	last     Exit
}

// Exit is how a worker process ended.
type Exit struct {
	// PID it had. Zero: none has ended.
	PID int
	// At is when it ended.
	At time.Time
	// Reason is what is known of it.
	Reason string
}

// Status is the condition of one worker process.
type Status struct {
	// PID of the process, 0 while there is none.
	PID int
	// State is starting, idle, busy, or waiting for the next start.
	State string
	// Started is when the process was; zero if there is none.
	Started time.Time
	// Restarts counts the processes that came after the first one.
	Restarts int
	// Last is the end of the process before.
	Last Exit
	// Next is when the next process is started, if none is there.
	Next time.Time
}

// Open starts the processes and waits until the handlers are open in all of them. If one
// cannot be, it returns why.
func Open(ctx context.Context, c Config) (*Pool, error) {
	l, err := newLauncher(c.Nice)
	if err != nil {
		return nil, err
	}
	p := &Pool{Config: c, launcher: l, changed: make(chan struct{})}
	p.life, p.end = context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, p.end)
	opened := make(chan error, c.Workers)
	for range c.Workers {
		s := new(slot)
		p.slots = append(p.slots, s)
	}
	for _, s := range p.slots {
		p.running.Go(func() { p.lookAfter(s, opened) })
	}
	if c.MemoryLimit > 0 {
		p.running.Go(p.watchMemory)
	}
	for range c.Workers {
		err = errors.Join(err, <-opened)
		if err != nil {
			break // one reason is enough
		}
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = p.Close() // that they did not open is what matters
		return nil, fmt.Errorf("worker process: %w", err)
	}
	return p, nil
}

// lookAfter keeps a process in the slot until the pool is closed. It tells opened how the
// first one started, and ends if it did not.
func (p *Pool) lookAfter(s *slot, opened chan<- error) {
	for first := true; ; first = false {
		c, err := p.start(s)
		if first {
			if err == nil {
				p.mu.Lock()
				p.handler = c.steps // the same for all
				p.mu.Unlock()
			}
			opened <- err
			if err != nil {
				return
			}
		}
		if err == nil {
			<-c.ended
			p.ended(s, c)
		} else if p.life.Err() == nil {
			p.Log.Error("a worker process does not start", zap.Error(err))
		}
		p.mu.Lock()
		pause := p.pauseLocked(s)
		closed := p.closed
		p.changedLocked()
		p.mu.Unlock()
		if closed {
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-p.life.Done():
			timer.Stop()
			return
		}
	}
}

// pauseLocked returns how long it is until the next start.
func (p *Pool) pauseLocked(s *slot) time.Duration {
	s.restarts++
	s.next = time.Now()
	if s.failed == 0 {
		return 0
	}
	pause := minPause
	for n := s.failed; n > 1 && pause < maxPause; n-- {
		pause *= 2
	}
	pause = min(pause, maxPause)
	s.next = s.next.Add(pause)
	return pause
}

// start starts a process and has the handler opened in it.
func (p *Pool) start(s *slot) (*child, error) {
	s.reset(p)
	c, err := p.launch(func(c *child) {
		p.mu.Lock()
		defer p.mu.Unlock()
		s.process, s.started = c, time.Now()
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && p.closed {
		c.kill("the daemon stops")
		<-c.ended
		err = errClosed
	}
	if err != nil {
		s.last = Exit{s.pid(), time.Now(), err.Error()}
		s.process = nil
		s.failed++
		return nil, err
	}
	s.child = c
	p.changedLocked()
	return c, nil
}

func (s *slot) pid() int {
	if s.process == nil {
		return 0
	}
	return s.process.pid
}

func (s *slot) reset(p *Pool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.next, s.calls = time.Time{}, 0
}

var errClosed = errors.New("the worker processes are stopped")

// ended takes note of the end of a process.
func (p *Pool) ended(s *slot, c *child) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.child, s.process = nil, nil
	s.last = Exit{c.pid, time.Now(), c.err.Error()}
	if s.calls == 0 && !s.busy && time.Since(s.started) < tooShort {
		s.failed++
	} else {
		s.failed = 0
	}
	if p.closed {
		return
	}
	p.Log.Warn("a worker process has ended; another one takes its place", zap.Int("pid", c.pid), zap.String("reason", c.err.Error()))
}

// changedLocked wakes who waits for a process.
func (p *Pool) changedLocked() {
	if p.waiting > 0 {
		close(p.changed)
		p.changed = make(chan struct{})
	}
}

// Has implements [dispatch.Executor].
func (p *Pool) Has(step listener.Kind) bool {
	for i, s := range steps {
		if s == step {
			return p.handler&(1<<i) != 0
		}
	}
	return false
}

// Call implements [dispatch.Executor]. Steps are made in the first process. While a
// process starts the call waits for it, for a few seconds; when none is there to wait for,
// it fails.
func (p *Pool) Call(ctx context.Context, call *listener.Call) error {
	slots := p.slots
	if call.Old == nil && call.New == nil {
		slots = slots[:1]
	}
	s, c, err := p.take(ctx, slots)
	if err != nil {
		return err
	}
	err = c.call(ctx, call)
	p.mu.Lock()
	s.busy = false
	s.calls++
	p.changedLocked()
	p.mu.Unlock()
	return err
}

// take waits for one of the slots to be free.
func (p *Pool) take(ctx context.Context, slots []*slot) (*slot, *child, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var late <-chan time.Time
	for expired := false; ; {
		if p.closed {
			return nil, nil, errClosed
		}
		coming := false
		for _, s := range slots {
			switch {
			case s.child != nil && !s.busy && !s.child.gone():
				s.busy = true
				return s, s.child, nil
			case s.child != nil || time.Until(s.next) < worthWaiting:
				coming = true
			}
		}
		if !coming {
			s := slots[0]
			return nil, nil, fmt.Errorf("no worker process: %s; the next one is started in %v", s.last.Reason, max(time.Until(s.next), 0).Round(time.Millisecond))
		}
		if expired {
			return nil, nil, fmt.Errorf("no worker process was ready within %v: the handler takes long to open", patience)
		}
		if late == nil {
			late = time.After(patience)
		}
		changed := p.changed
		p.waiting++
		p.mu.Unlock()
		select {
		case <-changed:
		case <-late:
			expired = true
		case <-ctx.Done():
		}
		p.mu.Lock()
		p.waiting--
		if ctx.Err() != nil {
			return nil, nil, fmt.Errorf("no worker process was ready: %w", context.Cause(ctx))
		}
	}
}

// Status returns the condition of the processes, in the order of their places.
func (p *Pool) Status() []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Status, len(p.slots))
	for i, s := range p.slots {
		out[i] = Status{PID: s.pid(), State: "starting", Started: s.started, Restarts: s.restarts, Last: s.last, Next: s.next}
		switch {
		case s.child != nil && s.busy:
			out[i].State = "busy"
		case s.child != nil:
			out[i].State = "idle"
		case s.process == nil && !s.next.IsZero():
			out[i].State = "waiting"
		}
		if s.process == nil {
			out[i].Started = time.Time{}
		}
	}
	return out
}

// Close has the handlers closed and ends the processes; one with a call, or that takes
// longer than CloseTimeout, is killed. It returns the errors of the handlers.
// A further one does nothing.
func (p *Pool) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	var closing sync.WaitGroup
	for _, s := range p.slots {
		switch {
		case s.child == nil:
		case s.busy:
			s.child.kill("its call had not returned when the daemon stopped")
		default:
			c := s.child
			closing.Go(func() {
				if err := c.close(p.CloseTimeout); err != nil {
					p.mu.Lock()
					defer p.mu.Unlock()
					p.errs = append(p.errs, err)
				}
			})
		}
	}
	p.changedLocked()
	p.mu.Unlock()
	closing.Wait()
	p.end()
	p.running.Wait()
	p.launcher.stop()
	return errors.Join(p.errs...)
}

// memoryEvery is how often the processes' memory is looked at.
const memoryEvery = 100 * time.Millisecond

// watchMemory kills processes that use more than their limit.
func (p *Pool) watchMemory() {
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.life.Done():
			return
		case <-tick.C:
		}
		for _, c := range p.processes() {
			if used := memory(c.proc); used > p.MemoryLimit {
				c.kill(fmt.Sprintf("it used %d MiB of memory, more than its limit of %d MiB", used>>20, p.MemoryLimit>>20))
			}
		}
	}
}

func (p *Pool) processes() (out []*child) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.slots {
		if s.process != nil {
			out = append(out, s.process)
		}
	}
	return out
}
