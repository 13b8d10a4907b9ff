package shared

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/listenerd/listenerd/listener"
)

// backend is what a place that keeps values has to offer. Keys are ones that
// memcached takes, values are not longer than [listener.MaxSharedValue]. Each method
// is one atomic step. The values of arguments and results belong to the caller.
//
// A method returns context.Cause(ctx) when ctx ends, an error that matches
// listener.ErrUnavailable when the server does not answer in time, and otherwise what
// its comment says.
type backend interface {
	get(ctx context.Context, key string) (item, error) // or ErrNotFound
	set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	add(ctx context.Context, key string, value []byte, ttl time.Duration) error // or ErrExists
	remove(ctx context.Context, key string) error                               // nil, too, if there was none

	// swap and drop set and remove the key if it is at the version given, otherwise
	// they return ErrConflict.
	swap(ctx context.Context, key string, value []byte, version uint64, ttl time.Duration) error
	drop(ctx context.Context, key string, version uint64) error

	// incr adds delta, or sets initial where there is no value, and returns the
	// result; or ErrNotNumber.
	incr(ctx context.Context, key string, delta, initial uint64) (uint64, error)

	// claim is add for the token of a lock: if the caller was told of a failure, a token
	// that is there nevertheless is removed as soon as that is known.
	claim(ctx context.Context, key, token string, ttl time.Duration) error

	ping(ctx context.Context) error
	status() Status
	close()
}

// item is a value and its version, which is a different one after each change.
type item struct {
	value   []byte
	version uint64
}

// Status is the condition of a [Store].
type Status struct {
	// Kind is memcached or in-process.
	Kind string `json:"kind"`
	// Servers are the memcached servers, in the order of the configuration.
	Servers []ServerStatus `json:"servers,omitempty"`
}

// ServerStatus is the condition of a memcached server, as the last operation found it.
type ServerStatus struct {
	Addr string `json:"addr"`
	// Error is empty if the server answered.
	Error string `json:"error,omitempty"`
	// Since is when the condition changed last; zero if the server was not asked yet.
	Since time.Time `json:"since,omitzero"`
}

// Store keeps the variables and locks of all modules of a daemon.
type Store struct {
	backend backend
	gates   gates
}

func newStore(b backend) *Store { return &Store{backend: b} }

// Open returns the variables and locks of one module instance. daemon and module are
// names of any content; who opens the same two names in the same memcached shares all
// of it.
func (s *Store) Open(daemon, module string) listener.Shared {
	return &space{store: s, prefix: prefix(daemon, module)}
}

// Ping asks each server for a sign of life and returns an error that matches
// listener.ErrUnavailable for those that give none. In-process it returns nil.
func (s *Store) Ping(ctx context.Context) error { return s.backend.ping(ctx) }

// Status returns the condition as the last operations found it; it asks nobody.
func (s *Store) Status() Status { return s.backend.status() }

// Close waits for operations in flight, at most a few timeouts, and closes the
// connections. Nothing may be asked of the store or of what it opened after.
func (s *Store) Close() { s.backend.close() }

// space is a part of a store with keys of its own.
type space struct {
	store  *Store
	prefix string
}

var _ listener.Shared = (*space)(nil)

// Get implements [listener.Shared].
func (s *space) Get(ctx context.Context, key string) ([]byte, error) {
	it, err := s.store.backend.get(ctx, s.variable(key))
	return it.value, s.wrap("get", key, err)
}

// Set implements [listener.Shared].
func (s *space) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.write("set", key, value, ttl, func(id string) error {
		return s.store.backend.set(ctx, id, value, ttl)
	})
}

// Add implements [listener.Shared].
func (s *space) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.write("add", key, value, ttl, func(id string) error {
		return s.store.backend.add(ctx, id, value, ttl)
	})
}

// Delete implements [listener.Shared].
func (s *space) Delete(ctx context.Context, key string) error {
	return s.wrap("delete", key, s.store.backend.remove(ctx, s.variable(key)))
}

