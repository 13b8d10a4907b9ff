package route

import (
	"bytes"
	"slices"
	"unsafe"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/schema"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// chunk is how many entries are looked at in one read transaction.
const chunk = 10_000

// refresh is what a running refresh has to remember. It is void when the session
// ends before the refresh does.
type refresh struct {
	filled    bool        // the mirror was filled before
	fill      *store.Fill // while it is filled for the first time
	mentioned bitset      // what the provider said is there
	placed    bitset      // whose name the provider told in this refresh
	doomed    bitset      // what it said is gone

	// Entries held back, by UUID, and their normalized names.
	held      map[listener.UUID]uint64
	heldNames map[string]listener.UUID
}

func newRefresh(filled bool) *refresh {
	return &refresh{filled: filled, held: map[listener.UUID]uint64{}, heldNames: map[string]listener.UUID{}}
}

// endFill makes the mirror an ordinary one.
func (f *refresh) endFill() error {
	err := f.fill.Finish()
	f.fill = nil
	return err
}

// entry writes an entry that was added or modified, or holds it back.
func (r *Router) entry(tx *store.Tx, e *syncrepl.Entry) (after func() error, err error) {
	new := &store.Record{UUID: listener.UUID(e.UUID), DN: text(e.DN), Attrs: text(e.Attributes)}
	if f := r.refresh; f != nil && f.fill != nil {
		new.Seq = tx.NextSeq() // no module has come to it: its walk is to begin
		return nil, f.fill.Add(tx, new)
	}
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
		if f.filled {
			hold, err := r.mustHold(tx, old, new)
			if err != nil {
				return nil, err
			}
			if hold {
				return nil, r.hold(tx, new)
			}
			if err := r.unhold(tx, new.UUID); err != nil {
				return nil, err
			}
		}
	}
	return r.apply(tx, old, new)
}

// text returns b as a string without copying; it lives as long as b does.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// apply writes an entry's new state if it differs from the old one.
func (r *Router) apply(tx *store.Tx, old, new *store.Record) (after func() error, err error) {
	if old == nil {
		if err := r.change(tx, nil, new); err != nil {
			return nil, err
		}
		if f := r.refresh; f != nil {
			f.mentioned.add(new.ID)
			f.placed.add(new.ID)
		}
		return nil, nil
	}
	new.ID = old.ID
	if old.DN == new.DN {
		same, err := sameAttributes(old, new)
		if err != nil || same {
			return nil, err
		}
		return nil, r.change(tx, old, new)
	}
	from := schema.TreeKey(old.DN)
	container := !bytes.Equal(from, schema.TreeKey(new.DN)) && tx.HasBelow(from)
	if container {
		// Its descendants follow it now, or at the end of the refresh.
		if err := tx.AddRename(store.Rename{UUID: old.UUID, From: old.DN, Seq: tx.Counters().Seq + 1}); err != nil {
			return nil, err
		}
	}
	if err := r.change(tx, old, new); err != nil {
		return nil, err
	}
	if container && r.refresh == nil {
		return r.follow, nil
	}
	return nil, nil
}

// sameAttributes compares all attributes, operational ones too, as sets of values.
func sameAttributes(a, b *store.Record) (bool, error) {
	if a.Attrs == b.Attrs {
		return true, nil
	}
	ea, err := a.View()
	if err != nil {
		return false, err
	}
	eb, err := b.View()
	if err != nil || ea.Len() != eb.Len() {
		return false, err
	}
	names := make([]string, 0, ea.Len()+eb.Len())
	for name := range ea.All() {
		names = append(names, name)
	}
	for name := range eb.All() {
		names = append(names, name)
	}
	return !listener.Changed(ea, eb, names...), nil
}

// mustHold tells whether the entry has to wait for the end of the refresh: its name
// is taken by another entry, or its parent is not there or waits too.
func (r *Router) mustHold(tx *store.Tx, old, new *store.Record) (bool, error) {
	f := r.refresh
	if old != nil && old.DN == new.DN {
		return false, nil
	}
	name := schema.TreeKey(new.DN)
	for _, id := range tx.At(name) {
		if old == nil || id != old.ID {
			return true, nil
		}
	}
	if len(f.held) > 0 {
		for up, ok := schema.ParentKey(name); ok && len(up) >= len(r.baseKey); up, ok = schema.ParentKey(up) {
			if _, waits := f.heldNames[string(up)]; waits {
				return true, nil
			}
		}
		if u, waits := f.heldNames[string(name)]; waits && u != new.UUID {
			return true, nil
		}
	}
	up, ok := schema.ParentKey(name)
	if !ok || len(up) <= len(r.baseKey) {
		return false, nil
	}
	return len(tx.At(up)) == 0, nil
}

