package syncrepl

import (
	"fmt"
	"slices"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/wire"
)

// resetError ends a session whose cookie has to be replaced before the next one.
type resetError struct {
	cookie []byte // nil: dropped
	err    error
}

func (e *resetError) Error() string { return e.err.Error() }
func (e *resetError) Unwrap() error { return e.err }

// emptyDatabase describes a full load without entries and without a cookie.
func (s *session) emptyDatabase() error {
	return fmt.Errorf("%s: %w: the database of %s has no entries at all", s.URI, ErrBaseMissing, s.c.baseName())
}

// baseName returns the base for people.
func (c *Consumer) baseName() string {
	if c.cfg.Base == "" {
		return `""`
	}
	return c.cfg.Base
}

// failure describes the unsuccessful result of the search, with what to do about it.
func (s *session) failure(m *wire.Message) error {
	result := &ResultError{Code: m.Done.Code, MatchedDN: m.Done.MatchedDN, Diagnostic: m.Done.Diagnostic}
	c := s.c
	base := c.baseName()
	describe := func(sentinel error, format string, args ...any) error {
		text := s.URI + ": " + fmt.Sprintf(format, args...)
		if result.Diagnostic != "" {
			text += " (the server says: " + result.Diagnostic + ")"
		}
		return &described{text, []error{sentinel, result}}
	}
	switch result.Code {
	case ldap.LDAPResultSizeLimitExceeded:
		return describe(ErrSizeLimit,
			"%v after %d entries: raise the size limit for %s at the provider (OpenLDAP: limits ... size=unlimited, 389 DS: nsSizeLimit)",
			ErrSizeLimit, s.entries, c.bindName())
	case ldap.LDAPResultUnavailableCriticalExtension:
		return describe(ErrUnsupported,
			"%v for %s: OpenLDAP needs the overlay syncprov on its database, 389 DS the Content Synchronization plugin", ErrUnsupported, base)
	case ldap.LDAPResultNoSuchObject:
		return describe(ErrBaseMissing,
			"%v: %s does not exist or is not visible to %s", ErrBaseMissing, base, c.bindName())
	case ldap.LDAPResultUnwillingToPerform:
		// 389 DS says the same when too many persistent searches are open.
		if !s.full && !s.persist && s.Vendor != Vendor389 {
			return describe(ErrProviderBehind,
				"%v: it lags behind or was restored from a backup", ErrProviderBehind)
		}
	case ldap.LDAPResultSyncRefreshRequired:
		err := describe(ErrRefreshRequired, "%v", ErrRefreshRequired)
		if s.full && len(m.Cookie) == 0 {
			return err // there is nothing to drop
		}
		e := &resetError{err: err}
		if len(m.Cookie) > 0 {
			e.cookie = slices.Clone(mergeCookies(nil, m.Cookie))
		}
		return e
	}
	return fmt.Errorf("%s: the search failed: %w", s.URI, result)
}
