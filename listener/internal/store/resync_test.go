package store_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// What a retired number has goes in small transactions, with all indexes, and nothing of
// other modules goes with it.
func TestPurge(t *testing.T) {
	const entries, limit = 20_000, 16 << 20
	s := open(t, t.TempDir())
	rng := rand.New(rand.NewPCG(1, 2))
	write := func(fn func(*store.Tx) error) { // without a check each time
		t.Helper()
		if err := s.Update(fn); err != nil {
			t.Fatal(err)
		}
	}
	for from := 0; from < entries; from += 1_000 {
		write(func(tx *store.Tx) error {
			for i := from; i < from+1_000; i++ {
				r := &store.Record{Seq: tx.NextSeq(), DN: fmt.Sprintf("uid=%d,dc=x", i), Attrs: ""}
				binary.BigEndian.PutUint64(r.UUID[:], rng.Uint64())
				if err := tx.Insert(r); err != nil {
					return err
				}
				for module := range uint32(3) {
					if err := tx.SetMember(module+1, r.ID, true); err != nil {
						return err
					}
					task := store.Task{Module: module + 1, Seq: tx.NextSeq(), Kind: listener.KindCreate, Cause: listener.CauseLive, ID: r.ID, New: r.Seq}
					if i%3 == 0 {
						task.Cause = listener.CauseResync
						task.Place = store.InBacklog
					}
					if err := tx.AddTask(task); err != nil {
						return err
					}
					if i%3 != 1 {
						continue
					}
					keys, err := tx.Keys(&task)
					if err != nil {
						return err
					}
					if err := tx.Park(&task, keys); err != nil {
						return err
					}
					if err := tx.SetFailure(&task, &store.Failure{Attempts: 1, Error: "no"}); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	update(t, s, func(tx *store.Tx) error { return tx.Retire(2) })
	most := int64(0)
	for n, more := 0, true; more; n++ {
		if n%16 == 7 {
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
		}
		before := store.Written(s)
		write(func(tx *store.Tx) (err error) {
			more, err = tx.Purge()
			return err
		})
		most = max(most, store.Written(s)-before)
	}
	if most > limit {
		t.Errorf("a transaction writes %d bytes, at most %d are allowed", most, limit)
	}
	t.Logf("a transaction writes up to %d KiB", most>>10)
	if err := s.Check(); err != nil {
		t.Error(err)
	}
	err := s.View(func(tx *store.Tx) error {
		for module, want := range map[uint32]int{1: entries, 2: 0, 3: entries} {
			failed, _, err := tx.CountFailures(module)
			if err != nil {
				return err
			}
			if tx.CountTasks(module) != want || tx.CountMembers(module) != want || failed != want/3 && failed != want/3+1 {
				t.Errorf("module %d has %d tasks, %d of them failed, and %d members, want %d", module, tx.CountTasks(module), failed, tx.CountMembers(module), want)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
