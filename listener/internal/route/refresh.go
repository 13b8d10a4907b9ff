package route

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"unsafe"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// chunk is how many entries are looked at in one read transaction.
const chunk = 10_000

// refresh is what a running refresh has to remember. It is void when the session
// ends before the refresh does.
type refresh struct {
	filled    bool        // the mirror was filled before
	full      bool        // it began without a cookie
	fill      *store.Fill // while it is filled for the first time
	loaded    uint64      // entries added to fill since the last Flush
	mentioned bitset      // what the provider said is there
	placed    bitset      // whose name the provider told in this refresh
	doomed    bitset      // what it said is gone

	moved     map[listener.UUID]bool // came with a subtree that could not be read: it has moved on
	settling  bool                   // all is reported, and what was held back is written
	followers map[uint64][]uint64    // of containers that were held back
}

// entry writes an entry that was added or modified. In a refresh, one that takes a name
// is held back.
func (r *Router) entry(tx *store.Tx, e *syncrepl.Entry) (next after, err error) {
	new := tx.NewRecord(listener.UUID(e.UUID), text(e.DN), text(e.Attributes))
	old, err := tx.Lookup(new.UUID)
	if err != nil {
		return nil, err
	}
	if f := r.refresh; f != nil {
		if old != nil {
			f.mentioned.add(old.ID)
			f.placed.add(old.ID)
			f.doomed.remove(old.ID)
		}
		if f.filled && (old == nil || old.DN != new.DN) {
			if held, err := tx.Held(tx.HeldUUID(new.UUID)); err != nil || held != nil && held.DN == new.DN && held.Attrs == new.Attrs {
				return nil, err
			}
			tx.Commits("hold")
			return nil, tx.Hold(new)
		}
		if err := tx.Unhold(new.UUID); err != nil {
			return nil, err
		}
	}
	if old == nil || old.DN != new.DN {
		if r.guard.blocks(tx, new, r.Base) {
			return nil, nil
		}
		if err := r.checkParent(tx, new); err != nil {
			return nil, err
		}
	}
	return r.apply(tx, old, new)
}

// text returns b as a string without copying; it lives as long as b does.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// apply writes an entry's new state if it differs from the old one.
func (r *Router) apply(tx *store.Tx, old, new *store.Record) (next after, err error) {
	if old == nil {
		return r.arrive(tx, new)
	}
	new.ID = old.ID
	if old.DN == new.DN && old.Attrs == new.Attrs {
		return nil, nil
	}
	before, err := old.View()
	if err != nil {
		return nil, err
	}
	now, err := new.View()
	if err != nil {
		return nil, err
	}
	switch {
	case r.outdated(before, now):
		return nil, nil
	case old.DN != new.DN:
		return r.move(tx, old, new)
	case sameAttributes(before, now):
		return nil, nil
	}
	return nil, r.change(tx, old, new)
}

// arrive writes a new entry. If it came with a subtree, that is to be read.
func (r *Router) arrive(tx *store.Tx, new *store.Record) (next after, err error) {
	if err := r.change(tx, nil, new); err != nil {
		return nil, err
	}
	if f := r.refresh; f != nil { // its subtree is part of the refresh
		f.mentioned.add(new.ID)
		f.placed.add(new.ID)
		if f.moved[new.UUID] {
			return nil, tx.AddFetch(new.UUID) // what is reported next says where it is
		}
		return nil, nil
	}
	e, err := new.View()
	if err != nil || !cameWithSubtree(e) {
		return nil, err
	}
	tx.Commits("subtree")
	return r.fetch, tx.AddFetch(new.UUID)
}

// outdated tells whether the provider's state of an entry is older than the mirrored
// one: a provider that lags behind told it. Only a full load may take an entry back.
func (r *Router) outdated(before, now *listener.Entry) bool {
	if r.refresh != nil && r.refresh.full {
		return false
	}
	a, b := before.Get(attrEntryCSN), now.Get(attrEntryCSN)
	return len(a) == len(b) && b < a // the form makes them comparable as strings
}

// Attributes are the operational attributes that routing goes by: where they are missing,
// it does without.
var Attributes = []string{attrEntryCSN, attrHasSubordinates, attrNumSubordinates}

// Operational attributes: of OpenLDAP, X.501, 389 DS, RFC 5020, 389 DS.
const (
	attrEntryCSN        = "entryCSN"
	attrHasSubordinates = "hasSubordinates"
	attrNumSubordinates = "numSubordinates"
	attrEntryDN         = "entryDN"
	attrDSEntryDN       = "dsEntryDN"
)

