package listener

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The errors of [Shared]; test for them with [errors.Is].
var (
	// ErrNotFound is returned when there is no variable of that name: never set,
	// deleted, expired, or forgotten.
	ErrNotFound = errors.New("not found")
	// ErrExists is returned by Add when the variable exists.
	ErrExists = errors.New("exists")
	// ErrConflict is returned by CompareAndSwap when the value is not the expected one.
	ErrConflict = errors.New("value has changed")
	// ErrNotNumber is returned by Incr when the value is no decimal number.
	ErrNotNumber = errors.New("not a number")
	// ErrTooLarge is returned when a value is longer than [MaxSharedValue].
	ErrTooLarge = errors.New("value too large")
	// ErrUnavailable is returned when the server that keeps the variable does not
	// answer. Whether the operation took effect is then not known.
	ErrUnavailable = errors.New("shared state unavailable")
	// ErrLocked is returned by TryLock when another holds the lock.
	ErrLocked = errors.New("locked")
	// ErrLockLost is returned when a lock stopped to be held before its function
	// returned, and is the cause of the end of that function's context.
	ErrLockLost = errors.New("lock lost")
	// ErrReentrant is returned when a lock is asked for by the function that holds it.
	ErrReentrant = errors.New("lock is held by the caller already")
)

// MaxSharedValue is the length of the longest value in bytes: 1 MiB less what
// memcached, as it is configured by default, needs for the key and its own fields.
const MaxSharedValue = 1<<20 - 1<<10

// DefaultLockTTL is the lease of a lock for which no other was asked for.
const DefaultLockTTL = 10 * time.Second

// Shared is what the workers of a module have in common: variables and locks. UDL
// modules know Set and Get as set_shared_var() and get_shared_var(), and WithLock as
// lock().
//
// It is kept in memcached if one is configured, where all workers see it, in one
// process or in several, on one host or on many; otherwise in the memory of the
// daemon. Each module instance has its own names, and so has each daemon unless
// daemons are told to share.
//
// It is volatile. A restart of memcached, or of the daemon where there is none,
// forgets the variables and frees the locks; a lack of memory forgets the variables
// that were not used for the longest time. Keep here what can be made again: caches,
// counters, reservations. What has to last belongs in [Env.StateDir] or in the
// target system. The order of an entry's calls does not depend on it.
//
// Names are strings of any content and length. Values are copied. A method waits for
// an answer as long as ctx lives and at most for the configured timeout (WithLock
// waits for its turn without one); an ended ctx makes it return [context.Cause] of
// ctx, and [ErrUnavailable] says that there was no answer. In both cases what was
// asked for may or may not have happened. A handler that returns such an error is
// called again by the module's usual rules.
//
// A ttl is how long a variable is kept at least; 0 means as long as there is
// room. Because memcached counts seconds a variable may live up to two seconds
// longer. All methods may be called from any number of goroutines.
type Shared interface {
	// Get returns the value of a variable, or [ErrNotFound].
	Get(ctx context.Context, key string) ([]byte, error)

	// Set sets a variable, whether or not it existed.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error

	// Add sets a variable that does not exist; if it does, Add returns [ErrExists].
	// Of those who add the same variable at the same time one succeeds.
	Add(ctx context.Context, key string, value []byte, ttl time.Duration) error

	// Delete removes a variable. It is no error if there was none.
	Delete(ctx context.Context, key string) error

	// CompareAndSwap sets a variable to new if its value is old, else returns
	// [ErrConflict]. A nil old expects that there is no such variable, a nil new
	// removes it; empty is not nil.
	CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) error

	// Update sets a variable to what change makes of its value, as one step: if the
	// variable changed meanwhile, change is called again with the newer value. old is
	// nil when there is no such variable, and a nil result removes it. An error from
	// change is returned and changes nothing.
	Update(ctx context.Context, key string, ttl time.Duration, change func(old []byte) ([]byte, error)) error

	// Incr adds delta to a variable that holds a decimal number and returns the sum,
	// modulo 2^64. A variable that does not exist counts as 0 and is made without a
	// ttl. A value that is no such number gives [ErrNotNumber]. Because of
	// [ErrUnavailable] a counter that must be exact needs a name per step, such as
	// the number of the call, rather than Incr.
	Incr(ctx context.Context, key string, delta uint64) (uint64, error)

	// WithLock waits until nobody else holds the lock, holds it while fn runs, and
	// returns fn's error. Locks have names of their own, apart from the variables'.
	// Who of those who wait is next is not defined. To wait for no longer than a
	// while, give it a ctx with a deadline.
	//
	// A lock is a lease: it ends ttl after its holder was last heard of (0 means
	// [DefaultLockTTL]), so that a holder that died blocks the others for ttl and at
	// most two seconds more. While fn runs it is renewed in the background each third
	// of ttl, so fn may take longer.
	//
	// A result that is not [ErrLockLost] or [ErrUnavailable] says that nobody else
	// held the lock from before fn to after it. When the lock is lost (memcached was
	// restarted, or was out of reach for ttl), fn's ctx ends with cause ErrLockLost,
	// which takes up to a third of ttl to be noticed, and WithLock returns an error
	// that matches ErrLockLost after fn has returned. If memcached cannot be asked at
	// the end, the error matches ErrUnavailable: fn ran, and may have overlapped.
	// Systems that can compare numbers are protected by [Lock.Fence].
	//
	// fn's ctx comes from ctx and knows the lock: a WithLock or TryLock of the same lock
	// under it returns [ErrReentrant]. When ctx ends, fn is expected to return, and
	// holds the lock until it does. Who holds several locks at a time takes them in the
	// same order everywhere. A panic of fn frees the lock.
	WithLock(ctx context.Context, key string, ttl time.Duration, fn func(ctx context.Context) error) error

	// TryLock is WithLock that does not wait: if the lock is held by another it returns
	// [ErrLocked] and does not call fn.
	TryLock(ctx context.Context, key string, ttl time.Duration, fn func(ctx context.Context) error) error
}

