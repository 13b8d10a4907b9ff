package shared_test

import (
	"cmp"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/shared"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
	"github.com/listenerd/listenerd/listener/listenertest"
)

func TestLocal(t *testing.T) {
	t.Parallel()
	listenertest.TestShared(t, func(*testing.T) listenertest.SharedFixture {
		local := shared.NewLocal()
		return listenertest.SharedFixture{Open: local.Open, Forget: local.Forget}
	})
}

// TestMemcached gives each handle a store of its own, as different processes have.
func TestMemcached(t *testing.T) {
	t.Parallel()
	testMemcached(t, 1, func(t *testing.T, addrs []string) func() *shared.Store {
		return func() *shared.Store { return newMemcached(t, shared.Config{Servers: addrs}) }
	})
}

// TestMemcachedOneProcess has all workers in one process, on several servers, and
// fewer connections than workers.
func TestMemcachedOneProcess(t *testing.T) {
	t.Parallel()
	testMemcached(t, 3, func(t *testing.T, addrs []string) func() *shared.Store {
		store := newMemcached(t, shared.Config{Servers: addrs, Connections: 2})
		return func() *shared.Store { return store }
	})
}

func testMemcached(t *testing.T, servers int, stores func(*testing.T, []string) func() *shared.Store) {
	listenertest.TestShared(t, func(t *testing.T) listenertest.SharedFixture {
		var addrs []string
		for range servers {
			addrs = append(addrs, slapdtest.Memcached(t))
		}
		store := stores(t, addrs)
		flush := memcache.New(addrs...)
		t.Cleanup(func() { _ = flush.Close() })
		return listenertest.SharedFixture{
			Open: func(daemon, module string) listener.Shared { return store().Open(daemon, module) },
			Forget: func() {
				if err := flush.FlushAll(); err != nil {
					t.Error(err)
				}
			},
		}
	})
}

// patience is the timeout of operations that are to be answered: on a busy machine a
// server may stand still for long.
const patience = time.Minute

func newMemcached(t testing.TB, c shared.Config) *shared.Store {
	t.Helper()
	c.Timeout = cmp.Or(c.Timeout, patience)
	s, err := shared.NewMemcached(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// TestRemote gives each handle a store of its own that another one keeps, as worker
// processes have.
func TestRemote(t *testing.T) {
	t.Parallel()
	listenertest.TestShared(t, func(*testing.T) listenertest.SharedFixture {
		local := shared.NewLocal()
		return listenertest.SharedFixture{
			Open: func(daemon, module string) listener.Shared {
				answer := local.Answerer(daemon, module)
				return shared.NewRemote(func(question []byte) string { return string(answer(question)) }).Open(daemon, module)
			},
			Forget: local.Forget,
		}
	})
}
