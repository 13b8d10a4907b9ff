package listenertest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/listenertest"
)

func TestSharedFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, place := t.Context(), listenertest.NewShared()
		s := place.Open("d", "m")
		if err := s.Set(ctx, "k", []byte("v"), time.Hour); err != nil {
			t.Fatal(err)
		}
		place.SetDown(true)
		if _, err := s.Get(ctx, "k"); !errors.Is(err, listener.ErrUnavailable) {
			t.Errorf("get while it is down: %v", err)
		}
		place.SetDown(false)
		if b, err := place.Open("d", "m").Get(ctx, "k"); string(b) != "v" || err != nil {
			t.Errorf("get after it was down: %q, %v", b, err)
		}
		err := s.WithLock(ctx, "k", time.Minute, func(ctx context.Context) error {
			place.Forget()
			start := time.Now()
			<-ctx.Done()
			if noticed := time.Since(start); noticed != 20*time.Second {
				t.Errorf("the loss was noticed after %v, want a third of the lease", noticed)
			}
			return context.Cause(ctx)
		})
		if !errors.Is(err, listener.ErrLockLost) {
			t.Errorf("%v, want a lock lost", err)
		}
		if _, err := s.Get(ctx, "k"); !errors.Is(err, listener.ErrNotFound) {
			t.Errorf("get of what was forgotten: %v", err)
		}
	})
}

func ExampleTestShared() {
	// In a test of your implementation of listener.Shared:
	_ = func(t *testing.T) {
		listenertest.TestShared(t, func(t *testing.T) listenertest.SharedFixture {
			place := listenertest.NewShared() // yours
			return listenertest.SharedFixture{Open: place.Open, Forget: place.Forget}
		})
	}
}
