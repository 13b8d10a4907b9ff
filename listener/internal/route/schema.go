package route

import (
	"fmt"
	"slices"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/schema"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// SetSchema stores the schema that the provider has now, with the definitions that it was
// made from. Filters are compiled for it, and modules whose filter means something else then
// begin a walk, which calls them with the difference; it returns their names. All this is
// one transaction. Nothing happens if the schema is the stored one.
//
// It must not be called while a refresh runs: between two sessions, or when a refresh is
// over and before the next one. It is safe beside everything else.
func (r *Router) SetSchema(s *schema.Schema, d schema.Definitions) (changed []string, err error) {
	err = r.store.Update(func(tx *store.Tx) error {
		if current := tx.Schema(); !current.Fallback() && current.Hash() == s.Hash() {
			return nil
		}
		tx.Commits("schema")
		if err := tx.SetSchema(s, d); err != nil {
			return err
		}
		filters, err := compile(r.Modules, s)
		if err != nil {
			return err
		}
		changed, err = r.take(tx, filters, false)
		return err
	})
	if err == nil && len(changed) > 0 {
		r.resumeWalks()
	}
	return changed, err
}

// compile compiles the filters of the modules for a schema.
func compile(modules []*Module, s *schema.Schema) ([]*filter.Filter, error) {
	filters := make([]*filter.Filter, len(modules))
	for i, m := range modules {
		var err error
		if filters[i], err = filter.Compile(m.Filter.String(), s); err != nil {
			return nil, fmt.Errorf("filter of module %s: %w", m.Name, err)
		}
	}
	return filters, nil
}

// take gives the modules their filters, and walks to those for which they mean something
// new. It returns the names of those that have to be reconciled. At the start also the
// resynchronizations begin that were asked for.
func (r *Router) take(tx *store.Tx, filters []*filter.Filter, start bool) (changed []string, err error) {
	states := make([]*store.ModuleState, len(filters))
	for i, m := range r.Modules {
		if m.forgotten {
			continue
		}
		state, err := tx.Module(m.Name)
		if err != nil {
			return nil, err
		}
		text, meaning := filters[i].String(), filters[i].Meaning()
		switch {
		case state == nil:
			state = &store.ModuleState{Walk: &store.Walk{Cause: listener.CauseInitialize, Known: m.Known}}
		case start && state.Resync == store.ResyncWanted:
			if err := restart(tx, state, false, tx.Mark(state.Number)); err != nil {
				return nil, err
			}
		case state.Meaning == meaning && slices.Equal(state.Attributes, m.Attributes):
			states[i] = state
			continue
		}
		if state.Filter != "" && state.Meaning != meaning && !unbegun(state) {
			walk := &store.Walk{Cause: listener.CauseReconcile, Leave: true}
			if before := state.Walk; before != nil && before.Cause != listener.CauseReconcile {
				walk.Known = before.Known
				if before.Cause == listener.CauseResync {
					walk.Cause = before.Cause
				}
			}
			state.Walk = walk
			changed = append(changed, m.Name)
		}
		state.Filter, state.Meaning, state.Attributes = text, meaning, m.Attributes
		if err := tx.SetModule(m.Name, state); err != nil {
			return nil, err
		}
		states[i] = state
	}
	for i, m := range r.Modules { // nothing can fail any more but the commit, which ends the daemon
		m.Filter = filters[i]
		if states[i] != nil {
			m.take(states[i])
		}
	}
	r.filters, r.matches = filter.NewSet(filters), make([]bool, len(filters))
	return changed, nil
}

// match finds out which modules' filters the entry matches.
func (r *Router) match(e *listener.Entry) {
	clear(r.matches)
	r.indexes = r.filters.Match(r.indexes[:0], e)
	for _, i := range r.indexes {
		r.matches[i] = true
	}
}
