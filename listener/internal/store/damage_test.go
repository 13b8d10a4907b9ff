package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/listenerd/listenerd/listener/internal/store"
)

// stateFile returns a directory with a state file of some hundred pages, and its content.
func stateFile(t *testing.T) (dir, path string, content []byte) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, dir)
	err := s.Update(func(tx *store.Tx) error {
		for n := range 3_000 {
			r := record(byte(n), fmt.Sprintf("uid=%d,dc=x", n))
			r.UUID[1], r.Seq, r.Attrs = byte(n>>8), uint64(n+1), strings.Repeat("x", 1_000)
			if err := tx.Insert(r); err != nil {
				return err
			}
		}
		return nil
	})
	path = s.Path()
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	content, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return dir, path, content
}

func refused(t *testing.T, dir, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(dir); !errors.Is(err, store.ErrUnusable) || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("error %v, want ErrUnusable because it is damaged", err)
	}
	if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, content) {
		t.Errorf("the file was changed, %v", err)
	}
}

// A copy that was broken off, because the disk was full for example.
func TestShortFileIsRefusedAndKept(t *testing.T) {
	dir, path, content := stateFile(t)
	for _, length := range []int{64 << 10, 1 << 20, 2<<20 + 1} {
		refused(t, dir, path, content[:length])
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

// A file that was begun and holds nothing yet, because the disk was full or the daemon was
// killed, is begun anew; not so one that a daemon is making, or that something was stored in.
func TestBegunFileIsBegunAnew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, store.FileName)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: 16 << 10, NoFreelistSync: true})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, length := range []int{80, 4 << 10, 16 << 10, 16<<10 + 50, 32 << 10, 48 << 10, len(fresh) - 1, len(fresh)} {
		if err := os.WriteFile(path, fresh[:length], 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(dir)
		if err != nil {
			t.Fatalf("%d octets: %v", length, err)
		}
		if err := errors.Join(s.Check(), s.Close()); err != nil {
			t.Errorf("%d octets: %v", length, err)
		}
	}
	used, err := os.ReadFile(path) // with one transaction
	if err != nil {
		t.Fatal(err)
	}
	refused(t, dir, path, used[:32<<10])

	if err := os.WriteFile(path, fresh[:32<<10], 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(dir); !errors.Is(err, store.ErrLocked) {
		t.Errorf("error %v, want ErrLocked", err)
	}
	if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, fresh[:32<<10]) {
		t.Errorf("the file was changed, %v", err)
	}
}

// Who gives a transaction up is told the reason, and nothing of the file.
func TestErrorOfAnUpdateIsReturnedAsItIs(t *testing.T) {
	cause := errors.New("no")
	if err := open(t, t.TempDir()).Update(func(*store.Tx) error { return cause }); err != cause {
		t.Errorf("error %v, want %v", err, cause)
	}
}

// What the system refuses says nothing of the file.
func TestFileThatCannotBeOpenedIsNotCalledUnusable(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, store.FileName), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(dir); err == nil || errors.Is(err, store.ErrUnusable) {
		t.Errorf("error %v", err)
	}
}
