package shared

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/listenerd/listenerd/listener"
)

// server is one memcached.
type server struct {
	addr    string
	timeout time.Duration
	client  *memcache.Client
	slots   chan struct{} // one element per operation in flight
	notify  func(server string, err error)
	closing sync.Once

	mu    sync.Mutex // guards err and since, and orders the calls of notify
	err   error      // of the last operation, nil if it was answered
	since time.Time  // when err became nil or non-nil
}

func newServer(addr string, c Config) *server {
	s := &server{addr: addr, timeout: c.Timeout, slots: make(chan struct{}, c.Connections), notify: c.Notify}
	target := target{"tcp", addr}
	if strings.Contains(addr, "/") {
		target.network = "unix"
	}
	s.client = memcache.NewFromSelector(target)
	s.client.Timeout = c.Timeout
	s.client.MaxIdleConns = c.Connections
	s.client.DialContext = dial
	return s
}

// target is the selector of a client with one server. It leaves the name for each
// connection to resolve, so that a server may be unknown at start, and move.
type target struct{ network, addr string }

var (
	_ memcache.ServerSelector = target{}
	_ net.Addr                = target{}
)

// Network implements [net.Addr].
func (t target) Network() string { return t.network }

// String implements [net.Addr].
func (t target) String() string { return t.addr }

// PickServer implements [memcache.ServerSelector].
func (t target) PickServer(string) (net.Addr, error) { return t, nil }

// Each implements [memcache.ServerSelector].
func (t target) Each(f func(net.Addr) error) error { return f(t) }

var errTimeout = errors.New("no answer in time")

// do runs an operation at the server and returns when it is done, when ctx has ended
// or when the timeout has passed. The client knows no contexts: an operation that its
// caller has left goes on until the client's own timeouts end it, and keeps its slot
// until then, so there are never more of them than slots. If such an operation was left
// and undo is not nil, undo is called after it.
func do[T any](ctx context.Context, s *server, operation func(*memcache.Client) (T, error), undo func(*memcache.Client)) (T, error) {
	type outcome struct {
		result T
		err    error
	}
	var none T
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	timer := time.NewTimer(s.timeout)
	defer timer.Stop()
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return none, context.Cause(ctx)
	case <-timer.C:
		return none, s.wrap(fmt.Errorf("%w: all %d connections are busy", listener.ErrUnavailable, cap(s.slots)))
	}

	done, left := make(chan outcome), make(chan struct{})
	go func() {
		defer func() { <-s.slots }()
		var o outcome
		o.result, o.err = operation(s.client)
		s.note(o.err)
		// One of the two happens: the caller takes the outcome, or has left.
		select {
		case done <- o:
		case <-left:
			if undo != nil {
				undo(s.client)
			}
		}
	}()
	select {
	case o := <-done:
		err, _ := translate(o.err)
		return o.result, s.wrap(err)
	case <-ctx.Done():
		close(left)
		return none, context.Cause(ctx)
	case <-timer.C:
		close(left)
		s.note(errTimeout)
		return none, s.wrap(fmt.Errorf("%w: %w (%v)", listener.ErrUnavailable, errTimeout, s.timeout))
	}
}

func (s *server) wrap(err error) error {
	if err == nil || !errors.Is(err, listener.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("memcached %s: %w", s.addr, err)
}

// note keeps what the server's condition is, and tells of a change.
func (s *server) note(err error) {
	_, answered := translate(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	before, known := s.err, !s.since.IsZero()
	if answered {
		s.err = nil
	} else {
		s.err = err
	}
	if known && (before == nil) == (s.err == nil) {
		return
	}
	s.since = time.Now()
	if s.notify != nil && (known || s.err != nil) {
		s.notify(s.addr, s.err)
	}
}

func (s *server) status() ServerStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := ServerStatus{Addr: s.addr, Since: s.since}
	if s.err != nil {
		st.Error = s.err.Error()
	}
	return st
}

// close waits for the operations in flight, which keeps new ones out as well.
func (s *server) close() {
	s.closing.Do(func() {
		for range cap(s.slots) {
			s.slots <- struct{}{}
		}
		_ = s.client.Close() // nothing is lost with a connection
	})
}
