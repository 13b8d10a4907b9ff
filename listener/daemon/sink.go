package daemon

import (
	"bytes"
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

const (
	// maxReloadRetry is how long a full reload that broke down is put off at most. The
	// sessions meanwhile go on from the cookie: a provider that cannot deliver everything
	// can still deliver changes.
	maxReloadRetry = 10 * time.Minute
	// overdueEvery is how often it is tried to begin a full reload that is due.
	overdueEvery = time.Second
)

// router is what a sink needs of a [route.Router].
type router interface {
	syncrepl.Sink
	LoadAll()
	Holds() bool
}

// sink stands between the consumer and the router, which does the work. It has the schema
// read when a session begins, lets it begin without the cookie when a full reload is due,
// and tells the program
// that embeds the daemon what has become durable.
type sink struct {
	router
	schema   *subschema
	store    *store.Store
	log      *zap.Logger
	interval time.Duration // from one full load to the next; 0: never
	jitter   time.Duration // added to it
	started  time.Time

	flushed       func()
	refreshDone   func()
	cookieChanged func([]byte)

	// Used by the consumer's goroutine only.
	full   bool   // the running refresh is a full load
	done   bool   // the refresh was completed since the last Flush
	cookie []byte // the last one since then

	retryAt atomic.Pointer[time.Time] // not before, because a full reload broke down
}

func (d *Daemon) newSink() *sink {
	interval := d.config.LDAP.FullReloadInterval
	s := &sink{
		router: d.router, schema: d.newSubschema(), store: d.store, log: d.log, interval: interval, jitter: rand.N(interval/10 + 1), started: time.Now(),
		flushed: d.bell.ring, refreshDone: func() {}, cookieChanged: d.opts.CookieChanged,
	}
	if tell := d.opts.RefreshDone; tell != nil {
		s.refreshDone = func() { tell(d.Entries()) }
	}
	if s.cookieChanged == nil {
		s.cookieChanged = func([]byte) {}
	}
	return s
}

// Begin implements [syncrepl.Sink].
func (s *sink) Begin(ctx context.Context, session syncrepl.Session) ([]byte, error) {
	s.done, s.cookie = false, nil
	due, err := s.overdue()
	if err != nil {
		return nil, err
	}
	if due {
		s.LoadAll()
	}
	if err := s.schema.begin(ctx, session); err != nil {
		return nil, err
	}
	s.schema.mu.Lock()
	cookie, err := s.router.Begin(ctx, session)
	s.schema.mu.Unlock()
	if s.full = len(cookie) == 0; s.full && due {
		retryAt := time.Now().Add(min(s.interval, maxReloadRetry))
		s.retryAt.Store(&retryAt)
		s.log.Info("loading everything again, as full_reload_interval asks for", zap.String("provider", session.URI))
	}
	return cookie, err
}

// overdue tells whether a session that begins is to load everything although it has a
// cookie.
func (s *sink) overdue() (overdue bool, err error) {
	if s.interval == 0 {
		return false, nil
	}
	due, err := s.due()
	if err != nil || time.Now().Before(due) {
		return false, err
	}
	err = s.store.View(func(tx *store.Tx) error {
		sync, err := tx.Sync()
		overdue = len(sync.Cookie) > 0
		return err
	})
	return overdue, err
}

// RefreshDone implements [syncrepl.Sink].
func (s *sink) RefreshDone(ctx context.Context) error {
	s.done = true
	return s.router.RefreshDone(ctx)
}

// Cookie implements [syncrepl.Sink].
func (s *sink) Cookie(ctx context.Context, cookie []byte) error {
	s.cookie = bytes.Clone(cookie)
	return s.router.Cookie(ctx, cookie)
}

// ResetCookie implements [syncrepl.Sink].
func (s *sink) ResetCookie(ctx context.Context, cookie []byte, reason error) error {
	if err := s.router.ResetCookie(ctx, cookie, reason); err != nil {
		return err
	}
	s.cookieChanged(bytes.Clone(cookie))
	return nil
}

// Flush implements [syncrepl.Sink].
func (s *sink) Flush(ctx context.Context) error {
	if err := s.flush(ctx); err != nil {
		return err
	}
	defer s.flushed()
	if s.done && s.full && !s.Holds() { // what is held is not loaded
		if err := s.noteLoad(); err != nil {
			return err
		}
	}
	if s.done {
		s.done, s.full = false, false
		s.refreshDone()
	}
	if s.cookie != nil {
		cookie := s.cookie
		s.cookie = nil
		if !s.Holds() { // else it was not stored
			s.cookieChanged(cookie)
		}
	}
	return nil
}

// flush writes what was collected, while the schema stays what it is.
func (s *sink) flush(ctx context.Context) error {
	s.schema.mu.Lock()
	defer s.schema.mu.Unlock()
	return s.router.Flush(ctx)
}

// noteLoad stores that everything was loaded.
func (s *sink) noteLoad() error {
	s.retryAt.Store(nil)
	return s.store.Update(func(tx *store.Tx) error {
		tx.Commits("loaded")
		sync, err := tx.Sync()
		if err != nil {
			return err
		}
		sync.LoadedAt = time.Now().UTC().Round(0)
		return tx.SetSync(sync)
	})
}

// due returns the time from which on a session is to load everything.
func (s *sink) due() (due time.Time, err error) {
	err = s.store.View(func(tx *store.Tx) error {
		sync, err := tx.Sync()
		due = sync.LoadedAt
		return err
	})
	if due.After(time.Now()) {
		due = s.started // the clock was wrong then, or is now
	}
	due = due.Add(s.interval + s.jitter)
	if at := s.retryAt.Load(); at != nil && at.After(due) {
		due = *at
	}
	return due, err
}

// renewWhenDue calls renew, which ends the session that follows live, when a full
// reload is due, until ctx ends.
func (s *sink) renewWhenDue(ctx context.Context, renew func()) {
	if s.interval == 0 {
		return
	}
	for {
		due, err := s.due()
		if err != nil {
			return // whoever writes next will say so
		}
		wait := time.Until(due)
		if wait <= 0 {
			renew()
			wait = overdueEvery
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}
