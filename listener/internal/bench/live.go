package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"
	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/daemon"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// The live benchmark: so many entries are changed by so many writers, and so many
// modules hear of every change.
const (
	liveEntries = 1_000
	liveWriters = 4
	liveModules = 10
	liveChanges = 20_000
	pacedRate   = 1_000 // changes a second, for the latency
	pacedFor    = 5 * time.Second
)

// liveName is what the benchmark is chosen by.
const liveName = "live changes"

const liveDN = "ou=live," + slapdtest.BaseDN

// live measures how a daemon with many modules keeps up with slapd's writes, and how long
// after slapd has confirmed a change it is called.
func live(ctx context.Context, w io.Writer, p *provider) error {
	writers, err := newWriters(p)
	if err != nil {
		return err
	}
	defer writers.close()
	alone, err := writers.write(ctx, liveChanges, 0)
	if err != nil {
		return err
	}
	f, err := follow(ctx, p, writers)
	if err != nil {
		return err
	}
	defer f.stop()
	if err := f.caughtUp(ctx, liveEntries); err != nil {
		return err
	}
	began, before := time.Now(), f.calls.Load()
	writing, err := writers.write(ctx, liveChanges, 0)
	if err != nil {
		return err
	}
	behind := liveChanges*liveModules - (f.calls.Load() - before)
	if err := f.caughtUp(ctx, before/liveModules+liveChanges); err != nil {
		return err
	}
	delivering := time.Since(began)
	rate := func(d time.Duration) float64 { return liveChanges / d.Seconds() }
	kept := verdict(delivering.Seconds() <= 1.02*writing.Seconds())
	fmt.Fprintf(w, "\n%d changes by %d writers, %d synchronous modules that do nothing, each called for every change\n\n", liveChanges, liveWriters, liveModules)
	fmt.Fprintf(w, "%-44s %8.0f changes/s\n", "slapd alone", rate(alone))
	fmt.Fprintf(w, "%-44s %8.0f changes/s\n", "slapd with listenerd following", rate(writing))
	fmt.Fprintf(w, "%-44s %8.0f changes/s, %.2f of what slapd wrote; promised: all of it%s\n", "listenerd, until the last call", rate(delivering),
		writing.Seconds()/delivering.Seconds(), kept)
	fmt.Fprintf(w, "%-44s %8d calls of %d\n", "behind when the last change was written", behind, liveChanges*liveModules)

	f.late.Store(&latencies{})
	if _, err := writers.write(ctx, int(pacedRate*pacedFor.Seconds()), time.Second/pacedRate); err != nil {
		return err
	}
	if err := f.caughtUp(ctx, (f.calls.Load()+liveModules-1)/liveModules); err != nil {
		return err
	}
	p50, p99 := f.late.Load().percentiles()
	fmt.Fprintf(w, "%-44s p50 %.1f ms, p99 %.1f ms (the commit and slapd's part included)\n",
		fmt.Sprintf("from slapd's answer to the call, at %d/s", pacedRate), p50.Seconds()*1e3, p99.Seconds()*1e3)
	return f.stop()
}

// writers change the entries of the live benchmark.
type writers struct {
	conns []*ldap.Conn
	n     int            // changes made
	at    []atomic.Int64 // when slapd confirmed a change, by its number; Unix nanoseconds
}

