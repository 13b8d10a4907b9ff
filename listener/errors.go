package listener

import (
	"errors"
	"time"
)

// ErrPermanent matches, with [errors.Is], every error made by [Permanent].
var ErrPermanent = errors.New("permanent failure")

// ErrStopping is the cause ([context.Cause]) of a call's context that was
// cancelled because the daemon shuts down. The call is requeued and repeated
// after the next start; it counts no attempt.
var ErrStopping = errors.New("daemon is stopping")

// Permanent marks err as one that a repetition will not heal. The entry is set
// aside: this call and the entry's later changes wait until someone decides.
// Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanentError{err}
}

type permanentError struct{ err error }

func (e permanentError) Error() string        { return e.err.Error() }
func (e permanentError) Unwrap() error        { return e.err }
func (e permanentError) Is(target error) bool { return target == ErrPermanent }

// RetryAfter asks for the call to be repeated after d instead of the backoff, and
// counts no attempt; a run that ends by itself leaves it to the next one after a few
// calls all the same (retry.once_attempts). A d of zero or less means at once. A nil err stands for an
// error that says no more than that.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		err = errors.New("retry asked for")
	}
	return retryError{max(d, 0), err}
}

type retryError struct {
	after time.Duration
	err   error
}

func (e retryError) Error() string { return e.err.Error() }
func (e retryError) Unwrap() error { return e.err }

// RetryDelay returns the delay of the [RetryAfter] in err's chain, and whether
// there is one.
func RetryDelay(err error) (time.Duration, bool) {
	if r, ok := errors.AsType[retryError](err); ok {
		return r.after, true
	}
	return 0, false
}
