package shared_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/shared"
)

func nothing(context.Context) error { return nil }

// operations returns each operation by name.
func operations(ctx context.Context, s listener.Shared) map[string]func() error {
	return map[string]func() error{
		"get":              func() error { _, err := s.Get(ctx, "k"); return err },
		"set":              func() error { return s.Set(ctx, "k", nil, 0) },
		"add":              func() error { return s.Add(ctx, "added", nil, 0) },
		"delete":           func() error { return s.Delete(ctx, "k") },
		"compare and swap": func() error { return s.CompareAndSwap(ctx, "k", nil, []byte("v"), 0) },
		"update": func() error {
			return s.Update(ctx, "k", 0, func([]byte) ([]byte, error) { return []byte("v"), nil })
		},
		"incr":      func() error { _, err := s.Incr(ctx, "k", 1); return err },
		"with lock": func() error { return s.WithLock(ctx, "k", 0, nothing) },
		"try lock":  func() error { return s.TryLock(ctx, "k", 0, nothing) },
	}
}

// changes records what Notify is told.
type changes struct {
	mu   sync.Mutex // guards list
	list []string
}

func (c *changes) notify(server string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.list = append(c.list, "down")
	} else {
		c.list = append(c.list, "up")
	}
}

func (c *changes) want(t *testing.T, want string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if got := strings.Join(c.list, " "); got != want {
		t.Errorf("notified of %q, want %q", got, want)
	}
}

// quickly fails the test if the operation does not end with the error soon.
func quickly(t *testing.T, what string, limit time.Duration, want error, operation func() error) {
	t.Helper()
	start := time.Now()
	if err := operation(); !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
	if took := time.Since(start); took > limit {
		t.Errorf("%s took %v", what, took)
	}
}

func TestServerDown(t *testing.T) {
	ctx, server, told := t.Context(), startServer(t), &changes{}
	store := newMemcached(t, shared.Config{Servers: []string{server.addr()}, Notify: told.notify})
	s := store.Open("d", "m")
	if err := store.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	if st := store.Status(); st.Kind != "memcached" || len(st.Servers) != 1 || st.Servers[0].Error != "" || st.Servers[0].Since.IsZero() {
		t.Errorf("status %+v", st)
	}
	told.want(t, "")

	server.kill()
	for what, operation := range operations(ctx, s) {
		quickly(t, what, patience/2, listener.ErrUnavailable, operation)
	}
	quickly(t, "ping", patience/2, listener.ErrUnavailable, func() error { return store.Ping(ctx) })
	if st := store.Status(); st.Servers[0].Error == "" {
		t.Errorf("status %+v", st)
	}
	told.want(t, "down")

	server.start()
	if err := s.Set(ctx, "k", []byte("7"), 0); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	told.want(t, "down up")
}

// TestIdleConnections restarts the server between operations; none of them notices.
func TestIdleConnections(t *testing.T) {
	ctx, server, told := t.Context(), startServer(t), &changes{}
	store := newMemcached(t, shared.Config{Servers: []string{server.addr()}, Notify: told.notify})
	s := store.Open("d", "m")
	for range 3 {
		var opening sync.WaitGroup
		for range 8 { // connections
			opening.Go(func() {
				if err := s.Set(ctx, "other", make([]byte, 100_000), 0); err != nil {
					t.Error(err)
				}
			})
		}
		opening.Wait()
		server.restart()
		if _, err := s.Get(ctx, "other"); !errors.Is(err, listener.ErrNotFound) {
			t.Errorf("after the restart: %v", err)
		}
		for what, operation := range operations(ctx, s) {
			if err := operation(); errors.Is(err, listener.ErrUnavailable) {
				t.Errorf("%s after the restart: %v", what, err)
			}
		}
	}
	told.want(t, "")
}

// TestUnknownServer starts without a server: the name need not even resolve.
func TestUnknownServer(t *testing.T) {
	told := &changes{}
	store := newMemcached(t, shared.Config{Servers: []string{"memcached.invalid:11211"}, Timeout: 300 * time.Millisecond, Notify: told.notify})
	quickly(t, "ping", 5*time.Second, listener.ErrUnavailable, func() error { return store.Ping(t.Context()) })
	told.want(t, "down")
}

// TestOneOfTwoDown loses the keys of one server only.
func TestOneOfTwoDown(t *testing.T) {
	ctx, one, two := t.Context(), startServer(t), startServer(t)
	store := newMemcached(t, shared.Config{Servers: []string{one.addr(), two.addr()}})
	two.kill()
	s, good, bad := store.Open("d", "m"), 0, 0
	for key := range strings.SplitSeq("a b c d e f g h i j k l m n o p q r s t u v w x y z", " ") {
		switch err := s.Set(ctx, key, nil, 0); {
		case err == nil:
			good++
		case errors.Is(err, listener.ErrUnavailable) && strings.Contains(err.Error(), two.addr()):
			bad++
		default:
			t.Error(err)
		}
	}
	if good == 0 || bad == 0 {
		t.Errorf("%d keys work, %d don't", good, bad)
	}
	if err := store.Ping(ctx); err == nil || strings.Contains(err.Error(), one.addr()) || !strings.Contains(err.Error(), two.addr()) {
		t.Errorf("ping: %v", err)
	}
}

