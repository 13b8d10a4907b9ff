package listenertest

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener"
)

// lockDeadline ends what would wait for ever if locks did not work.
const lockDeadline = 5 * time.Minute

func nothing(context.Context) error { return nil }

func testLock(t *testing.T, f SharedFixture) {
	ctx, s, other := t.Context(), f.Open("d", "m"), f.Open("d", "m")
	for range 3 {
		must(t, s.WithLock(ctx, "k", 0, func(ctx context.Context) error {
			for _, s := range []listener.Shared{s, other} {
				// Not under fn's ctx, which would make it a re-entrance.
				wantErr(t, "try a lock that is held", s.TryLock(t.Context(), "k", 0, nothing), listener.ErrLocked)
				must(t, s.TryLock(t.Context(), "another", 0, nothing))
			}
			return ctx.Err()
		}))
		must(t, other.TryLock(ctx, "k", 0, nothing))
	}
	failed := errors.New("failed")
	if err := s.WithLock(ctx, "k", 0, func(context.Context) error { return failed }); err != failed {
		t.Errorf("fn's error came back as %v", err)
	}
	func() {
		defer func() {
			if p := recover(); p != "oh" {
				t.Errorf("the panic came out as %v", p)
			}
		}()
		_ = s.WithLock(ctx, "k", 0, func(context.Context) error { panic("oh") })
	}()
	must(t, other.TryLock(ctx, "k", 0, nothing))
	wantNone(t, s, "k") // a lock is no variable
}

func testLockInfo(t *testing.T, f SharedFixture) {
	ctx, s, other := t.Context(), f.Open("d", "m"), f.Open("d", "m")
	if l := listener.LockInfo(ctx); l != (listener.Lock{}) {
		t.Errorf("outside of a lock: %v", l)
	}
	last := uint64(0)
	for i := range 6 {
		if i == 3 {
			f.Forget()
		}
		must(t, s.WithLock(ctx, "k", 0, func(ctx context.Context) error {
			l := listener.LockInfo(ctx)
			if l.Key != "k" || l.Fence <= last {
				t.Errorf("%+v after number %d", l, last)
			}
			last = l.Fence
			return s.WithLock(ctx, "inner", 0, func(ctx context.Context) error {
				if l := listener.LockInfo(ctx); l.Key != "inner" {
					t.Errorf("the innermost lock is %+v", l)
				}
				return nil
			})
		}))
		s, other = other, s
	}
}

func testLockWaits(t *testing.T, f SharedFixture) {
	ctx, s, other := t.Context(), f.Open("d", "m"), f.Open("d", "m")
	enough := errors.New("waited enough")
	limited, cancel := context.WithTimeoutCause(ctx, 50*time.Millisecond, enough)
	defer cancel()
	var waiting sync.WaitGroup
	defer waiting.Wait()
	must(t, s.WithLock(ctx, "k", 0, func(inside context.Context) error {
		for _, waiter := range []listener.Shared{s, other} {
			wantErr(t, "wait", waiter.WithLock(limited, "k", 0, nothing), enough)
			waiting.Go(func() {
				patient, cancel := context.WithTimeout(ctx, lockDeadline)
				defer cancel()
				if err := waiter.WithLock(patient, "k", 0, nothing); err != nil {
					t.Error(err)
				}
			})
		}
		return nil
	}))
}

