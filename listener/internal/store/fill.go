package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/schema"
)

// What a Fill collects in memory before it writes a part of the indexes: a third of
// what it has written, within bounds. So most of the work is done while entries arrive,
// and no page is written more than a few times.
const (
	fillLeast = 3 << 20
	fillMost  = 32 << 20
	fillBatch = 1 << 20 // written by one transaction
)

// Fill is the first load of the mirror. Entries are appended in order of arrival, and
// rows of the indexes by UUID and by name are collected, sorted and written in large
// parts: random keys one by one would cost more than the entries themselves. Until
// Finish has returned, entries can't be found. A fill that is not finished is void;
// StartFill begins anew.
//
// It is not safe for concurrent use.
type Fill struct {
	store   *Store
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
	return &Fill{store: s}, err
}

// Add appends an entry and numbers it.
func (f *Fill) Add(tx *Tx, r *Record) error {
	tx.counters.ID++
	tx.counters.Entries++
	tx.countersDirty = true
	r.ID = tx.counters.ID
	f.uuids = append(f.uuids, uuidRow{r.UUID, r.ID})
	begin := len(f.keys)
	f.keys = binary.BigEndian.AppendUint64(schema.AppendTreeKey(f.keys, r.DN), r.ID)
	f.names = append(f.names, nameRow{uint32(begin), uint32(len(f.keys))})
	return tx.put(tx.entries, tx.key8(r.ID), tx.encode(r))
}

// Full tells that so much has come together that Write is due, between two
// transactions.
func (f *Fill) Full() bool {
	return len(f.keys)+uuidRowSize*len(f.uuids) >= min(max(f.written/3, fillLeast), fillMost)
}

// Write writes the rows collected so far. Of several entries with one UUID the last
// one stays.
func (f *Fill) Write() error {
	f.written += len(f.keys) + uuidRowSize*len(f.uuids)
	sorted := make(chan struct{})
	go func() { // while the names are written
		defer close(sorted)
		f.sortUUIDs()
	}()
	slices.SortFunc(f.names, func(a, b nameRow) int {
		return bytes.Compare(f.keys[a.begin:a.end], f.keys[b.begin:b.end])
	})
	err := f.inBatches(len(f.names), func(tx *Tx, i int) error {
		return tx.put(tx.tree, f.keys[f.names[i].begin:f.names[i].end], nil)
	})
	<-sorted
	if err != nil {
		return err
	}
	err = f.inBatches(len(f.uuids), func(tx *Tx, i int) error {
		row := &f.uuids[i]
		if f.mayBeKnown(&row.uuid) {
			if earlier, ok := tx.LookupID(row.uuid); ok {
				if err := tx.dropFilled(earlier); err != nil {
					return err
				}
			}
		}
		id := tx.slabs.alloc(8)
		binary.BigEndian.PutUint64(id, row.id)
		return tx.put(tx.uuids, row.uuid[:], id)
	})
	f.keys, f.names, f.uuids = f.keys[:0], f.names[:0], f.uuids[:0]
	return err
}

// mayBeKnown tells whether a row for the UUID may have been written, and notes that it is.
func (f *Fill) mayBeKnown(u *listener.UUID) bool {
	n := binary.BigEndian.Uint32(u[:]) % seenBits
	word, bit := &f.seen[n/64], uint64(1)<<(n%64)
	known := *word&bit != 0
	*word |= bit
	return known
}

// sortUUIDs sorts by UUID and number.
func (f *Fill) sortUUIDs() {
	slices.SortFunc(f.uuids, func(a, b uuidRow) int {
		x, y := binary.BigEndian.Uint64(a.uuid[:]), binary.BigEndian.Uint64(b.uuid[:])
		if x != y { // nearly always
			return cmp.Compare(x, y)
		}
		return cmp.Or(bytes.Compare(a.uuid[:], b.uuid[:]), cmp.Compare(a.id, b.id))
	})
}

// Finish writes what is left. The mirror is an ordinary one then.
func (f *Fill) Finish() error {
	err := f.Write()
	f.keys, f.names, f.uuids = nil, nil, nil
	return err
}

func (f *Fill) inBatches(n int, do func(tx *Tx, i int) error) error {
	for i := 0; i < n; {
		err := f.store.Update(func(tx *Tx) error {
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