// TestServerHangs asks a server that takes connections and says nothing.
func TestServerHangs(t *testing.T) {
	server, told := startServer(t), &changes{}
	const timeout = 2 * time.Second
	store := newMemcached(t, shared.Config{Servers: []string{server.addr()}, Timeout: timeout, Notify: told.notify})
	s := store.Open("d", "m")
	if err := s.Set(t.Context(), "k", nil, 0); err != nil {
		t.Fatal(err)
	}
	server.signal("STOP")
	defer server.signal("CONT")
	all := operations(t.Context(), s)
	last := all["try lock"] // it would be told that another one asks for the lock already
	delete(all, "try lock")
	var asking sync.WaitGroup
	for what, operation := range all {
		asking.Go(func() { quickly(t, what, 5*timeout, listener.ErrUnavailable, operation) })
	}
	asking.Wait()
	quickly(t, "try lock", 5*timeout, listener.ErrUnavailable, last)
	told.want(t, "down")
}

// TestOperationsLeft cancels many operations at a server that hangs: they return at
// once, and no more of them are left behind than there are connections.
func TestOperationsLeft(t *testing.T) {
	server := startServer(t)
	const connections = 4
	store := newMemcached(t, shared.Config{Servers: []string{server.addr()}, Timeout: time.Minute, Connections: connections})
	s := store.Open("d", "m")
	server.signal("STOP")
	continued := false
	defer func() {
		if !continued {
			server.signal("CONT")
		}
	}()
	enough := errors.New("enough")
	before := runtime.NumGoroutine()
	var calling sync.WaitGroup
	for range 50 {
		for what, operation := range operations(contextFor(t, 30*time.Millisecond, enough), s) {
			if what == "try lock" {
				continue // it is told that another one asks for the lock already
			}
			calling.Go(func() { quickly(t, what, patience/2, enough, operation) })
		}
	}
	calling.Wait()
	for limit := time.Now().Add(patience); ; runtime.Gosched() { // the callers have yet to end
		left := runtime.NumGoroutine() - before
		if left <= connections+2 {
			break
		}
		if time.Now().After(limit) {
			t.Errorf("%d goroutines are left, want at most one for each of %d connections", left, connections)
			break
		}
	}
	server.signal("CONT")
	continued = true
	if err := s.Set(t.Context(), "k", nil, 0); err != nil {
		t.Errorf("after the server went on: %v", err)
	}
}

func contextFor(t *testing.T, d time.Duration, cause error) context.Context {
	ctx, cancel := context.WithTimeoutCause(t.Context(), d, cause)
	t.Cleanup(cancel)
	return ctx
}

// TestLockLeftIsFreed leaves a request for a lock that the server grants afterwards.
func TestLockLeftIsFreed(t *testing.T) {
	server := startServer(t)
	config := shared.Config{Servers: []string{server.addr()}, Timeout: time.Minute}
	here, there := newMemcached(t, config).Open("d", "m"), newMemcached(t, config).Open("d", "m")
	enough := errors.New("enough")
	server.signal("STOP")
	err := here.WithLock(contextFor(t, 50*time.Millisecond, enough), "k", time.Hour, nothing)
	server.signal("CONT")
	if !errors.Is(err, enough) {
		t.Errorf("%v, want %v", err, enough)
	}
	if err := there.WithLock(contextFor(t, patience, enough), "k", 0, nothing); err != nil {
		t.Errorf("the lock was not freed: %v", err)
	}
}

// TestClaimIsLookedUp breaks the connection after a lock was granted and before the
// answer has come: the lock is had all the same.
func TestClaimIsLookedUp(t *testing.T) {
	server := startServer(t)
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	defer front.Close()
	serving.Go(func() {
		for first := true; ; first = false {
			client, err := front.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { relay(t, client, server.addr(), first) })
		}
	})
	store := newMemcached(t, shared.Config{Servers: []string{front.Addr().String()}})
	if err := store.Open("d", "m").TryLock(t.Context(), "k", 0, nothing); err != nil {
		t.Error(err)
	}
	store.Close()
}

// relay connects a client with the server; it may keep the first answer to itself and
// hang up.
func relay(t *testing.T, client net.Conn, addr string, hangUp bool) {
	defer client.Close()
	upstream, err := net.Dial("unix", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer upstream.Close()
	b := make([]byte, 4096)
	for {
		n, err := client.Read(b)
		if err != nil {
			return
		}
		if _, err := upstream.Write(b[:n]); err != nil {
			return
		}
		if n, err = upstream.Read(b); err != nil || hangUp {
			return
		}
		if _, err := client.Write(b[:n]); err != nil {
			return
		}
	}
}
