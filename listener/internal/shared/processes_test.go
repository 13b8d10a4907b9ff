package shared_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/shared"
)

var increments = flag.Int("increments", 10_000, "how often the workers of TestProcessesCount increment, over all")

// Of the tests with several processes.
const (
	counters          = 8 // processes
	workersPerCounter = 8
	asCounter         = "LISTENERD_TEST_AS_COUNTER" // the test's program counts: the address of the Tally
	counterNumber     = "LISTENERD_TEST_COUNTER"    // from 0
)

func TestMain(m *testing.M) {
	flag.Parse()
	if addr := os.Getenv(asCounter); addr != "" {
		if err := count(addr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Tally is what the test's processes ask by RPC: the system outside that they count in,
// which compares fencing numbers, and who restarts memcached.
type Tally struct {
	register
	server  *testServer
	items   int  // over all
	restart bool // memcached is restarted meanwhile

	lost, unavailable, outdated, surfaced atomic.Int64
}

// Write is one increment.
type Write struct {
	Fence       uint64
	Item, Value int
}

// Assignment is what a process has to know.
type Assignment struct {
	Server  string
	Items   int
	Restart int // item under which memcached is restarted; 0: it is not, and a shared variable is counted in
}

// Losses counts what calls to WithLock returned.
type Losses struct{ Lost, Unavailable, Outdated, Surfaced int64 }

// Assign tells a process what to do.
func (t *Tally) Assign(_ int, a *Assignment) error {
	a.Server, a.Items = t.server.addr(), t.items
	if t.restart {
		a.Restart = t.items / 2
	}
	return nil
}

// Read returns the number, unless a newer holder of the lock was here.
func (t *Tally) Read(fence uint64, value *int) (err error) {
	*value, err = t.read(fence)
	return err
}

// Write sets the number, unless a newer holder of the lock was here.
func (t *Tally) Write(w Write, _ *int) error { return t.write(w.Fence, w.Item, w.Value) }

// Restart restarts memcached.
func (t *Tally) Restart(int, *int) error {
	t.server.restart()
	return nil
}

// Report adds to the losses.
func (t *Tally) Report(l Losses, _ *int) error {
	t.lost.Add(l.Lost)
	t.unavailable.Add(l.Unavailable)
	t.outdated.Add(l.Outdated)
	t.surfaced.Add(l.Surfaced)
	return nil
}

// serve returns the address at which processes reach the tally.
func (t *Tally) serve(tb testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	s := rpc.NewServer()
	if err := s.Register(t); err != nil {
		tb.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			go s.ServeConn(conn)
		}
	}()
	return l.Addr().String()
}

// count is one of the processes.
func count(addr string) error {
	tally, err := rpc.Dial("tcp", addr)
	if err != nil {
		return err
	}
	var a Assignment
	if err := tally.Call("Tally.Assign", 0, &a); err != nil {
		return err
	}
	store, err := shared.NewMemcached(shared.Config{Servers: []string{a.Server}, Connections: workersPerCounter, Timeout: patience})
	if err != nil {
		return err
	}
	first, err := strconv.Atoi(os.Getenv(counterNumber))
	if err != nil {
		return err
	}
	work := make(chan int, a.Items)
	for item := first; item < a.Items; item += counters {
		work <- item
	}
	close(work)
	c := &counter{tally: tally, assignment: a, shared: store.Open("d", "m")}
	errs := make(chan error, workersPerCounter)
	for range workersPerCounter {
		go func() {
			for item := range work {
				if err := c.increment(item); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range workersPerCounter {
		err = errors.Join(err, <-errs)
	}
	return errors.Join(err, tally.Call("Tally.Report", Losses{c.lost.Load(), c.unavailable.Load(), c.outdated.Load(), c.surfaced.Load()}, nil))
}

// counter is what the workers of a process share.
type counter struct {
	tally      *rpc.Client
	assignment Assignment
	shared     listener.Shared
	restarted  sync.Once

	lost, unavailable, outdated, surfaced atomic.Int64
}

// increment counts an item, as a handler whose calls are repeated.
func (c *counter) increment(item int) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), 5*time.Minute, errors.New("a deadlock, it seems"))
	defer cancel()
	// A lease that is over because the processor is busy elsewhere would be a loss, too.
	ttl := 10 * time.Minute
	if c.assignment.Restart > 0 {
		ttl = 600 * time.Millisecond // the loss is to show soon
	}
	for {
		err := c.shared.WithLock(ctx, "k", ttl, func(ctx context.Context) error {
			if c.assignment.Restart == 0 {
				return c.inVariable(ctx)
			}
			return c.inTally(ctx, item)
		})
		switch {
		case err == nil:
			return nil
		case c.assignment.Restart == 0:
			return err // nothing happens that could be a reason
		case errors.Is(err, listener.ErrLockLost):
			c.lost.Add(1)
		case errors.Is(err, listener.ErrUnavailable):
			c.unavailable.Add(1)
		case err.Error() == errOutdated.Error():
			c.outdated.Add(1)
		default:
			return err
		}
		<-time.After(5 * time.Millisecond) // a retry
	}
}

// inVariable increments a variable as nobody should who has no lock.
func (c *counter) inVariable(ctx context.Context) error {
	n := listener.Var[int]{Shared: c.shared, Key: "n"}
	before, err := n.Get(ctx)
	if err != nil && !errors.Is(err, listener.ErrNotFound) {
		return err
	}
	return n.Set(ctx, before+1)
}

func (c *counter) inTally(ctx context.Context, item int) (err error) {
	fence := listener.LockInfo(ctx).Fence
	var before int
	if err := c.tally.Call("Tally.Read", fence, &before); err != nil {
		return err
	}
	if item == c.assignment.Restart {
		c.restarted.Do(func() { err = c.restart(ctx) })
		if err != nil {
			return err
		}
	}
	return c.tally.Call("Tally.Write", Write{fence, item, before + 1}, nil)
}

// restart has memcached restarted under the lock, and waits until the loss shows.
func (c *counter) restart(ctx context.Context) error {
	if err := c.tally.Call("Tally.Restart", 0, nil); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), listener.ErrLockLost) {
			c.surfaced.Add(1)
		}
		return nil
	case <-time.After(patience):
		return errors.New("the loss does not show")
	}
}

