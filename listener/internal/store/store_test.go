package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/store"
)

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func update(t *testing.T, s *store.Store, fn func(*store.Tx) error) {
	t.Helper()
	if err := s.Update(fn); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
}

func record(n byte, dn string) *store.Record {
	return &store.Record{UUID: listener.UUID{n}, Seq: uint64(n), DN: dn}
}

func TestStateSurvivesReopen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	update(t, s, func(tx *store.Tx) error {
		if err := tx.Insert(record(1, "dc=x")); err != nil {
			return err
		}
		return tx.SetSync(store.Sync{Cookie: []byte{0, 1, 255}, Fingerprint: "f", Filled: true})
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	err := open(t, dir).View(func(tx *store.Tx) error {
		r, err := tx.Lookup(listener.UUID{1})
		if err != nil || r == nil || r.DN != "dc=x" || r.ID != 1 || r.Seq != 1 {
			t.Errorf("entry: %+v, %v", r, err)
		}
		sync, err := tx.Sync()
		if err != nil || !bytes.Equal(sync.Cookie, []byte{0, 1, 255}) || !sync.Filled || sync.Fingerprint != "f" {
			t.Errorf("sync: %+v, %v", sync, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFailedUpdateLeavesNothing(t *testing.T) {
	s := open(t, t.TempDir())
	cause := errors.New("no")
	err := s.Update(func(tx *store.Tx) error {
		if err := tx.Insert(record(1, "dc=x")); err != nil {
			return err
		}
		return cause
	})
	if !errors.Is(err, cause) {
		t.Errorf("error %v, want %v", err, cause)
	}
	_ = s.View(func(tx *store.Tx) error {
		if c := tx.Counters(); c != (store.Counters{}) {
			t.Errorf("counters %+v", c)
		}
		return nil
	})
}

func TestSecondDaemonIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if _, err := store.Open(dir); !errors.Is(err, store.ErrLocked) {
		t.Errorf("error %v, want ErrLocked", err)
	}
}

func TestForeignFileIsRefusedAndKept(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, store.FileName)
	content := bytes.Repeat([]byte("not a database\n"), 1000)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(dir); !errors.Is(err, store.ErrUnusable) {
		t.Errorf("error %v, want ErrUnusable", err)
	}
	if left, _ := os.ReadFile(path); !bytes.Equal(left, content) {
		t.Error("the file was changed")
	}
}

func TestOtherFormatVersionIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	store.SetFormat(t, s, "1")
	_ = s.Close()
	if _, err := store.Open(dir); !errors.Is(err, store.ErrUnusable) {
		t.Errorf("error %v, want ErrUnusable", err)
	}
}

func TestModesOfFileAndDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := open(t, dir)
	for path, want := range map[string]os.FileMode{dir: 0o700, s.Path(): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v (%v)", path, info.Mode().Perm(), want, err)
		}
	}
}

func TestTreeOrder(t *testing.T) {
	s := open(t, t.TempDir())
	update(t, s, func(tx *store.Tx) error {
		for i, dn := range []string{"uid=a,ou=p,dc=x", "ou=p,dc=x", "ou=pp,dc=x", "dc=x", "uid=b,ou=p,dc=x"} {
			if err := tx.Insert(record(byte(i+1), dn)); err != nil {
				return err
			}
		}
		return nil
	})
	_ = s.View(func(tx *store.Tx) error {
		var forward, back []uint64
		var middle []byte
		_ = tx.Walk(nil, func(pos []byte, id uint64) (bool, error) {
			forward = append(forward, id)
			if len(forward) == 2 {
				middle = bytes.Clone(pos)
			}
			return true, nil
		})
		_ = tx.WalkBack(nil, func(_ []byte, id uint64) (bool, error) { back = append(back, id); return true, nil })
		assertIDs(t, "forward", forward, 4, 2, 1, 5, 3)
		assertIDs(t, "back", back, 3, 5, 1, 2, 4)
		forward, back = nil, nil
		_ = tx.Walk(middle, func(_ []byte, id uint64) (bool, error) { forward = append(forward, id); return true, nil })
		_ = tx.WalkBack(middle, func(_ []byte, id uint64) (bool, error) { back = append(back, id); return true, nil })
		assertIDs(t, "forward from the middle", forward, 1, 5, 3)
		assertIDs(t, "back from the middle", back, 4)
		below, last := tx.Below("ou=p,dc=x", nil, 1)
		assertIDs(t, "below, first", below, 1)
		below, _ = tx.Below("ou=p,dc=x", last, 10)
		assertIDs(t, "below, rest", below, 5)
		assertIDs(t, "at", tx.At("OU=P, dc=x"), 2)
		if tx.HasBelow("ou=pp,dc=x") || !tx.HasBelow("dc=x") {
			t.Error("HasBelow is wrong")
		}
		return nil
	})
}

func assertIDs(t *testing.T, what string, got []uint64, want ...uint64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: %v, want %v", what, got, want)
			return
		}
	}
}

