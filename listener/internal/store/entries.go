package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unsafe"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/schema"
)

// Record is one version of an entry. The strings of a record that was read are
// valid until its transaction ends.
type Record struct {
	ID   uint64 // number of the entry
	Seq  uint64 // of the change that wrote this version
	UUID listener.UUID
	DN   string
	// Attrs is the content of the provider's PartialAttributeList.
	Attrs string

	names *listener.AttributeNames // of the schema in force; nil: not known
}

// NewRecord returns a record for an entry that the provider sent, with the names that its
// attributes have.
func (tx *Tx) NewRecord(u listener.UUID, dn, attrs string) *Record {
	return &Record{UUID: u, DN: dn, Attrs: attrs, names: tx.known.names}
}

// View returns the entry without copying it: it is valid as long as the record is. It
// knows the names that the schema has for its attributes.
func (r *Record) View() (*listener.Entry, error) { return r.entry(r.DN, r.Attrs) }

// Entry returns the entry as a copy that outlives the transaction. It knows the names
// that the schema has for its attributes.
func (r *Record) Entry() (*listener.Entry, error) {
	both := r.DN + r.Attrs
	return r.entry(both[:len(r.DN)], both[len(r.DN):])
}

func (r *Record) entry(dn, attrs string) (*listener.Entry, error) {
	e, err := listener.EntryFromBER(r.UUID, dn, attrs)
	if err != nil || r.names == nil {
		return e, err
	}
	return e.WithNames(r.names), nil
}

// Clone returns a copy that outlives the transaction.
func (r *Record) Clone() *Record {
	c := *r
	c.DN, c.Attrs = strings.Clone(r.DN), strings.Clone(r.Attrs)
	return &c
}

const recordHead = 8 + 16 // seq, UUID

func (tx *Tx) encode(r *Record) []byte { return appendRow(tx.slabs.alloc(rowSize(r))[:0], r) }

// rowSize returns at least the size of what appendRow appends.
func rowSize(r *Record) int { return recordHead + binary.MaxVarintLen32 + len(r.DN) + len(r.Attrs) }

func appendRow(b []byte, r *Record) []byte {
	b = binary.BigEndian.AppendUint64(b, r.Seq)
	b = append(b, r.UUID[:]...)
	b = binary.AppendUvarint(b, uint64(len(r.DN)))
	b = append(b, r.DN...)
	return append(b, r.Attrs...)
}

func (tx *Tx) decode(id uint64, raw []byte) (*Record, error) {
	if len(raw) < recordHead+1 {
		return nil, damaged("entry", id)
	}
	r := &Record{ID: id, Seq: binary.BigEndian.Uint64(raw), UUID: listener.UUID(raw[8:24]), names: tx.known.names}
	n, size := binary.Uvarint(raw[recordHead:])
	rest := raw[recordHead+max(size, 0):]
	if size <= 0 || n > uint64(len(rest)) {
		return nil, damaged("entry", id)
	}
	text := unsafe.String(unsafe.SliceData(rest), len(rest))
	r.DN, r.Attrs = text[:n], text[n:]
	return r, nil
}

func damaged(what string, id uint64) error {
	return fmt.Errorf("%w: record of %s %d is damaged", ErrUnusable, what, id)
}

// Lookup returns the entry with the UUID, nil if the mirror has none.
func (tx *Tx) Lookup(u listener.UUID) (*Record, error) {
	raw := tx.uuids.Get(u[:])
	if raw == nil {
		return nil, nil
	}
	return tx.Get(binary.BigEndian.Uint64(raw))
}

// LookupID returns the number of the entry with the UUID.
func (tx *Tx) LookupID(u listener.UUID) (uint64, bool) {
	raw := tx.uuids.Get(u[:])
	if raw == nil {
		return 0, false
	}
	return binary.BigEndian.Uint64(raw), true
}

// Get returns the entry with the number, nil if the mirror has none.
func (tx *Tx) Get(id uint64) (*Record, error) {
	raw := tx.entries.Get(tx.key8(id))
	if raw == nil {
		return nil, nil
	}
	return tx.decode(id, raw)
}

func (tx *Tx) key8(id uint64) []byte {
	binary.BigEndian.PutUint64(tx.key[:], id)
	return tx.key[:8]
}

// Insert adds a new entry and numbers it.
func (tx *Tx) Insert(r *Record) error {
	tx.counters.ID++
	tx.counters.Entries++
	tx.countersDirty = true
	r.ID = tx.counters.ID
	id := tx.slabs.alloc(8)
	binary.BigEndian.PutUint64(id, r.ID)
	if err := tx.put(tx.uuids, r.UUID[:], id); err != nil {
		return err
	}
	if err := tx.put(tx.tree, treeKey(r), nil); err != nil {
		return err
	}
	return tx.put(tx.entries, id, tx.encode(r))
}

// Replace stores the next version of an entry, whose number and UUID stay.
func (tx *Tx) Replace(old, new *Record) error {
	if old.DN != new.DN {
		before, after := treeKey(old), treeKey(new)
		if !bytes.Equal(before, after) {
			if err := tx.del(tx.tree, before); err != nil {
				return err
			}
			if err := tx.put(tx.tree, after, nil); err != nil {
				return err
			}
		}
	}
	return tx.put(tx.entries, tx.key8(new.ID), tx.encode(new))
}

// Delete removes an entry from the mirror.
func (tx *Tx) Delete(r *Record) error {
	tx.counters.Entries--
	tx.countersDirty = true
	if err := tx.del(tx.tree, treeKey(r)); err != nil {
		return err
	}
	if err := tx.del(tx.uuids, r.UUID[:]); err != nil {
		return err
	}
	return tx.del(tx.entries, tx.key8(r.ID))
}

