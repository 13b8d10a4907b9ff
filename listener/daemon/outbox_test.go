package daemon

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// A call that succeeded just before a crash is repeated as it was, also when the call
// before it fails at its repetition: what waits for that one is folded without it.
func TestWhatWasCalledBeforeACrashIsNotFolded(t *testing.T) {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	state := new(store.ModuleState)
	err = s.Update(func(tx *store.Tx) error {
		if err := tx.SetModule("m", state); err != nil {
			return err
		}
		old := &store.Record{Seq: tx.NextSeq(), UUID: listener.UUID{1}, DN: "dc=x"}
		if err := tx.Insert(old); err != nil {
			return err
		}
		for i := range 4 {
			new := &store.Record{ID: old.ID, Seq: tx.NextSeq(), UUID: old.UUID, DN: "dc=x", Attrs: attribute("sn", strconv.Itoa(i))}
			err := tx.AddTask(store.Task{Module: state.Number, Seq: new.Seq, Kind: listener.KindModify, Cause: listener.CauseLive, ID: old.ID, Old: old.Seq, New: new.Seq})
			if err != nil {
				return err
			}
			if err := tx.KeepVersion(old); err != nil {
				return err
			}
			if err := tx.Replace(old, new); err != nil {
				return err
			}
			old = new
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	seqs := func() (list []uint64) {
		err := s.View(func(tx *store.Tx) error {
			tasks, err := tx.Queued(state.Number, 1)
			for _, task := range tasks {
				list = append(list, task.Seq)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	box := &outbox{store: s, numbers: map[string]uint32{"m": state.Number}, before: map[string]uint64{"m": 3}}
	tasks, err := box.Load("m", dispatch.Query{Last: 100, Limit: 100, Size: 1 << 20})
	if err != nil || len(tasks) != 4 {
		t.Fatalf("%d tasks, %v", len(tasks), err)
	}
	tasks[0].Failure = &dispatch.Failure{Next: time.Now()}
	err = box.Commit(map[string]*dispatch.Changes{"m": {Failed: tasks[:1], Waiting: tasks[1:], Fold: true}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := seqs(), []uint64{2, 3, 5}; !slices.Equal(got, want) {
		t.Errorf("tasks %d are left, want %d", got, want)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}

	box.before["m"] = 0 // the next run knows it from the parked tasks
	if _, _, err := box.Fold("m", true, 0, dispatch.Query{Last: 100, Limit: 100}); err != nil {
		t.Fatal(err)
	}
	if got, want := seqs(), []uint64{2, 3, 5}; !slices.Equal(got, want) {
		t.Errorf("tasks %d are left after another fold, want %d", got, want)
	}
}
