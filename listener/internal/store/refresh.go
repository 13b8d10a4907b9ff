package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/listenerd/listenerd/listener"
)

// Hold keeps an entry that arrived during a refresh and must wait for its end. The
// record has no number yet. It returns the row's key for Held and Unhold.
func (tx *Tx) Hold(r *Record) (uint64, error) {
	n, err := tx.held.NextSequence()
	if err != nil {
		return 0, err
	}
	return n, tx.put(tx.held, key64(n), tx.encode(r))
}

// Held returns the held entry, nil if there is none with the key.
func (tx *Tx) Held(n uint64) (*Record, error) {
	raw := tx.held.Get(tx.key8(n))
	if raw == nil {
		return nil, nil
	}
	return decode(0, raw)
}

// Unhold removes a held entry.
func (tx *Tx) Unhold(n uint64) error { return tx.del(tx.held, tx.key8(n)) }

// DropHeld removes all held entries: the refresh they came in is void.
func (tx *Tx) DropHeld() error {
	if k, _ := tx.held.Cursor().First(); k == nil {
		return nil
	}
	if err := tx.b.DeleteBucket(bucketHeld); err != nil {
		return err
	}
	held, err := tx.b.CreateBucket(bucketHeld)
	tx.held = held
	tx.size++
	return err
}

// Rename is a container that moved while it had descendants. The provider reports
// the container alone, so its descendants are moved after it.
type Rename struct {
	Key uint64 `json:"-"`
	// UUID names the container; where it is now is where its descendants belong.
	UUID listener.UUID `json:"uuid"`
	// From is the name it had.
	From string `json:"from"`
	// Seq is that of the change that moved it. An entry below From that was written
	// later belongs there.
	Seq uint64 `json:"seq"`
}

// AddRename stores a rename, in the transaction that moves the container.
func (tx *Tx) AddRename(r Rename) error {
	n, err := tx.renames.NextSequence()
	if err != nil {
		return err
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return tx.put(tx.renames, key64(n), raw)
}

// Renames returns the renames whose descendants have not all followed, in order.
func (tx *Tx) Renames() ([]Rename, error) {
	var out []Rename
	c := tx.renames.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		r := Rename{Key: binary.BigEndian.Uint64(k)}
		if err := json.Unmarshal(v, &r); err != nil {
			return nil, fmt.Errorf("%w: rename: %w", ErrUnusable, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// RemoveRename removes a rename that is complete.
func (tx *Tx) RemoveRename(key uint64) error { return tx.del(tx.renames, tx.key8(key)) }
