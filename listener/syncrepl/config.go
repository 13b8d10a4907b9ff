package syncrepl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Mode says what happens after the refresh (RFC 4533, section 2.2).
type Mode int

// The modes of synchronization.
const (
	// RefreshAndPersist follows the directory until the context ends.
	RefreshAndPersist Mode = iota
	// RefreshOnly brings the content up to date once.
	RefreshOnly
)

// Scope is the scope of the search (RFC 4511, section 4.5.1.2).
type Scope int

// The scopes of a search.
const (
	// ScopeSub is the base and everything below it.
	ScopeSub Scope = iota
	// ScopeOne is what lies directly below the base.
	ScopeOne
	// ScopeBase is the base alone.
	ScopeBase
)

// The defaults of a [Config].
const (
	DefaultFilter         = "(objectClass=*)"
	DefaultTimeout        = 10 * time.Second
	DefaultProbeInterval  = time.Minute
	DefaultMaxMessageSize = 64 << 20
	DefaultStaleGrace     = 10 * time.Minute
)

// Config describes the search and the providers to ask. It is copied by [New].
type Config struct {
	// URIs are the providers in order of preference: ldap://host:port (389 if
	// absent), ldaps://host:port (636) or ldapi://%2Fpath%2Fto%2Fsocket. Required.
	URIs []string

	// Base is the DN the search starts from.
	Base string
	// Scope of the search. Default [ScopeSub].
	Scope Scope
	// Filter in the form of RFC 4515. Default [DefaultFilter]. An entry that stops to
	// match is reported as deleted.
	Filter string
	// Attributes to ask for. Default "*", "+": all user and operational ones.
	Attributes []string
	// Mode of synchronization. Default [RefreshAndPersist].
	Mode Mode

	// BindDN and Password are for a simple bind. Default: anonymous.
	BindDN, Password string
	// Bind authenticates a new connection in another way, or with credentials that
	// change; conn, which leads to uri, is for use during the call only. BindDN is used
	// in error messages then. See [External] and [Kerberos.Bind]. Default: simple bind,
	// none if BindDN is empty.
	Bind func(ctx context.Context, uri string, conn *ldap.Conn) error
	// TLS says how connections are secured. Default: ldaps:// only.
	TLS TLS
	// Dial makes the connection in another way. Unless it returns a [*tls.Conn], the
	// connection is then secured as TLS and the scheme of uri say. Default: TCP with
	// keepalive, or a Unix socket, by the URI's scheme.
	Dial func(ctx context.Context, uri string) (net.Conn, error)
	// Timeout for each of: connecting, StartTLS, the TLS handshake, binding, asking for
	// the provider's vendor. Default [DefaultTimeout]. The sync search itself has none.
	Timeout time.Duration
	// ProbeInterval is how long nothing may arrive in the persist stage before the
	// provider is asked for its root DSE, on a second connection and without a bind. If
	// it does not answer either, the session is over. Negative: it is never asked.
	// Default [DefaultProbeInterval].
	ProbeInterval time.Duration

	// MaxMessageSize in bytes that a provider's message may have; a larger one ends
	// the session with an error. Default [DefaultMaxMessageSize].
	MaxMessageSize int
	// StaleGrace is how long all providers may be older than the cookie before it is
	// dropped for a full reload ([ErrProviderBehind]). Default [DefaultStaleGrace].
	StaleGrace time.Duration

	// Notify is told what happens between the sink's calls, by the goroutine of Run.
	// Default: nobody is.
	Notify func(Event)
}

// withDefaults returns the config with defaults filled in, and checks it.
func (c Config) withDefaults() (Config, error) {
	if len(c.URIs) == 0 {
		return c, errors.New("no provider: URIs is empty")
	}
	c.URIs = append([]string(nil), c.URIs...)
	for _, uri := range c.URIs {
		if c.Dial != nil {
			break
		}
		if _, err := parseTarget(uri); err != nil {
			return c, err
		}
	}
	if _, err := c.TLS.config(""); err != nil {
		return c, err
	}
	if c.Filter == "" {
		c.Filter = DefaultFilter
	}
	if _, err := ldap.CompileFilter(c.Filter); err != nil {
		return c, fmt.Errorf("filter %q: %w", c.Filter, err)
	}
	if len(c.Attributes) == 0 {
		c.Attributes = []string{"*", "+"}
	}
	c.Attributes = append([]string(nil), c.Attributes...)
	if c.Scope < ScopeSub || c.Scope > ScopeBase {
		return c, fmt.Errorf("unknown scope %d", c.Scope)
	}
	if c.Mode != RefreshOnly && c.Mode != RefreshAndPersist {
		return c, fmt.Errorf("unknown mode %d", c.Mode)
	}
	if c.BindDN != "" && c.Password == "" && c.Bind == nil {
		return c, fmt.Errorf("bind as %s: the password is empty, which servers take for an anonymous bind", c.BindDN)
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.ProbeInterval == 0 {
		c.ProbeInterval = DefaultProbeInterval
	}
	if c.MaxMessageSize <= 0 {
		c.MaxMessageSize = DefaultMaxMessageSize
	}
	if c.StaleGrace <= 0 {
		c.StaleGrace = DefaultStaleGrace
	}
	if c.Notify == nil {
		c.Notify = func(Event) {}
	}
	return c, nil
}
