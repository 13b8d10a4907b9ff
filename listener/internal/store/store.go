// Package store keeps the daemon's state in one bbolt file: the mirror of the
// synced entries, the tree of their names, which module knows which entry, the
// outbox of calls owed to the modules, and the cookie to resume from.
//
// # Layout
//
//	meta      name                     format version, cookie, fingerprint, counters
//	entries   id                       the entry's current record
//	uuids     sync UUID                id
//	tree      tree key, id             (nothing): entries by name, parents first
//	members   module, id               (nothing): the module was told of the entry
//	outbox    module, seq              a task: one call owed to one module
//	backlog   module, seq              a task that a walk added
//	walkKeys  module, key hash, seq    (nothing): the backlog by what orders it
//	parked    module, seq              a task that failed, or that waits for one
//	blocks    module, key hash, seq    (nothing): parked tasks by what orders them
//	failures  module, seq              why and when a task failed (JSON)
//	due       module, time, seq        (nothing): when a parked task may run
//	marks     module                   how far tasks may have been handed out
//	pending   id, module, seq          (nothing): the tasks of one entry
//	versions  id, seq                  a superseded record that a task still refers to
//	held      n                        an entry that waits for the end of the refresh
//	heldUUIDs sync UUID                n
//	heldNames tree key, n              (nothing)
//	fetches   sync UUID                (nothing): an entry that came with a subtree yet to be read
//	renames   n                        a renamed container and the descendants that must follow
//	modules   instance name            the module's state (JSON)
//	schema    "definitions"            the provider's schema (JSON)
//	retired   module                   (nothing): what is kept under this number is to be removed
//
// id numbers the entries in order of arrival: sequential keys keep bbolt fast, and
// sets of entries are bitmaps. Numbers are big-endian. seq numbers the changes; the
// seq of the change that wrote a record names this version of the entry. A task
// refers to its old and new entry by version, so that one change costs one copy of
// the entry however many modules are told of it, and a walk costs none.
//
// Keys of names do not depend on the schema (schema.TreeKey), so they stay what they are
// when it changes. Names that it tells apart may share a key; a transaction looks at the
// entries' names then.
//
// # Concurrency
//
// Any number of View transactions run beside one Update. View transactions must be
// short (well below 100 ms): an open one makes the writer wait when the file grows.
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/listenerd/listenerd/listener/internal/fault"
)

// FileName is the name of the database inside the state directory.
const FileName = "listenerd.db"

// formatVersion is written into every new file. A file of another version is
// refused.
const formatVersion = 2

// initialMmap is the address space reserved for the file, so that the writer need
// not remap while transactions are open. It costs no memory.
const initialMmap = 64 << 30

// ErrLocked is returned by Open when another process uses the state directory.
var ErrLocked = errors.New("state directory is in use by another listenerd")

// ErrUnusable is returned by Open when the file is damaged, or is not a state file
// of this version. It is never overwritten.
var ErrUnusable = errors.New("state file is unusable")

// Store is an open state file.
type Store struct {
	db    *bbolt.DB
	slabs slabs // memory of the running Update
	fill  *Fill // the last one

	known atomic.Pointer[knowledge] // of the schema that is stored, else of the built-in one
}

var (
	bucketMeta      = []byte("meta")
	bucketEntries   = []byte("entries")
	bucketUUIDs     = []byte("uuids")
	bucketTree      = []byte("tree")
	bucketMembers   = []byte("members")
	bucketOutbox    = []byte("outbox")
	bucketPending   = []byte("pending")
	bucketVersions  = []byte("versions")
	bucketHeld      = []byte("held")
	bucketHeldUUIDs = []byte("heldUUIDs")
	bucketHeldNames = []byte("heldNames")
	bucketRenames   = []byte("renames")
	bucketFetches   = []byte("fetches")
	bucketModules   = []byte("modules")
	bucketBacklog   = []byte("backlog")
	bucketWalkKeys  = []byte("walkKeys")
	bucketParked    = []byte("parked")
	bucketBlocks    = []byte("blocks")
	bucketFailures  = []byte("failures")
	bucketDue       = []byte("due")
	bucketMarks     = []byte("marks")
	bucketSchema    = []byte("schema")
	bucketRetired   = []byte("retired")

	allBuckets = [][]byte{
		bucketMeta, bucketEntries, bucketUUIDs, bucketTree, bucketMembers, bucketOutbox,
		bucketBacklog, bucketWalkKeys, bucketParked, bucketBlocks, bucketFailures, bucketDue, bucketMarks,
		bucketPending, bucketVersions, bucketHeld, bucketHeldUUIDs, bucketHeldNames, bucketFetches, bucketRenames, bucketModules, bucketSchema, bucketRetired,
	}
)

// Open opens the state file in dir, creating both if they are missing: the
// directory with mode 0700, the file with 0600.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create state directory: %w", err)
	}
	path := filepath.Join(dir, FileName)
	db, err := open(path)
	_, system := errors.AsType[*fs.PathError](err)
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, fmt.Errorf("%w: %s is locked; stop that daemon, or give this one a state_dir of its own", ErrLocked, path)
	case system: // no right, a file system that is full or read-only: the file may be good
		return nil, fmt.Errorf("open state file: %w", err)
	case err != nil:
		return nil, fmt.Errorf("%w: %s: %w; restore it from a backup, or move it away to start with an empty mirror", ErrUnusable, path, err)
	}
	s := &Store{db: db}
	if err = s.prepare(path); err == nil {
		err = s.loadSchema()
	}
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return s, nil
}

