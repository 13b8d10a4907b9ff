package shared

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/listenerd/listenerd/listener"
)

// trouble is a backend that a test makes slow or gives conflicts.
type trouble struct {
	backend
	incrTakes []time.Duration // one call after the other
	conflicts atomic.Int32    // that the next swaps and drops report for nothing
}

func (b *trouble) incr(ctx context.Context, key string, delta, initial uint64) (uint64, error) {
	n, err := b.backend.incr(ctx, key, delta, initial)
	if len(b.incrTakes) > 0 {
		time.Sleep(b.incrTakes[0])
		b.incrTakes = b.incrTakes[1:]
	}
	return n, err
}

func (b *trouble) swap(ctx context.Context, key string, value []byte, version uint64, ttl time.Duration) error {
	if b.conflicts.Add(-1) >= 0 {
		return listener.ErrConflict
	}
	return b.backend.swap(ctx, key, value, version, ttl)
}

func (b *trouble) drop(ctx context.Context, key string, version uint64) error {
	if b.conflicts.Add(-1) >= 0 {
		return listener.ErrConflict
	}
	return b.backend.drop(ctx, key, version)
}

// A lease that ends before its number has come must not be used: the number may be
// higher than the next holder's.
func TestLateNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &trouble{backend: NewLocal().memory, incrTakes: []time.Duration{3 * time.Second, time.Second}}
		start := time.Now()
		err := newStore(b).Open("d", "m").WithLock(t.Context(), "k", 2*time.Second, func(ctx context.Context) error {
			if waited := time.Since(start); waited < 4*time.Second || waited > 4100*time.Millisecond {
				t.Errorf("fn was called after %v", waited)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// A conflict with an extension of our own is no loss.
func TestOwnConflicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &trouble{backend: NewLocal().memory}
		b.conflicts.Store(2)
		err := newStore(b).Open("d", "m").WithLock(t.Context(), "k", 3*time.Second, func(ctx context.Context) error {
			time.Sleep(2 * time.Second) // a renewal
			b.conflicts.Store(2)
			return context.Cause(ctx)
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestRenewalOutlastsOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := NewLocal()
		err := local.Open("d", "m").WithLock(t.Context(), "k", 9*time.Second, func(ctx context.Context) error {
			local.SetDown(true)
			time.Sleep(8 * time.Second)
			local.SetDown(false)
			time.Sleep(time.Minute)
			return context.Cause(ctx)
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestLossAtTheEndOfTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := NewLocal()
		s := local.Open("d", "m")
		err := s.WithLock(t.Context(), "k", 9*time.Second, func(ctx context.Context) error {
			time.Sleep(4 * time.Second) // renewed after 3
			local.SetDown(true)
			start := time.Now()
			<-ctx.Done()
			if held := time.Since(start); held != 8*time.Second {
				t.Errorf("the context ended after %v, want 8s", held)
			}
			return context.Cause(ctx)
		})
		if !errors.Is(err, listener.ErrLockLost) || !errors.Is(err, listener.ErrUnavailable) {
			t.Errorf("%v, want a lock lost because of unavailable", err)
		}
		if err := s.WithLock(t.Context(), "k", 0, nil); !errors.Is(err, listener.ErrUnavailable) {
			t.Errorf("%v, want unavailable", err)
		}
		local.SetDown(false)
	})
}

func TestReleaseInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := NewLocal()
		s := local.Open("d", "m")
		err := s.WithLock(t.Context(), "k", 9*time.Second, func(ctx context.Context) error {
			local.SetDown(true)
			return nil
		})
		if !errors.Is(err, listener.ErrUnavailable) || errors.Is(err, listener.ErrLockLost) {
			t.Errorf("%v, want unavailable", err)
		}
		local.SetDown(false)
		start := time.Now()
		if err := s.WithLock(t.Context(), "k", 0, func(context.Context) error { return nil }); err != nil {
			t.Error(err)
		}
		if waited := time.Since(start); waited < 8*time.Second || waited > 9200*time.Millisecond {
			t.Errorf("the lease ended after %v, want 9s", waited)
		}
	})
}

// Two stores on one backend are two processes: they don't meet at a gate.
func TestLockBetweenProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := NewLocal()
		here, there := newStore(local.memory).Open("d", "m"), newStore(local.memory).Open("d", "m")
		inside, free := make(chan struct{}), time.Time{}
		go func() {
			_ = here.WithLock(t.Context(), "k", 3*time.Second, func(context.Context) error {
				close(inside)
				time.Sleep(time.Hour)
				free = time.Now()
				return nil
			})
		}()
		<-inside
		if err := there.TryLock(t.Context(), "k", 0, nil); !errors.Is(err, listener.ErrLocked) {
			t.Errorf("%v, want locked", err)
		}
		err := there.WithLock(t.Context(), "k", 0, func(context.Context) error {
			if late := time.Since(free); free.IsZero() || late > maxLockBackoff {
				t.Errorf("got the lock %v after it was free", late)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// Those who wait in one process are served in order of arrival.
func TestGatesAreFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewLocal()
		var order []int
		enter := func(i int) {
			_ = s.Open("d", "m").WithLock(t.Context(), "k", 0, func(context.Context) error {
				order = append(order, i)
				time.Sleep(time.Second)
				return nil
			})
		}
		for i := range 10 {
			go enter(i)
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for i, n := range order {
			if i != n {
				t.Fatalf("served in order %v", order)
			}
		}
		if len(s.gates.m) != 0 || len(order) != 10 {
			t.Errorf("%d gates are left, %d were served", len(s.gates.m), len(order))
		}
	})
}
