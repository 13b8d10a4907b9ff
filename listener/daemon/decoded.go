package daemon

import (
	"sync"

	"github.com/listenerd/listenerd/listener"
)

// decoded keeps the entries of the last changes that were read, so that each is decoded
// once and not for each module that hears of it. They are immutable. The zero value keeps
// none; it is safe for concurrent use.
type decoded struct {
	mu      sync.Mutex // guards what follows
	entries map[version]*decodedEntry
	order   []version // oldest first
	size    int
}

// maxDecoded is about how many bytes are kept.
const maxDecoded = 4 << 20

// version names one state of an entry: its number and the seq of the change that wrote
// it, and the names that its attributes have.
type version struct {
	id, seq uint64
	names   *listener.AttributeNames
}

type decodedEntry struct {
	entry *listener.Entry
	key   string // of its name
	size  int
}

func (d *decoded) get(v version) *decodedEntry {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.entries[v]
}

func (d *decoded) put(v version, e *decodedEntry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.entries == nil {
		d.entries = map[version]*decodedEntry{}
	}
	if d.entries[v] != nil {
		return
	}
	d.entries[v] = e
	d.order = append(d.order, v)
	for d.size += e.size; d.size > maxDecoded; d.order = d.order[1:] {
		d.size -= d.entries[d.order[0]].size
		delete(d.entries, d.order[0])
	}
}