// open opens the database. bbolt looks at all its pages, and the process dies if one is
// missing, so that is found out before. Of one that is damaged bbolt panics; its goroutines
// go on then, so that nobody can make an error of it.
func open(path string) (*bbolt.DB, error) {
	err := checkWhole(path)
	if errors.Is(err, errBegun) {
		err = beginAnew(path)
	}
	if err != nil {
		return nil, err
	}
	return bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:         time.Second,
		NoFreelistSync:  true, // with it synced a large freelist costs every commit 22 ms
		FreelistType:    bbolt.FreelistMapType,
		PageSize:        16 << 10, // for a new file: entries of a usual size fill it, and fewer pages are written
		InitialMmapSize: initialMmap,
	})
}

// OpenExisting opens the state file in dir if there is one. The error is fs.ErrNotExist
// when there is none.
func OpenExisting(dir string) (*Store, error) {
	if _, err := os.Stat(filepath.Join(dir, FileName)); err != nil {
		return nil, fmt.Errorf("state file: %w", err)
	}
	return Open(dir)
}

func (s *Store) prepare(path string) error {
	complete, fresh := true, false
	err := s.db.View(func(b *bbolt.Tx) error {
		meta := b.Bucket(bucketMeta)
		if meta == nil {
			name, _ := b.Cursor().First()
			if name != nil {
				return fmt.Errorf("%w: %s was not written by listenerd", ErrUnusable, path)
			}
			fresh = true
			return nil
		}
		if v := string(meta.Get([]byte("format"))); v != strconv.Itoa(formatVersion) {
			return fmt.Errorf("%w: %s has format version %q, this listenerd reads %d", ErrUnusable, path, v, formatVersion)
		}
		for _, name := range allBuckets {
			complete = complete && b.Bucket(name) != nil
		}
		return nil
	})
	if err != nil || complete && !fresh {
		return err
	}
	var edge fault.Edge
	edge.Commits("format")
	err = s.db.Update(func(b *bbolt.Tx) error {
		for _, name := range allBuckets { // an older file lacks those that came later
			if _, err := b.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		err := b.Bucket(bucketMeta).Put([]byte("format"), []byte(strconv.Itoa(formatVersion)))
		edge.Before()
		return err
	})
	if err != nil {
		return fmt.Errorf("prepare state file: %w", err)
	}
	edge.After()
	return nil
}

// Close gives up a fill that is not finished, waits for open transactions and closes the
// file.
func (s *Store) Close() error {
	s.fill.stop()
	s.fill = nil
	return s.db.Close()
}

// Path returns the file's path.
func (s *Store) Path() string { return s.db.Path() }

// Check verifies the file's structure, and that tasks and their indexes agree, and
// returns the first inconsistency.
func (s *Store) Check() error {
	return s.db.View(func(b *bbolt.Tx) error {
		var first error
		for err := range b.Check() {
			if first == nil {
				first = err
			}
		}
		if first != nil {
			return first
		}
		return newTx(b, s.known.Load()).checkTasks()
	})
}

// errUnchanged rolls back a transaction that wrote nothing, which saves its commit.
var errUnchanged = errors.New("nothing written")

// Update runs fn in a transaction and returns when it is durable. On an error
// nothing of it is kept; that of fn is returned as it is. Updates run one at a time. One
// that writes nothing costs no disk access.
func (s *Store) Update(fn func(*Tx) error) error {
	var tx *Tx
	var refused error
	err := s.db.Update(func(b *bbolt.Tx) error {
		s.slabs.reset()
		tx = newTx(b, s.known.Load())
		tx.slabs = &s.slabs
		if refused = fn(tx); refused != nil {
			return refused
		}
		if tx.size == 0 {
			return errUnchanged
		}
		err := tx.finish()
		tx.edge.Before()
		return err
	})
	switch {
	case refused != nil:
		return refused
	case errors.Is(err, errUnchanged):
		return nil
	case err != nil:
		return fmt.Errorf("state file: %w", err)
	}
	tx.edge.After()
	if tx.learnt != nil {
		s.known.Store(tx.learnt)
	}
	return nil
}

// View runs fn in a read transaction. Records and bytes that it reads are valid
// until fn returns.
func (s *Store) View(fn func(*Tx) error) error {
	return s.db.View(func(b *bbolt.Tx) error { return fn(newTx(b, s.known.Load())) })
}

// slabs hands out memory that lives until the end of an Update: bbolt keeps the
// values it is given until the commit.
type slabs struct {
	free, used [][]byte
	current    []byte
}

const slabSize = 1 << 20

func (s *slabs) reset() {
	s.free = append(s.free, s.used...)
	s.used = s.used[:0]
	s.current = nil
}

func (s *slabs) alloc(n int) []byte {
	if n > slabSize/4 {
		return make([]byte, n)
	}
	if n > len(s.current) {
		if last := len(s.free) - 1; last >= 0 {
			s.current, s.free = s.free[last], s.free[:last]
		} else {
			s.current = make([]byte, slabSize)
		}
		s.used = append(s.used, s.current)
	}
	b := s.current[:n:n]
	s.current = s.current[n:]
	return b
}

func key64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
