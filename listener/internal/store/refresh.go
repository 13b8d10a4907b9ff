package store

import (
	"bytes"
	"encoding/binary"

	"go.etcd.io/bbolt"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/schema"
)

// Hold keeps an entry that must wait for the end of the refresh, in place of an earlier
// state of it. Held entries are numbered in order of arrival, and can be found by UUID
// and by name; of two with one name the later one is found.
func (tx *Tx) Hold(r *Record) error {
	if err := tx.Unhold(r.UUID); err != nil {
		return err
	}
	n, err := tx.held.NextSequence()
	if err != nil {
		return err
	}
	key := tx.slabs.alloc(8)
	binary.BigEndian.PutUint64(key, n)
	if err := tx.put(tx.heldUUIDs, r.UUID[:], key); err != nil {
		return err
	}
	if err := tx.put(tx.heldNames, heldName(r.DN, n), nil); err != nil {
		return err
	}
	return tx.put(tx.held, key, tx.encode(r))
}

// Held returns the held entry with the number, nil if there is none.
func (tx *Tx) Held(n uint64) (*Record, error) {
	raw := tx.held.Get(tx.key8(n))
	if raw == nil {
		return nil, nil
	}
	return tx.decode(0, raw)
}

// HeldUUID returns the number of the held entry with the UUID, 0 if there is none.
func (tx *Tx) HeldUUID(u listener.UUID) uint64 { return number(tx.heldUUIDs.Get(u[:])) }

// HeldName returns the number of the held entry with the name, 0 if there is none.
func (tx *Tx) HeldName(dn string) (n uint64) {
	name := schema.TreeKey(dn)
	c := tx.heldNames.Cursor()
	for k, _ := c.Seek(name); k != nil && len(k) >= 8; k, _ = c.Next() {
		held, number := splitTreeKey(k)
		if !bytes.Equal(held, name) {
			break
		}
		if r, err := tx.Held(number); err != nil || r != nil && tx.known.schema.SameName(r.DN, dn) {
			n = number
		}
	}
	return n
}

// heldName returns the key of a held entry by its name.
func heldName(dn string, n uint64) []byte {
	return binary.BigEndian.AppendUint64(schema.TreeKey(dn), n)
}

func number(raw []byte) uint64 {
	if len(raw) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(raw)
}

// AllHeld returns the numbers of all held entries, in order of arrival.
func (tx *Tx) AllHeld() []uint64 {
	var out []uint64
	c := tx.held.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		out = append(out, binary.BigEndian.Uint64(k))
	}
	return out
}

// Unhold removes the held entry with the UUID, if there is one.
func (tx *Tx) Unhold(u listener.UUID) error {
	n := tx.HeldUUID(u)
	if n == 0 {
		return nil
	}
	r, err := tx.Held(n)
	if err != nil {
		return err
	}
	if r != nil {
		if err := tx.del(tx.heldNames, heldName(r.DN, n)); err != nil {
			return err
		}
	}
	if err := tx.del(tx.heldUUIDs, u[:]); err != nil {
		return err
	}
	return tx.del(tx.held, tx.key8(n))
}

// DropHeld removes all held entries: the refresh they came in is void.
func (tx *Tx) DropHeld() error {
	if k, _ := tx.held.Cursor().First(); k == nil {
		return nil
	}
	tx.size++
	for name, bucket := range map[string]**bbolt.Bucket{
		string(bucketHeld): &tx.held, string(bucketHeldUUIDs): &tx.heldUUIDs, string(bucketHeldNames): &tx.heldNames,
	} {
		if err := tx.b.DeleteBucket([]byte(name)); err != nil {
			return err
		}
		fresh, err := tx.b.CreateBucket([]byte(name))
		if err != nil {
			return err
		}
		*bucket = fresh
	}
	return nil
}

// Rename is a container that moved while it had descendants. The provider reports
// the container alone, so its descendants are moved after it.
type Rename struct {
	// UUID names the container; where it is now is where its descendants belong.
	UUID listener.UUID
	// From is the name it had.
	From string
	// Followers are the entries still to be moved, parents first.
	Followers []uint64

	key []byte
}

// AddRename stores a rename, in the transaction that moves the container.
func (tx *Tx) AddRename(r *Rename) error {
	n, err := tx.renames.NextSequence()
	if err != nil {
		return err
	}
	r.key = key64(n)
	return tx.UpdateRename(r)
}

// UpdateRename stores which followers are left, and removes a rename without.
func (tx *Tx) UpdateRename(r *Rename) error {
	if len(r.Followers) == 0 {
		return tx.del(tx.renames, r.key)
	}
	b := append([]byte(nil), r.UUID[:]...)
	b = binary.AppendUvarint(b, uint64(len(r.From)))
	b = append(b, r.From...)
	for _, id := range r.Followers {
		b = binary.AppendUvarint(b, id)
	}
	return tx.put(tx.renames, r.key, b)
}

// FirstRename returns the oldest rename whose descendants have not all followed, nil
// if there is none.
func (tx *Tx) FirstRename() (*Rename, error) {
	k, b := tx.renames.Cursor().First()
	if k == nil {
		return nil, nil
	}
	r := &Rename{key: bytes.Clone(k)}
	if len(b) < len(r.UUID) {
		return nil, damaged("rename", binary.BigEndian.Uint64(k))
	}
	b = b[copy(r.UUID[:], b):]
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, damaged("rename", binary.BigEndian.Uint64(k))
	}
	r.From, b = string(b[size:size+int(n)]), b[size+int(n):]
	for len(b) > 0 {
		id, size := binary.Uvarint(b)
		if size <= 0 {
			return nil, damaged("rename", binary.BigEndian.Uint64(k))
		}
		r.Followers = append(r.Followers, id)
		b = b[size:]
	}
	return r, nil
}
