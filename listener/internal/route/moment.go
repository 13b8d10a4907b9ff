package route

import (
	"fmt"
	"slices"

	"github.com/listenerd/listenerd/listener/internal/schema"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// checkMoment looks for signs that the directory was changed while the refresh was
// running: a name that is taken although its owner has not left it, an entry whose parent
// is not known. What belongs to it is told live, after the refresh; to write it in the
// right order, the refresh is made once more. Not over and over: a provider may well be
// so.
func (r *Router) checkMoment() error {
	const most = 2
	if r.guard.holds {
		return nil // names are not left then
	}
	if r.repeats >= most {
		r.repeats = 0
		return nil
	}
	var reason error
	err := r.eachHeld(func(tx *store.Tx, new *store.Record) (bool, error) {
		var err error
		reason, err = r.untimely(tx, new)
		return reason == nil, err
	})
	for part := range slices.Chunk(slices.Collect(r.refresh.doomed.all), chunk) {
		if err != nil || reason != nil {
			break
		}
		err = r.store.View(func(tx *store.Tx) error {
			for _, id := range part {
				if left, err := r.goesFrom(tx, id); err != nil || left {
					reason = fmt.Errorf("%w: entries were reported below one that is gone", syncrepl.ErrRepeat)
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return err
	}
	if reason != nil {
		r.repeats++
		return reason
	}
	r.repeats = 0
	return nil
}

// eachHeld calls fn with the entries held back until it returns false.
func (r *Router) eachHeld(fn func(*store.Tx, *store.Record) (bool, error)) error {
	var all []uint64
	err := r.store.View(func(tx *store.Tx) error {
		all = tx.AllHeld()
		return nil
	})
	more := true
	for part := range slices.Chunk(all, chunk) {
		if err != nil || !more {
			break
		}
		err = r.store.View(func(tx *store.Tx) error {
			for _, n := range part {
				record, err := tx.Held(n)
				if err != nil {
					return err
				}
				if more, err = fn(tx, record); err != nil || !more {
					return err
				}
			}
			return nil
		})
	}
	return err
}

// untimely returns why the entry held back can't be where it is, by what is known.
func (r *Router) untimely(tx *store.Tx, new *store.Record) (reason, err error) {
	for _, id := range tx.At(new.DN) {
		owner, err := tx.Get(id)
		if err != nil {
			return nil, err
		}
		if owner.UUID == new.UUID {
			continue
		}
		if leaves, err := r.leaves(tx, owner); err != nil || !leaves {
			return fmt.Errorf("%w: %s is a new entry's name, and that of another which was not said to leave it", syncrepl.ErrRepeat, new.DN), err
		}
	}
	if left, err := r.movesFrom(tx, new); err != nil || left {
		return fmt.Errorf("%w: %s has moved there, and entries were reported below its former name", syncrepl.ErrRepeat, new.DN), err
	}
	parent, ok := r.parent(new.DN)
	if !ok {
		return nil, nil
	}
	exists, err := r.willExist(tx, parent)
	if err != nil || exists {
		return nil, err
	}
	return fmt.Errorf("%w: the parent of %s was not reported", syncrepl.ErrRepeat, new.DN), nil
}

// checkParent asks for a refresh when an entry is reported live below a name that nobody
// has: what was reported does not fit together.
func (r *Router) checkParent(tx *store.Tx, new *store.Record) error {
	parent, ok := r.parent(new.DN)
	if r.refresh != nil || !ok || len(tx.At(parent)) > 0 || tx.HasBelow(parent) {
		return nil
	}
	return fmt.Errorf("%w: the parent of %s was not reported", syncrepl.ErrRepeat, new.DN)
}

// parent returns the name of the entry above one, if that is below the base and so has to
// be reported.
func (r *Router) parent(dn string) (string, bool) {
	parent, ok := schema.Parent(dn)
	return parent, ok && r.Parents && schema.Depth(parent) > schema.Depth(r.Base)
}

// movesFrom tells whether the entry held back moves away from entries that were reported
// below its former name: they were reported before it has moved. If another entry takes
// the name, it may be that one that they are below; a second refresh tells.
func (r *Router) movesFrom(tx *store.Tx, new *store.Record) (bool, error) {
	old, err := tx.Lookup(new.UUID)
	if err != nil || old == nil || tx.Schema().SameName(old.DN, new.DN) {
		return false, err
	}
	return r.leavesBehind(tx, old, r.refresh.placed)
}

// goesFrom tells whether the entry that is gone leaves entries below its name that were
// reported: it has gone after they were.
func (r *Router) goesFrom(tx *store.Tx, id uint64) (bool, error) {
	old, err := tx.Get(id)
	if err != nil || old == nil {
		return false, err
	}
	return r.leavesBehind(tx, old, r.refresh.mentioned)
}

// leavesBehind tells whether there are entries of the set below the name of one that
// leaves it, and stay there.
func (r *Router) leavesBehind(tx *store.Tx, old *store.Record, set bitset) (bool, error) {
	former := old.DN
	if !r.Parents || !tx.HasBelow(former) || tx.HeldName(former) != 0 && r.repeats > 0 {
		return false, nil
	}
	for pos := []byte(nil); ; {
		ids, last := tx.Below(former, pos, chunk)
		if len(ids) == 0 {
			return false, nil
		}
		pos = last
		for _, id := range ids {
			if !set.has(id) || r.refresh.doomed.has(id) {
				continue
			}
			record, err := tx.Get(id)
			if err != nil {
				return false, err
			}
			if leaves, err := r.moves(tx, record); err != nil || !leaves {
				return err == nil, err
			}
		}
	}
}

// leaves tells whether the entry will be elsewhere, or gone, when the refresh is over.
func (r *Router) leaves(tx *store.Tx, owner *store.Record) (bool, error) {
	f := r.refresh
	if f.doomed.has(owner.ID) {
		return true, nil
	}
	if moves, err := r.moves(tx, owner); err != nil || moves {
		return moves, err
	}
	if f.placed.has(owner.ID) {
		return false, nil
	}
	for _, up := range above(owner.DN, r.Base) {
		for _, id := range tx.At(up) {
			if f.doomed.has(id) && !f.mentioned.has(owner.ID) {
				return true, nil
			}
			container, err := tx.Get(id)
			if err != nil {
				return false, err
			}
			if moves, err := r.moves(tx, container); err != nil || moves {
				return moves, err
			}
		}
	}
	return false, nil
}

// moves tells whether the entry is held back with another name.
func (r *Router) moves(tx *store.Tx, owner *store.Record) (bool, error) {
	n := tx.HeldUUID(owner.UUID)
	if n == 0 {
		return false, nil
	}
	held, err := tx.Held(n)
	return err == nil && !tx.Schema().SameName(held.DN, owner.DN), err
}

// willExist tells whether there will be an entry with the name when the refresh is over,
// or whether it is one of those that the provider does not show.
func (r *Router) willExist(tx *store.Tx, name string) (bool, error) {
	if tx.HeldName(name) != 0 {
		return true, nil
	}
	owners := tx.At(name)
	for _, id := range owners {
		owner, err := tx.Get(id)
		if err != nil {
			return false, err
		}
		if leaves, err := r.leaves(tx, owner); err != nil || !leaves {
			return err == nil, err
		}
	}
	// It may follow a container.
	for _, up := range above(name, r.Base) {
		n := tx.HeldName(up)
		if n == 0 {
			continue
		}
		container, err := tx.Held(n)
		if err != nil {
			return false, err
		}
		old, err := tx.Lookup(container.UUID)
		if err != nil {
			return false, err
		}
		if old != nil && len(tx.At(schema.Rebase(name, up, old.DN))) > 0 {
			return true, nil
		}
	}
	return len(owners) == 0 && tx.HasBelow(name), nil
}
