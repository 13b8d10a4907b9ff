package listener_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener"
)

func TestPermanent(t *testing.T) {
	cause := &fs.PathError{Op: "open", Path: "p", Err: fs.ErrNotExist}
	for _, err := range []error{
		listener.Permanent(cause),
		fmt.Errorf("outer: %w", listener.Permanent(cause)),
		listener.Permanent(fmt.Errorf("inner: %w", cause)),
		listener.Permanent(listener.Permanent(cause)),
		errors.Join(errors.New("other"), listener.Permanent(cause)),
	} {
		if !errors.Is(err, listener.ErrPermanent) {
			t.Errorf("%v is not permanent", err)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v hides its cause", err)
		}
		if path, ok := errors.AsType[*fs.PathError](err); !ok || path != cause {
			t.Errorf("%v hides its type", err)
		}
		if _, ok := listener.RetryDelay(err); ok {
			t.Errorf("%v has a delay", err)
		}
	}
	if got := listener.Permanent(cause).Error(); got != cause.Error() {
		t.Errorf("the text became %q", got)
	}
	if listener.Permanent(nil) != nil {
		t.Error("Permanent(nil) is an error")
	}
	if errors.Is(cause, listener.ErrPermanent) || errors.Is(listener.RetryAfter(1, cause), listener.ErrPermanent) {
		t.Error("permanent without Permanent")
	}
}

func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		err  error
		want time.Duration
	}{
		{listener.RetryAfter(time.Minute, fs.ErrExist), time.Minute},
		{fmt.Errorf("outer: %w", listener.RetryAfter(time.Second, fs.ErrExist)), time.Second},
		{listener.RetryAfter(time.Second, listener.RetryAfter(time.Hour, fs.ErrExist)), time.Second},
		{listener.RetryAfter(0, fs.ErrExist), 0},
		{listener.RetryAfter(-time.Second, fs.ErrExist), 0},
	} {
		if got, ok := listener.RetryDelay(c.err); !ok || got != c.want {
			t.Errorf("%v: delay %v, %v: want %v", c.err, got, ok, c.want)
		}
		if !errors.Is(c.err, fs.ErrExist) {
			t.Errorf("%v hides its cause", c.err)
		}
	}
	bare := listener.RetryAfter(time.Second, nil)
	if got, ok := listener.RetryDelay(bare); bare == nil || !ok || got != time.Second || bare.Error() == "" {
		t.Errorf("RetryAfter(d, nil) = %v", bare)
	}
	for _, err := range []error{nil, fs.ErrExist} {
		if got, ok := listener.RetryDelay(err); ok || got != 0 {
			t.Errorf("%v: delay %v, %v", err, got, ok)
		}
	}
}
