package shared

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/listenerd/listenerd/listener"
)

// Config describes a memcached or several.
type Config struct {
	// Servers are host:port, or the path of a socket. Required. Those who share
	// variables have to list the same servers, spelled in the same way; the order
	// does not matter.
	Servers []string
	// Timeout is how long an operation may take. Default 1 s.
	Timeout time.Duration
	// Connections is how many operations at a time, and so connections, there are to
	// each server: the sum of the modules' workers is enough. Default 16.
	Connections int
	// Notify, if not nil, is called when a server stops to answer, with the error,
	// and with nil when it answers again. It must not block.
	Notify func(server string, err error)
}

const (
	defaultTimeout     = time.Second
	defaultConnections = 16
)

// NewMemcached returns a store in memcached. It connects when it has to: a server
// that cannot be reached makes the operations on its keys fail until it can;
// [Store.Ping] tells beforehand. An error is a mistake in the configuration.
func NewMemcached(c Config) (*Store, error) {
	if len(c.Servers) == 0 {
		return nil, errors.New("memcached: no servers")
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.Connections <= 0 {
		c.Connections = defaultConnections
	}
	m := &memcached{}
	seen := map[string]bool{}
	for _, addr := range c.Servers {
		if err := checkAddr(addr); err != nil {
			return nil, fmt.Errorf("memcached: %w", err)
		}
		if seen[addr] {
			return nil, fmt.Errorf("memcached: %s is listed twice", addr)
		}
		seen[addr] = true
		m.servers = append(m.servers, newServer(addr, c))
	}
	return newStore(m), nil
}

func checkAddr(addr string) error {
	if strings.Contains(addr, "/") {
		return nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q: want host:port or the path of a socket: %w", addr, err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
		return fmt.Errorf("%q: want host:port or the path of a socket", addr)
	}
	return nil
}

// memcached is the backend over one or more servers, each of which has some of the keys.
type memcached struct {
	servers []*server
}

var _ backend = (*memcached)(nil)

// server returns the one that has the key: the one with the highest hash of both
// (rendezvous hashing). One server more or less moves only its own share of the keys.
func (m *memcached) server(key string) *server {
	best, highest := m.servers[0], uint64(0)
	if len(m.servers) == 1 {
		return best
	}
	for _, s := range m.servers {
		h := fnv.New64a()
		h.Write([]byte(s.addr))
		h.Write([]byte{0})
		h.Write([]byte(key))
		if sum := mix(h.Sum64()); sum >= highest {
			best, highest = s, sum
		}
	}
	return best
}

// mix spreads a hash over all its bits, which FNV does not for short inputs.
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

func (m *memcached) get(ctx context.Context, key string) (item, error) {
	return do(ctx, m.server(key), func(c *memcache.Client) (item, error) {
		it, err := c.Get(key)
		if err != nil {
			return item{}, err
		}
		return item{it.Value, it.CasID}, nil
	}, nil)
}

func (m *memcached) set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return m.store(ctx, (*memcache.Client).Set, newItem(key, value, ttl))
}

func (m *memcached) add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return m.store(ctx, (*memcache.Client).Add, newItem(key, value, ttl))
}

func (m *memcached) swap(ctx context.Context, key string, value []byte, version uint64, ttl time.Duration) error {
	it := newItem(key, value, ttl)
	it.CasID = version
	return m.store(ctx, compareAndSwap, it)
}

// drop stores an item that has expired already; memcached has no conditional delete.
func (m *memcached) drop(ctx context.Context, key string, version uint64) error {
	return m.store(ctx, compareAndSwap, &memcache.Item{Key: key, Expiration: expired, CasID: version})
}

func (m *memcached) remove(ctx context.Context, key string) error {
	_, err := do(ctx, m.server(key), func(c *memcache.Client) (struct{}, error) {
		err := c.Delete(key)
		if errors.Is(err, memcache.ErrCacheMiss) {
			err = nil
		}
		return struct{}{}, err
	}, nil)
	return err
}

func (m *memcached) incr(ctx context.Context, key string, delta, initial uint64) (uint64, error) {
	return do(ctx, m.server(key), func(c *memcache.Client) (uint64, error) {
		for range 10 {
			n, err := c.Increment(key, delta)
			if !errors.Is(err, memcache.ErrCacheMiss) {
				return n, err
			}
			err = c.Add(newItem(key, strconv.AppendUint(nil, initial, 10), 0))
			if !errors.Is(err, memcache.ErrNotStored) {
				return initial, err
			}
		}
		return 0, fmt.Errorf("%s: others add and remove it all the time", key)
	}, nil)
}

