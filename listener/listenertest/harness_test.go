package listenertest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/listenertest"
)

// spy notes its calls and does what the test says.
type spy struct {
	env   listener.Env
	calls []string
	err   error
	do    func(ctx context.Context) error
}

func (s *spy) note(ctx context.Context, old, new *listener.Entry) error {
	c := listener.CallInfo(ctx)
	if c.Old != old || c.New != new || c.Module != s.env.Name {
		return fmt.Errorf("CallInfo is %+v", c)
	}
	line := fmt.Sprintf("%s seq=%d attempt=%d", c.Kind, c.Seq, c.Attempt)
	for _, e := range []*listener.Entry{old, new} {
		if e != nil {
			line += " " + e.DN()
		}
	}
	s.calls = append(s.calls, line)
	if s.do != nil {
		return s.do(ctx)
	}
	return s.err
}

func (s *spy) Create(ctx context.Context, new *listener.Entry) error { return s.note(ctx, nil, new) }
func (s *spy) Modify(ctx context.Context, old, new *listener.Entry) error {
	return s.note(ctx, old, new)
}
func (s *spy) Remove(ctx context.Context, old *listener.Entry) error { return s.note(ctx, old, nil) }

// stepper is a spy that has all optional methods.
type stepper struct {
	spy
	closed     bool
	classified func(error) error
}

func (s *stepper) Initialize(ctx context.Context) error { return s.note(ctx, nil, nil) }
func (s *stepper) Clean(ctx context.Context) error      { return s.note(ctx, nil, nil) }
func (s *stepper) PreRun(ctx context.Context) error     { return s.note(ctx, nil, nil) }
func (s *stepper) PostRun(ctx context.Context) error    { return s.note(ctx, nil, nil) }
func (s *stepper) Close() error                         { s.closed = true; return s.err }
func (s *stepper) HandleError(ctx context.Context, call listener.Call, err error) error {
	if call.Kind != listener.CallInfo(ctx).Kind {
		return errors.New("another call")
	}
	if s.classified == nil {
		return nil
	}
	return s.classified(err)
}

type settings struct {
	Path string
	Size int
}

func (c settings) Validate() error {
	if c.Size < 0 {
		return errors.New("size is negative")
	}
	return nil
}

var errTest = errors.New("test")

func spyModule(s *spy, h listener.Handler) listener.Module {
	return listener.Define(
		listener.Spec{Name: "spy", LDAPFilter: "(uid=*)", Attributes: []string{"sn"}},
		settings{Size: 1},
		func(_ context.Context, env listener.Env, c settings) (listener.Handler, error) {
			if c.Path == "missing" {
				return nil, errTest
			}
			env.Log.Info("opened", zap.String("path", c.Path), zap.Int("size", c.Size))
			s.env = env
			return h, nil
		})
}

func openSpy(t testing.TB, options ...listenertest.Option) (*spy, *listenertest.Harness) {
	s := &spy{}
	return s, listenertest.Open(t, spyModule(s, s), options...)
}

func openStepper(t testing.TB) (*stepper, *listenertest.Harness) {
	s := &stepper{}
	return s, listenertest.Open(t, spyModule(&s.spy, s))
}

