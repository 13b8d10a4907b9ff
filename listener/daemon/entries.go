package daemon

import (
	"errors"
	"iter"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// ErrNotRunning is returned by [Daemon.Entries] before and after [Daemon.Run].
var ErrNotRunning = errors.New("the daemon is not running")

// What is read from the mirror in one go: the state file cannot shrink meanwhile, and
// writers may have to wait.
const (
	entriesAtOnce = 256
	bytesAtOnce   = 1 << 20
)

// Entries returns the entries of the mirror with all their attributes, parents before
// their children, as long as [Daemon.Run] runs. An error ends the sequence.
//
// It is safe for concurrent use, and takes as long as it likes: entries are read a few
// at a time, and those handed out are the caller's. What changes meanwhile is seen or
// not; an entry that is moved meanwhile may come twice, or not at all. Before the first
// refresh is done, the mirror is not complete. Within Options.RefreshDone it is, and
// nothing changes.
func (d *Daemon) Entries() iter.Seq2[*listener.Entry, error] {
	return func(yield func(*listener.Entry, error) bool) {
		for pos, more := []byte(nil), true; more; {
			s := d.mirror.Load()
			if s == nil {
				yield(nil, ErrNotRunning)
				return
			}
			var entries []*listener.Entry
			var err error
			if entries, pos, err = readEntries(s, pos); err != nil {
				if d.mirror.Load() == nil {
					err = ErrNotRunning // it was closed under our feet
				}
				yield(nil, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			more = len(entries) > 0
		}
	}
}

// readEntries returns some entries from the position after on, and that of the last.
func readEntries(s *store.Store, after []byte) (entries []*listener.Entry, last []byte, err error) {
	size := 0
	err = s.View(func(tx *store.Tx) error {
		return tx.Walk(after, func(pos []byte, id uint64) (bool, error) {
			record, err := tx.Get(id)
			if err != nil || record == nil {
				return err == nil, err
			}
			e, err := record.Entry()
			if err != nil {
				return false, err
			}
			entries, last = append(entries, e), append(last[:0], pos...)
			size += len(record.DN) + len(record.Attrs)
			return len(entries) < entriesAtOnce && size < bytesAtOnce, nil
		})
	})
	return entries, last, err
}