// claim adds the token. If the connection breaks, a look at the key tells whether
// the token arrived; if the caller does not wait for the answer, the token is removed.
func (m *memcached) claim(ctx context.Context, key, token string, ttl time.Duration) error {
	_, err := do(ctx, m.server(key), func(c *memcache.Client) (struct{}, error) {
		err := c.Add(newItem(key, []byte(token), ttl))
		if err != nil && !errors.Is(err, memcache.ErrNotStored) {
			if it, e := c.Get(key); e == nil && string(it.Value) == token {
				err = nil
			}
		}
		return struct{}{}, err
	}, func(c *memcache.Client) {
		if it, err := c.Get(key); err == nil && string(it.Value) == token {
			it.Value, it.Expiration = nil, expired
			_ = c.CompareAndSwap(it) // if not, it expires
		}
	})
	return err
}

func (m *memcached) store(ctx context.Context, write func(*memcache.Client, *memcache.Item) error, it *memcache.Item) error {
	_, err := do(ctx, m.server(it.Key), func(c *memcache.Client) (struct{}, error) {
		return struct{}{}, write(c, it)
	}, nil)
	return err
}

// compareAndSwap takes an item that is gone for a changed one.
func compareAndSwap(c *memcache.Client, it *memcache.Item) error {
	err := c.CompareAndSwap(it)
	if errors.Is(err, memcache.ErrCacheMiss) || errors.Is(err, memcache.ErrNotStored) {
		return memcache.ErrCASConflict
	}
	return err
}

func (m *memcached) ping(ctx context.Context) error {
	errs := make([]error, len(m.servers))
	var pinging sync.WaitGroup
	for i, s := range m.servers {
		pinging.Go(func() {
			_, errs[i] = do(ctx, s, func(c *memcache.Client) (struct{}, error) { return struct{}{}, c.Ping() }, nil)
		})
	}
	pinging.Wait()
	return errors.Join(errs...)
}

func (m *memcached) status() Status {
	st := Status{Kind: "memcached"}
	for _, s := range m.servers {
		st.Servers = append(st.Servers, s.status())
	}
	return st
}

func (m *memcached) close() {
	for _, s := range m.servers {
		s.close()
	}
}

// newItem copies the value: the client may still be writing it when the caller has
// left.
func newItem(key string, value []byte, ttl time.Duration) *memcache.Item {
	return &memcache.Item{Key: key, Value: append([]byte(nil), value...), Expiration: expiration(ttl, time.Now())}
}

const (
	expired = -1 // as an expiration: at once

	// Expirations are seconds from now up to this many, then seconds since 1970.
	maxRelative = 30 * 24 * 60 * 60
)

// expiration returns ttl as memcached counts it. Its clock ticks each second, so n
// seconds last between n-1 and n: one more makes the ttl a lower bound.
func expiration(ttl time.Duration, now time.Time) int32 {
	if ttl <= 0 {
		return 0
	}
	seconds := int64((ttl-1)/time.Second) + 2
	if seconds <= maxRelative {
		return int32(seconds)
	}
	const latest = 1<<31 - 1
	if end := now.Unix() + seconds; end <= latest {
		return int32(end)
	}
	return 0
}

// translate returns an error of the client as one of package listener, and whether the
// server answered.
func translate(err error) (_ error, answered bool) {
	switch {
	case err == nil:
		return nil, true
	case errors.Is(err, memcache.ErrCacheMiss):
		return listener.ErrNotFound, true
	case errors.Is(err, memcache.ErrNotStored):
		return listener.ErrExists, true
	case errors.Is(err, memcache.ErrCASConflict):
		return listener.ErrConflict, true
	case strings.Contains(err.Error(), "non-numeric value"):
		return listener.ErrNotNumber, true
	case strings.Contains(err.Error(), "object too large for cache"):
		return fmt.Errorf("%w for this memcached (its option -I)", listener.ErrTooLarge), true
	default:
		return fmt.Errorf("%w: %w", listener.ErrUnavailable, err), false
	}
}
