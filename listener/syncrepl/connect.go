package syncrepl

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/wire"
)

// link is a connection to a provider that the sync search shares with go-ldap.
type link struct {
	uri    string
	wire   *wire.Conn
	client *ldap.Conn
}

// connect returns a bound connection that only go-ldap uses.
func (c *Consumer) connect(ctx context.Context, uri string) (*ldap.Conn, error) {
	nc, err := c.dial(ctx, uri, asIs)
	if err != nil {
		return nil, err
	}
	client := startClient(nc, nc)
	if err := c.bind(ctx, uri, client, nc); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

// open returns a bound connection for a session.
func (c *Consumer) open(ctx context.Context, uri string) (*link, error) {
	nc, err := c.dial(ctx, uri, wire.Coalesce)
	if err != nil {
		return nil, err
	}
	w := wire.NewConn(nc, wire.Options{MaxMessageSize: c.cfg.MaxMessageSize, WriteTimeout: c.cfg.Timeout})
	l := &link{uri, w, startClient(w, nc)}
	if err := c.bind(ctx, uri, l.client, w); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// close ends the connection. It returns when nothing uses it any more.
func (l *link) close() {
	_ = l.wire.Unbind() // out of politeness: the server notices anyway
	l.client.Close()
	l.wire.Close()
}

// startClient gives conn, which carries the octets of nc, to go-ldap.
func startClient(conn, nc net.Conn) *ldap.Conn {
	_, isTLS := nc.(*tls.Conn)
	client := ldap.NewConn(conn, isTLS)
	client.Start()
	return client
}

// asIs is a way to read from the network; the other is [wire.Coalesce].
func asIs(nc net.Conn) net.Conn { return nc }

// dial connects and secures the connection as configured.
func (c *Consumer) dial(ctx context.Context, uri string, reading func(net.Conn) net.Conn) (net.Conn, error) {
	raw, err := c.dialNetwork(ctx, uri)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", uri, ErrUnreachable, err)
	}
	t, err := parseTarget(uri)
	if _, secured := raw.(*tls.Conn); secured || err != nil || t.network == "unix" || !t.ldaps && !c.cfg.TLS.StartTLS {
		return reading(raw), nil // a URI that only Config.Dial understands is secured there
	}
	under := reading(raw)
	if under != raw {
		under = wire.Buffer(under)
	}
	secured, err := c.secure(ctx, t, raw, under)
	if err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("%s: %w", uri, err)
	}
	return secured, nil
}

func (c *Consumer) dialNetwork(ctx context.Context, uri string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	if c.cfg.Dial != nil {
		return c.cfg.Dial(ctx, uri)
	}
	return dial(ctx, uri)
}

// within runs an operation of go-ldap, which knows no context: when ctx or the
// timeout ends, conn is closed.
func (c *Consumer) within(ctx context.Context, conn io.Closer, what string, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.Timeout,
		fmt.Errorf("%w: %w to the %s within %v", ErrDisconnected, errNoAnswer, what, c.cfg.Timeout))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err := do(ctx)
	if !stop() {
		return context.Cause(ctx)
	}
	if w, ok := conn.(*wire.Conn); ok && err != nil {
		if lost := w.Err(); lost != nil && lost != wire.ErrClosed {
			if alert(lost) != "" { // TLS 1.3 judges our certificate when the handshake is over
				return c.cfg.TLS.failure("", lost)
			}
			return connectionError(lost) // go-ldap keeps only the text of it
		}
	}
	if ldap.IsErrorWithCode(err, ldap.ErrorNetwork) || err != nil && strings.HasPrefix(err.Error(), "unable to send request") {
		return connectionError(err) // the words of go-ldap for a write that failed
	}
	return err
}

// errNoAnswer is in the error of an operation that took too long.
var errNoAnswer = errors.New("no answer")

// vendor asks the root DSE what the provider is. A server that keeps that to itself is
// of unknown vendor.
func (c *Consumer) vendor(ctx context.Context, l *link) (Vendor, string, error) {
	var found *ldap.SearchResult
	err := c.within(ctx, l.wire, "search of the root DSE", func(context.Context) (err error) {
		found, err = l.client.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
			"(objectClass=*)", []string{"objectClass", "vendorName", "vendorVersion"}, nil))
		return err
	})
	if _, ok := resultOf(err); ok {
		return VendorUnknown, "", nil
	}
	if err != nil {
		return VendorUnknown, "", fmt.Errorf("%s: %w", l.uri, c.first(l.uri, err))
	}
	if len(found.Entries) != 1 {
		return VendorUnknown, "", nil
	}
	dse := found.Entries[0]
	version := dse.GetEqualFoldAttributeValue("vendorVersion")
	name := dse.GetEqualFoldAttributeValue("vendorName") + " " + version
	switch {
	case strings.Contains(name, "389"):
		return Vendor389, version, nil
	case slices.ContainsFunc(dse.GetEqualFoldAttributeValues("objectClass"), func(class string) bool {
		return strings.EqualFold(class, "OpenLDAProotDSE")
	}), strings.Contains(name, "OpenLDAP"):
		return VendorOpenLDAP, version, nil
	}
	return VendorUnknown, version, nil
}

// resultOf returns the LDAP result in err's chain, if there is one.
func resultOf(err error) (*ResultError, bool) {
	if result, ok := errors.AsType[*ResultError](err); ok {
		return result, true
	}
	if le, ok := errors.AsType[*ldap.Error](err); ok && le.ResultCode != 0 &&
		(le.ResultCode < ldap.ErrorNetwork || le.ResultCode == ldap.LDAPResultSyncRefreshRequired) {
		r := &ResultError{Code: int(le.ResultCode), MatchedDN: le.MatchedDN}
		if le.Err != nil {
			r.Diagnostic = le.Err.Error()
		}
		return r, true
	}
	return nil, false
}

// answered tells whether the provider is there, although there may be an error.
func answered(err error) bool {
	_, ok := resultOf(err)
	return ok || errors.Is(err, ErrTLS) && !errors.Is(err, ErrDisconnected)
}

// connectionError describes the end of a connection.
func connectionError(err error) error {
	switch {
	case errors.Is(err, ErrProtocol), errors.Is(err, ErrDisconnected):
		return err
	case errors.Is(err, io.EOF):
		return ErrDisconnected
	}
	return fmt.Errorf("%w: %w", ErrDisconnected, err)
}

// described is an error with a text of its own that matches others.
type described struct {
	text    string
	matches []error
}

func (e *described) Error() string   { return e.text }
func (e *described) Unwrap() []error { return e.matches }
