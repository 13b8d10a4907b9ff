package route

import (
	"fmt"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// change writes the transition of one entry and routes it. old or new may be nil.
func (r *Router) change(tx *store.Tx, old, new *store.Record) error {
	tx.Commits("change")
	seq := tx.NextSeq()
	id := uint64(0)
	if old != nil {
		id = old.ID
	}
	if new != nil {
		new.Seq = seq
		if old == nil {
			if err := tx.Insert(new); err != nil {
				return err
			}
			id = new.ID
		}
	}
	tasks, err := r.route(tx, seq, id, old, new)
	if err != nil {
		return err
	}
	if old == nil {
		return nil
	}
	if tasks || tx.HasTasks(id) {
		if err := tx.KeepVersion(old); err != nil {
			return err
		}
	}
	if new == nil {
		return tx.Delete(old)
	}
	return tx.Replace(old, new)
}

// route adds the tasks for one transition.
func (r *Router) route(tx *store.Tx, seq, id uint64, old, new *store.Record) (tasks bool, err error) {
	c := comparison{router: r, old: old, new: new}
	for i, m := range r.Modules {
		known := r.known(m)
		if m.forgotten || old == nil && !known && m.walk != nil && (m.walk.Leave || m.walk.Pos == nil) {
			continue // the walk will get there: the first fill need not even match
		}
		member := old != nil && tx.IsMember(m.number, id)
		stored := member
		if known && !member && old != nil && m.ahead(old) {
			if member, err = c.oldMatched(m); err != nil { // the walk would have noted it
				return tasks, err
			}
		}
		matches, err := c.matches(i)
		if err != nil {
			return tasks, err
		}
		if member && m.unchecked(new) {
			matches = true
		}
		t := store.Task{Module: m.number, Seq: seq, Cause: listener.CauseLive, ID: id}
		number := m.number // that has the membership
		if !member && !matches && len(m.former) > 0 && old != nil && m.ahead(old) && !m.unchecked(new) {
			if number, t.Old, err = m.formerly(tx, id); err != nil {
				return tasks, err
			}
			member = number != 0
			stored = member
		}
		switch {
		case !member && matches:
			if m.ahead(new) && !known {
				continue
			}
			t.Kind, t.New = listener.KindCreate, seq
			if old != nil {
				if err := m.takeKnown(tx, &t, old.Seq); err != nil {
					return tasks, err
				}
			}
		case member && matches:
			if !c.changed(m) {
				continue
			}
			t.Kind, t.Old, t.New = listener.KindModify, old.Seq, seq
		case member:
			if t.Kind = listener.KindRemove; t.Old == 0 {
				t.Old = old.Seq
			}
		default:
			continue
		}
		if stored != matches {
			if err := tx.SetMember(number, id, matches); err != nil {
				return tasks, err
			}
		}
		if err := tx.AddTask(t); err != nil {
			return tasks, err
		}
		r.added[m.Name]++
		tasks = true
	}
	return tasks, nil
}

// comparison decodes the two states of an entry at most once, and matches the new one with
// all filters at most once.
type comparison struct {
	router             *Router
	old, new           *store.Record
	oldEntry, newEntry *listener.Entry
	matched            bool // router.matches holds the result
	anyChanged         int8 // without listed attributes; 0: not known yet
}

func (c *comparison) decode() (err error) {
	if c.newEntry == nil && c.new != nil {
		if c.newEntry, err = c.new.View(); err != nil {
			return err
		}
	}
	if c.oldEntry == nil && c.old != nil {
		c.oldEntry, err = c.old.View()
	}
	return err
}

// matches tells whether the new state matches the filter of the module at that place.
func (c *comparison) matches(i int) (bool, error) {
	if c.new == nil {
		return false, nil
	}
	if !c.matched {
		if err := c.decode(); err != nil {
			return false, err
		}
		c.matched = true
		c.router.match(c.newEntry)
	}
	return c.router.matches[i], nil
}

// oldMatched tells whether the old state matched, which there has to be.
func (c *comparison) oldMatched(m *Module) (bool, error) {
	if c.oldEntry == nil {
		e, err := c.old.View()
		if err != nil {
			return false, err
		}
		c.oldEntry = e
	}
	return m.Filter.Match(c.oldEntry) == filter.True, nil
}

// changed tells whether the module has to hear of a change from old to new, both of
// which it knows or will know.
func (c *comparison) changed(m *Module) bool {
	if c.old.DN != c.new.DN {
		return true
	}
	if len(m.Attributes) > 0 {
		return listener.Changed(c.oldEntry, c.newEntry, m.Attributes...)
	}
	if c.anyChanged == 0 {
		c.anyChanged = -1
		if listener.Changed(c.oldEntry, c.newEntry) {
			c.anyChanged = 1
		}
	}
	return c.anyChanged > 0
}

func unexpected(what string, u listener.UUID) error {
	return fmt.Errorf("%w: %s of entry %s", store.ErrUnusable, what, u)
}
