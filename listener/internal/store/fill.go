package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/schema"
)

// How much of the indexes comes together in memory before a part of them is written. The
// first part is small: bbolt splits a leaf at the commit only, and one leaf that takes a
// large part alone is copied again and again as it grows. It spreads over the leaves that
// are there. Later parts are as large as what was written before, so that no page is
// written more than a few times.
const (
	fillLeast = 512 << 10
	fillMost  = 32 << 20
	fillBatch = 1 << 20 // written by one transaction
)

// Entries pass to the goroutine that writes them in chunks, each written by one
// transaction.
const (
	fillChunks    = 6
	fillChunkSize = 1 << 20
)

// Fill is the first load of the mirror. Entries are appended in order of arrival, and
// rows of the indexes by UUID and by name are collected, sorted and written in large
// parts: random keys one by one would cost more than the entries themselves. A goroutine
// writes while further entries are added. Until Finish has returned, entries can't be
// found. A fill that is not finished is void; StartFill begins anew.
//
// It is not safe for concurrent use.
type Fill struct {
	chunk *fillChunk // of what was added last
	empty chan *fillChunk
	full  chan *fillChunk // closed by Finish
	quit  chan struct{}   // closed by stop
	ended chan struct{}   // closed when nothing more is written
	err   error           // of the writer; to be read when it has ended
}

// fillChunk holds entries that were added.
type fillChunk struct {
	entries []fillEntry
	rows    []byte // of the entries, one after the other
	keys    []byte // tree keys, likewise
}

type fillEntry struct {
	uuid     listener.UUID
	row, key int // their ends
}

// fillWriter writes to the store what a Fill was given.
type fillWriter struct {
	store   *Store
	quit    <-chan struct{}
	uuids   []uuidRow
	keys    []byte // tree keys, one after the other
	names   []nameRow
	written int // bytes of both indexes
	seen    [seenBits / 64]uint64
}

// seenBits is how many bits tell that a UUID has not come yet: of a million, three in
// a hundred are looked up in vain.
const seenBits = 1 << 25

type uuidRow struct {
	uuid listener.UUID
	id   uint64
}

// nameRow is the place of a tree key in keys.
type nameRow struct{ begin, end uint32 }

const uuidRowSize = 16 + 8 + 16

