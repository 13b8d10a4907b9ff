package dispatch_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
)

// queueOf fills the outbox with n tasks of each of some entries.
func queueOf(box *memory, m string, n, entries int) {
	for seq := range uint64(n * entries) {
		box.add(m, entryTask(seq+1, int(seq)%entries))
	}
}

func TestLatestMakesOneCallOfWhatIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, calls := newMemory(), 0
		h := &recorder{log: &journal{}, do: func(context.Context, listener.Call) error { calls++; return nil }}
		queueOf(box, "m", 50, 10)
		d, stop := start(t, box, module("m", h, func(m *dispatch.Module) { m.Settings.Latest = true }))
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if s := d.Status()[0]; calls != 10 || s.Queued != 0 || s.Folded {
			t.Errorf("%d calls, status %+v", calls, s)
		}
	})
}

// What comes while the entry's call runs, or while the module is paused, is one call, also
// if each change came alone.
func TestLatestFoldsWhatIsInTheWindow(t *testing.T) {
	const changes, entries = 30, 3
	for name, paused := range map[string]bool{"behind a call": false, "paused": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				box := newMemory()
				release := make(chan struct{})
				var seqs []uint64
				h := &recorder{log: &journal{}, do: func(ctx context.Context, c listener.Call) error {
					seqs = append(seqs, c.Seq)
					<-release
					return nil
				}}
				d, stop := startAt(t, box, 0, module("m", h, func(m *dispatch.Module) { m.Settings.Latest, m.Paused = true, paused }))
				for n := range changes * entries {
					box.add("m", entryTask(uint64(n+1), n%entries))
					d.Queued(uint64(n+1), map[string]int{"m": 1})
					synctest.Wait()
				}
				want := []uint64{88, 89, 90}
				if !paused {
					want = []uint64{1, 2, 3, 88, 89, 90} // who is next stays as it is
				}
				if s := d.Status()[0]; s.Queued != len(want) || box.left("m") != len(want) {
					t.Errorf("%d tasks are left, status %+v", box.left("m"), s)
				}
				close(release)
				if err := d.SetPaused("m", false); err != nil {
					t.Fatal(err)
				}
				if err := d.Settle(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				if s := d.Status()[0]; !slices.Equal(seqs, want) || s.Queued != 0 || box.left("m") != 0 {
					t.Errorf("calls %d, want %d; status %+v", seqs, want, s)
				}
			})
		})
	}
}

// The call before fails while what waits for it is being folded, or was: that waits for the
// repetition.
func TestLatestFoldsBehindACallThatFails(t *testing.T) {
	for _, takes := range []time.Duration{9 * time.Second, 19 * time.Second, 25 * time.Second} {
		t.Run(takes.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				box := newMemory()
				box.slow = 10 * time.Second
				var seqs []uint64
				h := &recorder{log: &journal{}, do: func(ctx context.Context, c listener.Call) error {
					if seqs = append(seqs, c.Seq); len(seqs) == 1 {
						time.Sleep(takes)
						return errors.New("once")
					}
					return nil
				}}
				d, stop := startAt(t, box, 0, module("m", h, func(m *dispatch.Module) { m.Settings.Latest = true }))
				for seq := range uint64(4) {
					box.add("m", entryTask(seq+1, 0))
					d.Queued(seq+1, map[string]int{"m": 1})
					time.Sleep(7 * time.Second)
				}
				if err := d.Settle(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				if s := d.Status()[0]; !slices.Equal(seqs, []uint64{1, 1, 4}) || s.Queued != 0 || box.left("m") != 0 {
					t.Errorf("calls %d, status %+v", seqs, s)
				}
			})
		})
	}
}

// At its limit a module's queue is folded.
func TestFullQueueIsFolded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, calls := newMemory(), 0
		release := make(chan struct{})
		h := &recorder{log: &journal{}, do: func(context.Context, listener.Call) error { calls++; <-release; return nil }}
		d, stop := startAt(t, box, 1, module("m", h, func(m *dispatch.Module) { m.Settings.MaxTasks = 5_000 }))
		synctest.Wait()
		queueOf(box, "m", 60, 100)
		d.Queued(6_000, map[string]int{"m": 6_000})
		synctest.Wait()
		if s := d.Status()[0]; s.Queued != 100 || box.left("m") != 100 {
			t.Errorf("%d tasks are left, status %+v", box.left("m"), s)
		}
		close(release)
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if s := d.Status()[0]; calls != 100 || s.Queued != 0 || s.Folded || box.left("m") != 0 {
			t.Errorf("%d calls, status %+v", calls, s)
		}
	})
}

// What is in the window when the limit is reached is folded, too.
func TestFullQueueIsFoldedInTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newMemory()
		var seqs []uint64
		h := &recorder{log: &journal{}, do: func(ctx context.Context, c listener.Call) error { seqs = append(seqs, c.Seq); return nil }}
		d, stop := startAt(t, box, 0, module("m", h, func(m *dispatch.Module) { m.Settings.MaxTasks, m.Paused = 5, true }))
		for seq := range uint64(8) {
			box.add("m", entryTask(seq+1, 0))
			d.Queued(seq+1, map[string]int{"m": 1})
			synctest.Wait()
		}
		if err := d.SetPaused("m", false); err != nil {
			t.Fatal(err)
		}
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if s := d.Status()[0]; !slices.Equal(seqs, []uint64{5, 6, 7, 8}) || s.Queued != 0 || box.left("m") != 0 {
			t.Errorf("calls %d, status %+v", seqs, s)
		}
	})
}

// What can't be folded is kept, and status says so.
func TestFullQueueOfManyEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newMemory()
		release := make(chan struct{})
		h := &recorder{log: &journal{}, do: func(context.Context, listener.Call) error { <-release; return nil }}
		d, stop := startAt(t, box, 1, module("m", h, func(m *dispatch.Module) { m.Settings.MaxTasks = 1_000 }))
		queueOf(box, "m", 1, 3_000)
		d.Queued(3_000, map[string]int{"m": 3_000})
		synctest.Wait()
		if s := d.Status()[0]; s.Queued != 3_000 || !s.Folded {
			t.Errorf("status %+v", s)
		}
		close(release)
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if s := d.Status()[0]; s.Calls != 3_000 || s.Folded {
			t.Errorf("status %+v", s)
		}
	})
}

// With stall nothing is folded, and the router waits until there is room.
func TestFullQueueStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newMemory()
		h := &recorder{log: &journal{}, do: func(context.Context, listener.Call) error { time.Sleep(time.Second); return nil }}
		d, stop := startAt(t, box, 1, module("m", h, func(m *dispatch.Module) { m.Settings.MaxTasks, m.Settings.Stall = 100, true }))
		queueOf(box, "m", 1, 110)
		d.Queued(200, map[string]int{"m": 110})
		began := time.Now()
		if s := d.Status()[0]; !s.Stalled {
			t.Errorf("status %+v", s)
		}
		if err := d.Room(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := d.Status()[0]; s.Stalled {
			t.Errorf("status %+v when there is room", s)
		}
		if took := time.Since(began); took != 11*time.Second {
			t.Errorf("there is room after %v", took)
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if err := d.Room(cancelled); !errors.Is(err, context.Canceled) {
			t.Errorf("Room returned %v", err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if err := d.Room(t.Context()); err != nil {
			t.Errorf("Room returned %v after the end", err)
		}
	})
}
