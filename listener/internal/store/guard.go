package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/listenerd/listenerd/listener"
)

// Guard is kept while removes are held back because there are too many of them, until
// the provider takes them back or somebody releases them.
type Guard struct {
	// Removes is the number of entries that the last refresh would have removed, and
	// Entries the size of the mirror then. Zero when nothing is held.
	Removes uint64 `json:"removes,omitempty"`
	Entries uint64 `json:"entries,omitempty"`
	// Full tells that it was a full load: only another one finds them again.
	Full bool `json:"full,omitempty"`
	// Reason says what tripped the guard.
	Reason string `json:"reason,omitempty"`
	// Examples are names of some of the entries.
	Examples []string `json:"examples,omitempty"`
	// Since is when the guard tripped first.
	Since time.Time `json:"since,omitzero"`
	// Released is the number of removes that the next refresh may make.
	Released uint64 `json:"released,omitempty"`
}

// Guard returns the guard's state.
func (tx *Tx) Guard() (Guard, error) {
	var g Guard
	if raw := tx.meta.Get([]byte("guard")); raw != nil {
		if err := json.Unmarshal(raw, &g); err != nil {
			return g, fmt.Errorf("%w: guard: %w", ErrUnusable, err)
		}
	}
	return g, nil
}

// SetGuard stores the guard's state.
func (tx *Tx) SetGuard(g Guard) error {
	raw, err := json.Marshal(g)
	if err != nil {
		return err
	}
	return tx.put(tx.meta, []byte("guard"), raw)
}

// AddFetch notes that the provider is to be asked for what is below the entry, which
// came with a subtree. It belongs into the transaction that writes the entry.
func (tx *Tx) AddFetch(u listener.UUID) error {
	return tx.put(tx.fetches, u[:], []byte{})
}

// Fetches returns the entries noted.
func (tx *Tx) Fetches() []listener.UUID {
	var out []listener.UUID
	c := tx.fetches.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		out = append(out, listener.UUID(k))
	}
	return out
}

// RemoveFetch forgets the entry noted.
func (tx *Tx) RemoveFetch(u listener.UUID) error { return tx.del(tx.fetches, u[:]) }
