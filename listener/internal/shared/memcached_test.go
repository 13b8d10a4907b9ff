package shared

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/listenerd/listenerd/listener"
)

func TestNewMemcachedRefuses(t *testing.T) {
	for _, servers := range [][]string{nil, {""}, {"host"}, {"host:"}, {":11211"}, {"host:0"}, {"host:70000"}, {"host:memcached"}, {"a:1", "a:1"}} {
		if _, err := NewMemcached(Config{Servers: servers}); err == nil {
			t.Errorf("%q: no error", servers)
		}
	}
	for _, servers := range [][]string{{"host:11211"}, {"[::1]:11211", "127.0.0.1:11211"}, {"/run/memcached.sock"}} {
		s, err := NewMemcached(Config{Servers: servers})
		if err != nil {
			t.Errorf("%q: %v", servers, err)
			continue
		}
		s.Close()
	}
}

func TestExpiration(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	const day = 24 * time.Hour
	for ttl, want := range map[time.Duration]int32{
		0: 0, 1: 2, time.Second - 1: 2, time.Second: 2, time.Second + 1: 3, 10 * time.Second: 11,
		30*day - time.Second: maxRelative, 30 * day: 1_700_000_000 + maxRelative + 1,
		365 * day: 1_700_000_000 + 365*24*60*60 + 1, 100 * 365 * day: 0,
	} {
		if got := expiration(ttl, now); got != want {
			t.Errorf("%v: %d, want %d", ttl, got, want)
		}
	}
}

// TestServers checks that servers get equal shares, that the order of the list does
// not matter, and that a server more takes its share and moves nothing else.
func TestServers(t *testing.T) {
	choice := func(addrs ...string) func(key string) string {
		m := &memcached{}
		for _, addr := range addrs {
			m.servers = append(m.servers, &server{addr: addr})
		}
		return func(key string) string { return m.server(key).addr }
	}
	const keys = 4000
	three, other, four := choice("a:1", "b:1", "c:1"), choice("c:1", "a:1", "b:1"), choice("a:1", "b:1", "c:1", "d:1")
	shares, moved := map[string]int{}, 0
	for i := range keys {
		key := fmt.Sprintf("listenerd:d:m:v:%d", i)
		before, after := three(key), four(key)
		shares[before]++
		if other(key) != before {
			t.Errorf("%s: the order matters", key)
		}
		if before != after {
			moved++
			if after != "d:1" {
				t.Errorf("%s moved from %s to %s", key, before, after)
			}
		}
	}
	for addr, n := range shares {
		if n < keys/4 || n > keys/2 {
			t.Errorf("%s has %d keys of %d", addr, n, keys)
		}
	}
	if moved < keys/6 || moved > keys/3 {
		t.Errorf("%d keys of %d moved", moved, keys)
	}
}

func TestTranslate(t *testing.T) {
	for _, test := range []struct {
		err      error
		want     error
		answered bool
	}{
		{nil, nil, true},
		{memcache.ErrCacheMiss, listener.ErrNotFound, true},
		{memcache.ErrNotStored, listener.ErrExists, true},
		{memcache.ErrCASConflict, listener.ErrConflict, true},
		{errors.New(`memcache: unexpected response line from "set": "SERVER_ERROR object too large for cache\r\n"`), listener.ErrTooLarge, true},
		{errors.New(`memcache: unexpected response line from "set": "SERVER_ERROR out of memory storing object\r\n"`), listener.ErrUnavailable, false},
		{memcache.ErrNoServers, listener.ErrUnavailable, false},
	} {
		if err, answered := translate(test.err); !errors.Is(err, test.want) || answered != test.answered {
			t.Errorf("%v: %v, %v", test.err, err, answered)
		}
	}
}
