package route

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/schema"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// cameWithSubtree tells whether a new entry may have descendants that the provider does
// not report: those that moved in with it. An entry that is added has none. A refresh may
// tell of it later, when there are some which it reports as well: they are read twice.
func cameWithSubtree(e *listener.Entry) bool {
	number := e.Get(attrNumSubordinates)
	return strings.EqualFold(e.Get(attrHasSubordinates), "TRUE") || number != "" && number != "0"
}

// fetch reads the subtrees that came live with their roots, and writes each as a refresh
// would. They stay noted until they are complete; reading one again changes nothing. The
// session waits meanwhile: what it reports afterwards is what the directory became.
func (r *Router) fetch(ctx context.Context) error {
	if r.provider == nil {
		return nil
	}
	roots, err := r.roots()
	for _, root := range roots {
		if err != nil {
			return err
		}
		r.refresh = &refresh{filled: true}
		var found bool
		if found, err = r.fetchSubtree(ctx, root); err == nil {
			err = r.settle(ctx)
		}
		r.refresh = nil
		switch {
		case err != nil:
		case found:
			err = r.endFetches([]*store.Record{root}, false)
		default:
			r.unfetched = true // it has moved on: the session is to report where
		}
	}
	return err
}

// fetchHeld reads the subtrees that came with entries of the refresh, and those that are
// still noted, as a part of the refresh. It returns the roots of those that it found.
func (r *Router) fetchHeld(ctx context.Context) (found []*store.Record, err error) {
	if r.provider == nil || r.refresh.full {
		return nil, nil // all there is, is reported
	}
	roots, err := r.roots()
	if err != nil {
		return nil, err
	}
	err = r.eachHeld(func(tx *store.Tx, new *store.Record) (bool, error) {
		if _, known := tx.LookupID(new.UUID); known {
			return true, nil
		}
		e, err := new.View()
		if err == nil && cameWithSubtree(e) {
			roots = append(roots, new.Clone())
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	for _, root := range r.topmost(roots) {
		ok, err := r.fetchSubtree(ctx, root)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, root)
			continue
		}
		r.unfetched = true
		if r.refresh.moved == nil {
			r.refresh.moved = map[listener.UUID]bool{}
		}
		r.refresh.moved[root.UUID] = true
	}
	return found, nil
}

// fetchSubtree reads one subtree into the refresh. It returns false when its root is not
// where it was.
func (r *Router) fetchSubtree(ctx context.Context, root *store.Record) (found bool, err error) {
	err = r.provider.Subtree(ctx, root.DN, func(entries []syncrepl.Entry) error {
		for len(entries) > 0 {
			if err := r.room(ctx); err != nil {
				return err
			}
			err := r.update(func(tx *store.Tx) error {
				tx.Commits("fetch")
				for len(entries) > 0 && tx.Size() < maxTransaction {
					if listener.UUID(entries[0].UUID) == root.UUID {
						found = true
					}
					if _, err := r.entry(tx, &entries[0]); err != nil {
						return err
					}
					entries = entries[1:]
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return found, err
}

// roots returns the entries noted whose subtrees are to be read.
func (r *Router) roots() (roots []*store.Record, err error) {
	err = r.store.View(func(tx *store.Tx) error {
		for _, u := range tx.Fetches() {
			record, err := tx.Lookup(u)
			if err != nil {
				return err
			}
			if record != nil {
				roots = append(roots, record.Clone())
			}
		}
		return nil
	})
	return r.topmost(roots), err
}

// topmost returns the records that are below no other one.
func (r *Router) topmost(records []*store.Record) []*store.Record {
	slices.SortFunc(records, func(a, b *store.Record) int {
		return bytes.Compare(schema.TreeKey(a.DN), schema.TreeKey(b.DN))
	})
	var out []*store.Record
	for _, record := range records {
		if n := len(out); n == 0 || !under(r.store.Schema(), record.DN, out[n-1].DN) {
			out = append(out, record)
		}
	}
	return out
}

// under tells whether dn is the name of a place at or below another's.
func under(s *schema.Schema, dn, root string) bool { return s.SameName(dn, root) || s.Below(dn, root) }

// endFetches forgets the entries noted at and below the roots, or all of them, and those
// that are gone.
func (r *Router) endFetches(roots []*store.Record, all bool) error {
	return r.update(func(tx *store.Tx) error {
		tx.Commits("fetched")
		for _, u := range tx.Fetches() {
			record, err := tx.Lookup(u)
			if err != nil {
				return err
			}
			done := record == nil || all
			for _, root := range roots {
				done = done || under(tx.Schema(), record.DN, root.DN)
			}
			if done {
				if err := tx.RemoveFetch(u); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
