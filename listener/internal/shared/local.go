package shared

import (
	"bytes"
	"container/list"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/listenerd/listenerd/listener"
)

// localLimit is how much [NewLocal] keeps: as much as memcached does by default.
const localLimit = 64 << 20

// Local is a [Store] in the memory of this process. It forgets the variables that
// were not used for the longest time when it has more than 64 MiB of them, as memcached
// does.
type Local struct {
	*Store
	memory *local
}

// NewLocal returns an empty store. It needs no Close.
func NewLocal() *Local {
	m := &local{limit: localLimit, items: map[string]*list.Element{}, used: list.New()}
	return &Local{newStore(m), m}
}

// Forget drops all variables and locks, as a restart of memcached does.
func (l *Local) Forget() {
	l.memory.mu.Lock()
	defer l.memory.mu.Unlock()
	clear(l.memory.items)
	l.memory.used.Init()
	l.memory.size = 0
}

// SetDown makes all operations fail as if there were no server, until it is taken back.
func (l *Local) SetDown(down bool) {
	l.memory.mu.Lock()
	defer l.memory.mu.Unlock()
	l.memory.down = down
}

// local is the backend of [Local].
type local struct {
	limit int

	mu      sync.Mutex // guards the fields below
	items   map[string]*list.Element
	used    *list.List // of *localItem; the last used one is at the front
	size    int
	version uint64
	down    bool
}

type localItem struct {
	item
	key  string
	ends time.Time // zero: never
}

// itemOverhead is what an item takes besides key and value, roughly.
const itemOverhead = 200

func (i *localItem) size() int { return len(i.key) + len(i.value) + itemOverhead }

var _ backend = (*local)(nil)

// locked runs step with mu held, unless ctx has ended or the store is down.
func (l *local) locked(ctx context.Context, step func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return fmt.Errorf("in-process: %w", listener.ErrUnavailable)
	}
	return step()
}

func (l *local) get(ctx context.Context, key string) (it item, err error) {
	err = l.locked(ctx, func() error {
		i := l.findLocked(key)
		if i == nil {
			return listener.ErrNotFound
		}
		it = item{append(make([]byte, 0, len(i.value)), i.value...), i.version}
		return nil
	})
	return it, err
}

func (l *local) set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return l.locked(ctx, func() error {
		l.putLocked(key, value, ttl)
		return nil
	})
}

func (l *local) add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return l.locked(ctx, func() error {
		if l.findLocked(key) != nil {
			return listener.ErrExists
		}
		l.putLocked(key, value, ttl)
		return nil
	})
}

func (l *local) claim(ctx context.Context, key, token string, ttl time.Duration) error {
	return l.add(ctx, key, []byte(token), ttl)
}

func (l *local) remove(ctx context.Context, key string) error {
	return l.locked(ctx, func() error {
		l.deleteLocked(key)
		return nil
	})
}

func (l *local) swap(ctx context.Context, key string, value []byte, version uint64, ttl time.Duration) error {
	return l.locked(ctx, func() error {
		if i := l.findLocked(key); i == nil || i.version != version {
			return listener.ErrConflict
		}
		l.putLocked(key, value, ttl)
		return nil
	})
}

func (l *local) drop(ctx context.Context, key string, version uint64) error {
	return l.locked(ctx, func() error {
		if i := l.findLocked(key); i == nil || i.version != version {
			return listener.ErrConflict
		}
		l.deleteLocked(key)
		return nil
	})
}

func (l *local) incr(ctx context.Context, key string, delta, initial uint64) (sum uint64, err error) {
	err = l.locked(ctx, func() error {
		i := l.findLocked(key)
		if i == nil {
			sum = initial
			l.putLocked(key, strconv.AppendUint(nil, sum, 10), 0)
			return nil
		}
		n, err := strconv.ParseUint(strings.TrimRight(string(i.value), " "), 10, 64)
		if err != nil {
			return listener.ErrNotNumber
		}
		sum = n + delta
		ends := i.ends
		l.putLocked(key, strconv.AppendUint(nil, sum, 10), 0)
		l.findLocked(key).ends = ends // a counter's ttl stays as it is
		return nil
	})
	return sum, err
}

func (l *local) ping(ctx context.Context) error { return l.locked(ctx, func() error { return nil }) }

func (l *local) status() Status { return Status{Kind: "in-process"} }

func (l *local) close() {}

// findLocked returns the item, if it has not ended, and counts that as a use.
func (l *local) findLocked(key string) *localItem {
	e := l.items[key]
	if e == nil {
		return nil
	}
	i := e.Value.(*localItem)
	if !i.ends.IsZero() && !time.Now().Before(i.ends) {
		l.deleteLocked(key)
		return nil
	}
	l.used.MoveToFront(e)
	return i
}

func (l *local) putLocked(key string, value []byte, ttl time.Duration) {
	l.deleteLocked(key)
	l.version++
	i := &localItem{item: item{bytes.Clone(value), l.version}, key: key}
	if ttl > 0 {
		i.ends = time.Now().Add(ttl)
	}
	l.items[key] = l.used.PushFront(i)
	for l.size += i.size(); l.size > l.limit; {
		l.deleteLocked(l.used.Back().Value.(*localItem).key)
	}
}

func (l *local) deleteLocked(key string) {
	if e := l.items[key]; e != nil {
		delete(l.items, key)
		l.size -= l.used.Remove(e).(*localItem).size()
	}
}
