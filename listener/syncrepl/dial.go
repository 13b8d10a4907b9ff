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
	t, err := parseTarget(uri)
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
	nc, err := d.DialContext(ctx, t.network, t.addr)
	if err != nil {
		return nil, err
	}
	if tcp, ok := nc.(*net.TCPConn); ok {
		setUserTimeout(tcp, userTimeout)
	}
	return nc, nil
}

// target is what an LDAP URI says about the connection.
type target struct {
	network, addr string // to dial
	host          string // to verify a certificate for
	ldaps         bool
}

func parseTarget(uri string) (target, error) {
	fail := func(reason string) (target, error) {
		return target{}, fmt.Errorf("provider %q: %s", uri, reason)
	}
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok {
		return fail("no URI: want ldap://host:port, ldaps://host:port or ldapi://path")
	}
	switch scheme = strings.ToLower(scheme); scheme {
	case "ldap", "ldaps":
		u, err := url.Parse(uri)
		if err != nil {
			var uerr *url.Error
			if errors.As(err, &uerr) {
				err = uerr.Err
			}
			return fail(err.Error())
		}
		if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil {
			return fail("more than host and port")
		}
		t := target{network: "tcp", host: u.Hostname(), ldaps: scheme == "ldaps"}
		if t.host == "" {
			t.host = "localhost"
		}
		port := u.Port()
		switch {
		case port != "":
		case t.ldaps:
			port = "636"
		default:
			port = "389"
		}
		t.addr = net.JoinHostPort(t.host, port)
		return t, nil
	case "ldapi":
		// The path stands percent-encoded in place of the host (draft-chu-ldap-ldapi); the
		// plain form ldapi:///path is common too.
		path, err := url.PathUnescape(rest)
		if err != nil {
			return fail(err.Error())
		}
		if path != "" && path[0] != '/' {
			return fail("the path of a Unix socket begins with / (%2F)")
		}
		if path = strings.TrimSuffix(path, "/"); path == "" {
			path = "/var/run/slapd/ldapi"
		}
		return target{network: "unix", addr: path}, nil
	}
	return fail("unknown scheme " + scheme)
}
