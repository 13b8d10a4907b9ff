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

func TestPausedModuleKeepsItsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		d, stop := start(t, box, module("m", &stepper{recorder{name: "m", log: j}}, func(m *dispatch.Module) {
			m.Steps.Initialized, m.Paused = true, true
		}))
		box.add("m", create(1, "a"))
		d.Queued(100, map[string]int{"m": 1})
		time.Sleep(time.Minute)
		expect(t, j, "")
		if s := d.Status()[0]; s.State != "paused" || s.Queued != 1 {
			t.Errorf("status %+v", s)
		}
		if err := d.SetPaused("m", false); err != nil {
			t.Fatal(err)
		}
		expect(t, j, "m:pre_run m:uid=a")
		if err := d.SetPaused("m", true); err != nil {
			t.Fatal(err)
		}
		box.add("m", create(2, "b"))
		d.Queued(100, map[string]int{"m": 1})
		time.Sleep(15 * time.Second)
		expect(t, j, "m:pre_run m:uid=a m:post_run")
		if err := d.Settle(t.Context()); err != nil {
			t.Errorf("a paused module is not settled: %v", err)
		}
		if err := d.SetPaused("nobody", true); !errors.Is(err, dispatch.ErrUnknownModule) {
			t.Errorf("SetPaused returned %v", err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		expect(t, j, "m:pre_run m:uid=a m:post_run")
	})
}

func TestDecideOnAFailedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		h := &recorder{name: "m", log: j, do: func(_ context.Context, c listener.Call) error {
			if c.Seq == 1 {
				time.Sleep(time.Second)
				return listener.Permanent(errNo)
			}
			return nil
		}}
		box.add("m", create(1, "a"), create(2, "a"))
		d, stop := start(t, box, module("m", h))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		drop := func() (dispatch.Decision, error) {
			box.drop("m", 1)
			return dispatch.Decision{Gone: 1, Failed: 1, SetAside: 1}, nil
		}
		if err := d.Decide(t.Context(), "m", 1, drop); err != nil {
			t.Fatal(err)
		}
		expect(t, j, "m:uid=a m:uid=a")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if s := d.Status()[0]; s.Queued != 0 || s.Failing != 0 || s.SetAside != 0 || s.State != "idle" {
			t.Errorf("status %+v", s)
		}
	})
}

// What is being called can't be decided on.
func TestDecideOnARunningCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newMemory()
		release := make(chan struct{})
		h := &recorder{log: &journal{}, do: func(_ context.Context, c listener.Call) error {
			if c.Attempt == 1 {
				return errNo
			}
			<-release
			return nil
		}}
		box.add("m", create(1, "a"))
		d, stop := start(t, box, module("m", h))
		time.Sleep(2 * time.Second)
		err := d.Decide(t.Context(), "m", 1, func() (dispatch.Decision, error) {
			t.Error("it was decided")
			return dispatch.Decision{}, nil
		})
		if !errors.Is(err, dispatch.ErrInFlight) {
			t.Errorf("Decide returned %v", err)
		}
		close(release)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if box.left("m") != 0 {
			t.Error("the call is left")
		}
	})
}

func TestAgainForAStoppedModule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		n := 0
		h := &recorder{name: "m", log: j, do: func(context.Context, listener.Call) error {
			if n++; n == 1 {
				return listener.Permanent(errNo)
			}
			time.Sleep(time.Second)
			return nil
		}}
		box.add("m", create(1, "a"), create(2, "b"))
		d, stop := start(t, box, module("m", h, stopOnError))
		time.Sleep(time.Hour)
		expect(t, j, "m:uid=a")
		for range 2 { // the second time it is due already
			if err := d.Again("m", 1); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if err := d.Again("m", 1); !errors.Is(err, dispatch.ErrInFlight) {
			t.Errorf("while the call is made: %v", err)
		}
		time.Sleep(3 * time.Second)
		expect(t, j, "m:uid=a m:uid=a m:uid=b")
		if s := d.Status()[0]; s.SetAside != 0 || s.Failing != 0 || s.State != "idle" {
			t.Errorf("status %+v", s)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}
