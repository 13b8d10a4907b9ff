package worker_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
	"github.com/listenerd/listenerd/listener/internal/shared"
	"github.com/listenerd/listenerd/listener/internal/worker"
)

// asWorker in the environment makes the test's program a worker process; its value says
// which one.
const asWorker = "LISTENERD_TEST_AS_WORKER"

func TestMain(m *testing.M) {
	role := os.Getenv(asWorker)
	switch {
	case role == "":
		os.Exit(m.Run())
	case hostile[role] != nil:
		hostile[role](os.NewFile(3, "in"), os.NewFile(4, "out"))
		os.Exit(0)
	case role == "daemon":
		daemonThatIsKilled()
	}
	if err := worker.Main(open); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// eventually waits for what takes its time in another process.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for !holds() {
		select {
		case <-poll.C:
		case <-limit.C:
			t.Fatalf("not yet after a minute: %s", what)
		}
	}
}

// config returns that of a pool whose processes are the test's program.
func config(t testing.TB, workers int, change ...func(*worker.Config)) worker.Config {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := worker.Config{
		Module: "people", Workers: workers, Command: []string{program}, Env: []string{asWorker + "=handler", "GORACE=atexit_sleep_ms=0"},
		CloseTimeout: 30 * time.Second, Log: zap.NewNop(), Setup: []byte("greetings"),
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

func start(t testing.TB, workers int, change ...func(*worker.Config)) *worker.Pool {
	t.Helper()
	p, err := worker.Open(t.Context(), config(t, workers, change...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// handler does what an entry's attribute "do" says.
type handler struct {
	s      *worker.Session
	shared listener.Shared
}

var (
	_ listener.Handler      = (*handler)(nil)
	_ listener.PreRunner    = (*handler)(nil)
	_ listener.ErrorHandler = (*handler)(nil)
	_ io.Closer             = (*handler)(nil)
)

func open(_ context.Context, s *worker.Session) (listener.Handler, error) {
	if s.Setup == "refuse" {
		return nil, errors.New("no licence")
	}
	if _, err := os.Stat(os.Getenv("MARK")); err == nil {
		switch s.Setup {
		case "die once open":
			os.Exit(7)
		case "hang once open":
			select {}
		}
	}
	return &handler{s, shared.NewRemote(s.Ask).Open("d", s.Module)}, nil
}

func (h *handler) Create(ctx context.Context, new *listener.Entry) error {
	return h.do(ctx, new)
}

func (h *handler) Modify(ctx context.Context, old, new *listener.Entry) error {
	c := listener.CallInfo(ctx)
	return fmt.Errorf("%s %s %d %d %s: %s -> %s, %s", c.Module, c.Kind, c.Seq, c.Attempt, c.Cause, old, new, strings.Join(new.Strings("surname"), ","))
}

func (h *handler) Remove(ctx context.Context, old *listener.Entry) error {
	return h.do(ctx, old)
}

func (h *handler) PreRun(ctx context.Context) error {
	return fmt.Errorf("%s of process %d", listener.CallInfo(ctx).Kind, os.Getpid())
}

func (h *handler) HandleError(_ context.Context, call listener.Call, err error) error {
	if strings.HasPrefix(err.Error(), "hopeless") {
		return listener.Permanent(fmt.Errorf("classified %s: %w", call.Kind, err))
	}
	return nil
}

func (h *handler) Close() error {
	if h.s.Setup == "close badly" {
		return errors.New("a file would not close")
	}
	return nil
}

func (h *handler) do(ctx context.Context, e *listener.Entry) error {
	argument := e.Get("argument")
	switch what := e.Get("do"); what {
	case "", "nothing":
		return nil
	case "fail":
		return errors.New("it fails")
	case "hopeless":
		return errors.New("hopeless")
	case "later":
		return listener.RetryAfter(42*time.Second, errors.New("later"))
	case "panic":
		panic("boom")
	case "exit":
		code, _ := strconv.Atoi(argument)
		os.Exit(code)
	case "crash":
		go func() { panic("in another goroutine") }()
		select {}
	case "overflow":
		var f func(int) int
		f = func(n int) int { return f(n+1) + 1 }
		f(0)
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "block":
		<-ctx.Done()
		return fmt.Errorf("the context has ended: %w", context.Cause(ctx))
	case "hang":
		if argument != "" {
			if err := os.WriteFile(argument, []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
				return err
			}
		}
		select {}
	case "spawn":
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			return err
		}
		return errors.New(strconv.Itoa(cmd.Process.Pid))
	case "pid":
		return errors.New(strconv.Itoa(os.Getpid()))
	case "env":
		return errors.New(os.Getenv(argument))
	case "nice":
		n, _ := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
		return fmt.Errorf("%d", 20-n)
	case "user":
		groups, _ := os.Getgroups()
		return fmt.Errorf("%d:%d:%v:%s", os.Getuid(), os.Getgid(), groups, os.Getenv("HOME"))
	case "eat":
		var all [][]byte
		for {
			b := make([]byte, 8<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
			_ = len(all)
		}
	case "log":
		h.s.Log.Debug("hidden")
		h.s.Log.Named("sub").With(zap.String("a", "x")).Warn("seen", zap.Int("b", 1), zap.Duration("c", time.Second), zap.Error(errors.New("d")))
		fmt.Println("printed")
		fmt.Fprintln(os.Stderr, "complained")
		return nil
	case "fatal":
		h.s.Log.Fatal("that was it")
	case "count":
		n, err := h.shared.Incr(ctx, "n", 1)
		return errors.Join(fmt.Errorf("%d", n), err)
	case "lock":
		return h.shared.WithLock(ctx, "l", time.Minute, func(ctx context.Context) error {
			v, err := h.shared.Get(ctx, "v")
			if err != nil && !errors.Is(err, listener.ErrNotFound) {
				return err
			}
			n, _ := strconv.Atoi(string(v))
			return h.shared.Set(ctx, "v", []byte(strconv.Itoa(n+1)), 0)
		})
	}
	return fmt.Errorf("what is %s?", e.Get("do"))
}

func task(do string, argument ...string) *listener.Call {
	e := listener.NewEntry(listener.UUID{1}, "uid=a,dc=x", listener.Attribute{Name: "do", Values: []string{do}}, listener.Attribute{Name: "argument", Values: argument})
	return &listener.Call{Module: "people", Kind: listener.KindCreate, Cause: listener.CauseLive, Seq: 7, Attempt: 1, New: e}
}

func TestCallArrivesWhole(t *testing.T) {
	t.Parallel()
	p := start(t, 1)
	names := listener.NewAttributeNames([]listener.AttributeType{{Names: []string{"sn", "surname", "2.5.4.4"}}, {Names: []string{"entryUUID"}, Operational: true}})
	old := listener.NewEntry(listener.UUID{1, 2}, "uid=a,ou=p,dc=x", listener.Attribute{Name: "sn", Values: []string{"A"}})
	for i := range 3 { // a table of names is sent once, two are kept
		large := strings.Repeat("x", 3_000_000*(i%2))
		new := listener.NewEntry(listener.UUID{1, 2}, "uid=a,ou=q,dc=x", listener.Attribute{Name: "sn", Values: []string{"B", "\xff" + large}})
		err := p.Call(t.Context(), &listener.Call{
			Module: "people", Kind: listener.KindModify, Seq: 1 << 40, Attempt: 3 + i, Cause: listener.CauseReconcile, Old: old.WithNames(names), New: new.WithNames(names),
		})
		want := fmt.Sprintf("people modify %d %d reconcile: %s -> %s, B,\xff%s", 1<<40, 3+i, old, new, large)
		if len(want) > 4<<10 {
			want = strings.ToValidUTF8(want[:4<<10], "") + " ..."
		}
		if err == nil || err.Error() != want {
			t.Errorf("error %.300q, want %.300q", err, want)
		}
		names = listener.NewAttributeNames(names.Types())
	}
}

func TestErrorsKeepTheirClass(t *testing.T) {
	t.Parallel()
	p := start(t, 1)
	if err := p.Call(t.Context(), task("nothing")); err != nil {
		t.Error(err)
	}
	if err := p.Call(t.Context(), task("fail")); err == nil || err.Error() != "it fails" || errors.Is(err, listener.ErrPermanent) {
		t.Errorf("error %v", err)
	}
	if err := p.Call(t.Context(), task("hopeless")); !errors.Is(err, listener.ErrPermanent) || err.Error() != "classified create: hopeless" {
		t.Errorf("error %v", err)
	}
	err := p.Call(t.Context(), task("later"))
	if d, ok := listener.RetryDelay(err); !ok || d != 42*time.Second || err.Error() != "later" {
		t.Errorf("error %v, %v", err, d)
	}
	err = p.Call(t.Context(), task("panic"))
	if p, ok := errors.AsType[*dispatch.PanicError](err); !ok || err.Error() != "handler panicked: boom" || !strings.Contains(string(p.Stack), "worker_test.go") {
		t.Errorf("error %v", err)
	}
	if s := p.Status(); s[0].Restarts != 0 {
		t.Errorf("a panic ended the process: %+v", s)
	}
}

func TestStepsRunInTheFirstProcess(t *testing.T) {
	t.Parallel()
	p := start(t, 3)
	for step, want := range map[listener.Kind]bool{listener.KindPreRun: true, listener.KindPostRun: false, listener.KindInitialize: false, listener.KindClean: false} {
		if got := p.Has(step); got != want {
			t.Errorf("has %s: %v", step, got)
		}
	}
	want := fmt.Sprintf("pre_run of process %d", p.Status()[0].PID)
	for range 3 {
		if err := p.Call(t.Context(), &listener.Call{Module: "people", Kind: listener.KindPreRun, Attempt: 1}); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// callAnother makes a call when a process is about to be started. It is repeated, as the
// dispatcher does, when the machine is so busy that it is not worth waiting for that.
func callAnother(t *testing.T, p *worker.Pool) (err error) {
	t.Helper()
	eventually(t, "a process is ready", func() bool {
		err = p.Call(t.Context(), task("nothing"))
		return err == nil || !strings.HasPrefix(err.Error(), "no worker process was ready within ")
	})
	return err
}

// However a process ends, its call fails, and the next one is made by another process.
func TestProcessThatEndsFailsItsCall(t *testing.T) {
	t.Parallel()
	for do, want := range map[string]string{
		"exit 3":   "exit status 3",
		"exit 0":   "exit status 0",
		"crash":    "exit status 2: panic: in another goroutine",
		"overflow": "exit status 2: fatal error: stack overflow",
		"kill":     "signal: killed (by someone, or by the kernel for lack of memory)",
		"fatal":    "exit status 1",
	} {
		t.Run(do, func(t *testing.T) {
			t.Parallel()
			p := start(t, 1)
			pid := p.Status()[0].PID
			what, argument, _ := strings.Cut(do, " ")
			err := p.Call(t.Context(), task(what, argument))
			text := fmt.Sprintf("the worker process %d ended during the call: %s", pid, want)
			if err == nil || !strings.HasPrefix(err.Error(), text) {
				t.Errorf("error %v, want %s", err, text)
			}
			if err := callAnother(t, p); err != nil {
				t.Errorf("the next call: %v", err)
			}
			s := p.Status()[0]
			if s.Restarts != 1 || s.PID == pid || s.Last.PID != pid || !strings.HasPrefix(s.Last.Reason, want) || s.State != "idle" {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// A process that dies of its first call has started: the one after it is not kept waiting,
// however often that happens.
func TestCallsThatCrashAreNoFailedStarts(t *testing.T) {
	t.Parallel()
	p := start(t, 1)
	for range 8 {
		if err := p.Call(t.Context(), task("exit", "1")); err == nil {
			t.Error("no error")
		}
	}
	if err := callAnother(t, p); err != nil {
		t.Error(err)
	}
}

// With one process gone, the others go on with their calls.
func TestOnlyTheCallOfThatProcessFails(t *testing.T) {
	t.Parallel()
	p := start(t, 2)
	ctx, cancel := context.WithCancelCause(t.Context())
	blocked := make(chan error)
	go func() { blocked <- p.Call(ctx, task("block")) }()
	eventually(t, "a call is made", func() bool { s := p.Status(); return s[0].State == "busy" || s[1].State == "busy" })
	for range 3 {
		if err := p.Call(t.Context(), task("exit", "1")); err == nil {
			t.Error("no error")
		}
	}
	cancel(listener.ErrStopping)
	if err := <-blocked; err == nil || err.Error() != "the context has ended: daemon is stopping" {
		t.Errorf("error %v", err)
	}
}

func TestOverdueCallIsCancelledThenKilled(t *testing.T) {
	t.Parallel()
	p := start(t, 1, func(c *worker.Config) { c.Timeout = 50 * time.Millisecond })
	limited := func() context.Context {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("timeout of 50ms"))
		t.Cleanup(cancel)
		return ctx
	}
	if err := p.Call(limited(), task("block")); err == nil || err.Error() != "the context has ended: timeout of 50ms" {
		t.Errorf("error %v", err)
	}
	if s := p.Status()[0]; s.Restarts != 0 {
		t.Errorf("status %+v", s)
	}
	if err := p.Call(limited(), task("hang")); err == nil || !strings.HasSuffix(err.Error(), "killed: timeout of 50ms: the call did not return within 3s after that") {
		t.Errorf("error %v", err)
	}
	if err := callAnother(t, p); err != nil {
		t.Error(err)
	}
}

// A call whose context has ended when it is made learns of that all the same: the one must
// not get to the process before the other.
func TestCallThatBeginsTooLate(t *testing.T) {
	t.Parallel()
	p := start(t, 1)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(listener.ErrStopping)
	for range 5000 {
		if err := p.Call(ctx, task("block")); err == nil || err.Error() != "the context has ended: daemon is stopping" {
			t.Fatalf("error %v", err)
		}
	}
}

// What a process has started ends with it.
func TestSubprocessesEndWithTheProcess(t *testing.T) {
	t.Parallel()
	p := start(t, 1)
	pid, err := strconv.Atoi(p.Call(t.Context(), task("spawn")).Error())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Call(t.Context(), task("exit", "1")); err == nil {
		t.Error("no error")
	}
	eventually(t, "the end of what it started", func() bool { return !alive(pid) })
}

// alive tells whether there is such a process, and it is no zombie that nobody waits for.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

func TestStartThatFails(t *testing.T) {
	t.Parallel()
	_, err := worker.Open(t.Context(), config(t, 2, func(c *worker.Config) { c.Setup = []byte("refuse") }))
	if err == nil || err.Error() != "worker process: no licence" {
		t.Errorf("error %v", err)
	}
	_, err = worker.Open(t.Context(), config(t, 1, func(c *worker.Config) { c.Command = []string{"/nonexistent"} }))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	_, err = worker.Open(t.Context(), config(t, 1, func(c *worker.Config) { c.Command = []string{"sh", "-c", "echo no such luck >&2; exit 9"} }))
	if err == nil || err.Error() != "worker process: exit status 9: no such luck" {
		t.Errorf("error %v", err)
	}
}

// A process that cannot be started any more is tried again after pauses; calls fail
// meanwhile, rather than wait for ever, and the module's policy has them repeated.
func TestRestartsBackOff(t *testing.T) {
	t.Parallel()
	mark := filepath.Join(t.TempDir(), "mark")
	p := start(t, 1, func(c *worker.Config) {
		c.Setup = []byte("die once open")
		c.Env = append(c.Env, "MARK="+mark)
	})
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Call(t.Context(), task("exit", "1")); err == nil {
		t.Error("no error")
	}
	eventually(t, "a longer pause", func() bool {
		s := p.Status()[0]
		return s.State == "waiting" && time.Until(s.Next) > 1500*time.Millisecond
	})
	err := p.Call(t.Context(), task("nothing"))
	if err == nil || !strings.HasPrefix(err.Error(), "no worker process: exit status 7; the next one is started in ") {
		t.Errorf("error %v", err)
	}
	if err := os.Remove(mark); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is back", func() bool { return p.Call(t.Context(), task("nothing")) == nil })
}

// A call does not wait for ever for a handler that does not open: in the synchronous lane
// other modules wait for the call.
func TestCallWhileTheHandlerOpens(t *testing.T) {
	t.Parallel()
	mark := filepath.Join(t.TempDir(), "mark")
	p := start(t, 1, func(c *worker.Config) {
		c.Setup = []byte("hang once open")
		c.Env = append(c.Env, "MARK="+mark)
	})
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Call(t.Context(), task("exit", "1")); err == nil {
		t.Error("no error")
	}
	if err := p.Call(t.Context(), task("nothing")); err == nil || err.Error() != "no worker process was ready within 5s: the handler takes long to open" {
		t.Errorf("error %v", err)
	}
	if s := p.Status()[0]; s.State != "starting" || s.PID == 0 {
		t.Errorf("status %+v", s)
	}
}

// What the processes of a pool need is given back, of each process and of the pool. The
// test is alone, because it counts.
func TestNothingIsLeft(t *testing.T) {
	for round := range 2 {
		before, goroutines := descriptors(t), runtime.NumGoroutine()
		p, err := worker.Open(t.Context(), config(t, 3))
		if err != nil {
			t.Fatal(err)
		}
		open := descriptors(t)
		for range 20 {
			if err := p.Call(t.Context(), task("exit", "1")); err == nil {
				t.Error("no error")
			}
		}
		eventually(t, "the processes are back", func() bool {
			for _, s := range p.Status() {
				if s.State != "idle" {
					return false
				}
			}
			return true
		})
		if now := descriptors(t); now > open {
			t.Errorf("%d descriptors after 20 restarts, %d before", now, open)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if round == 0 {
			continue // the runtime has taken what it keeps
		}
		if now := descriptors(t); now > before {
			t.Errorf("%d descriptors after Close, %d before", now, before)
		}
		eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func TestLogsArrive(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.InfoLevel)
	p := start(t, 1, func(c *worker.Config) { c.Log = zap.New(core).Named("people") })
	if err := p.Call(t.Context(), task("log")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "three lines", func() bool { return logs.Len() >= 3 })
	pid := p.Status()[0].PID
	got := map[string]string{}
	for _, e := range logs.All() {
		got[e.LoggerName+" "+e.Level.String()+" "+e.Message] = fmt.Sprint(e.ContextMap())
	}
	for line, fields := range map[string]string{
		"people.sub warn seen":   "map[a:x b:[49] c:1s error:d]",
		"people info printed":    fmt.Sprintf("map[pid:%d stream:stdout]", pid),
		"people info complained": fmt.Sprintf("map[pid:%d stream:stderr]", pid),
	} {
		if got[line] != fields {
			t.Errorf("%s: %s, want %s", line, got[line], fields)
		}
	}
}

func TestSharedStateOfTheDaemon(t *testing.T) {
	t.Parallel()
	local := shared.NewLocal()
	p := start(t, 4, func(c *worker.Config) { c.Answer = local.Answerer("d", "people") })
	const calls = 400
	errs := make(chan error)
	for range 4 {
		go func() {
			for range calls / 4 {
				errs <- p.Call(t.Context(), task("lock"))
			}
		}()
	}
	for range calls {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if v, err := local.Open("d", "people").Get(t.Context(), "v"); string(v) != strconv.Itoa(calls) || err != nil {
		t.Errorf("counted to %s, %v, want %d", v, err, calls)
	}
	if err := p.Call(t.Context(), task("count")); err == nil || err.Error() != "1" {
		t.Errorf("error %v", err)
	}
}

func TestEnvironmentAndNiceness(t *testing.T) {
	t.Parallel()
	p := start(t, 1, func(c *worker.Config) { c.Env, c.Nice = append(c.Env, "COLOUR=red"), 7 })
	for do, want := range map[string]string{"env COLOUR": "red", "nice": "7"} {
		what, argument, _ := strings.Cut(do, " ")
		if err := p.Call(t.Context(), task(what, argument)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", do, err, want)
		}
	}
}

func TestCloseReturnsTheHandlersErrors(t *testing.T) {
	t.Parallel()
	p := start(t, 2, func(c *worker.Config) { c.Setup = []byte("close badly") })
	if err := p.Close(); err == nil || err.Error() != "a file would not close\na file would not close" {
		t.Errorf("error %v", err)
	}
	if err := p.Call(t.Context(), task("nothing")); err == nil {
		t.Error("a call after Close succeeded")
	}
}

// Close does not wait for a call that does not return.
func TestCloseKillsWhatHangs(t *testing.T) {
	t.Parallel()
	p := start(t, 1)
	ended := make(chan error)
	go func() { ended <- p.Call(t.Context(), task("hang")) }()
	eventually(t, "the call is made", func() bool { return p.Status()[0].State == "busy" })
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "its call had not returned when the daemon stopped") {
		t.Errorf("error %v", err)
	}
}

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	p := start(t, 2, func(c *worker.Config) { c.MemoryLimit = 200 << 20 })
	ctx, cancel := context.WithCancelCause(t.Context())
	other := make(chan error)
	go func() { other <- p.Call(ctx, task("block")) }()
	eventually(t, "the other call is made", func() bool { return p.Status()[0].State == "busy" })
	err := p.Call(t.Context(), task("eat"))
	// It depends on how fast it is, whether it is seen or meets the wall behind the limit.
	if err == nil || !strings.Contains(err.Error(), "more than its limit of 200 MiB") && !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("error %v", err)
	}
	cancel(listener.ErrStopping)
	if err := <-other; err == nil || err.Error() != "the context has ended: daemon is stopping" {
		t.Errorf("the other call: %v", err)
	}
	if err := callAnother(t, p); err != nil {
		t.Error(err)
	}
}

func TestOtherUser(t *testing.T) {
	t.Parallel()
	nobody := &worker.User{Name: "nobody", UID: 65534, GID: 65534, Groups: []uint32{65534}, Home: "/nonexistent"}
	if os.Getuid() != 0 {
		_, err := worker.Open(t.Context(), config(t, 1, func(c *worker.Config) { c.User = nobody }))
		if !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), "as user nobody") {
			t.Errorf("error %v", err)
		}
		return
	}
	p := start(t, 1, func(c *worker.Config) { c.User, c.Command = nobody, []string{"/proc/self/exe"} })
	if err := p.Call(t.Context(), task("user")); err == nil || err.Error() != "65534:65534:[65534]:/nonexistent" {
		t.Errorf("error %v", err)
	}
}

// hostile are workers that do what no worker does.
var hostile = map[string]func(in, out *os.File){
	"garbage":       func(_, out *os.File) { _, _ = out.WriteString("GET / HTTP/1.1\r\n\r\n"); select {} },
	"huge":          func(_, out *os.File) { _, _ = out.Write([]byte{0xff, 0xff, 0xff, 0xff, 65}); select {} },
	"empty frame":   func(_, out *os.File) { _, _ = out.Write([]byte{0, 0, 0, 0, 65}); select {} },
	"closed pipes":  func(in, out *os.File) { _, _ = in.Close(), out.Close(); select {} },
	"other version": func(_, out *os.File) { _, _ = out.Write([]byte{0, 0, 0, 3, 65, 9, 0}); select {} },
	"a result before the call": func(in, out *os.File) {
		ready(out)
		_, _ = out.Write([]byte{0, 0, 0, 3, 67, 1, 0})
		select {}
	},
	"two results": func(in, out *os.File) {
		ready(out)
		readFrame(in)
		readFrame(in)
		_, _ = out.Write([]byte{0, 0, 0, 3, 67, 1, 0, 0, 0, 0, 3, 67, 1, 0})
		select {}
	},
	"wrong result": func(in, out *os.File) {
		ready(out)
		readFrame(in)
		readFrame(in)
		_, _ = out.Write([]byte{0, 0, 0, 3, 67, 99, 0})
		select {}
	},
	"never answers": func(in, out *os.File) {
		ready(out)
		select {}
	},
	"half a frame": func(in, out *os.File) {
		ready(out)
		readFrame(in)
		readFrame(in)
		_, _ = out.Write([]byte{0, 0, 1, 0, 67, 1})
		os.Exit(0)
	},
	"leaves an heir": func(in, out *os.File) {
		ready(out)
		cmd := exec.Command("sleep", "10") // that nobody kills, with all pipes
		cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = []*os.File{in, out}, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		os.Exit(3)
	},
	"question": func(in, out *os.File) {
		ready(out)
		_, _ = out.Write([]byte{0, 0, 0, 3, 69, 1, 0})
		select {}
	},
}

func ready(out *os.File) { _, _ = out.Write([]byte{0, 0, 0, 3, 65, 1, 0}) }

func readFrame(in *os.File) {
	r := bufio.NewReaderSize(in, 16)
	var n uint32
	if binary.Read(in, binary.BigEndian, &n) == nil {
		_, _ = io.CopyN(io.Discard, in, int64(n))
	}
	_ = r
}

// Whatever a worker does, its calls fail in time and the daemon goes on.
func TestHostileWorkers(t *testing.T) {
	t.Parallel()
	for role := range hostile {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("timeout of 1s"))
			defer cancel()
			p, err := worker.Open(ctx, config(t, 1, func(c *worker.Config) { c.Env = []string{asWorker + "=" + role} }))
			if err != nil {
				if !strings.HasPrefix(err.Error(), "worker process: ") {
					t.Errorf("error %v", err)
				}
				return
			}
			large := task(strings.Repeat("x", 1<<20)) // more than the pipe holds
			err = p.Call(ctx, large)
			if role == "two results" || role == "a result before the call" && err == nil {
				// A worker may say what it likes of its own call.
				eventually(t, "the end of the process", func() bool { return p.Status()[0].Restarts > 0 })
			} else if err == nil {
				t.Error("the call succeeded")
			}
			_ = p.Close() // it had no farewell
		})
	}
}

// daemonThatIsKilled has worker processes, one in a call that does not return, and waits.
func daemonThatIsKilled() {
	program, _ := os.Executable()
	p, err := worker.Open(context.Background(), worker.Config{
		Module: "people", Workers: 2, Command: []string{program}, Env: []string{asWorker + "=handler"}, Log: zap.NewNop(),
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	go func() { _ = p.Call(context.Background(), task("hang", os.Getenv("MARK"))) }()
	for _, s := range p.Status() {
		fmt.Println(s.PID)
	}
	select {}
}

// Workers do not outlive a daemon that is killed, not even with SIGKILL.
func TestWorkersEndWithTheDaemon(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(t.TempDir(), "mark")
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), asWorker+"=daemon", "MARK="+mark)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pids [2]int
	for i := range pids {
		if _, err := fmt.Fscanln(out, &pids[i]); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a call is made", func() bool { _, err := os.Stat(mark); return err == nil })
	for _, pid := range pids {
		if !alive(pid) {
			t.Errorf("process %d is not there", pid)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	eventually(t, "the workers have ended", func() bool { return !alive(pids[0]) && !alive(pids[1]) })
}
