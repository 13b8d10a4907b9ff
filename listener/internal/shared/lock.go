package shared

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/listenerd/listenerd/listener"
)

// WithLock implements [listener.Shared].
func (s *space) WithLock(ctx context.Context, key string, ttl time.Duration, fn func(context.Context) error) error {
	return s.lock(ctx, key, ttl, true, fn)
}

// TryLock implements [listener.Shared].
func (s *space) TryLock(ctx context.Context, key string, ttl time.Duration, fn func(context.Context) error) error {
	return s.lock(ctx, key, ttl, false, fn)
}

// heldKey is the context key of a lock that the context was given out under.
type heldKey struct {
	store *Store
	id    string
}

func (s *space) lock(ctx context.Context, key string, ttl time.Duration, wait bool, fn func(context.Context) error) (err error) {
	if ttl < 0 {
		return s.wrap("lock", key, fmt.Errorf("negative ttl %v", ttl))
	}
	if ttl == 0 {
		ttl = listener.DefaultLockTTL
	}
	held := heldKey{s.store, serverKey(s.prefix, kindLock, key)}
	if ctx.Value(held) != nil {
		return s.wrap("lock", key, listener.ErrReentrant)
	}
	leave, err := s.store.gates.enter(ctx, held.id, wait)
	if err != nil {
		return s.wrap("lock", key, err)
	}
	defer leave()
	l := lease{backend: s.store.backend, id: held.id, fenceID: serverKey(s.prefix, kindFence, key), token: rand.Text(), ttl: ttl}
	if err := l.acquire(ctx, wait); err != nil {
		return s.wrap("lock", key, err)
	}

	inside, end := context.WithCancelCause(context.WithValue(ctx, held, true))
	// When ctx ends, fn takes its time to return, and keeps its lock for that.
	lasting := context.WithoutCancel(ctx)
	renewing, stop := context.WithCancel(lasting)
	lost := make(chan error, 1)
	go func() { lost <- l.renew(renewing, end) }()
	// Deferred, so that a panic of fn frees the lock.
	defer func() {
		stop()
		failure := <-lost
		if failure == nil {
			failure = l.release(lasting)
		}
		end(nil)
		if failure != nil && !errors.Is(err, listener.ErrLockLost) {
			err = errors.Join(err, s.wrap("lock", key, failure))
		}
	}()
	return fn(listener.WithLockInfo(inside, listener.Lock{Key: key, Fence: l.fence}))
}

// lease is a lock that one caller asks for or holds. One goroutine at a time uses it.
type lease struct {
	backend     backend
	id, fenceID string
	token       string
	ttl         time.Duration
	until       time.Time // when the lease ends unless renewed; our clock, never too late
	fence       uint64
}

// acquire waits for the lock and takes it.
func (l *lease) acquire(ctx context.Context, wait bool) error {
	var backoff backoff
	for {
		l.until = time.Now().Add(l.ttl)
		err := l.backend.claim(ctx, l.id, l.token, l.ttl)
		if err == nil {
			if err = l.number(ctx); err == nil {
				return nil
			}
			_ = l.release(context.WithoutCancel(ctx)) // else it expires
		}
		switch {
		case errors.Is(err, listener.ErrExists) && !wait:
			return listener.ErrLocked
		case errors.Is(err, listener.ErrExists), errors.Is(err, errLate):
			if err := backoff.wait(ctx, maxLockBackoff); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// errLate says that the lease was over before it had its number.
var errLate = errors.New("the lease ended while it was taken")

// number gets the fencing number. The counter starts at the time, so that it goes on
// growing when the server has forgotten it: nobody takes a lock a million times per second.
//
// The number must be had while the lease is certain; one that is fetched later can be
// higher than that of the next holder.
func (l *lease) number(ctx context.Context) (err error) {
	l.fence, err = l.backend.incr(ctx, l.fenceID, 1, uint64(time.Now().UnixMicro()))
	if err == nil && !time.Now().Before(l.until) {
		return errLate
	}
	return err
}

// renew extends the lease until ctx ends, and then returns nil. If the lease is lost it
// calls lost with the reason and returns it.
func (l *lease) renew(ctx context.Context, lost context.CancelCauseFunc) error {
	pause := l.ttl / 3
	for {
		timer := time.NewTimer(min(pause, time.Until(l.until)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		asked := time.Now()
		limited, cancel := context.WithDeadline(ctx, l.until)
		err := l.extend(limited)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil // release finds out
		case err == nil:
			l.until, pause = asked.Add(l.ttl), l.ttl/3
		case errors.Is(err, listener.ErrLockLost):
			lost(err)
			return err
		case !time.Now().Before(l.until):
			if errors.Is(err, context.DeadlineExceeded) { // ours
				err = listener.ErrUnavailable
			}
			err = fmt.Errorf("%w: not renewed for %v: %w", listener.ErrLockLost, l.ttl, err)
			lost(err)
			return err
		default:
			pause = l.ttl / 10 // the server may be back before the lease is over
		}
	}
}

// extend makes the lease last for another ttl. ErrLockLost says that it is gone.
func (l *lease) extend(ctx context.Context) error {
	return l.whileOurs(ctx, func(version uint64) error {
		return l.backend.swap(ctx, l.id, []byte(l.token), version, l.ttl)
	})
}

// release frees the lock. ErrLockLost says that it was not ours any more.
func (l *lease) release(ctx context.Context) error {
	return l.whileOurs(ctx, func(version uint64) error {
		return l.backend.drop(ctx, l.id, version)
	})
}

// whileOurs makes the step at the version at which the lock holds our token. A
// conflict need not mean that another has it: an extension that we gave up may have
// arrived late.
func (l *lease) whileOurs(ctx context.Context, step func(version uint64) error) error {
	for {
		it, err := l.backend.get(ctx, l.id)
		switch {
		case errors.Is(err, listener.ErrNotFound):
			return fmt.Errorf("%w: it was freed or forgotten", listener.ErrLockLost)
		case err != nil:
			return err
		case string(it.value) != l.token:
			return fmt.Errorf("%w: another has it", listener.ErrLockLost)
		}
		if err := step(it.version); !errors.Is(err, listener.ErrConflict) {
			return err
		}
	}
}