func expect(t *testing.T, s *spy, want ...string) {
	t.Helper()
	if !slices.Equal(s.calls, want) {
		t.Errorf("calls\n%s\nwant\n%s", strings.Join(s.calls, "\n"), strings.Join(want, "\n"))
	}
	s.calls = nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpen(t *testing.T) {
	s, h := openSpy(t,
		listenertest.Config(func(c *settings) { c.Path = "p" }),
		listenertest.Env(func(env *listener.Env) { env.Name = "instance" }))
	if s.env.Name != "instance" || s.env.StateDir == "" || h.Handler() != s {
		t.Errorf("opened with %+v", s.env)
	}
	if want := []string{"info\topened\t" + `{"path": "p", "size": 1}`}; !slices.Equal(h.Log(), want) {
		t.Errorf("logged %q", h.Log())
	}
	must(t, h.Create(t.Context(), listenertest.Entry(t, "dn: uid=a")))
}

func TestTryOpen(t *testing.T) {
	s := &spy{}
	m := spyModule(s, s)
	for want, option := range map[string]listenertest.Option{
		"size is negative":        listenertest.Config(func(c *settings) { c.Size = -1 }),
		"test":                    listenertest.Config(func(c *settings) { c.Path = "missing" }),
		"configuration is a":      listenertest.Config(func(*string) {}),
		"parallelism needs":       listenertest.Spec(func(s *listener.Spec) { s.Parallelism = 2 }),
		`"-" is no module name`:   listenertest.Spec(func(s *listener.Spec) { s.Name = "-" }),
		"ldap_filter is empty":    listenertest.Spec(func(s *listener.Spec) { s.LDAPFilter = "" }),
		`"a b " is no attribute `: listenertest.Spec(func(s *listener.Spec) { s.Attributes = []string{"a b "} }),
	} {
		h, err := listenertest.TryOpen(t, m, option)
		if h != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v: want %q", err, want)
		}
		r := record(t, func(t testing.TB) { listenertest.Open(t, m, option) })
		if len(r.fatals) != 1 || !strings.Contains(r.fatals[0], want) {
			t.Errorf("reported %q: want %q", r.fatals, want)
		}
	}
}

func TestChain(t *testing.T) {
	s, h := openSpy(t)
	ctx := t.Context()
	a, b := listenertest.Entry(t, "dn: uid=a\nsn: A"), listenertest.Entry(t, "dn: uid=b\nsn: B")
	must(t, h.Create(ctx, a))
	must(t, h.Create(ctx, b))
	must(t, h.Modify(ctx, listenertest.Set(a, "sn", "X")))
	must(t, h.Modify(ctx, listenertest.Move(listenertest.Set(a, "sn", "X"), "uid=c")))
	must(t, h.Remove(ctx, a))
	must(t, h.Create(ctx, a))
	expect(t, s,
		"create seq=1 attempt=1 uid=a",
		"create seq=2 attempt=1 uid=b",
		"modify seq=3 attempt=1 uid=a uid=a",
		"modify seq=4 attempt=1 uid=a uid=c",
		"remove seq=5 attempt=1 uid=c",
		"create seq=6 attempt=1 uid=a",
	)
}

func TestRepetition(t *testing.T) {
	s, h := openSpy(t)
	ctx := t.Context()
	a := listenertest.Entry(t, "dn: uid=a\nsn: A")
	s.err = errTest
	for range 2 {
		if err := h.Create(ctx, a); err != errTest {
			t.Errorf("got %v", err)
		}
	}
	s.err = nil
	must(t, h.Create(ctx, listenertest.Entry(t, "dn: uid=b"))) // others go on
	must(t, h.Create(ctx, a))
	must(t, h.Redeliver(ctx))
	must(t, h.Modify(ctx, listenertest.Set(a, "sn", "B")))
	expect(t, s,
		"create seq=1 attempt=1 uid=a",
		"create seq=1 attempt=2 uid=a",
		"create seq=2 attempt=1 uid=b",
		"create seq=1 attempt=3 uid=a",
		"create seq=1 attempt=1 uid=a",
		"modify seq=3 attempt=1 uid=a uid=a",
	)
}

