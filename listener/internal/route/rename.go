package route

import (
	"bytes"
	"slices"

	"github.com/listenerd/listenerd/listener/internal/schema"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// follow moves the descendants of renamed containers after them, in bounded
// transactions. A crash in between is made up for at the end of the next refresh:
// the rename stays stored until the last descendant has moved.
func (r *Router) follow() error {
	var renames []store.Rename
	err := r.store.View(func(tx *store.Tx) (err error) {
		renames, err = tx.Renames()
		return err
	})
	if err != nil || len(renames) == 0 {
		return err
	}
	// A container inside a container first, so that its descendants go where it went.
	slices.SortStableFunc(renames, func(a, b store.Rename) int {
		return len(schema.TreeKey(b.From)) - len(schema.TreeKey(a.From))
	})
	for _, rename := range renames {
		if err := r.followOne(rename); err != nil {
			return err
		}
	}
	return nil
}

func (r *Router) followOne(rename store.Rename) error {
	from := schema.TreeKey(rename.From)
	for pos, more := []byte(nil), true; more; {
		err := r.update(func(tx *store.Tx) error {
			root, err := tx.Lookup(rename.UUID)
			if err != nil {
				return err
			}
			// A container that is gone takes them with it when it is removed.
			more = root != nil && !bytes.Equal(schema.TreeKey(root.DN), from)
			to := ""
			if more {
				to = root.Clone().DN
			}
			for more && tx.Size() < maxTransaction {
				var ids []uint64
				if ids, pos = tx.Below(from, pos, 1); len(ids) == 0 {
					more = false
					break
				}
				old, err := tx.Get(ids[0])
				if err != nil {
					return err
				}
				if old == nil {
					return unexpected("name", rename.UUID)
				}
				if old.Seq > rename.Seq {
					continue // it was put there since
				}
				if r.refresh != nil && r.refresh.placed.has(old.ID) {
					// The provider told where it is: it is there already, or is held back.
					// What is below it stays with it, unless another owner is left.
					if name := schema.TreeKey(old.DN); len(tx.At(name)) == 1 {
						pos = store.AfterSubtree(name)
					}
					continue
				}
				old = old.Clone()
				new := *old
				new.DN = schema.Rebase(old.DN, rename.From, to)
				if err := r.change(tx, old, &new); err != nil {
					return err
				}
			}
			if more {
				return nil
			}
			return tx.RemoveRename(rename.Key)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
