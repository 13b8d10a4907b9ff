package dispatch_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
)

// notFound is an error type as authors write them: its methods need a value.
type notFound struct{ what string }

func (e *notFound) Error() string { return e.what }

type panics struct{}

func (panics) Error() string    { return "panics" }
func (panics) Is(error) bool    { panic("Is") }
func (panics) Unwrap() error    { panic("Unwrap") }
func (panics) String() string   { panic("String") }
func (panics) As(any) bool      { panic("As") }
func (panics) GoString() string { panic("GoString") }

// An error whose methods panic, above all a nil pointer, costs its entry a call and
// nobody else anything.
func TestErrorsWhoseMethodsPanic(t *testing.T) {
	var none *notFound
	for name, wrong := range map[string]error{
		"nil pointer": none, "wrapped": listener.Permanent(none), "later": listener.RetryAfter(time.Second, none),
		"joined": errors.Join(errNo, none), "Is": panics{},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j, box := &journal{}, newMemory()
				h := &recorder{name: "m", log: j, do: func(_ context.Context, c listener.Call) error {
					if c.Seq == 1 && c.Attempt == 1 {
						return wrong
					}
					return nil
				}}
				box.add("m", create(1, "a"), create(2, "b"))
				d, stop := start(t, box, module("m", h))
				expect(t, j, "m:uid=a m:uid=b")
				if s := d.Status()[0]; s.Failing != 1 || !strings.Contains(s.LastError, "handler panicked") {
					t.Errorf("status %+v", s)
				}
				time.Sleep(time.Second)
				expect(t, j, "m:uid=a m:uid=b m:uid=a")
				if err := stop(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// A step may return such an error too.
func TestStepWithANilPointerForAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		h := &stepper{recorder{name: "m", log: j, do: func(_ context.Context, c listener.Call) error {
			if c.Kind == listener.KindInitialize && c.Attempt == 1 {
				var none *notFound
				return none
			}
			return nil
		}}}
		box.add("m", create(1, "a"))
		_, stop := start(t, box, module("m", h))
		time.Sleep(time.Second)
		expect(t, j, "m:initialize m:initialize m:pre_run m:uid=a")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// What a handler says of a failure is kept, logged and shown in part if it is long.
func TestLongErrorsAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 5 << 10
		long := strings.Repeat("x", 1<<20)
		box := newMemory()
		h := &stepper{recorder{name: "m", log: &journal{}, do: func(_ context.Context, c listener.Call) error {
			switch {
			case c.Attempt > 1:
				return nil
			case c.Kind == listener.KindPreRun:
				return errors.New(long)
			case c.Seq == 1:
				panic(long)
			case c.Seq == 2:
				return errors.New(long)
			}
			return nil
		}}}
		box.add("m", create(1, "a"), create(2, "b"))
		core, logged := observer.New(zapcore.DebugLevel)
		d, stop := start(t, box, module("m", h, func(m *dispatch.Module) { m.Log = zap.New(core) }))
		for range 3 { // pre_run and two calls
			synctest.Wait()
			if s := d.Status()[0]; len(s.LastError) < 1<<10 || len(s.LastError) > most {
				t.Errorf("status has %d bytes of an error", len(s.LastError))
			}
			time.Sleep(time.Second)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if logged.FilterMessageSnippet("failed").Len() != 3 {
			t.Errorf("logged %v", logged.All())
		}
		for _, e := range logged.All() {
			for _, f := range e.Context {
				enc := zapcore.NewMapObjectEncoder()
				f.AddTo(enc)
				if text, ok := enc.Fields["error"].(string); ok && len(text) > most {
					t.Errorf("%s: %d bytes of an error are logged", e.Message, len(text))
				}
			}
		}
	})
}

// A call that ends its goroutine has failed, and the worker is replaced.
func TestHandlerThatEndsItsGoroutine(t *testing.T) {
	for name, change := range map[string]func(*dispatch.Module){"synchronous": func(*dispatch.Module) {}, "pool": async(1)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j, box := &journal{}, newMemory()
				h := &stepper{recorder{name: "m", log: j, do: func(_ context.Context, c listener.Call) error {
					if (c.Kind == listener.KindPreRun || c.Seq == 1) && c.Attempt == 1 {
						runtime.Goexit()
					}
					return nil
				}}}
				box.add("m", create(1, "a"), create(2, "b"))
				d, stop := start(t, box, module("m", h, change))
				expect(t, j, "m:initialize m:pre_run")
				time.Sleep(time.Second)
				expect(t, j, "m:initialize m:pre_run m:pre_run m:uid=a m:uid=b")
				if s := d.Status()[0]; s.Failing != 1 || !strings.Contains(s.LastError, "goroutine") {
					t.Errorf("status %+v", s)
				}
				time.Sleep(time.Second)
				expect(t, j, "m:initialize m:pre_run m:pre_run m:uid=a m:uid=b m:uid=a")
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				expect(t, j, "m:initialize m:pre_run m:pre_run m:uid=a m:uid=b m:uid=a m:post_run")
			})
		})
	}
}

// One that does so long after its timeout no longer counts as stuck.
func TestStuckHandlerThatEndsItsGoroutine(t *testing.T) {
	for name, change := range map[string]func(*dispatch.Module){"synchronous": func(*dispatch.Module) {}, "pool": async(1)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j, box := &journal{}, newMemory()
				release := make(chan struct{})
				h := &recorder{name: "m", log: j, do: func(_ context.Context, c listener.Call) error {
					if c.Seq == 1 && c.Attempt == 1 {
						<-release
						runtime.Goexit()
					}
					return nil
				}}
				box.add("m", create(1, "a"), create(2, "b"))
				d, stop := start(t, box, module("m", h, change, timeout(time.Second)))
				time.Sleep(time.Minute)
				expect(t, j, "m:uid=a")
				close(release)
				time.Sleep(time.Minute)
				expect(t, j, "m:uid=a m:uid=b m:uid=a")
				if s := d.Status()[0]; s.State != "idle" || s.Stuck != 0 {
					t.Errorf("status %+v", s)
				}
				if err := stop(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}
