package store

import (
	"encoding/json"
	"fmt"

	"github.com/listenerd/listenerd/listener"
)

// ModuleState is what the store keeps of a module instance.
type ModuleState struct {
	// Number keys the module's tasks and members. It is never given twice.
	Number uint32 `json:"number"`
	// Filter and Attributes are what the module was last routed with; Meaning is what the
	// filter meant by the schema of then (filter.Filter.Meaning).
	Filter     string   `json:"filter"`
	Meaning    string   `json:"meaning,omitempty"`
	Attributes []string `json:"attributes,omitempty"`
	// Walk is set while the module is being brought in line with the mirror.
	Walk *Walk `json:"walk,omitempty"`
	// Paused: nothing is called until someone lets it go on.
	Paused bool `json:"paused,omitempty"`
	// Initialized: initialize succeeded.
	Initialized bool `json:"initialized,omitempty"`
	// Resync is set while the module is resynchronized, until the walk begins.
	Resync Resync `json:"resync,omitempty"`
	// Former are earlier numbers, until the walk that follows is complete.
	Former []Former `json:"former,omitempty"`
	// Subtrees are those that the module is told of again.
	Subtrees []Subtree `json:"subtrees,omitempty"`
	// PostRunOwed: pre_run was called and no post_run has succeeded since.
	PostRunOwed bool `json:"post_run_owed,omitempty"`
}

// Walk is how far a reconcile walk has come.
type Walk struct {
	Cause listener.Cause `json:"cause"`
	// Known tells that the module is not told of what it does not know yet: it is taken to
	// know that.
	Known bool `json:"known,omitempty"`
	// Leave is set while the walk takes its first pass, in reverse order, in which
	// members that no longer match are removed.
	Leave bool `json:"leave,omitempty"`
	// Pos is the place of the last entry that was looked at.
	Pos []byte `json:"pos,omitempty"`
	// Done counts the entries looked at in this pass.
	Done uint64 `json:"done"`
	// Checked tells that the members which Leave removes were counted, and may go. Before
	// that, Removes is how many were found, and Examples are names of some of them.
	Checked  bool     `json:"checked,omitempty"`
	Removes  uint64   `json:"removes,omitempty"`
	Examples []string `json:"examples,omitempty"`
	// Held is their number while they are too many to go.
	Held uint64 `json:"held,omitempty"`
	// Released is the number that may go because somebody released it; zero: any.
	Released uint64 `json:"released,omitempty"`
}

// Module returns the state of the module instance, nil if it has none.
func (tx *Tx) Module(name string) (*ModuleState, error) {
	raw := tx.modules.Get([]byte(name))
	if raw == nil {
		return nil, nil
	}
	s := new(ModuleState)
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("%w: state of module %s: %w", ErrUnusable, name, err)
	}
	return s, nil
}

// SetModule stores the state of the module instance. A Number of zero is replaced
// by a new one.
func (tx *Tx) SetModule(name string, s *ModuleState) error {
	if s.Number == 0 {
		n, err := tx.modules.NextSequence()
		if err != nil {
			return err
		}
		s.Number = uint32(n)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return tx.put(tx.modules, []byte(name), raw)
}

// Modules returns the names of all module instances that have state, in order.
func (tx *Tx) Modules() []string {
	var names []string
	c := tx.modules.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		names = append(names, string(k))
	}
	return names
}
