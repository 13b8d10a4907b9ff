package daemon

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// engine is a daemon without a provider: the test takes its place.
type engine struct {
	b     testing.TB
	d     *Daemon
	ended chan error
	stop  context.CancelFunc
}

// newEngine returns an engine with the modules' lines of a configuration and a mirror of
// that many entries, whose handlers are the given one. Nothing is called before start.
func newEngine(b testing.TB, entries int, h listener.Handler, modules ...string) *engine {
	b.Helper()
	yaml := fmt.Sprintf("ldap: {uri: 'ldap://127.0.0.1', base: 'dc=x'}\nstate_dir: %q\nmodules:\n", b.TempDir())
	for _, m := range modules {
		yaml += "  - " + m + "\n"
	}
	mod := listener.Define(listener.Spec{Name: "bench", Description: "Benchmark.", LDAPFilter: "(objectClass=person)"}, struct{}{},
		func(context.Context, listener.Env, struct{}) (listener.Handler, error) { return h, nil })
	d, err := New(Options{Config: []byte(yaml), Log: zap.NewNop()}, mod)
	e := &engine{b: b, d: d}
	e.must(err)
	d.store, err = store.Open(d.config.StateDir)
	e.must(err)
	b.Cleanup(func() { e.must(d.store.Close()) })
	d.heldRefresh = &heldRefresh{log: d.log}
	e.must(d.newRouter())
	var places []place
	for range modules {
		places = append(places, place{executor: dispatch.InProcess(h)})
	}
	e.must(d.newDispatcher(places))
	ctx := context.Background()
	_, err = d.router.Begin(ctx, syncrepl.Session{})
	e.must(err)
	for n := range entries {
		e.send(n, 0)
		if n%5_000 == 4_999 {
			e.flush()
		}
	}
	e.must(d.router.RefreshDone(ctx))
	e.flush()
	return e
}

func (e *engine) must(err error) {
	e.b.Helper()
	if err != nil {
		e.b.Fatal(err)
	}
}

// send reports the n-th entry, about 500 bytes, as it is after so many changes.
func (e *engine) send(n, changes int) {
	uid := fmt.Sprintf("user%d", n)
	text := func(values ...string) []string { return values }
	entry := listener.NewEntry(listener.UUID{}, "", []listener.Attribute{
		{Name: "objectClass", Values: text("top", "person", "inetOrgPerson")},
		{Name: "uid", Values: text(uid)}, {Name: "cn", Values: text("User " + uid)}, {Name: "sn", Values: text(fmt.Sprint(changes))},
		{Name: "mail", Values: text(uid + "@example.com")}, {Name: "description", Values: text(strings.Repeat("x", 300))},
	}...)
	report := &syncrepl.Entry{DN: []byte("uid=" + uid + ",ou=people,dc=x"), Attributes: []byte(entry.BER())}
	rng := rand.New(rand.NewPCG(uint64(n), 1)) // UUIDs in no order
	binary.BigEndian.PutUint64(report.UUID[:], rng.Uint64())
	binary.BigEndian.PutUint64(report.UUID[8:], rng.Uint64())
	e.must(e.d.router.Entry(context.Background(), report))
}

func (e *engine) flush() {
	e.b.Helper()
	e.must(e.d.router.Flush(context.Background()))
}

func (e *engine) start() {
	ctx, stop := context.WithCancel(context.Background())
	e.ended, e.stop = make(chan error, 1), stop
	go func() { e.ended <- e.d.lanes.Run(ctx) }()
}

// settle waits until every call is made; at the end that is durable.
func (e *engine) settle() {
	e.b.Helper()
	e.must(e.d.lanes.Settle(context.Background()))
}

// live sends that many changes of each of some entries, in turn, 500 at a time.
func (e *engine) live(from, to, changes int) {
	sent := 0
	for change := range changes {
		for n := from; n < to; n++ {
			e.send(n, change+1)
			if sent++; sent%500 == 0 {
				e.flush()
			}
		}
	}
	e.flush()
}