// testLockRaces counts under the lock, in a variable that is read and then written.
func testLockRaces(t *testing.T, f SharedFixture) {
	ctx, cancel := context.WithTimeout(t.Context(), lockDeadline)
	defer cancel()
	const workers, total = 64, 2000
	handles := []listener.Shared{f.Open("d", "m"), f.Open("d", "m")}
	work := make(chan struct{}, total)
	for range total {
		work <- struct{}{}
	}
	close(work)
	plain := 0 // the race detector looks at this one
	var running sync.WaitGroup
	for i := range workers {
		s := handles[i%len(handles)]
		n := listener.Var[int]{Shared: s, Key: "n"}
		running.Go(func() {
			for range work {
				err := s.WithLock(ctx, "k", 0, func(ctx context.Context) error {
					before, err := n.Get(ctx)
					if err != nil && !errors.Is(err, listener.ErrNotFound) {
						return err
					}
					plain++
					runtime.Gosched()
					return n.Set(ctx, before+1)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	wantValue(t, handles[0], "n", strconv.Itoa(total))
	if plain != total {
		t.Errorf("counted to %d, want %d", plain, total)
	}
}

// testLockRenewed holds a lock for longer than its lease, with the two seconds on top.
func testLockRenewed(t *testing.T, f SharedFixture) {
	s, other := f.Open("d", "m"), f.Open("d", "m")
	const ttl = 5 * time.Second // so long may the machine be busy elsewhere
	must(t, s.WithLock(t.Context(), "k", ttl, func(ctx context.Context) error {
		start := time.Now()
		eventually(t, lockDeadline, "the lease's end", func() bool {
			wantErr(t, "try a lock that is held", other.TryLock(t.Context(), "k", ttl, nothing), listener.ErrLocked)
			return t.Failed() || time.Since(start) > ttl+2100*time.Millisecond
		})
		return context.Cause(ctx)
	}))
}

func testLockLost(t *testing.T, f SharedFixture) {
	s := f.Open("d", "m")
	err := s.WithLock(t.Context(), "k", 300*time.Millisecond, func(ctx context.Context) error {
		f.Forget()
		select {
		case <-ctx.Done():
			wantErr(t, "cause", context.Cause(ctx), listener.ErrLockLost)
		case <-time.After(lockDeadline):
			t.Error("the loss does not show")
		}
		return nil
	})
	wantErr(t, "a lock that was lost", err, listener.ErrLockLost)

	failed := errors.New("failed")
	err = s.WithLock(t.Context(), "k", 0, func(context.Context) error {
		f.Forget()
		return failed
	})
	wantErr(t, "a lock that was lost at last", err, listener.ErrLockLost)
	wantErr(t, "a lock that was lost at last", err, failed)
	must(t, s.TryLock(t.Context(), "k", 0, nothing))
}

// testLockTaken lets another take the lock that the first one has lost. An
// implementation may keep the other out until the first one has returned, as one that
// has both in one process can.
func testLockTaken(t *testing.T, f SharedFixture) {
	ctx, first, second := t.Context(), f.Open("d", "m"), f.Open("d", "m")
	taken, leave := make(chan struct{}), make(chan struct{})
	result := make(chan error, 1)
	kept := false
	err := first.WithLock(ctx, "k", time.Minute, func(context.Context) error {
		f.Forget()
		go func() {
			result <- second.TryLock(ctx, "k", time.Minute, func(context.Context) error {
				close(taken)
				<-leave
				return nil
			})
		}()
		select {
		case <-taken:
		case err := <-result:
			kept = true
			wantErr(t, "try the lock of one that has lost it", err, listener.ErrLocked)
		}
		return nil
	})
	wantErr(t, "a lock that was lost", err, listener.ErrLockLost)
	if kept {
		must(t, second.TryLock(ctx, "k", 0, nothing))
		return
	}
	wantErr(t, "try the lock of the other", first.TryLock(ctx, "k", 0, nothing), listener.ErrLocked)
	close(leave)
	must(t, <-result)
}

// testLockKept lets the caller's context end while fn is still at it.
func testLockKept(t *testing.T, f SharedFixture) {
	s, other := f.Open("d", "m"), f.Open("d", "m")
	ctx, cancel := context.WithCancelCause(t.Context())
	stopping := errors.New("stopping")
	err := s.WithLock(ctx, "k", 0, func(ctx context.Context) error {
		cancel(stopping)
		<-ctx.Done()
		wantErr(t, "cause", context.Cause(ctx), stopping)
		wantErr(t, "try a lock that is held", other.TryLock(t.Context(), "k", 0, nothing), listener.ErrLocked)
		return nil
	})
	must(t, err)
	must(t, other.TryLock(t.Context(), "k", 0, nothing))
}

func testLockReentered(t *testing.T, f SharedFixture) {
	s := f.Open("d", "m")
	must(t, s.WithLock(t.Context(), "k", 0, func(ctx context.Context) error {
		return s.WithLock(ctx, "j", 0, func(ctx context.Context) error {
			wantErr(t, "with lock", s.WithLock(ctx, "k", 0, nothing), listener.ErrReentrant)
			wantErr(t, "try lock", s.TryLock(ctx, "j", 0, nothing), listener.ErrReentrant)
			return nil
		})
	}))
}