// KeepVersion stores a record that the mirror is about to lose, for the tasks that
// refer to it. It goes with the entry's last task.
func (tx *Tx) KeepVersion(r *Record) error {
	k := key64(r.ID)
	return tx.put(tx.versions, binary.BigEndian.AppendUint64(k, r.Seq), tx.encode(r))
}

// Version returns the entry's record of that version.
func (tx *Tx) Version(id, seq uint64) (*Record, error) {
	r, err := tx.Get(id)
	if err != nil || r != nil && r.Seq == seq {
		return r, err
	}
	binary.BigEndian.PutUint64(tx.key[8:], seq)
	raw := tx.versions.Get(append(tx.key8(id), tx.key[8:16]...))
	if raw == nil {
		return nil, fmt.Errorf("%w: version %d of entry %d is missing", ErrUnusable, seq, id)
	}
	return tx.decode(id, raw)
}

// treeKey returns the key of an entry in the tree: the name's key and the number.
// Numbers begin with a zero byte and RDNs never do, so an entry sorts before its
// descendants.
func treeKey(r *Record) []byte {
	k := schema.AppendTreeKey(make([]byte, 0, len(r.DN)+24), r.DN)
	return binary.BigEndian.AppendUint64(k, r.ID)
}

func splitTreeKey(k []byte) (name []byte, id uint64) {
	n := len(k) - 8
	return k[:n], binary.BigEndian.Uint64(k[n:])
}

// At returns the numbers of the entries that have the name. There is more than one
// only while a refresh runs, or when the provider gives a name twice.
func (tx *Tx) At(dn string) []uint64 {
	var ids []uint64
	tx.eachAt(schema.TreeKey(dn), func(id uint64) bool {
		if tx.is(id, dn, tx.known.schema.SameName) {
			ids = append(ids, id)
		}
		return true
	})
	return ids
}

// eachAt calls fn with the entries that have the key of a name until it returns false.
// Names that the schema tells apart may have one key.
func (tx *Tx) eachAt(name []byte, fn func(id uint64) bool) {
	c := tx.tree.Cursor()
	for k, _ := c.Seek(append(bytes.Clone(name), 0)); k != nil; k, _ = c.Next() {
		n, id := splitTreeKey(k)
		if !bytes.Equal(n, name) || !fn(id) {
			break
		}
	}
}

// is tells whether the entry's name is to dn as asked. A damaged entry is taken to be:
// who reads it next is told.
func (tx *Tx) is(id uint64, dn string, asked func(name, dn string) bool) bool {
	r, err := tx.Get(id)
	return err != nil || r != nil && asked(r.DN, dn)
}

// HasBelow tells whether there are entries below the name.
func (tx *Tx) HasBelow(dn string) bool {
	ids, _ := tx.Below(dn, nil, 1)
	return len(ids) > 0
}

// Below returns the numbers of up to limit entries below the name, parents first,
// from the position after on (nil: the first), and the position of the last one.
func (tx *Tx) Below(dn string, after []byte, limit int) (ids []uint64, last []byte) {
	name := schema.TreeKey(dn)
	from := append(bytes.Clone(name), 1)
	if bytes.Compare(after, from) > 0 {
		from = append(bytes.Clone(after), 0)
	}
	c := tx.tree.Cursor()
	for k, _ := c.Seek(from); k != nil && bytes.HasPrefix(k, name) && len(ids) < limit; k, _ = c.Next() {
		if _, id := splitTreeKey(k); tx.is(id, dn, tx.known.schema.Below) {
			ids = append(ids, id)
			last = k
		}
	}
	return ids, bytes.Clone(last)
}

// AfterSubtree returns the position behind the last entry at and below the name. False if
// others are among them, whose names the schema tells apart.
func (tx *Tx) AfterSubtree(dn string) (pos []byte, ok bool) {
	name, ok := schema.TreeKey(dn), true
	tx.eachAt(name, func(id uint64) bool {
		ok = tx.is(id, dn, tx.known.schema.SameName)
		return ok
	})
	if !ok || len(name) == 0 {
		return nil, false
	}
	name[len(name)-1]++ // all these keys begin with name, which ends in a zero byte
	return name, true
}

// Walk calls fn with the entries in tree order, parents first, from the position
// after on (nil: the first) until fn returns false. pos is valid during the call.
func (tx *Tx) Walk(after []byte, fn func(pos []byte, id uint64) (bool, error)) error {
	c := tx.tree.Cursor()
	k, _ := c.First()
	if after != nil {
		if k, _ = c.Seek(after); bytes.Equal(k, after) {
			k, _ = c.Next()
		}
	}
	for ; k != nil; k, _ = c.Next() {
		_, id := splitTreeKey(k)
		if more, err := fn(k, id); err != nil || !more {
			return err
		}
	}
	return nil
}

// WalkBack is Walk in the opposite direction: children before their parents, from
// the position before on (nil: the last).
func (tx *Tx) WalkBack(before []byte, fn func(pos []byte, id uint64) (bool, error)) error {
	c := tx.tree.Cursor()
	var k []byte
	if before == nil {
		k, _ = c.Last()
	} else if k, _ = c.Seek(before); k == nil {
		k, _ = c.Last()
	} else {
		k, _ = c.Prev()
	}
	for ; k != nil; k, _ = c.Prev() {
		_, id := splitTreeKey(k)
		if more, err := fn(k, id); err != nil || !more {
			return err
		}
	}
	return nil
}

// Position returns the entry's place in tree order, for comparison with what Walk
// reports.
func Position(r *Record) []byte { return treeKey(r) }