// sameAttributes compares all attributes, operational ones too, as sets of values. One
// that the provider calls by another name is another.
func sameAttributes(a, b *listener.Entry) bool {
	if a.Len() != b.Len() {
		return false
	}
	a, b = a.WithNames(nil), b.WithNames(nil)
	names := make([]string, 0, a.Len()+b.Len())
	for name := range a.All() {
		names = append(names, name)
	}
	for name := range b.All() {
		names = append(names, name)
	}
	return !listener.Changed(a, b, names...)
}

func (r *Router) present(tx *store.Tx, ids []listener.UUID) {
	f := r.refresh
	if f == nil {
		return // the consumer reports none outside a refresh
	}
	for _, u := range ids {
		if id, ok := tx.LookupID(u); ok {
			f.mentioned.add(id)
			f.doomed.remove(id)
		}
	}
}

// delete removes entries; in a refresh it only notes that they are gone.
func (r *Router) delete(tx *store.Tx, ids []listener.UUID) (next after, err error) {
	var containers []uint64
	for _, u := range ids {
		if f := r.refresh; f != nil {
			if err := tx.Unhold(u); err != nil {
				return nil, err
			}
			if id, ok := tx.LookupID(u); ok {
				f.doomed.add(id)
				f.mentioned.remove(id)
				f.placed.remove(id)
			}
			continue
		}
		record, err := tx.Lookup(u)
		if err != nil {
			return nil, err
		}
		switch {
		case record == nil:
		case tx.HasBelow(record.DN):
			// It left the searched content with all that is below it.
			containers = append(containers, record.ID)
		default:
			if err := r.change(tx, record, nil); err != nil {
				return nil, err
			}
		}
	}
	if len(containers) == 0 {
		return nil, nil
	}
	return func(ctx context.Context) error { return r.removeSubtrees(ctx, containers) }, nil
}

// removeSubtrees removes containers that have gone live. If the provider has some of
// their descendants still, the mirror has them at the wrong place, and a refresh has to
// put that right.
func (r *Router) removeSubtrees(ctx context.Context, containers []uint64) error {
	victims, err := r.victims(containers)
	if err != nil {
		return err
	}
	if r.provider != nil {
		there, err := r.contradictions(ctx, victims)
		if err != nil {
			return err
		}
		if len(there) > 0 {
			return fmt.Errorf("%w: entries are there below one that is gone", syncrepl.ErrRepeat)
		}
	}
	return r.removeAll(victims)
}

// sweep dooms what was not mentioned.
func (r *Router) sweep(context.Context) error {
	f := r.refresh
	if !f.filled {
		return nil // all there is came in this session
	}
	for pos := []byte(nil); ; {
		n := 0
		err := r.store.View(func(tx *store.Tx) error {
			return tx.Walk(pos, func(at []byte, id uint64) (bool, error) {
				if !f.mentioned.has(id) {
					f.doomed.add(id)
				}
				if n++; n == chunk {
					pos = bytes.Clone(at)
				}
				return n < chunk, nil
			})
		})
		if err != nil || n < chunk {
			return err
		}
	}
}

// victim is an entry to be removed, with its place in the tree.
type victim struct {
	id  uint64
	pos []byte
}

// victims returns the entries and all that is below them, children first. In a refresh,
// what the provider mentioned stays.
func (r *Router) victims(ids []uint64) ([]victim, error) {
	var victims []victim
	seen := bitset{}
	spared := func(id uint64) bool { return r.refresh != nil && r.refresh.mentioned.has(id) }
	for part := range slices.Chunk(ids, chunk) {
		err := r.store.View(func(tx *store.Tx) error {
			for _, id := range part {
				record, err := tx.Get(id)
				if err != nil {
					return err
				}
				if record == nil || seen.has(id) {
					continue
				}
				seen.add(id)
				victims = append(victims, victim{id, store.Position(record)})
				if len(tx.At(record.DN)) > 1 {
					continue // who the descendants belong to is open
				}
				err = descend(tx, record.DN, spared, func(id uint64) error {
					if seen.has(id) {
						return nil
					}
					record, err := tx.Get(id)
					if err == nil {
						seen.add(id)
						victims = append(victims, victim{id, store.Position(record)})
					}
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(victims, func(a, b victim) int { return bytes.Compare(b.pos, a.pos) })
	return victims, nil
}

// remove deletes the entries and all that is below them; see victims.
func (r *Router) remove(ids []uint64) error {
	victims, err := r.victims(ids)
	if err != nil {
		return err
	}
	return r.removeAll(victims)
}

func (r *Router) removeAll(victims []victim) error {
	for len(victims) > 0 {
		err := r.update(func(tx *store.Tx) error {
			tx.Commits("remove")
			for len(victims) > 0 && tx.Size() < maxTransaction {
				record, err := tx.Get(victims[0].id)
				if err != nil {
					return err
				}
				victims = victims[1:]
				if record == nil {
					continue
				}
				if err := r.change(tx, record, nil); err != nil {
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