// A superseded version lives as long as a task of its entry does.
func TestVersionsGoWithTheLastTask(t *testing.T) {
	s := open(t, t.TempDir())
	tasks := []store.Task{
		{Module: 1, Seq: 10, Kind: listener.KindCreate, Cause: listener.CauseLive, ID: 1, New: 1},
		{Module: 2, Seq: 10, Kind: listener.KindCreate, Cause: listener.CauseResync, ID: 1, New: 1, Place: store.InBacklog},
		{Module: 1, Seq: 11, Kind: listener.KindModify, Cause: listener.CauseLive, ID: 1, Old: 1, New: 2},
	}
	update(t, s, func(tx *store.Tx) error {
		old, new := record(1, "dc=x"), record(1, "dc=y")
		if err := tx.Insert(old); err != nil {
			return err
		}
		new.ID, new.Seq = old.ID, 2
		for _, task := range tasks {
			if err := tx.AddTask(task); err != nil {
				return err
			}
		}
		if err := tx.KeepVersion(old); err != nil {
			return err
		}
		return tx.Replace(old, new)
	})
	dn := func(version uint64) string {
		out := ""
		_ = s.View(func(tx *store.Tx) error {
			if r, err := tx.Version(1, version); err == nil {
				out = r.Clone().DN
			}
			return nil
		})
		return out
	}
	for i, task := range tasks {
		if dn(1) != "dc=x" || dn(2) != "dc=y" {
			t.Fatalf("before ack %d: versions %q and %q", i, dn(1), dn(2))
		}
		update(t, s, func(tx *store.Tx) error { return tx.RemoveTask(&task) })
	}
	if dn(1) != "" || dn(2) != "dc=y" {
		t.Errorf("at the end: versions %q and %q", dn(1), dn(2))
	}
}

func TestTasksComeInOrderAndPages(t *testing.T) {
	s := open(t, t.TempDir())
	update(t, s, func(tx *store.Tx) error {
		for seq := uint64(300); seq > 0; seq-- {
			for module := uint32(1); module <= 2; module++ {
				if err := tx.AddTask(store.Task{Module: module, Seq: seq, Kind: listener.KindRemove, Cause: listener.CauseLive, ID: seq, Old: 1}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	_ = s.View(func(tx *store.Tx) error {
		after, n := uint64(0), 0
		for {
			page, err := tx.Tasks(1, after, 300, 7)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, task := range page {
				if task.Seq != after+1 || task.Module != 1 {
					t.Fatalf("task %+v after %d", task, after)
				}
				after = task.Seq
				n++
			}
		}
		if n != 300 || tx.CountTasks(1) != 300 || tx.CountTasks(3) != 0 {
			t.Errorf("%d tasks in pages, counted %d and %d", n, tx.CountTasks(1), tx.CountTasks(3))
		}
		return nil
	})
}

func TestModuleNumbersAreNotReused(t *testing.T) {
	s := open(t, t.TempDir())
	var a, b store.ModuleState
	update(t, s, func(tx *store.Tx) error { return tx.SetModule("a", &a) })
	update(t, s, func(tx *store.Tx) error { return tx.SetModule("b", &b) })
	if a.Number == 0 || a.Number == b.Number {
		t.Errorf("numbers %d and %d", a.Number, b.Number)
	}
	_ = s.View(func(tx *store.Tx) error {
		if names := tx.Modules(); len(names) != 2 || names[0] != "a" || names[1] != "b" {
			t.Errorf("modules %v", names)
		}
		return nil
	})
}

func TestUpdateWithoutWritesLeavesTheFileAlone(t *testing.T) {
	s := open(t, t.TempDir())
	before, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx *store.Tx) error { return tx.DropHeld() })
	after, err := os.ReadFile(s.Path())
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file changed (%v)", err)
	}
}
