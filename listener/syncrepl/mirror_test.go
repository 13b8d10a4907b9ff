package syncrepl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what should come at once: on a busy machine, a
// server may stand still for long before it answers.
const patience = time.Minute

// mirror is a sink that keeps the content in memory, as a conforming consumer does,
// and a protocol of the calls.
type mirror struct {
	t testing.TB

	mu        sync.Mutex // guards what follows
	changed   chan struct{}
	entries   map[UUID]string // DN and attributes
	mentioned map[UUID]bool
	cookie    []byte
	log       []string // the calls but for Entry and Flush, in short form
	entered   int      // calls of Entry
	flushes   int
	refreshed int // completed refreshes
	persist   bool
	sessions  []Session
	views     []*Entry // given since the last Flush
	copies    []string // what they were then

	onEntry func(*Entry) error // called without mu
}

func newMirror(t testing.TB) *mirror {
	return &mirror{t: t, changed: make(chan struct{}), entries: map[UUID]string{}}
}

func (m *mirror) note(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf(format, args...))
	m.wake()
}

func (m *mirror) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *mirror) Begin(_ context.Context, s Session) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions = append(m.sessions, s)
	m.mentioned, m.persist = map[UUID]bool{}, false
	m.note("begin")
	return bytes.Clone(m.cookie), nil
}

func show(e *Entry) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", e.DN)
	for name, values := range e.All() {
		fmt.Fprintf(&b, "\n%s: %q", name, values)
	}
	return b.String()
}

func (m *mirror) Entry(_ context.Context, e *Entry) error {
	if m.onEntry != nil {
		if err := m.onEntry(e); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entered++
	s := show(e)
	m.views, m.copies = append(m.views, e), append(m.copies, s)
	m.entries[e.UUID] = s
	m.mentioned[e.UUID] = true
	m.wake()
	return nil
}

func (m *mirror) Present(_ context.Context, ids []UUID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.persist {
		m.t.Error("Present in the persist stage")
	}
	for _, id := range ids {
		m.mentioned[id] = true
	}
	m.note("present %d", len(ids))
	return nil
}

func (m *mirror) Delete(_ context.Context, ids []UUID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		delete(m.entries, id)
	}
	m.note("delete %d", len(ids))
	return nil
}

func (m *mirror) Sweep(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.persist {
		m.t.Error("Sweep in the persist stage")
	}
	n := len(m.entries)
	maps.DeleteFunc(m.entries, func(id UUID, _ string) bool { return !m.mentioned[id] })
	m.mentioned = map[UUID]bool{}
	m.note("sweep %d", n-len(m.entries))
	return nil
}

func (m *mirror) RefreshDone(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refreshed++
	m.persist = true
	m.note("refreshed")
	return nil
}

func (m *mirror) Cookie(_ context.Context, cookie []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.persist {
		m.t.Error("Cookie before the end of the refresh")
	}
	m.cookie = cookie
	m.note("cookie %s", cookie)
	return nil
}

func (m *mirror) ResetCookie(_ context.Context, cookie []byte, reason error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if reason == nil {
		m.t.Error("ResetCookie without a reason")
	}
	m.cookie = cookie
	m.note("reset %s", cookie)
	return nil
}

func (m *mirror) Flush(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, e := range m.views {
		if got := show(e); got != m.copies[i] {
			m.t.Errorf("an entry changed before Flush: %q was %q", got, m.copies[i])
		}
	}
	m.views, m.copies = nil, nil
	m.flushes++
	m.wake()
	return nil
}

// wait returns when cond holds, which is called with mu held.
func (m *mirror) wait(what string, cond func() bool) {
	m.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		m.mu.Lock()
		ok, changed := cond(), m.changed
		m.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			m.mu.Lock()
			defer m.mu.Unlock()
			m.t.Fatalf("waited in vain for %s; calls:\n%s", what, strings.Join(m.log, "\n"))
		}
	}
}

func (m *mirror) waitRefreshed(n int) {
	m.t.Helper()
	m.wait(fmt.Sprintf("refresh %d", n), func() bool { return m.refreshed >= n && m.views == nil })
}

// dns returns the DNs, sorted.
func (m *mirror) dns() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dnsLocked()
}

func (m *mirror) dnsLocked() []string {
	var out []string
	for _, s := range m.entries {
		dn, _, _ := strings.Cut(s, "\n")
		out = append(out, dn)
	}
	slices.Sort(out)
	return out
}

// calls returns the protocol and empties it.
func (m *mirror) calls() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	log := m.log
	m.log = nil
	return log
}

func (m *mirror) savedCookie() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return string(m.cookie)
}

// expect compares the protocol since the last call.
func (m *mirror) expect(want ...string) {
	m.t.Helper()
	if got := m.calls(); !slices.Equal(got, want) {
		m.t.Errorf("calls:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

var _ Sink = (*mirror)(nil)

// start runs the consumer in the background. stop ends it and checks that Run
// returned nil; it is called at the end of the test in any case.
func start(t testing.TB, cfg Config, sink Sink) (stop func()) {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.minWait = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, sink) }()
	stop = sync.OnceFunc(func() {
		t.Helper()
		cancel()
		select {
		case err := <-done:
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// once runs a RefreshOnly synchronization.
func once(t testing.TB, cfg Config, sink Sink) error {
	t.Helper()
	cfg.Mode = RefreshOnly
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.minWait = time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return c.Run(ctx, sink)
}

// noLeaks fails the test when goroutines of the consumer or of go-ldap are left.
func noLeaks(t testing.TB) {
	ours := []string{"internal/wire.", "go-ldap/ldap", "jcmturner/gokrb5", "syncrepl.(*"}
	t.Cleanup(func() {
		deadline := time.Now().Add(patience)
		for {
			buf := make([]byte, 1<<20)
			buf = buf[:runtime.Stack(buf, true)]
			left := 0
			for g := range strings.SplitSeq(string(buf), "\n\n") {
				if slices.ContainsFunc(ours, func(of string) bool { return strings.Contains(g, of) }) {
					left++
				}
			}
			if left == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("%d goroutines left:\n%s", left, buf)
				return
			}
			runtime.Gosched()
		}
	})
}
