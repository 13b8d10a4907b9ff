package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
)

var errNo = errors.New("no")

// entryTask returns the n-th task of an entry of its own.
func entryTask(seq uint64, n int) *dispatch.Task {
	e := listener.NewEntry(listener.UUID{byte(n), byte(n >> 8)}, fmt.Sprintf("uid=%d", n))
	return &dispatch.Task{
		Seq: seq, Kind: listener.KindCreate, Cause: listener.CauseLive, UUID: e.UUID(), New: e, Keys: []string{fmt.Sprint(n)}, Size: 100,
	}
}

// More entries than a window holds fail, and the others are called all the same.
func TestFailingEntriesHoldNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, good := newMemory(), 0
		h := &recorder{name: "m", log: &journal{}, do: func(_ context.Context, c listener.Call) error {
			if c.Seq <= 5_000 {
				return listener.Permanent(errNo)
			}
			good++
			return nil
		}}
		for seq := uint64(1); seq <= 5_100; seq++ {
			box.tasks["m"] = append(box.tasks["m"], entryTask(seq, int(seq)))
		}
		d, stop := start(t, box, module("m", h))
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := d.Status()[0]; good != 100 || s.SetAside != 5_000 || s.Queued != 5_000 {
			t.Errorf("%d good calls, status %+v", good, s)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// What waits for one failing entry takes no room, and drains in few transactions.
func TestLongQueueBehindAFailingEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const queue = 10_000
		box := newMemory()
		var healed atomic.Bool
		box.slow = time.Millisecond
		var seen []uint64
		others := 0
		h := &recorder{name: "m", log: &journal{}, do: func(_ context.Context, c listener.Call) error {
			switch {
			case c.New.DN() != "uid=1":
				others++
			case !healed.Load():
				return errNo
			default:
				seen = append(seen, c.Seq)
			}
			return nil
		}}
		for seq := uint64(1); seq <= queue; seq++ {
			box.tasks["m"] = append(box.tasks["m"], entryTask(seq, 1))
		}
		for seq := uint64(queue + 1); seq <= queue+100; seq++ {
			box.tasks["m"] = append(box.tasks["m"], entryTask(seq, int(seq)))
		}
		d, stop := startAt(t, box, 20_000, module("m", h))
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if s := d.Status()[0]; others != 100 || s.Queued != queue || s.Failing != 1 {
			t.Fatalf("%d calls for others, status %+v", others, s)
		}
		healed.Store(true)
		before := box.committed()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(seen) != queue || !slices.IsSorted(seen) || box.left("m") != 0 {
			t.Errorf("%d calls, in order: %v; %d are left", len(seen), slices.IsSorted(seen), box.left("m"))
		}
		if n := box.committed() - before; n > queue/100 {
			t.Errorf("the queue took %d transactions", n)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if box.most > 2_000 {
			t.Errorf("%d tasks were loaded at once", box.most)
		}
	})
}

// What a call has failed with, and how often, is known after a restart.
func TestFailuresSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newMemory()
		var attempts []int
		var healed atomic.Bool
		h := &recorder{name: "m", log: &journal{}, do: func(_ context.Context, c listener.Call) error {
			attempts = append(attempts, c.Attempt)
			if healed.Load() {
				return nil
			}
			return errNo
		}}
		began := time.Now()
		box.add("m", create(1, "a"), create(2, "a"))
		_, stop := start(t, box, module("m", h))
		time.Sleep(2 * time.Second) // the first retry is after less than 1 s, the second after more than 1.5 s
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		f := box.failures("m")[1]
		if f.Attempts != 2 || f.Error != "no" || !f.First.Equal(began) || !f.Last.After(began) || !f.Next.After(f.Last) || f.Stack != "" {
			t.Errorf("record: %+v", f)
		}
		d, stop := start(t, box, module("m", h, func(m *dispatch.Module) { m.Failed = 1 }))
		synctest.Wait()
		if s := d.Status()[0]; len(attempts) != 2 || s.Failing != 1 || s.Queued != 2 {
			t.Errorf("attempts %v, status %+v", attempts, s)
		}
		healed.Store(true)
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(attempts, []int{1, 2, 3, 1}) {
			t.Errorf("attempts %v", attempts)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if s := d.Status()[0]; s.Failing != 0 || box.left("m") != 0 {
			t.Errorf("status %+v, %d are left", s, box.left("m"))
		}
	})
}

func TestSetAsideStaysSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, calls := newMemory(), 0
		h := &recorder{name: "m", log: &journal{}, do: func(context.Context, listener.Call) error { calls++; return listener.Permanent(errNo) }}
		box.add("m", create(1, "a"))
		for range 3 {
			d, stop := start(t, box, module("m", h, func(m *dispatch.Module) {
				m.Failed, m.SetAside = min(calls, 1), min(calls, 1)
			}))
			time.Sleep(time.Hour)
			if s := d.Status()[0]; calls != 1 || s.SetAside != 1 || s.State != "failing" {
				t.Errorf("%d calls, status %+v", calls, s)
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestPanicIsRecordedWithItsStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newMemory()
		h := &recorder{name: "m", log: &journal{}, do: func(context.Context, listener.Call) error { panic("boom") }}
		box.add("m", create(1, "a"))
		_, stop := start(t, box, module("m", h))
		synctest.Wait()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if f := box.failures("m")[1]; !strings.Contains(f.Error, "boom") || !strings.Contains(f.Stack, "TestPanicIsRecordedWithItsStack") {
			t.Errorf("record: %+v", f)
		}
	})
}

func stopOnError(m *dispatch.Module) { m.Settings.StopOnError = true }

// A failure is stored as it was, although the call has failed again by then.
func TestStoppedModuleFailsAgainBeforeThatIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newMemory()
		box.slow = 10 * time.Second
		h := &recorder{name: "m", log: &journal{}, do: func(context.Context, listener.Call) error { return errNo }}
		box.add("m", create(1, "a"))
		_, stop := start(t, box, module("m", h, stopOnError))
		time.Sleep(20*time.Second + time.Millisecond) // the mark, and the failure
		box.mu.Lock()
		if f := box.tasks["m"][0].Failure; f == nil || f.Attempts != 1 {
			t.Errorf("stored is %+v", f)
		}
		box.mu.Unlock()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestStopKeepsATotalOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		h := &recorder{name: "m", log: j, do: func(_ context.Context, c listener.Call) error {
			if c.Seq == 2 && c.Attempt < 3 {
				return errNo
			}
			return nil
		}}
		box.add("m", create(1, "a"), create(2, "b"), create(3, "c"), create(4, "b"))
		d, stop := start(t, box, module("m", h, stopOnError), module("o", &recorder{name: "o", log: &journal{}}))
		expect(t, j, "m:uid=a m:uid=b")
		if s := d.Status()[0]; s.State != "stopped" || s.Failing != 1 || s.Queued != 3 {
			t.Errorf("status %+v", s)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		d, stop = start(t, box, module("m", h, stopOnError, func(m *dispatch.Module) { m.Failed = 1 }))
		expect(t, j, "m:uid=a m:uid=b")
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(t, j, "m:uid=a m:uid=b m:uid=b m:uid=b m:uid=c m:uid=b")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// A module whose setting was stop goes on when it is no longer.
func TestNoLongerStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		h := &recorder{name: "m", log: j, do: func(_ context.Context, c listener.Call) error {
			if c.Seq == 1 {
				return listener.Permanent(errNo)
			}
			return nil
		}}
		box.add("m", create(1, "a"), create(2, "a"), create(3, "b"))
		d, stop := start(t, box, module("m", h, stopOnError))
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(t, j, "m:uid=a")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		d, stop = start(t, box, module("m", h, func(m *dispatch.Module) { m.Failed, m.SetAside = 1, 1 }))
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(t, j, "m:uid=a m:uid=b")
		if s := d.Status()[0]; s.Queued != 2 || s.SetAside != 1 {
			t.Errorf("status %+v", s)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// When what a module works on is down, it is asked for with one call at a time, and
// when it is up again everything is delivered.
func TestModuleBacksOffAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, calls := newMemory(), 0
		var up atomic.Bool
		h := &recorder{name: "m", log: &journal{}, do: func(context.Context, listener.Call) error {
			if calls++; !up.Load() {
				return errNo
			}
			return nil
		}}
		for seq := uint64(1); seq <= 1_000; seq++ {
			box.tasks["m"] = append(box.tasks["m"], entryTask(seq, int(seq)))
		}
		other := &recorder{name: "o", log: &journal{}}
		box.add("o", create(2_000, "x"))
		d, stop := start(t, box, module("m", h), module("o", other))
		synctest.Wait()
		if s := d.Status()[0]; calls != 10 || s.State != "backing off" || !s.NextProbe.After(time.Now()) || s.Failing != 10 {
			t.Fatalf("%d calls, status %+v", calls, s)
		}
		if box.left("o") != 0 {
			t.Error("the other module waits")
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if calls < 10+9 || calls > 10+25 { // 1 s, 2 s, 4 s ... 1 min, less jitter
			t.Errorf("%d calls after 10 minutes", calls)
		}
		up.Store(true)
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if s := d.Status()[0]; s.State != "idle" || s.Failing != 0 || box.left("m") != 0 {
			t.Errorf("status %+v, %d are left", s, box.left("m"))
		}
	})
}

