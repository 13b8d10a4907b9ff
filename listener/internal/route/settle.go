package route

import (
	"context"
	"errors"
	"slices"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/schema"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// finish ends the refresh. Removes that have to be held back are no longer part of it.
func (r *Router) finish(ctx context.Context) error {
	f := r.refresh
	if f == nil {
		return nil
	}
	if f.filled {
		fetched, err := r.fetchHeld(ctx)
		if err != nil {
			return err
		}
		if err := r.checkRemoves(ctx); err != nil {
			return err
		}
		if err := r.checkMoment(); err != nil {
			return err
		}
		if err := r.settle(ctx); err != nil {
			return err
		}
		if err := r.endFetches(fetched, f.full); err != nil {
			return err
		}
		return r.fetch(ctx) // those whose roots have moved by this refresh
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	err := r.update(func(tx *store.Tx) error {
		tx.Commits("filled")
		sync, err := tx.Sync()
		if err != nil {
			return err
		}
		sync.Filled = true
		return tx.SetSync(sync)
	})
	if err == nil {
		r.resumeWalks()
	}
	return err
}

// settle writes what was held back, moves the descendants of renamed containers, and
// removes what is gone. Until here the tree has every container at its old name; so it
// tells whose descendants are whose. The refresh is over then.
func (r *Router) settle(ctx context.Context) error {
	f := r.refresh
	steps, err := r.order()
	if err != nil {
		return err
	}
	if f.followers, err = r.heldFollowers(steps); err != nil {
		return err
	}
	f.settling = true
	for len(steps) > 0 {
		n := 1
		for n < len(steps) && (steps[n].held == 0) == (steps[0].held == 0) {
			n++
		}
		if steps[0].held == 0 {
			err = r.removeDoomed(steps[:n])
		} else {
			err = r.applyHeld(ctx, steps[:n])
		}
		if err != nil {
			return err
		}
		steps = steps[n:]
	}
	r.refresh = nil
	return nil
}

// heldFollowers returns the followers of the containers that were held back.
func (r *Router) heldFollowers(steps []step) (map[uint64][]uint64, error) {
	followers := map[uint64][]uint64{}
	for part := range slices.Chunk(steps, chunk) {
		err := r.store.View(func(tx *store.Tx) error {
			for _, s := range part {
				new, err := tx.Held(s.held)
				if err != nil {
					return err
				}
				if new == nil {
					continue
				}
				old, err := tx.Lookup(new.UUID)
				if err != nil {
					return err
				}
				if old == nil || !tx.HasBelow(old.DN) {
					continue
				}
				if followers[old.ID], err = r.followers(tx, old); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return followers, nil
}

// applyHeld writes the entries held back, each with its followers.
func (r *Router) applyHeld(ctx context.Context, order []step) error {
	for len(order) > 0 {
		var after after
		err := r.update(func(tx *store.Tx) error {
			tx.Commits("settle")
			for len(order) > 0 && after == nil && tx.Size() < maxTransaction {
				new, err := tx.Held(order[0].held)
				if err != nil {
					return err
				}
				order = order[1:]
				new = new.Clone()
				if err := tx.Unhold(new.UUID); err != nil {
					return err
				}
				old, err := tx.Lookup(new.UUID)
				if err != nil {
					return err
				}
				if r.guard.blocks(tx, new, r.Base) {
					continue
				}
				if after, err = r.apply(tx, old, new); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil && after != nil {
			err = after(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// removeDoomed removes entries that are gone, and what is left below them.
func (r *Router) removeDoomed(steps []step) error {
	ids := make([]uint64, len(steps))
	for i, s := range steps {
		ids[i] = s.doomed
	}
	return r.remove(ids)
}

// step is one thing to do at the end of a refresh: to write the held entry of that
// number, or to remove that doomed entry.
type step struct{ held, doomed uint64 }

// order returns the steps in their order: entries held back as they arrived and then
// removals, but each behind what it waits for. A held entry waits for those that have
// its new name, or the name of an ancestor, and are to leave it; and for its ancestors. A
// removal waits for those below that are to leave. What waits for each other, as in a
// swap, stays in this order.
func (r *Router) order() ([]step, error) {
	o := ordering{base: r.Base, doomed: r.refresh.doomed, followers: r.followers}
	var arrived []uint64
	err := r.store.View(func(tx *store.Tx) error {
		arrived = tx.AllHeld()
		return nil
	})
	each := func(ids []uint64, visit func(uint64) error) {
		for part := range slices.Chunk(ids, chunk) {
			err = errors.Join(err, r.store.View(func(tx *store.Tx) error {
				o.tx = tx
				for _, n := range part {
					if err := visit(n); err != nil {
						return err
					}
				}
				return nil
			}))
		}
	}
	each(arrived, o.write)
	each(slices.Collect(r.refresh.doomed.all), o.remove)
	return o.steps, err
}

type ordering struct {
	tx      *store.Tx
	base    string
	doomed  bitset
	written bitset // held entries visited
	removed bitset // doomed ones visited
	steps   []step

	followers func(*store.Tx, *store.Record) ([]uint64, error)
}

// write appends the held entry behind what it waits for.
func (o *ordering) write(n uint64) error {
	if n == 0 || o.written.has(n) {
		return nil
	}
	o.written.add(n)
	new, err := o.tx.Held(n)
	if err != nil || new == nil {
		return err
	}
	for _, name := range namesAbove(new.DN, o.base) {
		for _, id := range o.tx.At(name) {
			if err := o.leave(id, new.UUID); err != nil {
				return err
			}
		}
		if err := o.write(o.tx.HeldName(name)); err != nil {
			return err
		}
	}
	if len(o.tx.At(new.DN)) > 0 { // followers may take names that are to be left
		if err := o.makeRoom(new); err != nil {
			return err
		}
	}
	o.steps = append(o.steps, step{held: n})
	return nil
}

// makeRoom visits those who have the names that the followers of a container take.
func (o *ordering) makeRoom(container *store.Record) error {
	old, err := o.tx.Lookup(container.UUID)
	if err != nil || old == nil || !o.tx.HasBelow(old.DN) {
		return err
	}
	followers, err := o.followers(o.tx, old)
	if err != nil {
		return err
	}
	for _, id := range followers {
		follower, err := o.tx.Get(id)
		if err != nil {
			return err
		}
		for _, owner := range o.tx.At(schema.Rebase(follower.DN, old.DN, container.DN)) {
			if err := o.leave(owner, follower.UUID); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove appends the removal of the doomed entry behind what it waits for.
func (o *ordering) remove(id uint64) error {
	if o.removed.has(id) {
		return nil
	}
	o.removed.add(id)
	record, err := o.tx.Get(id)
	if err != nil || record == nil {
		return err
	}
	if o.tx.HasBelow(record.DN) {
		err := o.below(record.DN, func(id uint64) error { return o.leave(id, record.UUID) })
		if err != nil {
			return err
		}
	}
	o.steps = append(o.steps, step{doomed: id})
	return nil
}

// leave visits the entry if it is to leave its name, unless it is the one that asks.
func (o *ordering) leave(id uint64, asks listener.UUID) error {
	if o.doomed.has(id) {
		return o.remove(id)
	}
	owner, err := o.tx.Get(id)
	if err != nil || owner.UUID == asks {
		return err
	}
	return o.write(o.tx.HeldUUID(owner.UUID))
}

// below calls fn with the entries below the name.
func (o *ordering) below(name string, fn func(id uint64) error) error {
	for pos := []byte(nil); ; {
		ids, last := o.tx.Below(name, pos, chunk)
		if len(ids) == 0 {
			return nil
		}
		pos = last
		for _, id := range ids {
			if err := fn(id); err != nil {
				return err
			}
		}
	}
}

// namesAbove returns the names from the base down to name itself.
func namesAbove(name, base string) []string {
	out := append([]string{name}, above(name, base)...)
	slices.Reverse(out)
	return out
}

// above returns the names of the ancestors up to the base, the nearest first.
func above(name, base string) (out []string) {
	for depth := schema.Depth(name) - schema.Depth(base); depth > 0; depth-- {
		name, _ = schema.Parent(name)
		out = append(out, name)
	}
	return out
}