func (e *engine) end() {
	e.b.Helper()
	e.stop()
	e.must(<-e.ended)
}

// processor returns the processor time that the process has used: what it does for others'
// load, the clock does not tell.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const crowd = 100_000

// BenchmarkBootstrap measures a walk over a full mirror: from its first step until all
// creates are acknowledged and durable. Promised: 50,000 creates/s, and in parallel as
// many at least.
func BenchmarkBootstrap(b *testing.B) {
	for _, c := range []struct{ name, module string }{
		{"synchronous", "{name: bench}"},
		{"parallelism=8", "{name: bench, run_asynchronously: true, parallelism: 8}"},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took, used time.Duration
			for range b.N {
				b.StopTimer()
				e := newEngine(b, crowd, listener.Base{}, c.module)
				b.StartTimer()
				began, before := time.Now(), processor()
				e.start()
				e.settle()
				e.end()
				took += time.Since(began)
				used += processor() - before
				b.StopTimer()
				if calls, _ := e.d.lanes.Owed(); calls != 0 {
					b.Fatalf("%d calls are owed", calls)
				}
			}
			b.ReportMetric(float64(b.N*crowd)/took.Seconds(), "creates/s")
			b.ReportMetric(float64(used.Microseconds())/float64(b.N*crowd), "cpu-µs/create")
		})
	}
}

// stamps notes when calls are made, by seq.
type stamps struct {
	listener.Base
	mu   sync.Mutex // guards made
	made map[uint64]time.Time
}

func (s *stamps) Modify(ctx context.Context, _, _ *listener.Entry) error {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made[listener.CallInfo(ctx).Seq] = now
	return nil
}