func once(attempts int) func(*dispatch.Module) {
	return func(m *dispatch.Module) { m.Settings.OnceAttempts = attempts }
}

// In a run that ends by itself a failing entry is given up, and left to the next run.
func TestOnceLeavesFailuresToTheNextRun(t *testing.T) {
	setAside := func(*dispatch.Module) {}
	asks := listener.RetryAfter(time.Minute, errNo)
	for name, c := range map[string]struct {
		err    error
		change func(*dispatch.Module)
		counts int // attempts of each call
	}{
		"set aside": {errNo, setAside, 1}, "stop": {errNo, stopOnError, 1},
		"set aside, asks": {asks, setAside, 0}, "stop, asks": {asks, stopOnError, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				box, calls := newMemory(), 0
				h := &recorder{name: "m", log: &journal{}, do: func(context.Context, listener.Call) error { calls++; return c.err }}
				box.add("m", create(1, "a"), create(2, "a"))
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				for run := 1; run <= 3; run++ {
					box.hasten("m")
					d, stop := start(t, box, module("m", h, once(3), c.change, func(m *dispatch.Module) { m.Failed = min(calls, 1) }))
					if err := d.Settle(ctx); err != nil {
						t.Fatal(err)
					}
					if err := stop(); err != nil {
						t.Fatal(err)
					}
					if f := box.failures("m")[1]; calls != 3*run || f.Attempts != calls*c.counts || f.SetAside() || !f.NextRun {
						t.Errorf("%d calls after run %d, record %+v", calls, run, f)
					}
				}
			})
		})
	}
}

// Who asks for time until others are done gets it, while calls succeed.
func TestOnceWaitsForThoseWhoWaitForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, done, asked := newMemory(), 0, 0
		h := &recorder{name: "m", log: &journal{}, do: func(_ context.Context, c listener.Call) error {
			if c.Seq == 1 && done < 10 {
				asked++
				return listener.RetryAfter(time.Second, errNo)
			}
			time.Sleep(2 * time.Second)
			done++
			return nil
		}}
		for seq := range uint64(11) {
			box.add("m", create(seq+1, fmt.Sprint(seq)))
		}
		d, stop := start(t, box, module("m", h, once(3)))
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := box.left("m"); n != 0 || done != 11 || asked <= 3 {
			t.Errorf("%d calls are left, %d are done, and %d asked for time", n, done, asked)
		}
	})
}

// A call that a run which ends by itself has left is made at once by one that does not, or
// at the time that it has asked for.
func TestWhatIsLeftKeepsItsTime(t *testing.T) {
	t.Run("fails", func(t *testing.T) { testWhatIsLeft(t, errNo, 0) })
	t.Run("asks", func(t *testing.T) { testWhatIsLeft(t, listener.RetryAfter(time.Minute, errNo), time.Minute) })
}

func testWhatIsLeft(t *testing.T, failure error, after time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		box := newMemory()
		var calls []time.Time
		h := &recorder{name: "m", log: &journal{}, do: func(context.Context, listener.Call) error {
			if calls = append(calls, time.Now()); len(calls) < 3 {
				return failure
			}
			return nil
		}}
		box.add("m", create(1, "a"))
		d, stop := start(t, box, module("m", h, once(2), stopOnError))
		if err := d.Settle(t.Context()); err != nil || len(calls) != 2 {
			t.Fatalf("%d calls, %v", len(calls), err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		d, stop = start(t, box, module("m", h, stopOnError, func(m *dispatch.Module) { m.Failed = 1 }))
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(calls) != 3 || calls[2].Sub(calls[1]) != after {
			t.Errorf("calls at %v", calls)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// A target that stays down does not keep a run from ending.
func TestOnceGivesAModuleUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, calls := newMemory(), 0
		h := &recorder{name: "m", log: &journal{}, do: func(context.Context, listener.Call) error { calls++; return errNo }}
		for seq := uint64(1); seq <= 5_000; seq++ {
			box.tasks["m"] = append(box.tasks["m"], entryTask(seq, int(seq)))
		}
		d, stop := start(t, box, module("m", h, once(3)))
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if calls > 20 || box.left("m") != 5_000 {
			t.Errorf("%d calls, %d are left", calls, box.left("m"))
		}
	})
}
