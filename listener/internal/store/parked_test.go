package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// queue writes tasks of module 1 with the keys, and parks those of parked; the first
// of them has failed.
func queue(t *testing.T, s *store.Store, keys map[uint64][]string, parked ...uint64) {
	t.Helper()
	update(t, s, func(tx *store.Tx) error {
		for seq := range keys {
			if err := tx.AddTask(task(seq)); err != nil {
				return err
			}
		}
		freed := map[uint64]struct{}{}
		for i, seq := range parked {
			row := task(seq)
			if err := tx.Park(&row, keys[seq]); err != nil {
				return err
			}
			hashes, err := tx.Hashes(&row)
			if err != nil {
				return err
			}
			for _, h := range hashes {
				freed[h] = struct{}{}
			}
			if i > 0 {
				continue
			}
			if err := tx.SetFailure(&row, &store.Failure{Attempts: 1, Next: at(10), Error: "no"}); err != nil {
				return err
			}
		}
		return tx.Release(1, freed)
	})
}

func task(seq uint64) store.Task {
	return store.Task{Module: 1, Seq: seq, Kind: listener.KindRemove, Cause: listener.CauseLive, ID: 1, Old: 1}
}

func at(seconds int64) time.Time { return time.Unix(seconds, 0) }

// due returns what may run at the time, and when something more will.
func due(t *testing.T, s *store.Store, seconds int64, held map[uint64]store.Held) (seqs []uint64, next int64) {
	t.Helper()
	err := s.View(func(tx *store.Tx) (err error) {
		next, _, err = tx.Due(1, at(seconds).UnixNano(), 1<<60, func(seq uint64) store.Held { return held[seq] },
			func(t *store.Task) (bool, error) { seqs = append(seqs, t.Seq); return true, nil })
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return seqs, next
}

// remove acknowledges parked tasks and releases what waited for them.
func remove(t *testing.T, s *store.Store, seqs ...uint64) {
	t.Helper()
	update(t, s, func(tx *store.Tx) error {
		freed := map[uint64]struct{}{}
		for _, seq := range seqs {
			row, err := tx.Parked(1, seq)
			if err != nil {
				return err
			}
			keys, err := tx.Hashes(row)
			if err != nil {
				return err
			}
			for _, k := range keys {
				freed[k] = struct{}{}
			}
			if err := tx.RemoveTask(row); err != nil {
				return err
			}
		}
		return tx.Release(1, freed)
	})
}

func TestParkedTasksRunInTurn(t *testing.T) {
	s := open(t, t.TempDir())
	// 2 waits for 1, 3 for 2 by another key, 5 for 3 and 4.
	queue(t, s, map[uint64][]string{1: {"a", "x"}, 2: {"a", "y"}, 3: {"b", "y"}, 4: {"c", "z"}, 5: {"b", "z"}}, 1, 2, 3, 5)
	if seqs, next := due(t, s, 9, nil); seqs != nil || next != at(10).UnixNano() {
		t.Errorf("before its time: %v, next %d", seqs, next)
	}
	if seqs, _ := due(t, s, 10, nil); !slices.Equal(seqs, []uint64{1}) {
		t.Errorf("at its time: %v; what waits for a failed task must wait", seqs)
	}
	if seqs, _ := due(t, s, 10, map[uint64]store.Held{1: store.HeldRetry}); seqs != nil {
		t.Errorf("while it runs: %v", seqs)
	}
	remove(t, s, 1)
	if seqs, next := due(t, s, 10, nil); !slices.Equal(seqs, []uint64{2, 3, 5}) || next != 0 {
		t.Errorf("after it: %v, next %d", seqs, next)
	}
	if seqs, _ := due(t, s, 10, map[uint64]store.Held{2: store.HeldFirst}); !slices.Equal(seqs, []uint64{3, 5}) {
		t.Errorf("behind what is held: %v", seqs)
	}
	remove(t, s, 2, 3, 5)
	if seqs, _ := due(t, s, 10, nil); seqs != nil {
		t.Errorf("at the end: %v", seqs)
	}
}

func TestParkedTasksBlock(t *testing.T) {
	s := open(t, t.TempDir())
	queue(t, s, map[uint64][]string{5: {"a", "x"}}, 5)
	check := func(tx *store.Tx) error {
		for _, c := range []struct {
			module uint32
			seq    uint64
			keys   []string
			want   bool
		}{
			{1, 6, []string{"a"}, true}, {1, 6, []string{"b", "x"}, true}, {1, 6, []string{"b", "y"}, false},
			{1, 4, []string{"a"}, false}, {2, 6, []string{"a"}, false},
		} {
			if got := tx.Blocks(c.module).Has(c.seq, c.keys); got != c.want {
				t.Errorf("module %d, seq %d, keys %v: %v", c.module, c.seq, c.keys, got)
			}
		}
		return nil
	}
	_ = s.View(check)
	many := make([]string, 100) // too many to be read at once
	for i := range many {
		many[i] = fmt.Sprint("key ", i)
	}
	queue(t, s, map[uint64][]string{7: many}, 7)
	_ = s.View(check)
	_ = s.View(func(tx *store.Tx) error {
		if b := tx.Blocks(1); !b.Has(8, many[99:]) || b.Has(7, many) || tx.CountTasks(1) != 2 {
			t.Error("the second parked task does not count")
		}
		return nil
	})
}

func TestFailuresAreHastened(t *testing.T) {
	s := open(t, t.TempDir())
	queue(t, s, map[uint64][]string{1: {"a"}, 2: {"b"}, 3: {"c"}}, 1, 2, 3)
	update(t, s, func(tx *store.Tx) error {
		row2, row3 := task(2), task(3)
		row2.Place, row3.Place = store.InParked, store.InParked
		if err := tx.SetFailure(&row2, &store.Failure{Next: at(20), NextRun: true}); err != nil {
			return err
		}
		return tx.SetFailure(&row3, &store.Failure{})
	})
	if seqs, next := due(t, s, 100, nil); !slices.Equal(seqs, []uint64{1}) || next != 0 {
		t.Errorf("in this run: %v, next %d", seqs, next)
	}
	update(t, s, func(tx *store.Tx) error { _, err := tx.Hasten(1, at(5), false, 10); return err })
	if seqs, next := due(t, s, 19, nil); !slices.Equal(seqs, []uint64{1}) || next != at(20).UnixNano() {
		t.Errorf("in the next run before its time: %v, next %d", seqs, next)
	}
	if seqs, _ := due(t, s, 20, nil); !slices.Equal(seqs, []uint64{1, 2}) {
		t.Errorf("in the next run: %v", seqs)
	}
	update(t, s, func(tx *store.Tx) error { _, err := tx.Hasten(1, at(6), true, 10); return err })
	if seqs, _ := due(t, s, 6, nil); !slices.Equal(seqs, []uint64{1, 2}) {
		t.Errorf("all hastened: %v", seqs)
	}
	_ = s.View(func(tx *store.Tx) error {
		if failed, setAside, err := tx.CountFailures(1); failed != 3 || setAside != 1 || err != nil {
			t.Errorf("%d failed, %d set aside, %v", failed, setAside, err)
		}
		return nil
	})
}