// BenchmarkLatency measures how long after its commit a change is handed to a
// synchronous module, at 1,000 changes a second. Promised: p50 within 1 ms, p99 within
// 5 ms.
func BenchmarkLatency(b *testing.B) {
	const changes, every = 5_000, time.Millisecond
	var late []time.Duration
	for range b.N {
		s := &stamps{made: map[uint64]time.Time{}}
		e := newEngine(b, 1_000, s, "{name: bench}")
		committed := map[uint64]time.Time{}
		var seq uint64
		queued := e.d.router.Queued
		e.d.router.Queued = func(to uint64, added map[string]int) {
			now := time.Now()
			if added["bench"] > 0 {
				for ; seq < to; seq++ {
					committed[seq+1] = now
				}
			}
			queued(to, added)
		}
		e.start()
		e.settle()
		clear(committed)
		due := time.Now()
		for i := 0; i < changes; {
			<-time.After(time.Until(due))
			for ; i < changes && !due.After(time.Now()); due = due.Add(every) { // what is late comes at once, as from a socket
				e.send(i%1_000, i/1_000+1)
				i++
			}
			e.flush()
		}
		e.settle()
		e.end()
		for seq, at := range committed {
			if made, ok := s.made[seq]; ok {
				late = append(late, made.Sub(at))
			}
		}
		if len(s.made) != changes {
			b.Fatalf("%d calls for %d changes", len(s.made), changes)
		}
	}
	slices.Sort(late)
	b.ReportMetric(float64(late[len(late)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(late[len(late)*99/100].Microseconds()), "p99-µs")
}

// failing fails for the first entry.
type failing struct{ listener.Base }

var errFails = errors.New("it always fails")

func (failing) Modify(_ context.Context, _, new *listener.Entry) error {
	if new.Get("uid") == "user0" {
		return errFails
	}
	return nil
}

// BenchmarkFailingEntry measures what one entry that always fails, with 10,000 changes
// behind it, costs the changes of others, and how much memory it takes. Promised: 95 % of
// what they make alone, and memory that does not grow with the queue.
func BenchmarkFailingEntry(b *testing.B) {
	const others, changes, behind = 5_000, 20, 10_000
	round := func(queue int) (took, used time.Duration, memory uint64) {
		e := newEngine(b, others+1, failing{}, "{name: bench, run_asynchronously: true, parallelism: 4}")
		e.start()
		e.settle()
		before := heap()
		e.live(0, 1, queue)
		e.idle(queue)
		memory = heap() - min(before, heap())
		began, processed := time.Now(), processor()
		e.live(1, others+1, changes)
		e.idle(queue)
		took, used = time.Since(began), processor()-processed
		e.end()
		return took, used, memory
	}
	round(0) // the first one is slower
	// The best of some: what else the machine does meets one of them less.
	least := func(best *time.Duration, took time.Duration) { *best = min(cmp.Or(*best, took), took) }
	var without, with, usedWithout, usedWith time.Duration
	memory := uint64(math.MaxUint64)
	for range 5 * b.N {
		alone, used, _ := round(0)
		least(&without, alone)
		least(&usedWithout, used)
		beside, used, more := round(behind)
		least(&with, beside)
		least(&usedWith, used)
		memory = min(memory, more)
	}
	b.ReportMetric(others*changes/with.Seconds(), "changes/s")
	b.ReportMetric(100*without.Seconds()/with.Seconds(), "%-of-alone")
	b.ReportMetric(100*usedWithout.Seconds()/usedWith.Seconds(), "%-of-alone-by-cpu")
	b.ReportMetric(float64(memory)/(1<<20), "MiB-more")
}

// idle waits until no more calls than that are owed.
func (e *engine) idle(owed int) {
	for {
		calls, _ := e.d.lanes.Owed()
		if calls <= owed {
			return
		}
		<-time.After(time.Millisecond)
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// slow takes 10 ms for each call.
type slow struct {
	listener.Base
	begin func()
}

func (s slow) Create(context.Context, *listener.Entry) error {
	s.begin()
	<-time.After(10 * time.Millisecond)
	return nil
}

// BenchmarkWorkers measures 64 workers whose calls take 10 ms, against 64 goroutines that
// do nothing but wait as long. Promised: 95 % of that.
func BenchmarkWorkers(b *testing.B) {
	const workers, calls = 64, 64 * 200
	var ratios, rates []float64
	for range 3 * b.N {
		var began time.Time // the first call: the walk has begun
		h := slow{begin: sync.OnceFunc(func() { began = time.Now() })}
		e := newEngine(b, calls, h, fmt.Sprintf("{name: bench, run_asynchronously: true, parallelism: %d}", workers))
		e.start()
		e.settle()
		took := time.Since(began)
		e.end()
		began = time.Now()
		var all sync.WaitGroup
		for range workers {
			all.Go(func() {
				for range calls / workers {
					_ = h.Create(context.Background(), nil)
				}
			})
		}
		all.Wait()
		ratios = append(ratios, 100*time.Since(began).Seconds()/took.Seconds())
		rates = append(rates, calls/took.Seconds())
	}
	slices.Sort(ratios)
	slices.Sort(rates)
	b.ReportMetric(rates[len(rates)/2], "calls/s")
	b.ReportMetric(ratios[len(ratios)/2], "%-of-ideal")
}

// BenchmarkLive measures changes that each of ten synchronous modules is called for, as a
// provider sends them that never waits, until all calls are acknowledged and durable.
// Promised: what slapd can write; see package bench for that.
func BenchmarkLive(b *testing.B) {
	const entries, changes = 1_000, 20
	var modules []string
	for i := range 10 {
		modules = append(modules, fmt.Sprintf("{name: m%d, module: bench}", i))
	}
	var took, used time.Duration
	for range b.N {
		e := newEngine(b, entries, listener.Base{}, modules...)
		e.start()
		e.settle()
		began, before := time.Now(), processor()
		e.live(0, entries, changes)
		e.idle(0)
		took += time.Since(began)
		used += processor() - before
		e.end()
	}
	b.ReportMetric(float64(b.N*entries*changes)/took.Seconds(), "changes/s")
	b.ReportMetric(float64(used.Microseconds())/float64(b.N*entries*changes), "cpu-µs/change")
}