func newWriters(p *provider) (*writers, error) {
	w := &writers{at: make([]atomic.Int64, 3*liveChanges+1)}
	for range liveWriters {
		conn, err := p.server.Dial(slapdtest.RootDN, slapdtest.RootPassword)
		if err != nil {
			return nil, err
		}
		w.conns = append(w.conns, conn)
	}
	unit := ldap.NewAddRequest(liveDN, nil)
	unit.Attribute("objectClass", []string{"organizationalUnit"})
	if err := w.conns[0].Add(unit); err != nil {
		return nil, err
	}
	for i := range liveEntries {
		person := ldap.NewAddRequest(personDN(i), nil)
		person.Attribute("objectClass", []string{"inetOrgPerson"})
		person.Attribute("cn", []string{"Live"})
		person.Attribute("sn", []string{"0"})
		if err := w.conns[0].Add(person); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func personDN(i int) string { return fmt.Sprintf("uid=live%d,%s", i, liveDN) }

func (w *writers) close() {
	for _, c := range w.conns {
		_ = c.Close()
	}
}

// write makes n changes, one every so often or as fast as slapd does, and returns how
// long it took.
func (w *writers) write(ctx context.Context, n int, every time.Duration) (time.Duration, error) {
	began := time.Now()
	next := atomic.Int64{}
	errs := make([]error, len(w.conns))
	var all sync.WaitGroup
	for i, conn := range w.conns {
		all.Go(func() {
			for errs[i] == nil && ctx.Err() == nil {
				change := int(next.Add(1))
				if change > n {
					return
				}
				<-time.After(time.Until(began.Add(time.Duration(change) * every)))
				number := w.n + change
				r := ldap.NewModifyRequest(personDN(number%liveEntries), nil)
				r.Replace("sn", []string{strconv.Itoa(number)})
				errs[i] = conn.Modify(r)
				w.at[number].Store(time.Now().UnixNano())
			}
		})
	}
	all.Wait()
	w.n += n
	for _, err := range append(errs, ctx.Err()) {
		if err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// follower is a daemon in this process, with modules that count their calls.
type follower struct {
	calls atomic.Int64
	late  atomic.Pointer[latencies]
	stop  func() error
	ended chan error
}

// latencies are the times from slapd's answers to calls of one module.
type latencies struct {
	mu  sync.Mutex // guards all
	all []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, d)
}

func (l *latencies) percentiles() (p50, p99 time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return 0, 0
	}
	slices.Sort(l.all)
	return l.all[len(l.all)/2], l.all[len(l.all)*99/100]
}

func follow(ctx context.Context, p *provider, w *writers) (*follower, error) {
	dir, err := os.MkdirTemp(p.dir, "live")
	if err != nil {
		return nil, err
	}
	f := &follower{ended: make(chan error, 1)}
	module := listener.Define(listener.Spec{Name: "count", Description: "Counts calls.", LDAPFilter: "(objectClass=inetOrgPerson)"}, struct{}{},
		func(_ context.Context, env listener.Env, _ struct{}) (listener.Handler, error) {
			return counter{follower: f, writers: w, timed: env.Name == "m0"}, nil
		})
	yaml := fmt.Sprintf("ldap: {uri: %q, base: %q, bind: {dn: %q, password_file: %q}}\nstate_dir: %q\nmodules:\n",
		p.server.URI(), liveDN, slapdtest.ListenerDN, p.secret, dir)
	for i := range liveModules {
		yaml += fmt.Sprintf("  - {name: m%d, module: count}\n", i)
	}
	d, err := daemon.New(daemon.Options{Config: []byte(yaml), Log: zap.NewNop()}, module)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() { f.ended <- d.Run(ctx) }()
	f.stop = sync.OnceValue(func() error {
		cancel()
		return <-f.ended
	})
	return f, nil
}

// caughtUp waits until each module was called that often.
func (f *follower) caughtUp(ctx context.Context, calls int64) error {
	for f.calls.Load() < calls*liveModules {
		select {
		case err := <-f.ended:
			f.ended <- err
			return fmt.Errorf("the daemon has ended: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

type counter struct {
	*follower
	*writers
	timed bool
}

func (c counter) Create(context.Context, *listener.Entry) error { c.calls.Add(1); return nil }
func (c counter) Remove(context.Context, *listener.Entry) error { c.calls.Add(1); return nil }

func (c counter) Modify(_ context.Context, _, new *listener.Entry) error {
	now := time.Now().UnixNano()
	c.calls.Add(1)
	if late := c.late.Load(); c.timed && late != nil {
		number, err := strconv.Atoi(new.Get("sn"))
		if err != nil {
			return err
		}
		if at := c.at[number].Load(); at > 0 { // else the answer is still on its way
			late.add(time.Duration(max(0, now-at)))
		} else {
			late.add(0)
		}
	}
	return nil
}
