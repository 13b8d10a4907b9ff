package syncrepl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// Half-open connections: the kernel asks an idle peer after half a minute, and gives
// up on one that acknowledges nothing for a minute.
const (
	keepAliveIdle     = 30 * time.Second
	keepAliveInterval = 10 * time.Second
	keepAliveCount    = 3
	userTimeout       = time.Minute
)

// dial makes the connection for uri: the default of [Config.Dial].
func dial(ctx context.Context, uri string) (net.Conn, error) {
	network, addr, err := address(uri)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{
			Enable:   true,
			Idle:     keepAliveIdle,
			Interval: keepAliveInterval,
			Count:    keepAliveCount,
		},
	}
	nc, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if tcp, ok := nc.(*net.TCPConn); ok {
		setUserTimeout(tcp, userTimeout)
	}
	return nc, nil
}

// address returns what to dial for an LDAP URI.
func address(uri string) (network, addr string, err error) {
	fail := func(reason string) (string, string, error) {
		return "", "", fmt.Errorf("provider %q: %s", uri, reason)
	}
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok {
		return fail("no URI: want ldap://host:port or ldapi://path")
	}
	switch strings.ToLower(scheme) {
	case "ldap":
		u, err := url.Parse(uri)
		if err != nil {
			var uerr *url.Error
			if errors.As(err, &uerr) {
				err = uerr.Err
			}
			return fail(err.Error())
		}
		host, port := u.Hostname(), u.Port()
		if host == "" {
			host = "localhost"
		}
		if port == "" {
			port = "389"
		}
		if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil {
			return fail("more than host and port")
		}
		return "tcp", net.JoinHostPort(host, port), nil
	case "ldapi":
		// The path stands percent-encoded in place of the host (draft-chu-ldap-ldapi); the
		// plain form ldapi:///path is common too.
		path, err := url.PathUnescape(rest)
		if err != nil {
			return fail(err.Error())
		}
		if strings.HasPrefix(path, "/") {
			if path = strings.TrimSuffix(path, "/"); path == "" {
				path = "/var/run/slapd/ldapi"
			}
			return "unix", path, nil
		}
		if path == "" {
			return "unix", "/var/run/slapd/ldapi", nil
		}
		return fail("the path of a Unix socket begins with / (%2F)")
	case "ldaps":
		return fail("ldaps needs a Dial function that speaks TLS")
	}
	return fail("unknown scheme " + scheme)
}
