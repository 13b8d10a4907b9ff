package dispatch_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
)

// cleaning is a stepper with clean.
type cleaning struct{ stepper }

func (h *cleaning) Clean(ctx context.Context) error { return h.call(ctx) }

var _ listener.Cleaner = (*cleaning)(nil)

func newCleaning(j *journal, do func(context.Context, listener.Call) error) *cleaning {
	return &cleaning{stepper{recorder{name: "m", log: j, do: do}}}
}

func initialized(m *dispatch.Module) { m.Steps.Initialized = true }

// reset empties the module's queue, as a resync does.
func (o *memory) reset(m string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.tasks, m)
	delete(o.backlog, m)
	delete(o.parked, m)
}

// resync resets a module with a queue that a walk fills once it has begun.
func resync(t *testing.T, d *dispatch.Dispatcher, box *memory, walk ...*dispatch.Task) {
	t.Helper()
	err := d.Reset(t.Context(), "m", func(forget func(uint64)) error {
		box.reset("m")
		box.mu.Lock()
		box.walk["m"] = walk
		box.mu.Unlock()
		forget(5_000)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// The call in flight is finished and no other one begun; what was queued, failed or is
// being retried is dropped; the run ends before clean.
func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		h := newCleaning(j, func(_ context.Context, c listener.Call) error {
			switch {
			case c.Seq == 1:
				return errors.New("fails")
			case c.Seq == 2:
				time.Sleep(10 * time.Second)
			}
			return nil
		})
		box.add("m", create(1, "a"), create(2, "b"), create(3, "c"))
		d, stop := start(t, box, module("m", h, initialized))
		time.Sleep(100 * time.Millisecond)
		go resync(t, d, box, create(6_000, "x"), create(6_001, "y"))
		expect(t, j, "m:pre_run m:uid=a m:uid=b")
		time.Sleep(9 * time.Second)
		expect(t, j, "m:pre_run m:uid=a m:uid=b")
		time.Sleep(time.Second)
		expect(t, j, "m:pre_run m:uid=a m:uid=b m:post_run m:clean m:initialize m:pre_run m:uid=x m:uid=y")
		d.Queued(4_999, map[string]int{"m": 7}) // of the queue that is gone
		if s := d.Status()[0]; s.Failing != 0 || s.Queued > 0 || s.State != "idle" {
			t.Errorf("status %+v", s)
		}
		if s := box.steps["m"]; s.Resync != "" || !s.Initialized {
			t.Errorf("stored steps %+v", s)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// A failing clean holds the module back; a post_run that fails before it does not hold it.
func TestFailingClean(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		tries := 0
		h := newCleaning(j, func(_ context.Context, c listener.Call) error {
			switch c.Kind {
			case listener.KindPostRun:
				return errors.New("no")
			case listener.KindClean:
				if tries++; tries < 3 {
					return errors.New("not yet")
				}
			}
			return nil
		})
		box.add("m", create(1, "a"))
		d, stop := start(t, box, module("m", h, initialized))
		expect(t, j, "m:pre_run m:uid=a")
		resync(t, d, box, create(6_000, "x"))
		expect(t, j, "m:pre_run m:uid=a m:post_run m:clean")
		if s := d.Status()[0]; s.State != "cleaning" || s.LastError == "" {
			t.Errorf("status %+v", s)
		}
		time.Sleep(4 * time.Second) // 1 s and 2 s of backoff, less jitter
		expect(t, j, "m:pre_run m:uid=a m:post_run m:clean m:clean m:clean m:initialize m:pre_run m:uid=x")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// Clean and initialize are made up for after a start, with nothing to be called for; not
// while the module is paused.
func TestCleanIsMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		d, stop := start(t, box, module("m", newCleaning(j, nil), initialized, func(m *dispatch.Module) {
			m.Steps.Resync, m.Paused = dispatch.ResyncClean, true
		}))
		expect(t, j, "")
		if err := d.SetPaused("m", false); err != nil {
			t.Fatal(err)
		}
		expect(t, j, "m:clean m:initialize")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// Without a Cleaner what is queued comes first, and then initialize. A call that is set
// aside holds nothing up.
func TestResetWithoutCleaner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		h := &stepper{recorder{name: "m", log: j, do: func(_ context.Context, c listener.Call) error {
			if c.Seq == 1 {
				return listener.Permanent(errors.New("no"))
			}
			return nil
		}}}
		box.add("m", create(1, "a"), create(2, "b"))
		_, stop := start(t, box, module("m", h, initialized, func(m *dispatch.Module) { m.Steps.Resync = dispatch.ResyncClean }))
		expect(t, j, "m:pre_run m:uid=a m:uid=b m:post_run m:initialize")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// A module that a failed call has halted is reset at once.
func TestResetOfAStoppedModule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		h := newCleaning(j, func(_ context.Context, c listener.Call) error {
			if c.Seq == 1 {
				return errors.New("no")
			}
			return nil
		})
		box.add("m", create(1, "a"), create(2, "b"))
		d, stop := start(t, box, module("m", h, initialized, stopOnError))
		expect(t, j, "m:pre_run m:uid=a")
		resync(t, d, box, create(6_000, "x"))
		expect(t, j, "m:pre_run m:uid=a m:post_run m:clean m:initialize m:pre_run m:uid=x")
		time.Sleep(time.Hour)
		expect(t, j, "m:pre_run m:uid=a m:post_run m:clean m:initialize m:pre_run m:uid=x m:post_run")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// A run that ends by itself gives a module up whose steps fail.
func TestOnceGivesAFailingCleanUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		h := newCleaning(j, func(context.Context, listener.Call) error { return errors.New("no") })
		d, stop := start(t, box, module("m", h, once(3), func(m *dispatch.Module) { m.Steps.Resync = dispatch.ResyncClean }))
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(t, j, "m:clean m:clean m:clean")
		if _, steps := d.Owed(); len(steps) != 1 {
			t.Errorf("steps owed to %q", steps)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// Who waits for a module to have no call in flight is told when all are about to stop, and
// when he gave up himself.
func TestResetOfABusyModule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newMemory()
		h := newCleaning(&journal{}, func(_ context.Context, c listener.Call) error {
			if c.Seq == 1 {
				time.Sleep(20 * time.Second)
			}
			return nil
		})
		box.add("m", create(1, "a"))
		d, stop := start(t, box, module("m", h, initialized))
		synctest.Wait()
		reset := func(ctx context.Context) error {
			return d.Reset(ctx, "m", func(func(uint64)) error {
				t.Error("it was reset")
				return nil
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := reset(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after a second: %v", err)
		}
		waiting := make(chan error)
		go func() { waiting <- reset(t.Context()) }()
		synctest.Wait()
		stopped := make(chan error)
		go func() { stopped <- stop() }()
		if err := <-waiting; err == nil || err.Error() != "module m is busy, and all modules are about to stop" {
			t.Errorf("at the end: %v", err)
		}
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
	})
}