func TestWhatTheDaemonNeverDoes(t *testing.T) {
	a := "dn: uid=a\nsn: A\ncn: A\nmodifyTimestamp: 1"
	for want, f := range map[string]func(*spy, *listenertest.Harness, context.Context, *listener.Entry) error{
		"create it first": func(_ *spy, h *listenertest.Harness, ctx context.Context, e *listener.Entry) error {
			return h.Modify(ctx, e)
		},
		"does not know": func(_ *spy, h *listenertest.Harness, ctx context.Context, e *listener.Entry) error {
			return h.Remove(ctx, e)
		},
		"knows already": func(_ *spy, h *listenertest.Harness, ctx context.Context, e *listener.Entry) error {
			return errors.Join(h.Create(ctx, e), h.Create(ctx, e))
		},
		"nothing that the module listens to": func(_ *spy, h *listenertest.Harness, ctx context.Context, e *listener.Entry) error {
			return errors.Join(h.Create(ctx, e), h.Modify(ctx, listenertest.Set(e, "cn", "B")))
		},
		"whose create failed": func(s *spy, h *listenertest.Harness, ctx context.Context, e *listener.Entry) error {
			s.err = errTest
			return errors.Join(h.Create(ctx, e), h.Modify(ctx, listenertest.Set(e, "sn", "B")))
		},
		"repeat that one first": func(s *spy, h *listenertest.Harness, ctx context.Context, e *listener.Entry) error {
			s.err = errTest
			return errors.Join(h.Create(ctx, e), h.Create(ctx, listenertest.Set(e, "modifyTimestamp", "2")))
		},
		"whose remove failed": func(s *spy, h *listenertest.Harness, ctx context.Context, e *listener.Entry) error {
			err := h.Create(ctx, e)
			s.err = errTest
			return errors.Join(err, h.Remove(ctx, e), h.Modify(ctx, listenertest.Set(e, "sn", "B")))
		},
		"in flight": func(s *spy, h *listenertest.Harness, ctx context.Context, e *listener.Entry) error {
			s.do = func(context.Context) error { return h.Remove(ctx, e) }
			return h.Create(ctx, e)
		},
		"without an entry": func(_ *spy, h *listenertest.Harness, ctx context.Context, _ *listener.Entry) error {
			return h.Create(ctx, nil)
		},
		"no call was acknowledged": func(_ *spy, h *listenertest.Harness, ctx context.Context, _ *listener.Entry) error {
			return h.Redeliver(ctx)
		},
		"no clean": func(_ *spy, h *listenertest.Harness, ctx context.Context, _ *listener.Entry) error {
			return h.Clean(ctx)
		},
		"no pre_run": func(_ *spy, h *listenertest.Harness, ctx context.Context, _ *listener.Entry) error {
			return h.PreRun(ctx)
		},
	} {
		var err error
		r := record(t, func(tb testing.TB) {
			s, h := openSpy(tb)
			err = f(s, h, t.Context(), listenertest.Entry(tb, a))
		})
		if !errors.Is(err, listenertest.ErrContract) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v: want %q", err, want)
		}
		if len(r.errors) != 1 || !strings.Contains(r.errors[0], want) {
			t.Errorf("reported %q: want %q", r.errors, want)
		}
	}
}

func TestStepsAreMadeWhenOwed(t *testing.T) {
	s, h := openStepper(t)
	ctx := t.Context()
	must(t, h.Create(ctx, listenertest.Entry(t, "dn: uid=a")))
	must(t, h.Create(ctx, listenertest.Entry(t, "dn: uid=b")))
	must(t, h.PostRun(ctx))
	must(t, h.Remove(ctx, listenertest.Entry(t, "dn: uid=a")))
	must(t, h.Clean(ctx))
	must(t, h.Create(ctx, listenertest.Entry(t, "dn: uid=b")))
	expect(t, &s.spy,
		"initialize seq=0 attempt=1",
		"pre_run seq=0 attempt=1",
		"create seq=1 attempt=1 uid=a",
		"create seq=2 attempt=1 uid=b",
		"post_run seq=0 attempt=1",
		"pre_run seq=0 attempt=1",
		"remove seq=3 attempt=1 uid=a",
		"clean seq=0 attempt=1",
		"initialize seq=0 attempt=1",
		"pre_run seq=0 attempt=1",
		"create seq=4 attempt=1 uid=b",
	)
}

func TestStepsAreMadeOnDemand(t *testing.T) {
	s, h := openStepper(t)
	ctx := t.Context()
	must(t, h.PostRun(ctx)) // one that a crash left owed
	must(t, h.PreRun(ctx))
	must(t, h.Initialize(ctx))
	must(t, h.Create(ctx, listenertest.Entry(t, "dn: uid=a")))
	expect(t, &s.spy,
		"initialize seq=0 attempt=1",
		"pre_run seq=0 attempt=1",
		"post_run seq=0 attempt=1",
		"pre_run seq=0 attempt=1",
		"initialize seq=0 attempt=1",
		"create seq=1 attempt=1 uid=a",
	)
}

