package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
)

// create returns a task for the entry that the name stands for.
func create(seq uint64, name string) *dispatch.Task {
	e := listener.NewEntry(listener.UUID{name[0]}, "uid="+name)
	return &dispatch.Task{Seq: seq, Kind: listener.KindCreate, Cause: listener.CauseLive, UUID: e.UUID(), New: e, Keys: []string{name}, Size: 100}
}

// recorder is a handler that notes its calls and does what the test says.
type recorder struct {
	name string
	log  *journal
	do   func(ctx context.Context, call listener.Call) error
}

type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, " ")
}

func (h *recorder) call(ctx context.Context) error {
	c := listener.CallInfo(ctx)
	line := h.name + ":" + string(c.Kind)
	if c.New != nil {
		line = h.name + ":" + c.New.DN()
	}
	h.log.add(line)
	if h.do != nil {
		return h.do(ctx, c)
	}
	return nil
}

func (h *recorder) Create(ctx context.Context, _ *listener.Entry) error    { return h.call(ctx) }
func (h *recorder) Modify(ctx context.Context, _, _ *listener.Entry) error { return h.call(ctx) }
func (h *recorder) Remove(ctx context.Context, _ *listener.Entry) error    { return h.call(ctx) }

// stepper is a recorder with all steps.
type stepper struct{ recorder }

func (h *stepper) Initialize(ctx context.Context) error { return h.call(ctx) }
func (h *stepper) PreRun(ctx context.Context) error     { return h.call(ctx) }
func (h *stepper) PostRun(ctx context.Context) error    { return h.call(ctx) }

var (
	_ listener.Initializer = (*stepper)(nil)
	_ listener.PreRunner   = (*stepper)(nil)
	_ listener.PostRunner  = (*stepper)(nil)
)

func settings() dispatch.Settings {
	return dispatch.Settings{QuietPeriod: 15 * time.Second, PostRunMaxDelay: 5 * time.Minute, RetryMin: time.Second, RetryMax: time.Minute}
}

func module(name string, h listener.Handler, change ...func(*dispatch.Module)) dispatch.Module {
	m := dispatch.Module{Name: name, Spec: listener.Spec{Name: name}, Executor: dispatch.InProcess(h), Log: zap.NewNop(), Settings: settings()}
	for _, c := range change {
		c(&m)
	}
	return m
}

func async(workers int) func(*dispatch.Module) {
	return func(m *dispatch.Module) { m.Spec.RunAsynchronously, m.Workers = true, workers }
}

// start runs a dispatcher inside a synctest bubble; stop ends it and returns Run's error.
func start(t *testing.T, box *memory, modules ...dispatch.Module) (d *dispatch.Dispatcher, stop func() error) {
	t.Helper()
	return startAt(t, box, 10_000, modules...)
}

// startAt is start when the outbox has tasks up to seq.
func startAt(t *testing.T, box *memory, seq uint64, modules ...dispatch.Module) (d *dispatch.Dispatcher, stop func() error) {
	t.Helper()
	for i := range modules {
		modules[i].Queued = box.left(modules[i].Name)
	}
	d = dispatch.New(dispatch.Config{Outbox: box, ShutdownTimeout: 30 * time.Second, Seq: seq, Log: zap.NewNop()}, modules)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	return d, func() error {
		cancel()
		return <-ended
	}
}

func expect(t *testing.T, j *journal, want string) {
	t.Helper()
	synctest.Wait()
	if got := j.String(); got != want {
		t.Fatalf("calls:\n got %s\nwant %s", got, want)
	}
}

func TestStepsAroundCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		h := &stepper{recorder{name: "m", log: j}}
		d, stop := start(t, box, module("m", h))
		expect(t, j, "")
		box.add("m", create(1, "a"), create(2, "b"))
		d.Queued(100, map[string]int{"m": 2})
		expect(t, j, "m:initialize m:pre_run m:uid=a m:uid=b")
		if s := box.steps["m"]; !s.Initialized || !s.PostRunOwed {
			t.Errorf("stored steps: %+v", s)
		}
		time.Sleep(15*time.Second - 1)
		expect(t, j, "m:initialize m:pre_run m:uid=a m:uid=b")
		time.Sleep(time.Nanosecond)
		expect(t, j, "m:initialize m:pre_run m:uid=a m:uid=b m:post_run")
		if box.steps["m"].PostRunOwed {
			t.Error("post_run is still owed")
		}
		box.add("m", create(3, "c"))
		d.Queued(100, map[string]int{"m": 1})
		expect(t, j, "m:initialize m:pre_run m:uid=a m:uid=b m:post_run m:pre_run m:uid=c")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		expect(t, j, "m:initialize m:pre_run m:uid=a m:uid=b m:post_run m:pre_run m:uid=c m:post_run")
		if box.left("m") != 0 {
			t.Errorf("%d tasks are left", box.left("m"))
		}
	})
}

func TestQuietPeriodBeginsAnewWithWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		d, stop := start(t, box, module("m", &stepper{recorder{name: "m", log: j}}, func(m *dispatch.Module) { m.Steps.Initialized = true }))
		for i := range 4 {
			box.add("m", create(uint64(i+1), string(rune('a'+i))))
			d.Queued(100, map[string]int{"m": 1})
			time.Sleep(14 * time.Second)
		}
		expect(t, j, "m:pre_run m:uid=a m:uid=b m:uid=c m:uid=d")
		time.Sleep(time.Second)
		expect(t, j, "m:pre_run m:uid=a m:uid=b m:uid=c m:uid=d m:post_run")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestPostRunAtTheLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		d, stop := start(t, box, module("m", &stepper{recorder{name: "m", log: j}}, func(m *dispatch.Module) {
			m.Steps.Initialized = true
			m.Settings.PostRunMaxDelay = 20 * time.Second
		}))
		for i := range 4 {
			box.add("m", create(uint64(i+1), string(rune('a'+i))))
			d.Queued(100, map[string]int{"m": 1})
			time.Sleep(10 * time.Second)
		}
		expect(t, j, "m:pre_run m:uid=a m:uid=b m:post_run m:pre_run m:uid=c m:uid=d")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestOwedPostRunIsMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		_, stop := start(t, box, module("m", &stepper{recorder{name: "m", log: j}}, func(m *dispatch.Module) {
			m.Steps = dispatch.Steps{Initialized: true, PostRunOwed: true}
		}))
		expect(t, j, "m:pre_run")
		time.Sleep(15 * time.Second)
		expect(t, j, "m:pre_run m:post_run")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		expect(t, j, "m:pre_run m:post_run")
	})
}

func TestFailedPreRunHoldsCallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		tries := 0
		h := &stepper{recorder{name: "m", log: j, do: func(_ context.Context, c listener.Call) error {
			if c.Kind == listener.KindPreRun {
				if tries++; tries < 3 {
					return errors.New("not yet")
				}
			}
			return nil
		}}}
		box.add("m", create(1, "a"))
		other := &recorder{name: "o", log: j}
		box.add("o", create(2, "b"))
		_, stop := start(t, box, module("m", h, func(m *dispatch.Module) { m.Steps.Initialized = true }), module("o", other))
		synctest.Wait()
		if got := j.String(); strings.Contains(got, "m:uid=a") || !strings.Contains(got, "o:uid=b") {
			t.Fatalf("calls: %s", got)
		}
		time.Sleep(4 * time.Second) // 1 s and 2 s of backoff, less jitter
		synctest.Wait()
		if got := j.String(); !strings.HasSuffix(got, "m:pre_run m:uid=a") || strings.Count(got, "m:pre_run") != 3 {
			t.Fatalf("calls: %s", got)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFailedPostRunStaysOwedAndHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		h := &stepper{recorder{name: "m", log: j, do: func(_ context.Context, c listener.Call) error {
			if c.Kind == listener.KindPostRun {
				return listener.RetryAfter(time.Hour, errors.New("no"))
			}
			return nil
		}}}
		box.add("m", create(1, "a"))
		d, stop := start(t, box, module("m", h, func(m *dispatch.Module) { m.Steps.Initialized = true }))
		time.Sleep(20 * time.Second)
		expect(t, j, "m:pre_run m:uid=a m:post_run")
		box.add("m", create(2, "b"))
		d.Queued(100, map[string]int{"m": 1})
		expect(t, j, "m:pre_run m:uid=a m:post_run m:uid=b")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		expect(t, j, "m:pre_run m:uid=a m:post_run m:uid=b m:post_run")
		if !box.steps["m"].PostRunOwed {
			t.Error("post_run is not owed any more")
		}
	})
}

func TestSynchronousOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		for _, m := range []string{"late", "b", "a"} {
			box.add(m, create(1, "x"), create(2, "y"))
		}
		rec := func(name string, priority int) dispatch.Module {
			return module(name, &recorder{name: name, log: j}, func(m *dispatch.Module) { m.Spec.Priority = priority })
		}
		d, stop := start(t, box, rec("late", 10), rec("b", 0), rec("a", 0))
		expect(t, j, "a:uid=x b:uid=x late:uid=x a:uid=y b:uid=y late:uid=y")
		for _, m := range []string{"late", "b", "a"} {
			box.add(m, create(3, "x"), create(4, "y"))
		}
		j.lines = nil
		d.Queued(100, map[string]int{"late": 2, "a": 2, "b": 2})
		expect(t, j, "a:uid=x b:uid=x late:uid=x a:uid=y b:uid=y late:uid=y")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFailureHoldsItsEntryOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		var attempts []int
		h := &recorder{name: "m", log: j, do: func(_ context.Context, c listener.Call) error {
			if c.New.DN() == "uid=a" && c.Seq == 1 {
				attempts = append(attempts, c.Attempt)
				if c.Attempt < 3 {
					return errors.New("no")
				}
			}
			return nil
		}}
		box.add("m", create(1, "a"), create(2, "a"), create(3, "b"))
		d, stop := start(t, box, module("m", h))
		expect(t, j, "m:uid=a m:uid=b")
		if s := d.Status()[0]; s.Failing != 1 || s.Queued != 2 || s.Failures != 1 || s.Calls != 1 || !strings.Contains(s.LastError, "create uid=a: no") {
			t.Errorf("status %+v", s)
		}
		time.Sleep(4 * time.Second)
		expect(t, j, "m:uid=a m:uid=b m:uid=a m:uid=a m:uid=a")
		if !slices.Equal(attempts, []int{1, 2, 3}) {
			t.Errorf("attempts %v", attempts)
		}
		if s := d.Status()[0]; s.Failing != 0 || s.Queued != 0 || s.State != "idle" {
			t.Errorf("status %+v", s)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestErrorClasses(t *testing.T) {
	for _, c := range []struct {
		name     string
		err      error
		max      int
		after    time.Duration
		want     int // attempts made by then
		setAside int
	}{
		{"permanent", listener.Permanent(errors.New("no")), 0, time.Hour, 1, 1},
		{"max attempts", errors.New("no"), 3, time.Hour, 3, 1},
		{"retry after, early", listener.RetryAfter(10*time.Minute, nil), 1, 10*time.Minute - 1, 1, 0},
		{"retry after counts no attempt", listener.RetryAfter(10*time.Minute, nil), 1, 25 * time.Minute, 3, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j, box := &journal{}, newMemory()
				n := 0
				h := &recorder{name: "m", log: j, do: func(context.Context, listener.Call) error { n++; return c.err }}
				box.add("m", create(1, "a"))
				d, stop := start(t, box, module("m", h, func(m *dispatch.Module) { m.Settings.MaxAttempts = c.max }))
				time.Sleep(c.after)
				synctest.Wait()
				if s := d.Status()[0]; n != c.want || s.SetAside != c.setAside || s.Queued != 1 {
					t.Errorf("%d attempts, want %d; status %+v", n, c.want, s)
				}
				if err := stop(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

type classifier struct {
	recorder
	to func(error) error
}

func (c *classifier) HandleError(_ context.Context, _ listener.Call, err error) error {
	return c.to(err)
}

func TestHandleErrorClassifiesAndNeverAcknowledges(t *testing.T) {
	for name, c := range map[string]struct {
		to       func(error) error
		setAside int
	}{
		"to permanent": {listener.Permanent, 1},
		"to success":   {func(error) error { return nil }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j, box := &journal{}, newMemory()
				h := &classifier{recorder{name: "m", log: j, do: func(context.Context, listener.Call) error { return errors.New("no") }}, c.to}
				box.add("m", create(1, "a"))
				d, stop := start(t, box, module("m", h))
				synctest.Wait()
				if s := d.Status()[0]; s.SetAside != c.setAside || s.Failing != 1 || s.Queued != 1 {
					t.Errorf("status %+v", s)
				}
				if err := stop(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

func TestPanicIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		h := &recorder{name: "m", log: j, do: func(_ context.Context, c listener.Call) error {
			if c.Attempt == 1 {
				panic("boom")
			}
			return nil
		}}
		box.add("m", create(1, "a"))
		d, stop := start(t, box, module("m", h))
		synctest.Wait()
		if s := d.Status()[0]; !strings.Contains(s.LastError, "boom") || s.Failing != 1 {
			t.Errorf("status %+v", s)
		}
		time.Sleep(time.Second)
		expect(t, j, "m:uid=a m:uid=a")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTimeoutCancelsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		h := &recorder{name: "m", log: j, do: func(ctx context.Context, c listener.Call) error {
			if c.Attempt > 1 {
				return nil
			}
			<-ctx.Done()
			return context.Cause(ctx)
		}}
		box.add("m", create(1, "a"))
		d, stop := start(t, box, module("m", h, func(m *dispatch.Module) { m.Settings.Timeout = 5 * time.Second }))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if s := d.Status()[0]; !strings.Contains(s.LastError, "timeout of 5s") {
			t.Errorf("status %+v", s)
		}
		time.Sleep(time.Second)
		expect(t, j, "m:uid=a m:uid=a")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestParallelismAndOrderPerEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		var mu sync.Mutex
		running, most := 0, 0
		busy := map[string]bool{}
		last := map[string]uint64{}
		h := &recorder{name: "m", log: j, do: func(_ context.Context, c listener.Call) error {
			dn := c.New.DN()
			mu.Lock()
			if busy[dn] || last[dn] > c.Seq {
				t.Errorf("%s: seq %d while busy=%v, after %d", dn, c.Seq, busy[dn], last[dn])
			}
			running++
			most = max(most, running)
			busy[dn], last[dn] = true, c.Seq
			mu.Unlock()
			time.Sleep(time.Duration(c.Seq%7+1) * time.Millisecond)
			mu.Lock()
			running--
			busy[dn] = false
			mu.Unlock()
			return nil
		}}
		for seq := uint64(1); seq <= 5_000; seq++ {
			box.add("m", create(seq, string(rune('a'+seq%23))))
		}
		d, stop := start(t, box, module("m", h, async(4)))
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if most != 4 {
			t.Errorf("at most %d calls at a time, want 4", most)
		}
		if calls, steps := d.Owed(); calls != 0 || len(steps) != 0 || box.left("m") != 0 {
			t.Errorf("owed: %d calls, steps of %v, %d in the outbox", calls, steps, box.left("m"))
		}
	})
}

func TestBarriersStandAloneInAPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newMemory()
		var mu sync.Mutex
		running := 0
		alone := func(_ context.Context, c listener.Call) error {
			mu.Lock()
			if running > 0 && c.New == nil {
				t.Errorf("%s while %d calls run", c.Kind, running)
			}
			running++
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			running--
			mu.Unlock()
			return nil
		}
		h := &stepper{recorder{name: "m", log: &journal{}, do: alone}}
		for seq := uint64(1); seq <= 100; seq++ {
			box.add("m", create(seq, string(rune('a'+seq%20))))
		}
		d, stop := start(t, box, module("m", h, async(8), func(m *dispatch.Module) { m.Settings.PostRunMaxDelay = 3 * time.Second }))
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(h.log.String(), "post_run"); n < 3 || n != strings.Count(h.log.String(), "pre_run") {
			t.Errorf("calls: %s", h.log)
		}
	})
}

func TestWalkIsPulled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		box.walk["m"] = []*dispatch.Task{create(1, "a"), create(2, "b"), create(3, "c")}
		d, stop := start(t, box, module("m", &recorder{name: "m", log: j}))
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		expect(t, j, "m:uid=a m:uid=b m:uid=c")
	})
}