// StartFill empties the mirror for a first load. There must be no tasks and no
// members.
func (s *Store) StartFill() (*Fill, error) {
	s.fill.stop()
	s.fill = nil
	err := s.Update(func(tx *Tx) error {
		tx.Commits("begin-fill")
		tx.size++
		tx.counters.ID, tx.counters.Entries = 0, 0
		tx.countersDirty = true
		for _, name := range [][]byte{bucketEntries, bucketUUIDs, bucketTree} {
			if err := tx.b.DeleteBucket(name); err != nil {
				return err
			}
			if _, err := tx.b.CreateBucket(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	f := &Fill{
		chunk: new(fillChunk), empty: make(chan *fillChunk, fillChunks), full: make(chan *fillChunk, fillChunks),
		quit: make(chan struct{}), ended: make(chan struct{}),
	}
	for range fillChunks - 1 {
		f.empty <- new(fillChunk)
	}
	f.chunk.clear()
	s.fill = f
	go func() {
		defer close(f.ended)
		w := &fillWriter{store: s, quit: f.quit}
		f.err = w.run(f.full, f.empty)
	}()
	return f, nil
}

// stop ends a fill that may not be finished.
func (f *Fill) stop() {
	if f != nil {
		close(f.quit)
		<-f.ended
	}
}

// Add appends an entry, and copies what it needs of it. It waits while all chunks are to
// be written. The error may be that of an earlier entry, and nothing can be added then.
func (f *Fill) Add(r *Record) error {
	c := f.chunk
	if c == nil {
		return errFillEnded
	}
	if n := len(c.rows); n > 0 && n+rowSize(r) > fillChunkSize {
		select {
		case f.full <- c:
		case <-f.ended:
			return f.err
		}
		select {
		case c = <-f.empty:
		case <-f.ended:
			return f.err
		}
		c.clear()
		f.chunk = c
	}
	c.rows = appendRow(c.rows, r)
	c.keys = schema.AppendTreeKey(c.keys, r.DN)
	c.entries = append(c.entries, fillEntry{r.UUID, len(c.rows), len(c.keys)})
	return nil
}

// clear empties the chunk, and gives back what a large entry took.
func (c *fillChunk) clear() {
	if cap(c.rows) > 2*fillChunkSize {
		c.rows = nil
	}
	if c.rows == nil {
		c.rows = make([]byte, 0, fillChunkSize)
	}
	c.entries, c.rows, c.keys = c.entries[:0], c.rows[:0], c.keys[:0]
}

// Finish writes what is left. The mirror is an ordinary one then. Further calls return
// the same.
func (f *Fill) Finish() error {
	if f.chunk == nil {
		return f.err
	}
	select {
	case f.full <- f.chunk:
		close(f.full)
	case <-f.ended:
	}
	<-f.ended
	f.chunk, f.empty = nil, nil // a lot of memory
	return f.err
}

var (
	errFillStopped = errors.New("the first load of the mirror was given up")
	errFillEnded   = errors.New("the first load of the mirror has ended")
)

func (w *fillWriter) run(full <-chan *fillChunk, empty chan<- *fillChunk) error {
	for {
		select {
		case <-w.quit:
			return errFillStopped
		case c, more := <-full:
			if !more {
				return w.writeIndexes()
			}
			if err := w.write(c); err != nil {
				return err
			}
			empty <- c
			n := len(w.keys) + uuidRowSize*len(w.uuids)
			if n >= fillMost || n >= max(w.written, fillLeast) && len(full) == 0 { // entries come first
				if err := w.writeIndexes(); err != nil {
					return err
				}
			}
		}
	}
}

// write appends the chunk's entries and numbers them.
func (w *fillWriter) write(c *fillChunk) error {
	return w.store.Update(func(tx *Tx) error {
		tx.Commits("fill")
		row, key := 0, 0
		for i := range c.entries {
			e := &c.entries[i]
			tx.counters.ID++
			tx.counters.Entries++
			id := tx.counters.ID
			raw := c.rows[row:e.row]
			binary.BigEndian.PutUint64(raw, tx.NextSeq()) // no module has come to it: its walk is to begin
			if err := tx.put(tx.entries, tx.key8(id), raw); err != nil {
				return err
			}
			w.uuids = append(w.uuids, uuidRow{e.uuid, id})
			begin := len(w.keys)
			w.keys = binary.BigEndian.AppendUint64(append(w.keys, c.keys[key:e.key]...), id)
			w.names = append(w.names, nameRow{uint32(begin), uint32(len(w.keys))})
			row, key = e.row, e.key
		}
		return nil
	})
}

// writeIndexes writes the rows collected so far. Of several entries with one UUID the
// last one stays.
func (w *fillWriter) writeIndexes() error {
	w.written += len(w.keys) + uuidRowSize*len(w.uuids)
	sorted := make(chan struct{})
	go func() { // while the UUIDs are written
		defer close(sorted)
		slices.SortFunc(w.names, func(a, b nameRow) int {
			return bytes.Compare(w.keys[a.begin:a.end], w.keys[b.begin:b.end])
		})
	}()
	w.sortUUIDs()
	dropped := map[uint64]bool{}
	err := w.inBatches(len(w.uuids), func(tx *Tx, i int) error {
		row := &w.uuids[i]
		if w.mayBeKnown(&row.uuid) {
			if earlier, ok := tx.LookupID(row.uuid); ok {
				dropped[earlier] = true
				if err := tx.dropFilled(earlier); err != nil {
					return err
				}
			}
		}
		id := tx.slabs.alloc(8)
		binary.BigEndian.PutUint64(id, row.id)
		return tx.put(tx.uuids, row.uuid[:], id)
	})
	<-sorted
	if err != nil {
		return err
	}
	err = w.inBatches(len(w.names), func(tx *Tx, i int) error {
		key := w.keys[w.names[i].begin:w.names[i].end]
		if len(dropped) > 0 && dropped[binary.BigEndian.Uint64(key[len(key)-8:])] {
			return nil
		}
		return tx.put(tx.tree, key, nil)
	})
	w.keys, w.names, w.uuids = w.keys[:0], w.names[:0], w.uuids[:0]
	return err
}

// mayBeKnown tells whether a row for the UUID may have been written, and notes that it is.
func (w *fillWriter) mayBeKnown(u *listener.UUID) bool {
	n := binary.BigEndian.Uint32(u[:]) % seenBits
	word, bit := &w.seen[n/64], uint64(1)<<(n%64)
	known := *word&bit != 0
	*word |= bit
	return known
}

// sortUUIDs sorts by UUID and number.
func (w *fillWriter) sortUUIDs() {
	slices.SortFunc(w.uuids, func(a, b uuidRow) int {
		x, y := binary.BigEndian.Uint64(a.uuid[:]), binary.BigEndian.Uint64(b.uuid[:])
		if x != y { // nearly always
			return cmp.Compare(x, y)
		}
		return cmp.Or(bytes.Compare(a.uuid[:], b.uuid[:]), cmp.Compare(a.id, b.id))
	})
}

func (w *fillWriter) inBatches(n int, do func(tx *Tx, i int) error) error {
	for i := 0; i < n; {
		select {
		case <-w.quit:
			return errFillStopped
		default:
		}
		err := w.store.Update(func(tx *Tx) error {
			tx.Commits("index")
			tx.tree.FillPercent, tx.uuids.FillPercent = 0.9, 0.9 // keys come sorted
			for ; i < n && tx.Size() < fillBatch; i++ {
				if err := do(tx, i); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dropFilled removes an entry and its name.
func (tx *Tx) dropFilled(id uint64) error {
	r, err := tx.Get(id)
	if err != nil || r == nil {
		return err
	}
	tx.counters.Entries--
	tx.countersDirty = true
	if err := tx.del(tx.tree, treeKey(r)); err != nil {
		return err
	}
	return tx.del(tx.entries, tx.key8(id))
}