// CompareAndSwap implements [listener.Shared].
func (s *space) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) error {
	return s.write("compare and swap", key, new, ttl, func(id string) error {
		it, err := s.lookUp(ctx, id)
		if err != nil {
			return err
		}
		if (it.value == nil) != (old == nil) || !bytes.Equal(it.value, old) {
			return listener.ErrConflict
		}
		return s.replace(ctx, id, it, new, ttl)
	})
}

// Update implements [listener.Shared].
func (s *space) Update(ctx context.Context, key string, ttl time.Duration, change func(old []byte) ([]byte, error)) error {
	var backoff backoff
	for {
		it, err := s.lookUp(ctx, s.variable(key))
		if err != nil {
			return s.wrap("update", key, err)
		}
		value, err := change(bytes.Clone(it.value)) // which may write into what it gets
		if err != nil {
			return err
		}
		err = s.write("update", key, value, ttl, func(id string) error {
			return s.replace(ctx, id, it, value, ttl)
		})
		if !errors.Is(err, listener.ErrConflict) {
			return err
		}
		if err := backoff.wait(ctx, maxUpdateBackoff); err != nil {
			return s.wrap("update", key, err)
		}
	}
}

// Incr implements [listener.Shared].
func (s *space) Incr(ctx context.Context, key string, delta uint64) (uint64, error) {
	n, err := s.store.backend.incr(ctx, s.variable(key), delta, delta)
	return n, s.wrap("incr", key, err)
}

// lookUp returns the item, with a nil value if there is none.
func (s *space) lookUp(ctx context.Context, id string) (item, error) {
	it, err := s.store.backend.get(ctx, id)
	if errors.Is(err, listener.ErrNotFound) {
		return item{}, nil
	}
	return it, err
}

// replace puts value in the place of it, or returns ErrConflict if it has changed; on
// either side a nil value stands for no item.
func (s *space) replace(ctx context.Context, id string, it item, value []byte, ttl time.Duration) error {
	switch {
	case it.value == nil && value == nil:
		return nil
	case it.value == nil:
		err := s.store.backend.add(ctx, id, value, ttl)
		if errors.Is(err, listener.ErrExists) {
			return listener.ErrConflict
		}
		return err
	case value == nil:
		return s.store.backend.drop(ctx, id, it.version)
	default:
		return s.store.backend.swap(ctx, id, value, it.version, ttl)
	}
}

// write checks the arguments of a step that writes, and makes it.
func (s *space) write(operation, key string, value []byte, ttl time.Duration, step func(id string) error) error {
	if len(value) > listener.MaxSharedValue {
		return s.wrap(operation, key, fmt.Errorf("%w: %d bytes, at most %d fit", listener.ErrTooLarge, len(value), listener.MaxSharedValue))
	}
	if ttl < 0 {
		return s.wrap(operation, key, fmt.Errorf("negative ttl %v", ttl))
	}
	return s.wrap(operation, key, step(s.variable(key)))
}

func (s *space) variable(key string) string { return serverKey(s.prefix, kindVariable, key) }

func (s *space) wrap(operation, key string, err error) error {
	if err == nil {
		return nil
	}
	if len(key) > maxKey {
		key = key[:maxKey] + "..."
	}
	return fmt.Errorf("shared: %s %q: %w", operation, key, err)
}

// The longest pauses between two attempts. Updates conflict for the time of a round
// trip; locks are held for the time of somebody's work.
const (
	minBackoff       = time.Millisecond
	maxUpdateBackoff = 32 * time.Millisecond
	maxLockBackoff   = 100 * time.Millisecond
)

// backoff makes the pauses between attempts: from one to the next twice as long, each
// shortened at random by up to its half, so that those who wait spread.
type backoff struct{ next time.Duration }

// wait returns the cause if ctx ends before the pause does.
func (b *backoff) wait(ctx context.Context, most time.Duration) error {
	b.next = min(max(2*b.next, minBackoff), most)
	timer := time.NewTimer(b.next - rand.N(b.next/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