// run has the processes count, and waits for their end.
func (t *Tally) run(tb testing.TB) {
	tb.Helper()
	addr := t.serve(tb)
	program, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	errs := make(chan error, counters)
	for n := range counters {
		cmd := exec.CommandContext(tb.Context(), program)
		cmd.Env = append(os.Environ(), asCounter+"="+addr, fmt.Sprintf("%s=%d", counterNumber, n))
		go func() {
			out, err := cmd.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			errs <- err
		}()
	}
	for range counters {
		if err := <-errs; err != nil {
			tb.Error(err)
		}
	}
}

// 64 workers in 8 processes increment a shared variable under a lock: not one is lost.
func TestProcessesCount(t *testing.T) {
	t.Parallel()
	tally := &Tally{register: register{done: map[int]bool{}}, server: startServer(t), items: *increments}
	tally.run(t)
	n := listener.Var[int]{Shared: newMemcached(t, shared.Config{Servers: []string{tally.server.addr()}}).Open("d", "m"), Key: "n"}
	if got, err := n.Get(t.Context()); got != *increments || err != nil {
		t.Errorf("counted to %d, %v, want %d", got, err, *increments)
	}
}

// The same with memcached restarted in the middle, which frees the lock that is held: its
// holder learns of it, nobody waits for ever, and a system that compares fencing numbers
// counts right.
func TestProcessesCountOverARestart(t *testing.T) {
	t.Parallel()
	tally := &Tally{register: register{done: map[int]bool{}}, server: startServer(t), items: *increments, restart: true}
	tally.run(t)
	if tally.value != *increments || len(tally.done) != *increments {
		t.Errorf("counted to %d, with %d items, want %d", tally.value, len(tally.done), *increments)
	}
	if tally.surfaced.Load() != 1 || tally.lost.Load() < 1 {
		t.Errorf("the loss showed at %d holders, want 1; %d locks were lost", tally.surfaced.Load(), tally.lost.Load())
	}
	t.Logf("%d locks lost, %d times unavailable, %d times a newer holder", tally.lost.Load(), tally.unavailable.Load(), tally.outdated.Load())
}
