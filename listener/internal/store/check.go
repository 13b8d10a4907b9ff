package store

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"
)

// checkTasks returns the first contradiction between the tasks and their indexes.
func (tx *Tx) checkTasks() error {
	tasks, keys := 0, 0
	for _, bucket := range []*bbolt.Bucket{tx.outbox, tx.backlog, tx.parked} {
		err := bucket.ForEach(func(k, v []byte) error {
			tasks++
			module, seq := binary.BigEndian.Uint32(k), binary.BigEndian.Uint64(k[4:])
			t, err := decodeTask(module, seq, v)
			if err != nil {
				return err
			}
			if tx.pending.Get(pendingKey(&tx.key, t.ID, module, seq)) == nil {
				return fmt.Errorf("task %d of module %d is not among the pending ones", seq, module)
			}
			if bucket == tx.backlog && len(v) > taskSize {
				for _, hash := range hashes(v[taskSize:]) {
					keys++
					if tx.walkKeys.Get(blockKey(&tx.key, module, hash, seq)) == nil {
						return fmt.Errorf("task %d in the backlog of module %d is not found by its keys", seq, module)
					}
				}
			}
			if bucket == tx.parked {
				return tx.checkParked(module, seq, hashes(v[taskSize:]))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	pending := 0
	if err := tx.pending.ForEach(func(_, _ []byte) error { pending++; return nil }); err != nil {
		return err
	}
	if pending != tasks {
		return fmt.Errorf("%d tasks, and %d are pending", tasks, pending)
	}
	if err := tx.walkKeys.ForEach(func(_, _ []byte) error { keys--; return nil }); err != nil {
		return err
	}
	if keys != 0 {
		return fmt.Errorf("%d keys more in the backlog than in its index", keys)
	}
	return tx.checkRefer()
}

// checkParked checks one parked task: that it is found by its keys, and that somebody
// will come for it.
func (tx *Tx) checkParked(module uint32, seq uint64, keys []uint64) error {
	c := tx.blocks.Cursor()
	first := true
	for _, hash := range keys {
		if tx.blocks.Get(blockKey(&tx.key, module, hash, seq)) == nil {
			return fmt.Errorf("parked task %d of module %d is not found by its keys", seq, module)
		}
		other, _ := tx.firstBlock(c, module, hash)
		first = first && other == seq
	}
	f, err := tx.Failure(module, seq)
	if err != nil {
		return err
	}
	at, due := f.due()
	if due = due && (first || f != nil); due && tx.due.Get(dueKey(&tx.key, module, at, seq)) == nil {
		return fmt.Errorf("parked task %d of module %d waits for nothing and is not due", seq, module)
	}
	return nil
}

// checkRefer checks that the rows of the indexes refer to something.
func (tx *Tx) checkRefer() error {
	for name, bucket := range map[string]*bbolt.Bucket{"block": tx.blocks, "due": tx.due} {
		err := bucket.ForEach(func(k, _ []byte) error {
			module, seq := binary.BigEndian.Uint32(k), binary.BigEndian.Uint64(k[12:])
			if tx.parked.Get(outboxKey(&tx.key, module, seq)) == nil {
				return fmt.Errorf("a row in %s is for task %d of module %d, which is not parked", name, seq, module)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	err := tx.failures.ForEach(func(k, _ []byte) error {
		if tx.outbox.Get(k) == nil && tx.backlog.Get(k) == nil && tx.parked.Get(k) == nil {
			return fmt.Errorf("there is a failure of task %d, which is gone", binary.BigEndian.Uint64(k[4:]))
		}
		return nil
	})
	if err != nil {
		return err
	}
	c := tx.pending.Cursor()
	return tx.versions.ForEach(func(k, _ []byte) error {
		if row, _ := c.Seek(k[:8]); row == nil || !bytes.Equal(row[:8], k[:8]) {
			return fmt.Errorf("a version of entry %d is kept for no task", binary.BigEndian.Uint64(k))
		}
		return nil
	})
}
