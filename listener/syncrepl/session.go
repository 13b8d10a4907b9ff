package syncrepl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/wire"
)

// What a sink is given at most before a Flush.
const (
	flushBytes    = 4 << 20
	flushMessages = 8192
)

// session is one sync search: the state machine of RFC 4533, section 3.
type session struct {
	c    *Consumer
	sink Sink
	link *link
	Session

	stored []byte // the cookie that the sink has
	cookie []byte // the same as it is sent: without sid, nil for none
	full   bool   // the search was sent without a cookie

	// Within the refresh.
	pending      []byte     // the cookie to hand over at its end
	entries      int        // what the provider sent
	presentEnded bool       // a refreshPresent with refreshDone FALSE has come
	lossy        error      // why the refresh may have left something out
	reader       *ldap.Conn // of complete, nil until it is needed

	persist     bool                    // the refresh is over
	end         context.CancelCauseFunc // for Renew
	refreshedAt time.Time
	referred    bool // a referral was reported

	// What the sink was given since the last Flush.
	dirty    bool
	held     []*wire.Chunk
	bytes    int
	messages int
	pages    [][]Entry
	page     int
	ids      []UUID
}

// run synchronizes until the search ends: nil is a complete refresh in the mode
// RefreshOnly. What the sink was given is flushed, and no memory of the session is
// left in its hands.
func (s *session) run(ctx context.Context) (err error) {
	// It ends the waiting for the network, not the sink's work.
	standing, end := context.WithCancelCause(ctx)
	s.end = end
	defer func() {
		s.c.standing.CompareAndSwap(&s.end, nil)
		end(nil)
		s.closeReader()
		if isSinkError(err) || errors.Is(err, ErrRepeat) {
			return
		}
		if ferr := s.flush(context.WithoutCancel(ctx)); ferr != nil {
			err = ferr
		}
	}()
	if s.stored, err = s.sink.Begin(ctx, s.Session); err != nil {
		return sinkError(err)
	}
	s.dirty = true
	s.cookie = mergeCookies(nil, s.stored)
	if err := s.checkChangelog(ctx); err != nil {
		return err
	}
	s.full = len(s.cookie) == 0
	if err := s.link.wire.Search(s.c.request(s.cookie)); err != nil {
		return fmt.Errorf("%s: %w", s.URI, connectionError(err))
	}
	for {
		k := s.link.wire.Poll()
		if k == nil {
			// In a refresh there is nothing to gain from it: the cookie comes at the end.
			if s.persist {
				if err := s.flush(ctx); err != nil {
					return err
				}
			}
			if k, err = s.next(standing); err != nil {
				if ctx.Err() == nil && standing.Err() != nil {
					return errRenewed
				}
				return fmt.Errorf("%s: %w", s.URI, connectionError(err))
			}
		}
		s.held = append(s.held, k)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if standing.Err() != nil {
			return errRenewed
		}
		s.dirty = true
		for i := range k.Messages {
			if end, err := s.message(ctx, &k.Messages[i]); end || err != nil {
				return err
			}
		}
		s.bytes += k.Size()
		s.messages += len(k.Messages)
		if s.bytes >= flushBytes || s.messages >= flushMessages {
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// request returns the sync search that resumes from cookie.
func (c *Consumer) request(cookie []byte) *wire.SearchRequest {
	r := &wire.SearchRequest{
		Base:       c.cfg.Base,
		Scope:      map[Scope]int{ScopeBase: 0, ScopeOne: 1, ScopeSub: 2}[c.cfg.Scope],
		Filter:     c.filter,
		Attributes: c.cfg.Attributes,
		Mode:       wire.ModeRefreshAndPersist,
		Cookie:     cookie,
	}
	if c.cfg.Mode == RefreshOnly {
		r.Mode = wire.ModeRefreshOnly
	}
	return r
}

// flush lets the sink make durable what it was given, and takes the memory back.
func (s *session) flush(ctx context.Context) error {
	if !s.dirty {
		return nil
	}
	err := s.sink.Flush(ctx)
	for i, k := range s.held {
		k.Release()
		s.held[i] = nil
	}
	s.dirty, s.held, s.bytes, s.messages = false, s.held[:0], 0, 0
	for i := range s.pages {
		clear(s.pages[i])
		s.pages[i] = s.pages[i][:0]
	}
	s.page = 0
	return sinkError(err)
}

// message acts on one message. end says that the search is over.
func (s *session) message(ctx context.Context, m *wire.Message) (end bool, err error) {
	switch m.Kind {
	case wire.KindEntry:
		err = s.entry(ctx, m)
	case wire.KindInfo:
		err = s.info(ctx, m)
	case wire.KindReference:
		if !s.referred {
			s.referred = true
			s.c.cfg.Notify(Event{Kind: EventReferral, URI: s.URI, Err: fmt.Errorf("%q", m.DN)})
		}
	case wire.KindDone:
		return true, s.done(ctx, m)
	}
	return false, err
}

// entry handles a SearchResultEntry. A deleted entry has no attributes and perhaps no
// DN: only its UUID counts.
func (s *session) entry(ctx context.Context, m *wire.Message) error {
	var err error
	switch m.State {
	case wire.StateAdd, wire.StateModify:
		s.entries++
		e := s.newEntry()
		*e = Entry{UUID: m.UUID, Added: m.State == wire.StateAdd, DN: m.DN, Attributes: m.Attributes}
		if err := s.complete(ctx, e); err != nil {
			return err
		}
		err = s.sink.Entry(ctx, e)
	case wire.StateDelete:
		s.ids = append(s.ids[:0], m.UUID)
		err = s.sink.Delete(ctx, s.ids)
	case wire.StatePresent:
		if !s.persist { // where it says nothing
			s.ids = append(s.ids[:0], m.UUID)
			err = s.sink.Present(ctx, s.ids)
		}
	}
	if err != nil {
		return sinkError(err)
	}
	return s.newCookie(ctx, m.Cookie)
}

// newEntry returns an entry that lasts until the next flush.
func (s *session) newEntry() *Entry {
	const pageSize = 512
	if s.page < len(s.pages) && len(s.pages[s.page]) == pageSize {
		s.page++
	}
	if s.page == len(s.pages) {
		s.pages = append(s.pages, make([]Entry, 0, pageSize))
	}
	p := &s.pages[s.page]
	*p = append(*p, Entry{})
	return &(*p)[len(*p)-1]
}

// info handles a Sync Info message.
func (s *session) info(ctx context.Context, m *wire.Message) error {
	switch m.Info.Kind {
	case wire.SyncIDSet:
		s.ids = slices.Grow(s.ids[:0], m.Info.Count)
		for id := range m.Info.All() {
			s.ids = append(s.ids, id)
		}
		var err error
		switch {
		case len(s.ids) == 0:
		case m.Info.RefreshDeletes:
			s.countDeletes(len(s.ids))
			err = s.sink.Delete(ctx, s.ids)
		case !s.persist:
			err = s.sink.Present(ctx, s.ids)
		}
		if err != nil {
			return sinkError(err)
		}
	case wire.RefreshPresent:
		switch {
		case s.persist:
			return s.protocolError("refreshPresent in the persist stage")
		case s.presentEnded:
			return s.protocolError("a second present phase in a refresh")
		case m.Info.RefreshDone:
			return s.refreshDone(ctx, m.Cookie, false)
		}
		s.presentEnded = true
		// A full load is compared at its very end, with all that it mentioned.
		if !s.full && s.Vendor != Vendor389 {
			if err := s.sink.Sweep(ctx); err != nil {
				return sinkError(err)
			}
		}
	case wire.RefreshDelete:
		if !s.persist && m.Info.RefreshDone {
			return s.refreshDone(ctx, m.Cookie, true)
		}
	}
	return s.newCookie(ctx, m.Cookie)
}

// newCookie takes a cookie that came with a message, after the message's effect. In a
// refresh it waits for the end.
func (s *session) newCookie(ctx context.Context, cookie []byte) error {
	if len(cookie) == 0 {
		return nil
	}
	if !s.persist {
		s.pending = mergeCookies(s.pending, cookie)
		return nil
	}
	return s.store(ctx, cookie)
}

// store hands the merged cookie to the sink if that changes anything.
func (s *session) store(ctx context.Context, cookie []byte) error {
	s.cookie = mergeCookies(s.cookie, cookie)
	if bytes.Equal(s.cookie, s.stored) {
		return nil
	}
	s.stored = s.cookie
	return sinkError(s.sink.Cookie(ctx, slices.Clone(s.cookie)))
}

// refreshDone ends the refresh. Unless the provider said by refreshDeletes that it
// reported each delete, what it did not mention is gone.
func (s *session) refreshDone(ctx context.Context, cookie []byte, refreshDeletes bool) error {
	if err := s.newCookie(ctx, cookie); err != nil {
		return err
	}
	if !s.full && s.entries > 0 && s.pending == nil {
		return &resetError{err: fmt.Errorf("%s: %w", s.URI, ErrCookieUnknown)}
	}
	if s.lossy != nil {
		return &resetError{err: s.lossy}
	}
	// A slapd whose database is empty says neither that the base is missing nor how far
	// it is. That a mirror is to be emptied, too, it does not say.
	if s.full && s.entries == 0 && s.pending == nil {
		return s.emptyDatabase()
	}
	s.closeReader()
	// Providers say refreshDeletes after a full load, although what was deleted before
	// is known to the mentions only.
	if s.full || !refreshDeletes && !s.presentEnded && s.Vendor != Vendor389 {
		if err := s.sink.Sweep(ctx); err != nil {
			return sinkError(err)
		}
	}
	if err := s.sink.RefreshDone(ctx); err != nil {
		return sinkError(err)
	}
	s.persist, s.refreshedAt = true, time.Now()
	if s.c.cfg.Mode == RefreshAndPersist {
		s.c.standing.Store(&s.end)
	}
	return s.store(ctx, s.pending)
}

// done handles the result of the search. Only a Sync Done control makes it the end of
// a refresh.
func (s *session) done(ctx context.Context, m *wire.Message) error {
	if m.Done.Code != 0 {
		return s.failure(m)
	}
	if !m.Done.SyncDone {
		return s.protocolError("the search ended without a Sync Done control")
	}
	if s.persist {
		if err := s.newCookie(ctx, m.Cookie); err != nil {
			return err
		}
	} else if err := s.refreshDone(ctx, m.Cookie, m.Done.RefreshDeletes); err != nil {
		return err
	}
	if s.c.cfg.Mode == RefreshOnly {
		return nil
	}
	return fmt.Errorf("%s: %w: the search is over", s.URI, ErrDisconnected)
}

func (s *session) protocolError(text string) error {
	return fmt.Errorf("%s: %w: %s", s.URI, ErrProtocol, text)
}
