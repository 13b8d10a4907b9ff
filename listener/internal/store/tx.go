package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/listenerd/listenerd/listener/internal/fault"
)

// Tx is a transaction: the operations of an Update, or the reading half of them in
// a View. It is not safe for concurrent use.
type Tx struct {
	edge  fault.Edge // first: at the end of a struct it would take memory
	b     *bbolt.Tx
	slabs *slabs
	size  int // bytes written so far, about

	known  *knowledge // of the schema in force
	learnt *knowledge // in force from the commit on; nil: the same

	meta, entries, uuids, tree, members, outbox, pending, versions, renames, modules *bbolt.Bucket
	held, heldUUIDs, heldNames, fetches                                              *bbolt.Bucket
	definitions                                                                      *bbolt.Bucket
	backlog, walkKeys, parked, blocks, failures, due, marks, retired                 *bbolt.Bucket

	member *bbolt.Cursor // of members; nil: none yet

	counters      Counters
	countersDirty bool
	walkRows      [][20]byte // of walkKeys, yet to be written
	key           [32]byte   // scratch for keys that bbolt copies or only reads
}

// Counters are the numbers that move with every change.
type Counters struct {
	Seq     uint64 // of the last change
	ID      uint64 // of the last new entry
	Entries uint64 // in the mirror
}

func newTx(b *bbolt.Tx, known *knowledge) *Tx {
	tx := &Tx{
		b: b, known: known, definitions: b.Bucket(bucketSchema), meta: b.Bucket(bucketMeta), entries: b.Bucket(bucketEntries), uuids: b.Bucket(bucketUUIDs),
		tree: b.Bucket(bucketTree), members: b.Bucket(bucketMembers), outbox: b.Bucket(bucketOutbox),
		pending: b.Bucket(bucketPending), versions: b.Bucket(bucketVersions), held: b.Bucket(bucketHeld),
		heldUUIDs: b.Bucket(bucketHeldUUIDs), heldNames: b.Bucket(bucketHeldNames), fetches: b.Bucket(bucketFetches),
		renames: b.Bucket(bucketRenames), modules: b.Bucket(bucketModules),
		backlog: b.Bucket(bucketBacklog), walkKeys: b.Bucket(bucketWalkKeys), parked: b.Bucket(bucketParked), blocks: b.Bucket(bucketBlocks), failures: b.Bucket(bucketFailures),
		due: b.Bucket(bucketDue), marks: b.Bucket(bucketMarks), retired: b.Bucket(bucketRetired),
	}
	tx.entries.FillPercent = 0.95 // keys are appended
	tx.outbox.FillPercent = 0.95
	tx.backlog.FillPercent = 0.95
	if raw := tx.meta.Get([]byte("counters")); len(raw) == 24 {
		tx.counters = Counters{binary.BigEndian.Uint64(raw), binary.BigEndian.Uint64(raw[8:]), binary.BigEndian.Uint64(raw[16:])}
	}
	return tx
}

// Size returns about how many bytes the transaction has written: what its caller
// bounds, because bbolt holds all of it in memory until the commit.
func (tx *Tx) Size() int { return tx.size }

// Commits names what the transaction does, for tests that end the daemon before or after
// its commit; see package fault. A transaction may have several names, and one that
// writes has at least one.
func (tx *Tx) Commits(what string) { tx.edge.Commits(what) }

// Counters returns the counters as this transaction sees them.
func (tx *Tx) Counters() Counters { return tx.counters }

// NextSeq returns the number for the next change.
func (tx *Tx) NextSeq() uint64 {
	tx.counters.Seq++
	tx.countersDirty = true
	return tx.counters.Seq
}

func (tx *Tx) finish() error {
	if err := tx.writeWalkRows(); err != nil {
		return err
	}
	if !tx.countersDirty {
		return nil
	}
	b := make([]byte, 0, 24)
	b = binary.BigEndian.AppendUint64(b, tx.counters.Seq)
	b = binary.BigEndian.AppendUint64(b, tx.counters.ID)
	b = binary.BigEndian.AppendUint64(b, tx.counters.Entries)
	return tx.meta.Put([]byte("counters"), b)
}

func (tx *Tx) put(bucket *bbolt.Bucket, key, value []byte) error {
	tx.size += len(key) + len(value) + 16
	return bucket.Put(key, value)
}

func (tx *Tx) del(bucket *bbolt.Bucket, key []byte) error {
	tx.size += len(key) + 16
	return bucket.Delete(key)
}

// Sync is what the mirror knows of its provider.
type Sync struct {
	// Cookie is what the next session resumes from; nil: a full load.
	Cookie []byte `json:"cookie,omitempty"`
	// Fingerprint names the search that the cookie belongs to.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Filled is set at the end of the first refresh: before it the mirror is
	// incomplete and no module is told of anything.
	Filled bool `json:"filled,omitempty"`
	// URI is the provider of the last session.
	URI string `json:"uri,omitempty"`
	// LoadedAt is when the last full load was complete: a refresh without a cookie.
	LoadedAt time.Time `json:"loaded_at,omitzero"`
}

// Sync returns the stored state of the synchronization.
func (tx *Tx) Sync() (Sync, error) {
	var s Sync
	if raw := tx.meta.Get([]byte("sync")); raw != nil {
		if err := json.Unmarshal(raw, &s); err != nil {
			return s, fmt.Errorf("%w: sync state: %w", ErrUnusable, err)
		}
	}
	return s, nil
}

// SetSync stores the state of the synchronization.
func (tx *Tx) SetSync(s Sync) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return tx.put(tx.meta, []byte("sync"), raw)
}