// Lock describes a lock that is held.
type Lock struct {
	// Key is the name it was asked for by.
	Key string
	// Fence grows from holder to holder. A system that remembers the highest number it
	// has seen and refuses what comes with a lower one is safe from a holder that
	// does not know yet that it lost the lock. It keeps growing over a restart of
	// memcached as far as the hosts' clocks agree.
	Fence uint64
}

type lockKey struct{}

// WithLockInfo returns a context from which [LockInfo] reads lock. Implementations of
// [Shared] use it.
func WithLockInfo(ctx context.Context, lock Lock) context.Context {
	return context.WithValue(ctx, lockKey{}, lock)
}

// LockInfo returns the innermost lock that ctx was given out under by
// [Shared].WithLock or TryLock, and the zero Lock if there is none.
func LockInfo(ctx context.Context) Lock {
	lock, _ := ctx.Value(lockKey{}).(Lock)
	return lock
}

// Var is a shared variable of type T, kept as JSON.
//
//	count := listener.Var[int]{Shared: env.Shared, Key: "count"}
//	n, err := count.Update(ctx, func(n int) (int, error) { return n + 1, nil })
//
// The rules of [Shared] hold: it is volatile, and any number of goroutines may use it.
type Var[T any] struct {
	// Shared keeps the variable. Required.
	Shared Shared
	// Key is its name there.
	Key string
	// TTL is how long a value is kept at least after it was set; 0 means as long as
	// there is room.
	TTL time.Duration
}

// Get returns the variable's value, or the zero T and [ErrNotFound].
func (v Var[T]) Get(ctx context.Context) (T, error) {
	b, err := v.Shared.Get(ctx, v.Key)
	if err != nil {
		var zero T
		return zero, err
	}
	return v.decode(b)
}

// Set sets the variable.
func (v Var[T]) Set(ctx context.Context, value T) error {
	b, err := v.encode(value)
	if err != nil {
		return err
	}
	return v.Shared.Set(ctx, v.Key, b, v.TTL)
}

// Add sets the variable if it does not exist, else returns [ErrExists].
func (v Var[T]) Add(ctx context.Context, value T) error {
	b, err := v.encode(value)
	if err != nil {
		return err
	}
	return v.Shared.Add(ctx, v.Key, b, v.TTL)
}

// Delete removes the variable.
func (v Var[T]) Delete(ctx context.Context) error {
	return v.Shared.Delete(ctx, v.Key)
}

// Update sets the variable to what change makes of its value, as one step, and
// returns the new value. change gets the zero T when the variable does not exist, is
// called again with the newer value when it changed meanwhile, and gives up by
// returning an error.
func (v Var[T]) Update(ctx context.Context, change func(old T) (T, error)) (T, error) {
	var result T
	err := v.Shared.Update(ctx, v.Key, v.TTL, func(b []byte) ([]byte, error) {
		var old T
		if b != nil {
			var err error
			if old, err = v.decode(b); err != nil {
				return nil, err
			}
		}
		changed, err := change(old)
		if err != nil {
			return nil, err
		}
		result = changed
		return v.encode(changed)
	})
	if err != nil {
		var zero T
		return zero, err
	}
	return result, nil
}

func (v Var[T]) encode(value T) ([]byte, error) {
	b, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("shared variable %q: %w", v.Key, err)
	}
	return b, nil
}

func (v Var[T]) decode(b []byte) (T, error) {
	var value T
	if err := json.Unmarshal(b, &value); err != nil {
		var zero T
		return zero, fmt.Errorf("shared variable %q: %w", v.Key, err)
	}
	return value, nil
}
