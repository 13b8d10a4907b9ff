package store

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"go.etcd.io/bbolt"
)

// Parked tasks are those that failed, and those that have to wait for such a one
// because they share a key with it: an entry, or a name. They are out of the way of the
// others, on disk. A parked task may run when it is the first of each of its keys and,
// if it failed, when its time has come; it is in the index by due time then. Keys are
// known by their hash: a collision makes a task wait in vain, and no more.

// Park moves a task to the parked ones. Its keys are what orders it.
// What it waits for must be parked before; see [Tx.Release] for when it waits for
// nothing.
func (tx *Tx) Park(t *Task, keys []string) error {
	if t.Place == InParked {
		return nil
	}
	if err := tx.dropFailure(t); err != nil {
		return err
	}
	if err := tx.takeOut(t); err != nil {
		return err
	}
	t.Place = InParked
	b := appendTask(tx.slabs.alloc(taskSize + 8*len(keys))[:0], t)
	for i, k := range keys {
		if slices.Contains(keys[:i], k) {
			continue
		}
		hash := hashKey(k)
		b = binary.BigEndian.AppendUint64(b, hash)
		if err := tx.put(tx.blocks, blockKey(&tx.key, t.Module, hash, t.Seq), nil); err != nil {
			return err
		}
	}
	return tx.put(tx.parked, outboxKey(&tx.key, t.Module, t.Seq), b)
}

// hashKey is FNV-1a, which is the same in every process.
func hashKey(key string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h ^= uint64(key[i])
		h *= 1099511628211
	}
	return h
}

func blockKey(buf *[32]byte, module uint32, hash, seq uint64) []byte {
	binary.BigEndian.PutUint32(buf[0:], module)
	binary.BigEndian.PutUint64(buf[4:], hash)
	binary.BigEndian.PutUint64(buf[12:], seq)
	return buf[:20]
}

func dueKey(buf *[32]byte, module uint32, at, seq uint64) []byte {
	return blockKey(buf, module, at, seq)
}

// fewBlocks is how many keys of parked tasks are read at once.
const fewBlocks = 64

// Blocks tells which tasks of a module have to wait for parked ones, as the transaction
// sees them.
type Blocks struct {
	tx     *Tx
	module uint32
	first  map[uint64]uint64 // the first parked task by key; nil: there are too many
}

// Blocks returns what the module's parked tasks block.
func (tx *Tx) Blocks(module uint32) *Blocks {
	b := &Blocks{tx: tx, module: module, first: map[uint64]uint64{}}
	c := tx.blocks.Cursor()
	for hash := uint64(0); ; hash++ {
		k, _ := c.Seek(blockKey(&tx.key, module, hash, 0))
		if k == nil || binary.BigEndian.Uint32(k) != module {
			return b
		}
		if len(b.first) == fewBlocks {
			b.first = nil
			return b
		}
		hash = binary.BigEndian.Uint64(k[4:])
		b.first[hash] = binary.BigEndian.Uint64(k[12:])
		if hash == math.MaxUint64 {
			return b
		}
	}
}

// Has tells whether a parked task with a lower seq has one of the keys.
func (b *Blocks) Has(seq uint64, keys []string) bool {
	if b.first != nil {
		return len(b.first) > 0 && slices.ContainsFunc(keys, func(key string) bool {
			first, ok := b.first[hashKey(key)]
			return ok && first < seq
		})
	}
	c := b.tx.blocks.Cursor()
	return slices.ContainsFunc(keys, func(key string) bool {
		first, ok := b.tx.firstBlock(c, b.module, hashKey(key))
		return ok && first < seq
	})
}

// firstBlock returns the first parked task with the key.
func (tx *Tx) firstBlock(c *bbolt.Cursor, module uint32, hash uint64) (seq uint64, ok bool) {
	prefix := blockKey(&tx.key, module, hash, 0)
	k, _ := c.Seek(prefix)
	if k == nil || !bytes.Equal(k[:12], prefix[:12]) {
		return 0, false
	}
	return binary.BigEndian.Uint64(k[12:]), true
}

// Parked returns a parked task, nil if there is none with the seq.
func (tx *Tx) Parked(module uint32, seq uint64) (*Task, error) {
	t, _, err := tx.parkedRow(module, seq)
	return t, err
}

func (tx *Tx) parkedRow(module uint32, seq uint64) (*Task, []byte, error) {
	v := tx.parked.Get(outboxKey(&tx.key, module, seq))
	if v == nil {
		return nil, nil, nil
	}
	t, err := decodeTask(module, seq, v)
	if err != nil {
		return nil, nil, err
	}
	t.Place = InParked
	return &t, v[taskSize:], nil
}

// Hashes returns the keys of a parked task, for [Tx.Release].
func (tx *Tx) Hashes(t *Task) ([]uint64, error) {
	_, raw, err := tx.parkedRow(t.Module, t.Seq)
	return hashes(raw), err
}

func hashes(raw []byte) []uint64 {
	out := make([]uint64, 0, 3)
	for ; len(raw) >= 8; raw = raw[8:] {
		out = append(out, binary.BigEndian.Uint64(raw))
	}
	return out
}

// unpark removes a parked task with its places in the indexes.
func (tx *Tx) unpark(t *Task) error {
	keys, err := tx.Hashes(t)
	if err != nil {
		return err
	}
	for _, hash := range keys {
		if err := tx.del(tx.blocks, blockKey(&tx.key, t.Module, hash, t.Seq)); err != nil {
			return err
		}
	}
	return tx.del(tx.parked, outboxKey(&tx.key, t.Module, t.Seq))
}

