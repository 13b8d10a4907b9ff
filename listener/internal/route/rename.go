package route

import (
	"context"
	"slices"
	"strings"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/schema"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// move writes an entry with its new name. The descendants that it has by the mirror,
// and that the provider did not place elsewhere, follow it: they are noted in the same
// transaction and moved by the function returned, nil if there are none.
func (r *Router) move(tx *store.Tx, old, new *store.Record) (next after, err error) {
	followers, err := r.followers(tx, old)
	if err != nil {
		return nil, err
	}
	if len(followers) > 0 {
		tx.Commits("rename")
		err = tx.AddRename(&store.Rename{UUID: old.UUID, From: old.DN, Followers: followers})
		next = r.follow
	}
	if err != nil {
		return nil, err
	}
	return next, r.change(tx, old, new)
}

// followers returns the entries that move with their container, parents first.
func (r *Router) followers(tx *store.Tx, container *store.Record) ([]uint64, error) {
	f := r.refresh
	if f != nil && f.settling {
		return f.followers[container.ID], nil
	}
	// What the provider told of stays where that is, with what is below it.
	spared := func(id uint64) bool { return f != nil && (f.placed.has(id) || f.doomed.has(id)) }
	var ids []uint64
	err := descend(tx, container.DN, spared, func(id uint64) error {
		ids = append(ids, id)
		return nil
	})
	return ids, err
}

// descend calls fn with the entries below the name, parents first, but for those spared
// and what is below these.
func descend(tx *store.Tx, dn string, spared func(id uint64) bool, fn func(id uint64) error) error {
	var beside []string // of spared entries that are not out of the way
	for pos := []byte(nil); ; {
		below, last := tx.Below(dn, pos, chunk)
		if len(below) == 0 {
			return nil
		}
		pos = last
		for _, id := range below {
			if !spared(id) && len(beside) == 0 {
				if err := fn(id); err != nil {
					return err
				}
				continue
			}
			record, err := tx.Get(id)
			if err != nil {
				return err
			}
			isBelow := func(name string) bool { return tx.Schema().Below(record.DN, name) }
			if !spared(id) {
				if !slices.ContainsFunc(beside, isBelow) {
					err = fn(id)
				}
				if err != nil {
					return err
				}
				continue
			}
			if behind, ok := tx.AfterSubtree(record.DN); ok {
				pos = behind
				break
			}
			beside = append(beside, strings.Clone(record.DN))
		}
	}
}

// follow moves the descendants of renamed containers after them, in bounded
// transactions. A rename stays stored until its last follower has moved; what a crash
// left is made up for when the next session begins.
func (r *Router) follow(ctx context.Context) error {
	for {
		var rename *store.Rename
		err := r.store.View(func(tx *store.Tx) (err error) {
			rename, err = tx.FirstRename()
			return err
		})
		if err != nil {
			return err
		}
		if rename == nil {
			r.resumeWalks()
			return nil
		}
		if err := r.room(ctx); err != nil {
			return err
		}
		err = r.update(func(tx *store.Tx) error {
			tx.Commits("cascade")
			root, err := tx.Lookup(rename.UUID)
			if err != nil {
				return err
			}
			if root == nil {
				return unexpected("renamed container", rename.UUID)
			}
			to := root.Clone().DN
			for len(rename.Followers) > 0 && tx.Size() < maxTransaction {
				old, err := tx.Get(rename.Followers[0])
				if err != nil {
					return err
				}
				if old == nil {
					return unexpected("descendant of the renamed container", rename.UUID)
				}
				rename.Followers = rename.Followers[1:]
				new, err := renamed(old, schema.Rebase(old.DN, rename.From, to))
				if err != nil {
					return err
				}
				if err := r.change(tx, old, new); err != nil {
					return err
				}
			}
			return tx.UpdateRename(rename)
		})
		if err != nil {
			return err
		}
	}
}

// renamed returns the entry with another name, also in the operational attributes that
// tell it, if it has those.
func renamed(old *store.Record, dn string) (*store.Record, error) {
	new := *old
	new.DN = dn
	e, err := old.View()
	if err != nil || !e.Has(attrEntryDN) && !e.Has(attrDSEntryDN) {
		return &new, err
	}
	attributes := make([]listener.Attribute, 0, e.Len())
	for name, values := range e.All() {
		a := listener.Attribute{Name: name, Values: values.Strings()}
		if strings.EqualFold(name, attrEntryDN) || strings.EqualFold(name, attrDSEntryDN) {
			a.Values = []string{dn}
		}
		attributes = append(attributes, a)
	}
	new.Attrs = listener.NewEntry(old.UUID, dn, attributes...).BER()
	return &new, nil
}