func TestSettleWaitsForRetriesAndNotForWhatIsSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		h := &recorder{name: "m", log: j, do: func(context.Context, listener.Call) error { return errors.New("no") }}
		box.add("m", create(1, "a"), create(2, "a"))
		d, stop := start(t, box, module("m", h, func(m *dispatch.Module) { m.Settings.MaxAttempts = 3 }))
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(t, j, "m:uid=a m:uid=a m:uid=a")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if calls, _ := d.Owed(); calls != 2 {
			t.Errorf("%d calls are owed, want 2", calls)
		}
	})
}

func TestShutdownCancelsAtHalfTimeAndCountsNoAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		began := time.Now()
		var cancelled time.Duration
		var cause error
		h := &recorder{name: "m", log: j, do: func(ctx context.Context, _ listener.Call) error {
			<-ctx.Done()
			cancelled, cause = time.Since(began), context.Cause(ctx)
			return ctx.Err()
		}}
		box.add("m", create(1, "a"))
		d, stop := start(t, box, module("m", h))
		synctest.Wait()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if cancelled != 15*time.Second || !errors.Is(cause, listener.ErrStopping) {
			t.Errorf("cancelled after %v with %v", cancelled, cause)
		}
		if s := d.Status()[0]; s.Failures != 0 || s.Queued != 1 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestHandlerThatIgnoresShutdownIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newMemory()
		release := make(chan struct{})
		h := &recorder{name: "m", log: &journal{}, do: func(context.Context, listener.Call) error { <-release; return nil }}
		box.add("m", create(1, "a"))
		_, stop := start(t, box, module("m", h))
		synctest.Wait()
		began := time.Now()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("Run returned after %v", took)
		}
		if box.left("m") != 1 {
			t.Error("the call was acknowledged")
		}
		close(release)
	})
}

func TestOutboxFailureEndsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newMemory()
		box.fail = errors.New("disk full")
		box.add("m", create(1, "a"))
		d := dispatch.New(dispatch.Config{Outbox: box, ShutdownTimeout: time.Second, Seq: 10_000, Log: zap.NewNop()},
			[]dispatch.Module{module("m", &recorder{name: "m", log: &journal{}})})
		if err := d.Run(t.Context()); !errors.Is(err, box.fail) {
			t.Errorf("Run returned %v", err)
		}
	})
}

func BenchmarkNoOp(b *testing.B) {
	for _, workers := range []int{1, 8} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			box := &endless{left: b.N}
			h := listener.Base{}
			d := dispatch.New(dispatch.Config{Outbox: box, ShutdownTimeout: time.Second, Seq: 10_000, Log: zap.NewNop()},
				[]dispatch.Module{module("m", h, async(workers))})
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			b.ReportAllocs()
			b.ResetTimer()
			go func() { ended <- d.Run(ctx) }()
			if err := d.Settle(ctx); err != nil {
				b.Fatal(err)
			}
			cancel()
			if err := <-ended; err != nil {
				b.Fatal(err)
			}
		})
	}
}

// endless is an outbox of b.N tasks of different entries.
type endless struct{ left int }

func (o *endless) Load(_ string, q dispatch.Query) ([]*dispatch.Task, error) {
	var out []*dispatch.Task
	seq := q.After
	for range min(q.Limit, o.left) {
		seq++
		o.left--
		out = append(out, &dispatch.Task{Seq: seq, Kind: listener.KindCreate, Keys: []string{fmt.Sprint(seq)}, Size: 1000})
	}
	return out, nil
}

func (o *endless) Backlog(string, dispatch.Query) ([]*dispatch.Task, bool, error) {
	return nil, false, nil
}

func (o *endless) Due(string, time.Time, dispatch.Query) ([]*dispatch.Task, time.Time, bool, error) {
	return nil, time.Time{}, false, nil
}
func (o *endless) Fold(string, bool, uint64, dispatch.Query) (uint64, int, error) { return 0, 0, nil }

func (o *endless) Refill(string) (bool, error)               { return false, nil }
func (o *endless) Commit(map[string]*dispatch.Changes) error { return nil }
func (o *endless) Update(string, dispatch.Steps) error       { return nil }