// Release makes due what waits for nothing any more: of each of the keys the first
// parked task, if it is the first of all of its keys and has not failed. To be called
// after tasks with these keys were removed or parked, in the same transaction.
func (tx *Tx) Release(module uint32, keys map[uint64]struct{}) error {
	c := tx.blocks.Cursor()
	for key := range keys {
		seq, ok := tx.firstBlock(c, module, key)
		if !ok {
			continue
		}
		_, raw, err := tx.parkedRow(module, seq)
		if err != nil {
			return err
		}
		first := true
		for _, hash := range hashes(raw) {
			other, _ := tx.firstBlock(c, module, hash)
			first = first && other == seq
		}
		if !first || tx.failures.Get(outboxKey(&tx.key, module, seq)) != nil {
			continue
		}
		if err := tx.put(tx.due, dueKey(&tx.key, module, 0, seq), nil); err != nil {
			return err
		}
	}
	return nil
}

// Held says whether the caller of [Tx.Due] has a parked task already.
type Held uint8

// What a caller has.
const (
	NotHeld   Held = iota
	HeldFirst      // it never failed: what waits for it may follow
	HeldRetry      // it has failed before: what waits for it has to wait
)

// Due hands out, through take, the parked tasks that may run at now, and behind those
// that have not failed what waits for nothing else, until take returns false. They come
// in an order in which they may be called. next is when a further task becomes due, in
// nanoseconds, 0: never by itself; more tells that take ended it. Tasks with a seq
// greater than last are left out, and what waits for them.
func (tx *Tx) Due(module uint32, now int64, last uint64, held func(seq uint64) Held, take func(*Task) (bool, error)) (next int64, more bool, err error) {
	d := &drain{tx: tx, module: module, last: last, held: held, taken: map[uint64]Held{}, fronts: map[uint64]*front{}}
	c := tx.due.Cursor()
	for k, _ := c.Seek(dueKey(&tx.key, module, 0, 0)); k != nil && binary.BigEndian.Uint32(k) == module; k, _ = c.Next() {
		at, seq := binary.BigEndian.Uint64(k[4:]), binary.BigEndian.Uint64(k[12:])
		if at >= dueNextRun {
			break
		}
		if int64(at) > now {
			return int64(at), false, nil
		}
		if more, err := d.from(seq, take); err != nil || !more {
			return 0, !more, err
		}
	}
	return 0, false, nil
}

// drain is one reading of what is due.
type drain struct {
	tx     *Tx
	module uint32
	last   uint64
	held   func(seq uint64) Held
	taken  map[uint64]Held
	fronts map[uint64]*front
}

// front is the first task of a key that does not let others pass.
type front struct {
	c   *bbolt.Cursor
	seq uint64 // 0: none
}

func (d *drain) state(seq uint64) Held {
	if h := d.taken[seq]; h != NotHeld {
		return h
	}
	return d.held(seq)
}

// front returns the first task of the key that is not held, or was and failed.
func (d *drain) front(hash uint64) uint64 {
	f := d.fronts[hash]
	if f == nil {
		f = &front{c: d.tx.blocks.Cursor()}
		d.fronts[hash] = f
		k, _ := f.c.Seek(blockKey(&d.tx.key, d.module, hash, 0))
		f.set(d.module, hash, k)
	}
	for f.seq != 0 && d.state(f.seq) == HeldFirst {
		k, _ := f.c.Next()
		f.set(d.module, hash, k)
	}
	return f.seq
}

func (f *front) set(module uint32, hash uint64, k []byte) {
	f.seq = 0
	if k != nil && binary.BigEndian.Uint32(k) == module && binary.BigEndian.Uint64(k[4:]) == hash {
		f.seq = binary.BigEndian.Uint64(k[12:])
	}
}

// from takes a task that is due, and what waits for nothing but what was taken.
func (d *drain) from(seq uint64, take func(*Task) (bool, error)) (more bool, err error) {
	open := []uint64{seq}
	for isDue := true; len(open) > 0; isDue = false {
		last := len(open) - 1
		seq, open = open[last], open[:last]
		t, raw, err := d.tx.parkedRow(d.module, seq)
		if err != nil {
			return false, err
		}
		state := d.state(seq)
		if t == nil || state == HeldRetry {
			continue
		}
		keys := hashes(raw)
		if state == NotHeld {
			failed := d.tx.failures.Get(outboxKey(&d.tx.key, d.module, seq)) != nil
			if failed && !isDue || seq > d.last || !d.leads(seq, keys) {
				continue
			}
			d.taken[seq] = HeldFirst
			if failed {
				d.taken[seq] = HeldRetry
			}
			if more, err := take(t); err != nil || !more {
				return false, err
			}
			if failed {
				continue
			}
		}
		for _, hash := range keys {
			next := d.front(hash)
			if next != 0 && d.state(next) == NotHeld && !slices.Contains(open, next) {
				open = append(open, next)
			}
		}
	}
	return true, nil
}

// leads tells whether the task is the first one of all of its keys.
func (d *drain) leads(seq uint64, keys []uint64) bool {
	for _, hash := range keys {
		if d.front(hash) != seq {
			return false
		}
	}
	return true
}