func TestFailedStepHoldsTheCallBack(t *testing.T) {
	s, h := openStepper(t)
	ctx := t.Context()
	a := listenertest.Entry(t, "dn: uid=a")
	s.err = errTest
	for _, call := range []func() error{
		func() error { return h.Create(ctx, a) },
		func() error { return h.PreRun(ctx) },
	} {
		if err := call(); err != errTest {
			t.Errorf("got %v", err)
		}
	}
	s.err = nil
	must(t, h.Create(ctx, a))
	expect(t, &s.spy,
		"initialize seq=0 attempt=1",
		"initialize seq=0 attempt=2",
		"initialize seq=0 attempt=3",
		"pre_run seq=0 attempt=1",
		"create seq=1 attempt=1 uid=a",
	)
}

func TestPanicIsAnError(t *testing.T) {
	s, h := openStepper(t)
	s.do = func(context.Context) error { panic("boom") }
	if err := h.PreRun(t.Context()); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("got %v", err)
	}
	s.do = nil
	must(t, h.PreRun(t.Context()))
	s.do = func(context.Context) error { panic("boom") }
	err := h.Create(t.Context(), listenertest.Entry(t, "dn: uid=a"))
	if err == nil || !strings.Contains(err.Error(), "harness_test.go") {
		t.Errorf("no stack in %v", err)
	}
}

func TestHandleError(t *testing.T) {
	s, h := openStepper(t)
	a := listenertest.Entry(t, "dn: uid=a")
	must(t, h.PreRun(t.Context()))
	s.err = errTest
	t.Cleanup(func() { s.err = nil }) // before Close
	for name, c := range map[string]struct {
		classified func(error) error
		ok         func(error) bool
	}{
		"nil":   {nil, func(err error) bool { return err == errTest }},
		"class": {listener.Permanent, func(err error) bool { return errors.Is(err, listener.ErrPermanent) && errors.Is(err, errTest) }},
		"panic": {func(error) error { panic("boom") }, func(err error) bool { return strings.Contains(err.Error(), "boom") }},
	} {
		s.classified = c.classified
		if err := h.Create(t.Context(), a); err == nil || !c.ok(err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestHandlerIsClosed(t *testing.T) {
	var s *stepper
	t.Run("test", func(t *testing.T) { s, _ = openStepper(t) })
	if !s.closed {
		t.Error("not closed")
	}
}

func TestFailedCloseFailsTheTest(t *testing.T) {
	var r *recorder
	t.Run("test", func(t *testing.T) {
		r = record(t, func(t testing.TB) {
			s, _ := openStepper(t)
			s.err = errTest
		})
	})
	if len(r.errors) != 1 || !strings.Contains(r.errors[0], "close module spy: test") {
		t.Errorf("reported %q", r.errors)
	}
}

// crowd is a handler whose Create waits in meet.
type crowd struct {
	listener.Base
	steps int
	meet  func()
}

func (c *crowd) PreRun(context.Context) error { c.steps++; return nil }

func (c *crowd) Create(context.Context, *listener.Entry) error { c.meet(); return nil }

// createAtOnce makes n calls from as many goroutines and returns when all did.
func createAtOnce(t *testing.T, c *crowd, n int, options ...listenertest.Option) {
	t.Helper()
	h := listenertest.Open(t, listener.Define(
		listener.Spec{Name: "crowd", LDAPFilter: "(uid=*)"}, struct{}{},
		func(context.Context, listener.Env, struct{}) (listener.Handler, error) { return c, nil },
	), options...)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			if err := h.Create(t.Context(), listenertest.Entry(t, fmt.Sprintf("dn: uid=%d", i))); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if c.steps != 1 {
		t.Errorf("%d times PreRun", c.steps)
	}
}

func TestSynchronousModuleGetsOneCallAtATime(t *testing.T) {
	inFlight := 0 // without a lock: the race detector watches, too
	createAtOnce(t, &crowd{meet: func() {
		inFlight++
		runtime.Gosched()
		if inFlight != 1 {
			t.Errorf("%d calls at a time", inFlight)
		}
		inFlight--
	}}, 100)
}

func TestAsynchronousModuleGetsCallsInParallel(t *testing.T) {
	const n = 8
	var together sync.WaitGroup
	together.Add(n)
	createAtOnce(t, &crowd{meet: func() {
		together.Done()
		together.Wait() // for ever, if the calls were made one after the other
	}}, n, listenertest.Spec(func(s *listener.Spec) { s.RunAsynchronously, s.Parallelism = true, n }))
}
