package syncrepl

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/wire"
)

// The errors of sessions, to be tested with [errors.Is]. Those that come from an
// LDAP result also match a [*ResultError] with [errors.As].
var (
	// ErrUnreachable is returned when no connection could be made.
	ErrUnreachable = errors.New("server unreachable")
	// ErrTLS is returned when the connection could not be secured: StartTLS was refused,
	// or the provider's certificate or ours was.
	ErrTLS = errors.New("no secure connection")
	// ErrInvalidCredentials is returned when the bind was refused (result 49).
	ErrInvalidCredentials = errors.New("invalid credentials")
	// ErrBaseMissing is returned when the search base does not exist, or is hidden
	// from the bind identity (result 32), and when the whole database is empty.
	ErrBaseMissing = errors.New("search base not found")
	// ErrSizeLimit is returned when the provider cut the result off (result 4).
	ErrSizeLimit = errors.New("size limit exceeded")
	// ErrUnsupported is returned when the provider does not offer synchronization for
	// the base (result 12).
	ErrUnsupported = errors.New("content synchronization not available")
	// ErrProviderBehind is returned when the provider knows less than the cookie says
	// (result 53): it lags behind, or was restored from a backup.
	ErrProviderBehind = errors.New("cookie is newer than the provider")
	// ErrRefreshRequired is returned when the provider asks for a new refresh (result
	// 4096, e-syncRefreshRequired).
	ErrRefreshRequired = errors.New("provider requires a new refresh")
	// ErrCookieUnknown is returned when the provider answered a cookie with content
	// but no new cookie: it did not know it, and what is gone was not reported.
	ErrCookieUnknown = errors.New("provider does not know the cookie")
	// ErrRepeat is what a [Sink] returns, perhaps wrapped, to have the refresh made once
	// more from the cookie it has: the session ends, and the next one begins at once.
	ErrRepeat = errors.New("the refresh has to be repeated")
	// ErrProtocol is returned when the provider sent something that LDAP (RFC 4511) or
	// RFC 4533 does not allow.
	ErrProtocol = wire.ErrProtocol
	// ErrDisconnected is returned when the connection ended, with or without notice.
	ErrDisconnected = errors.New("connection ended by the server")
)

// ResultError is an LDAP result other than success (RFC 4511, section 4.1.9).
type ResultError struct {
	Code       int
	MatchedDN  string
	Diagnostic string
}

// Error returns the code, its name and the server's diagnostic message.
func (e *ResultError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "result %d", e.Code)
	if e.Code < 1<<16 {
		if name := ldap.LDAPResultCodeMap[uint16(e.Code)]; name != "" {
			fmt.Fprintf(&b, " (%s)", strings.ToLower(name))
		}
	}
	if e.Diagnostic != "" {
		fmt.Fprintf(&b, ": %s", e.Diagnostic)
	}
	return b.String()
}
