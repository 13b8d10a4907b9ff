package store_test

import (
	"slices"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// What a walk has queued comes before a live task that shares its entry or a name, and in
// the tree before what would put a child before its parent.
func TestAhead(t *testing.T) {
	s := open(t, t.TempDir())
	names := []string{"", "dc=x", "ou=p,dc=x", "uid=a,ou=p,dc=x", "uid=b,dc=x"} // by number of the entry and seq
	live := map[string]store.Task{
		"modify of a":   {ID: 3, Old: 3, New: 13},
		"move of ou=p":  {ID: 2, Old: 2, New: 12},
		"create at uid": {ID: 6, New: 16},
		"remove":        {ID: 7, Old: 17},
	}
	update(t, s, func(tx *store.Tx) error {
		for i, dn := range names[1:] {
			n := uint64(i + 1)
			if err := tx.KeepVersion(&store.Record{ID: n, Seq: n, UUID: listener.UUID{byte(n)}, DN: dn}); err != nil {
				return err
			}
			task := store.Task{Module: 1, Seq: n, Kind: listener.KindCreate, Cause: listener.CauseInitialize, ID: n, New: n}
			if n == 4 {
				task.Kind, task.Old, task.New = listener.KindRemove, n, 0
			}
			if err := tx.AddTask(task); err != nil {
				return err
			}
		}
		for _, r := range []*store.Record{
			{ID: 3, Seq: 13, UUID: listener.UUID{3}, DN: "uid=a,ou=p,dc=x"}, {ID: 2, Seq: 12, UUID: listener.UUID{2}, DN: "ou=q,dc=x"},
			{ID: 6, Seq: 16, UUID: listener.UUID{6}, DN: "uid=b,dc=x"}, {ID: 7, Seq: 17, UUID: listener.UUID{7}, DN: "cn=z"},
		} {
			task := live[map[uint64]string{3: "modify of a", 2: "move of ou=p", 6: "create at uid", 7: "remove"}[r.ID]]
			task.Module, task.Seq, task.Cause = 1, r.Seq, listener.CauseLive
			task.Kind = listener.KindModify // does not matter here
			if err := tx.AddTask(task); err != nil {
				return err
			}
			if err := tx.KeepVersion(r); err != nil {
				return err
			}
		}
		return nil
	})
	for name, want := range map[string]struct{ pool, tree []uint64 }{
		"modify of a":   {[]uint64{3}, []uint64{1, 2, 3}},
		"move of ou=p":  {[]uint64{2}, []uint64{1, 2, 3}},
		"create at uid": {[]uint64{4}, []uint64{1, 4}},
		"remove":        {nil, []uint64{4}},
	} {
		task := live[name]
		task.Module, task.Seq = 1, 100
		for tree, want := range map[bool][]uint64{false: want.pool, true: want.tree} {
			err := s.View(func(tx *store.Tx) error {
				keys, err := tx.Keys(&task)
				if err != nil {
					return err
				}
				ahead, err := tx.Ahead(&task, keys, tree, func(uint64) bool { return false })
				var got []uint64
				for i := range ahead {
					got = append(got, ahead[i].Seq)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s, tree %v: %v, want %v", name, tree, got, want)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}
