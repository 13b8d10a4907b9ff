package syncrepl

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"
)

// The delays between attempts, and how long a session must last to begin anew.
const (
	minWait = time.Second
	maxWait = time.Minute
	stable  = time.Minute
)

// run is one call of Run.
type run struct {
	*Consumer
	sink Sink

	attempt     int
	bound       bool          // a bind has succeeded
	justReset   bool          // the cookie was replaced, and no refresh completed since
	wait        time.Duration // of the last delay
	behindSince time.Time     // zero unless all that answered are behind the cookie
}

// sinkFailure marks the sink's errors on their way up.
type sinkFailure struct{ err error }

func (e sinkFailure) Error() string { return e.err.Error() }
func (e sinkFailure) Unwrap() error { return e.err }

// sinkError marks what a sink returned, but for what its provider did not answer and
// for the wish to repeat: these end the session only.
func sinkError(err error) error {
	if err == nil || errors.Is(err, ErrRepeat) {
		return err
	}
	if failed, ok := errors.AsType[*providerError](err); ok {
		return failed.err
	}
	return sinkFailure{err}
}

func isSinkError(err error) bool {
	_, ok := err.(sinkFailure)
	return ok
}

// loop runs sessions until it is done.
func (r *run) loop(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic while synchronizing: %v\n%s", p, debug.Stack())
		}
	}()
	next := 0 // the provider to ask
	var errs []error
	for {
		uri := r.cfg.URIs[next]
		refreshedAt, err := r.session(ctx, uri)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return r.cancelled(ctx, err)
		case isSinkError(err):
			return err.(sinkFailure).err
		case r.cfg.Mode == RefreshAndPersist && !r.bound && errors.Is(err, ErrInvalidCredentials):
			return err
		}
		if !refreshedAt.IsZero() {
			r.justReset, r.behindSince = false, time.Time{}
			if time.Since(refreshedAt) >= stable {
				r.wait = 0
			}
		}
		if errors.Is(err, errRenewed) {
			continue
		}
		if errors.Is(err, ErrRepeat) {
			r.cfg.Notify(Event{Kind: EventRepeat, URI: uri, Err: err})
			continue
		}
		if reset, ok := errors.AsType[*resetError](err); ok {
			again := !r.justReset // at once, but not over and over
			if err := r.reset(ctx, uri, reset); err != nil {
				return err
			}
			if again {
				continue
			}
		}
		if errors.Is(err, ErrProviderBehind) && r.behindSince.IsZero() {
			r.behindSince = time.Now()
		}
		errs = append(errs, err)

		// After a session that stood, the list is tried from its beginning, but not in
		// haste.
		if next++; refreshedAt.IsZero() && next < len(r.cfg.URIs) {
			r.cfg.Notify(Event{Kind: EventFailed, URI: uri, Err: err})
			continue
		}
		if r.cfg.Mode == RefreshOnly {
			if len(errs) == 1 {
				return errs[0]
			}
			return errors.Join(errs...)
		}
		next, errs = 0, nil
		if !r.behindSince.IsZero() && time.Since(r.behindSince) >= r.cfg.StaleGrace {
			r.behindSince = time.Time{}
			err := fmt.Errorf("for %v: %w", r.cfg.StaleGrace, err)
			if err := r.reset(ctx, uri, &resetError{err: err}); err != nil {
				return err
			}
		}
		if !r.pause(ctx, uri, err) {
			return r.cancelled(ctx, nil)
		}
	}
}

// session runs one session with the provider, from connecting on. refreshedAt tells
// when its refresh was complete; zero if it never was.
func (r *run) session(ctx context.Context, uri string) (refreshedAt time.Time, err error) {
	r.attempt++
	l, err := r.open(ctx, uri)
	if err != nil {
		return time.Time{}, err
	}
	defer l.close()
	r.bound = true
	r.cfg.Notify(Event{Kind: EventBound, URI: uri})
	vendor, version, err := r.vendor(ctx, l)
	if err != nil {
		return time.Time{}, err
	}
	s := &session{
		c:    r.Consumer,
		sink: r.sink,
		link: l,
		Session: Session{
			URI: uri, Vendor: vendor, Version: version, Attempt: r.attempt,
			Provider: &provider{r.Consumer, uri, vendor},
		},
	}
	err = s.run(ctx)
	return s.refreshedAt, err
}

// reset tells the sink to replace its cookie.
func (r *run) reset(ctx context.Context, uri string, e *resetError) error {
	r.justReset = true
	r.cfg.Notify(Event{Kind: EventCookieReset, URI: uri, Err: e.err})
	return r.sink.ResetCookie(ctx, e.cookie, e.err)
}

// pause waits before the next round through the providers; false when ctx has ended.
func (r *run) pause(ctx context.Context, uri string, reason error) bool {
	r.wait = min(max(2*r.wait, r.minWait), maxWait)
	// The jitter keeps many consumers from coming back all at once.
	d := r.wait/2 + rand.N(r.wait/2+1)
	r.cfg.Notify(Event{Kind: EventFailed, URI: uri, Err: reason, Wait: d})
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// cancelled returns what Run returns when ctx has ended, after a session that ended
// with err.
func (r *run) cancelled(ctx context.Context, err error) error {
	switch {
	case isSinkError(err) && !errors.Is(err, ctx.Err()) && !errors.Is(err, context.Cause(ctx)):
		return err.(sinkFailure).err
	case r.cfg.Mode == RefreshOnly:
		return context.Cause(ctx)
	}
	return nil
}
