package daemon

import (
	"strconv"
	"testing"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/config"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// What a module is owed that nobody calls is folded when it becomes too much, but for
// what may have been called before.
func TestOrphansAreFolded(t *testing.T) {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	update := func(f func(tx *store.Tx) error) {
		t.Helper()
		if err := s.Update(f); err != nil {
			t.Fatal(err)
		}
	}
	record := func(i int, seq uint64) *store.Record {
		return &store.Record{ID: 1, Seq: seq, UUID: listener.UUID{1}, DN: "dc=x", Attrs: attribute("sn", strconv.Itoa(i))}
	}
	state := new(store.ModuleState)
	update(func(tx *store.Tx) error {
		if err := tx.SetModule("old", state); err != nil {
			return err
		}
		entry := record(0, tx.NextSeq())
		if err := tx.Insert(entry); err != nil {
			return err
		}
		for i := range 10 {
			seq := tx.NextSeq()
			err := tx.AddTask(store.Task{Module: state.Number, Seq: seq, Kind: listener.KindModify, Cause: listener.CauseLive, ID: 1, Old: seq - 1, New: seq})
			if err != nil {
				return err
			}
			if err := tx.KeepVersion(entry); err != nil {
				return err
			}
			next := record(i+1, seq)
			if err := tx.Replace(entry, next); err != nil {
				return err
			}
			entry = next
		}
		return tx.SetMark(state.Number, 3)
	})
	d := &Daemon{store: s, log: zap.NewNop(), orphaned: map[string]*orphan{"old": {number: state.Number, queued: config.DefaultMaxTasks}}}
	count := func() (n int) {
		if err := s.View(func(tx *store.Tx) error { n = tx.CountTasks(state.Number); return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	d.foldOrphans(map[string]int{"other": 1})
	if n := count(); n != 10 {
		t.Errorf("%d tasks after another module's, want 10", n)
	}
	d.foldOrphans(map[string]int{"old": 1})
	if n := count(); n != 3 { // 2 and 3 are below the mark
		t.Errorf("%d tasks are left, want 3", n)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}
