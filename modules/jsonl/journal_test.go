package jsonl_test

import (
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/listenerd/listenerd/listener/listenertest"
	"github.com/listenerd/listenerd/modules/jsonl"
)

const whole = `{"time":"2026-01-02T03:04:05.678Z","module":"m","call":"pre_run"}` + "\n"

func tryOpen(t *testing.T, path string) (*listenertest.Harness, error) {
	t.Helper()
	return listenertest.TryOpen(t, jsonl.Module, config(func(c *jsonl.Config) { c.Path = path }))
}

func TestPathIsRequired(t *testing.T) {
	if _, err := tryOpen(t, ""); err == nil || !strings.Contains(err.Error(), "path is empty") {
		t.Errorf("got %v", err)
	}
}

func TestDirectoryMustExist(t *testing.T) {
	_, err := tryOpen(t, filepath.Join(t.TempDir(), "missing", "journal"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "make the directory") {
		t.Errorf("got %v", err)
	}
}

func TestDirectoryIsNoFile(t *testing.T) {
	if _, err := tryOpen(t, t.TempDir()); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("got %v", err)
	}
}

func TestPipeNeedsAReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	must(t, syscall.Mkfifo(path, 0o600))
	if _, err := tryOpen(t, path); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("got %v", err)
	}
}

func TestMode(t *testing.T) {
	_, path := open(t)
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestOneWriter(t *testing.T) {
	_, path := open(t)
	if _, err := tryOpen(t, path); err == nil || !strings.Contains(err.Error(), "another module instance") {
		t.Errorf("got %v", err)
	}
}

func TestDevice(t *testing.T) {
	path := "/dev/null"
	h := listenertest.Open(t, jsonl.Module, config(func(c *jsonl.Config) { c.Path, c.Fsync = path, true }))
	must(t, h.Create(t.Context(), listenertest.Entry(t, ada)))
}

func TestAppendsAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	for range 2 {
		t.Run("run", func(t *testing.T) {
			h, err := tryOpen(t, path)
			must(t, err)
			must(t, h.Create(t.Context(), listenertest.Entry(t, ada)))
		})
	}
	if n := len(documents(t, path)); n != 6 {
		t.Errorf("%d documents", n)
	}
}

func TestUnfinishedLine(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	longLine := strings.TrimSuffix(whole, "}\n") + `,"module":"` + long + `"}` + "\n"
	for _, c := range []struct{ name, before, after string }{
		{"none", whole, whole},
		{"empty file", "", ""},
		{"begun", whole + `{"ti`, whole},
		{"nearly done", whole + whole + whole[:len(whole)-1], whole + whole},
		{"long", whole + `{"time":"` + long, whole},
		{"long and first", `{"time":"` + long, ""},
		{"long line before", longLine + `{"time`, longLine},
		{"lost data", whole + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", whole},
		{"lost end", whole + "{\"tim\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", whole},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			must(t, os.WriteFile(path, []byte(c.before), 0o640))
			h, err := tryOpen(t, path)
			must(t, err)
			if got := read(t, path); got != c.after {
				t.Errorf("got %q", got)
			}
			must(t, h.PreRun(t.Context()))
			documents(t, path)
		})
	}
}

func TestForeignFileIsLeftAlone(t *testing.T) {
	for _, content := range []string{"127.0.0.1 localhost", whole + "half a line", "{\n}"} {
		path := filepath.Join(t.TempDir(), "hosts")
		must(t, os.WriteFile(path, []byte(content), 0o600))
		if _, err := tryOpen(t, path); err == nil || !strings.Contains(err.Error(), "jsonl has not written") {
			t.Errorf("%q: got %v", content, err)
		}
		if got := read(t, path); got != content {
			t.Errorf("%q became %q", content, got)
		}
	}
}

func TestRotation(t *testing.T) {
	h, path := open(t)
	must(t, h.Create(t.Context(), listenertest.Entry(t, "dn: uid=1")))
	must(t, os.Rename(path, path+".1"))
	must(t, h.Create(t.Context(), listenertest.Entry(t, "dn: uid=2")))
	must(t, os.Remove(path))
	must(t, h.Create(t.Context(), listenertest.Entry(t, "dn: uid=3")))
	must(t, os.Rename(path, path+".3"))
	must(t, os.WriteFile(path, nil, 0o640)) // as logrotate's create does
	must(t, h.Create(t.Context(), listenertest.Entry(t, "dn: uid=4")))
	must(t, os.Truncate(path, 0)) // as copytruncate does
	must(t, h.Create(t.Context(), listenertest.Entry(t, "dn: uid=5")))

	for name, want := range map[string]string{path + ".1": "uid=1", path + ".3": "uid=3", path: "uid=5"} {
		docs := documents(t, name)
		if got := docs[len(docs)-1]; string(got.DN) != want {
			t.Errorf("%s: %s", name, got.DN)
		}
	}
	if n := len(documents(t, path)); n != 1 {
		t.Errorf("%d documents after copytruncate", n)
	}
}

func TestRotationIntoAMissingDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	must(t, os.Mkdir(dir, 0o700))
	h, err := tryOpen(t, filepath.Join(dir, "journal"))
	must(t, err)
	must(t, h.PreRun(t.Context()))
	must(t, os.RemoveAll(dir))
	e := listenertest.Entry(t, ada)
	if err := h.Create(t.Context(), e); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v", err)
	}
	must(t, os.Mkdir(dir, 0o700))
	must(t, h.Create(t.Context(), e))
	if docs := documents(t, filepath.Join(dir, "journal")); len(docs) != 1 || docs[0].Attempt != 2 {
		t.Errorf("got %+v", docs)
	}
}

func TestFullDevice(t *testing.T) {
	h, err := tryOpen(t, "/dev/full")
	must(t, err)
	if err := h.PreRun(t.Context()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
}

// A limit of the file's size makes the write short, as a full disk does.
func TestFullDiskLeavesNoTornLine(t *testing.T) {
	h, path := open(t)
	must(t, h.PreRun(t.Context()))
	before := read(t, path)

	e := listenertest.Set(listenertest.Entry(t, ada), "description", strings.Repeat("x", 5_000))
	release := limitFileSize(t, uint64(len(before)+3_000))
	err := h.Create(t.Context(), e)
	release()

	if !errors.Is(err, syscall.EFBIG) {
		t.Errorf("got %v", err)
	}
	if got := read(t, path); got != before {
		t.Errorf("the file was changed to %q", got)
	}
	must(t, h.Create(t.Context(), e))
	if docs := documents(t, path); len(docs) != 3 || docs[2].Attempt != 2 || docs[2].Seq != 1 {
		t.Errorf("got %+v", docs)
	}
}

// limitFileSize lets no file of this process grow beyond size until release.
func limitFileSize(t *testing.T, size uint64) (release func()) {
	t.Helper()
	var limit syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit))
	signal.Ignore(syscall.SIGXFSZ)
	must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: limit.Max}))
	return func() {
		must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
		signal.Reset(syscall.SIGXFSZ)
	}
}