func (r *Router) hold(tx *store.Tx, new *store.Record) error {
	if err := r.unhold(tx, new.UUID); err != nil {
		return err
	}
	n, err := tx.Hold(new)
	if err != nil {
		return err
	}
	r.refresh.held[new.UUID] = n
	r.refresh.heldNames[string(schema.TreeKey(new.DN))] = new.UUID
	return nil
}

func (r *Router) unhold(tx *store.Tx, u listener.UUID) error {
	f := r.refresh
	n, ok := f.held[u]
	if !ok {
		return nil
	}
	record, err := tx.Held(n)
	if err != nil {
		return err
	}
	if record != nil {
		if name := string(schema.TreeKey(record.DN)); f.heldNames[name] == u {
			delete(f.heldNames, name)
		}
	}
	delete(f.held, u)
	return tx.Unhold(n)
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
func (r *Router) delete(tx *store.Tx, ids []listener.UUID) (after func() error, err error) {
	var containers []uint64
	for _, u := range ids {
		if f := r.refresh; f != nil {
			if err := r.unhold(tx, u); err != nil {
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
		case tx.HasBelow(schema.TreeKey(record.DN)):
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
	return func() error { return r.remove(containers) }, nil
}

// sweep dooms what was not mentioned.
func (r *Router) sweep() error {
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

// finish ends the refresh.
func (r *Router) finish() error {
	f := r.refresh
	if f == nil {
		return nil
	}
	if err := r.follow(); err != nil {
		return err
	}
	if err := r.remove(slices.Collect(f.doomed.all)); err != nil {
		return err
	}
	if err := r.applyHeld(); err != nil {
		return err
	}
	if err := r.follow(); err != nil {
		return err
	}
	r.refresh = nil
	if f.filled {
		return nil
	}
	err := r.update(func(tx *store.Tx) error {
		sync, err := tx.Sync()
		if err != nil {
			return err
		}
		sync.Filled = true
		return tx.SetSync(sync)
	})
	if err == nil && r.Queued != nil {
		walks := map[string]int{} // they may begin
		for _, m := range r.Modules {
			walks[m.Name] = 0
		}
		r.Queued(0, walks)
	}
	return err
}

// applyHeld writes the entries held back: in order of arrival, but a parent before
// its children.
func (r *Router) applyHeld() error {
	f := r.refresh
	order := make([]uint64, 0, len(f.held))
	for _, n := range f.held {
		order = append(order, n)
	}
	slices.Sort(order)
	var apply func(tx *store.Tx, n uint64) error
	apply = func(tx *store.Tx, n uint64) error {
		new, err := tx.Held(n)
		if err != nil || new == nil {
			return err
		}
		new = new.Clone()
		if err := r.unhold(tx, new.UUID); err != nil {
			return err
		}
		for up, ok := schema.ParentKey(schema.TreeKey(new.DN)); ok; up, ok = schema.ParentKey(up) {
			if u, waits := f.heldNames[string(up)]; waits {
				if err := apply(tx, f.held[u]); err != nil {
					return err
				}
				break // which looks further up itself
			}
		}
		old, err := tx.Lookup(new.UUID)
		if err != nil {
			return err
		}
		_, err = r.apply(tx, old, new)
		return err
	}
	for len(order) > 0 {
		err := r.update(func(tx *store.Tx) error {
			for len(order) > 0 && tx.Size() < maxTransaction {
				n := order[0]
				order = order[1:]
				if err := apply(tx, n); err != nil {
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

// remove deletes the entries and all that is below them, children first. In a
// refresh, what the provider mentioned stays.
func (r *Router) remove(ids []uint64) error {
	if len(ids) == 0 {
		return nil
	}
	type victim struct {
		id  uint64
		pos []byte
	}
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
				name := schema.TreeKey(record.DN)
				if !tx.HasBelow(name) || len(tx.At(name)) > 1 {
					continue // a leaf; or who the descendants belong to is open
				}
				for pos := []byte(nil); ; {
					below, last := tx.Below(name, pos, chunk)
					for _, id := range below {
						if seen.has(id) || spared(id) {
							continue
						}
						record, err := tx.Get(id)
						if err != nil {
							return err
						}
						seen.add(id)
						victims = append(victims, victim{id, store.Position(record)})
					}
					if len(below) < chunk {
						break
					}
					pos = last
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	slices.SortFunc(victims, func(a, b victim) int { return bytes.Compare(b.pos, a.pos) })
	for len(victims) > 0 {
		err := r.update(func(tx *store.Tx) error {
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
