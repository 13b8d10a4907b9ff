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

func timeout(d time.Duration) func(*dispatch.Module) {
	return func(m *dispatch.Module) { m.Settings.Timeout = d }
}

// A synchronous handler that ignores its timeout holds up its own module only.
func TestStuckHandlerHoldsUpItsModuleOnly(t *testing.T) {
	for name, late := range map[string]error{"success": nil, "failure": errors.New("late")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j, box := &journal{}, newMemory()
				release := make(chan struct{})
				h := &recorder{name: "m", log: j, do: func(_ context.Context, c listener.Call) error {
					if c.Seq == 1 && c.Attempt == 1 {
						<-release
						return late
					}
					return nil
				}}
				box.add("m", create(1, "a"), create(2, "b"))
				box.add("o", create(1, "a"), create(2, "b"))
				d, stop := start(t, box, module("m", h, timeout(10*time.Second)), module("o", &recorder{name: "o", log: j}))
				time.Sleep(15*time.Second - 1)
				expect(t, j, "m:uid=a")
				time.Sleep(time.Second)
				expect(t, j, "m:uid=a o:uid=a o:uid=b")
				time.Sleep(time.Hour)
				s := d.Status()[0]
				if s.State != "stuck" || s.Stuck != 1 || s.StuckFor != time.Hour+16*time.Second-1 || s.Queued != 2 {
					t.Errorf("status %+v", s)
				}
				close(release)
				want := "m:uid=a o:uid=a o:uid=b m:uid=b"
				if late != nil {
					synctest.Wait()
					if s := d.Status()[0]; s.Failing != 1 {
						t.Errorf("status %+v", s)
					}
					want += " m:uid=a"
				}
				time.Sleep(time.Second)
				expect(t, j, want)
				if s := d.Status()[0]; s.State != "idle" || s.Stuck != 0 || s.StuckFor != 0 {
					t.Errorf("status %+v", s)
				}
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				if box.left("m") != 0 {
					t.Error("a call is left")
				}
			})
		})
	}
}

// In a pool a stuck call keeps its worker and its entry.
func TestStuckHandlerInAPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		release := make(chan struct{})
		h := &recorder{name: "m", log: j, do: func(_ context.Context, c listener.Call) error {
			if c.Seq == 1 {
				<-release
			}
			return nil
		}}
		box.add("m", create(1, "a"), create(2, "a"), create(3, "b"), create(4, "c"))
		d, stop := start(t, box, module("m", h, async(2), timeout(time.Second)))
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := d.Status()[0]; s.State != "stuck" || s.Stuck != 1 || s.Calls != 2 || s.InFlight != 1 || s.StuckFor != time.Minute {
			t.Errorf("status %+v", s)
		}
		close(release)
		synctest.Wait()
		if s := d.Status()[0]; s.Stuck != 0 || s.Calls != 4 {
			t.Errorf("status %+v", s)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// The last steps are made although the worker of the lane has been replaced.
func TestStuckHandlerReturnsAtShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		h := &stepper{recorder{name: "m", log: j, do: func(_ context.Context, c listener.Call) error {
			if c.Seq == 1 {
				time.Sleep(20 * time.Second)
			}
			return nil
		}}}
		box.add("m", create(1, "a"))
		_, stop := start(t, box, module("m", h, timeout(time.Second), func(m *dispatch.Module) { m.Steps.Initialized = true }))
		time.Sleep(10 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		expect(t, j, "m:pre_run m:uid=a m:post_run")
		if box.left("m") != 0 || box.steps["m"].PostRunOwed {
			t.Error("something is left")
		}
	})
}

// What a handler writes into what it was given is seen by nobody else.
func TestHandlersShareNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newMemory()
		e := listener.NewEntry(listener.UUID{1}, "uid=a", listener.Attribute{Name: "photo", Values: []string{"original"}})
		for _, name := range []string{"a", "b"} {
			box.add(name, &dispatch.Task{Seq: 1, Kind: listener.KindCreate, UUID: e.UUID(), New: e, Keys: []string{"a"}, Size: 1})
		}
		var seen []string
		spoil := func(_ context.Context, c listener.Call) error {
			photo := c.New.Bytes("photo")
			seen = append(seen, string(photo[0]))
			copy(photo[0], "changed!")
			if c.Attempt == 1 {
				return errors.New("once more")
			}
			return nil
		}
		_, stop := start(t, box, module("a", &recorder{log: &journal{}, do: spoil}), module("b", &recorder{log: &journal{}, do: spoil}))
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if len(seen) != 4 {
			t.Fatalf("%d calls", len(seen))
		}
		for _, s := range seen {
			if s != "original" {
				t.Errorf("a handler saw %q", s)
			}
		}
	})
}
