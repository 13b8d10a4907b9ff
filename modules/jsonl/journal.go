package jsonl

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// journal is a file of whole lines with one writer.
type journal struct {
	path  string
	fsync bool

	mu     sync.Mutex  // guards what follows and orders the writes
	file   *os.File    // nil: to be opened by the next write
	info   fs.FileInfo // of file, to notice that path is another one
	closed bool
}

func openJournal(path string, fsync bool) (*journal, error) {
	j := &journal{path: path, fsync: fsync}
	if err := j.openLocked(); err != nil {
		return nil, err
	}
	return j, nil
}

// write appends one line, which ends in a newline. After an error none of it is in
// the file, or the next write cuts off what is; the exception is a failed fsync,
// after which the whole line may be there.
func (j *journal) write(line []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return fmt.Errorf("write %s: %w", j.path, os.ErrClosed)
	}
	if err := j.currentLocked(); err != nil {
		return err
	}
	n, err := j.file.Write(line)
	if err == nil && j.fsync {
		err = j.syncLocked()
	}
	if err == nil {
		return nil
	}
	if n > 0 && n < len(line) {
		if cutErr := j.cutLocked(); cutErr != nil {
			err = errors.Join(err, cutErr)
			j.dropLocked() // opening it again cuts
		}
	}
	return err
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}

// currentLocked makes file the one that path names now.
func (j *journal) currentLocked() error {
	if j.file != nil {
		info, err := os.Stat(j.path)
		if err == nil && os.SameFile(info, j.info) {
			return nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		j.dropLocked()
	}
	return j.openLocked()
}

func (j *journal) dropLocked() {
	j.file.Close() // every write was checked
	j.file = nil
}

// openLocked opens or creates the file and cuts off an unfinished last line.
func (j *journal) openLocked() (err error) {
	// A pipe is opened for writing only, so that a write fails when its reader is
	// gone; not blocking, so that opening fails when there is none yet.
	mode := os.O_WRONLY | syscall.O_NONBLOCK
	before, statErr := os.Stat(j.path)
	created := errors.Is(statErr, fs.ErrNotExist)
	regular := created || statErr == nil && before.Mode().IsRegular()
	if regular {
		mode = os.O_RDWR | os.O_CREATE
	}
	file, err := os.OpenFile(j.path, mode|os.O_APPEND, 0o600)
	if err != nil {
		if dir := filepath.Dir(j.path); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: make the directory %s first", err, dir)
		}
		return err
	}
	defer func() {
		if err != nil {
			file.Close() // nothing was written
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() {
		if err := lock(file); err != nil {
			return err
		}
	}
	j.file, j.info = file, info
	defer func() {
		if err != nil {
			j.file = nil
		}
	}()
	if !info.Mode().IsRegular() {
		return nil
	}
	if err := j.cutLocked(); err != nil {
		return err
	}
	if created && j.fsync {
		return syncDir(filepath.Dir(j.path))
	}
	return nil
}

// lock keeps a second writer away, whose lines cutLocked might cut off. The lock
// ends with the file's closing.
func lock(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%s: another module instance or process writes to it", file.Name())
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	return nil
}

// lineStart is how every line of a journal begins.
const lineStart = `{"time":"`

// cutLocked truncates the file after its last newline. It refuses to do so if what
// follows it is no line of a journal.
func (j *journal) cutLocked() error {
	if !j.info.Mode().IsRegular() {
		return nil
	}
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	end := info.Size()
	keep, tail := end, make([]byte, 0, len(lineStart))
	chunk := make([]byte, 4096)
	for keep > 0 {
		from := max(0, keep-int64(len(chunk)))
		b := chunk[:keep-from]
		if _, err := j.file.ReadAt(b, from); err != nil {
			return fmt.Errorf("read %s: %w", j.path, err)
		}
		i := bytes.LastIndexByte(b, '\n')
		after := append(bytes.Clone(b[i+1:]), tail...)
		tail = after[:min(len(after), len(lineStart))]
		keep = from + int64(i+1)
		if i >= 0 {
			break
		}
	}
	if keep == end {
		return nil
	}
	// A machine's crash may leave zeros where data was to be written.
	if !strings.HasPrefix(lineStart, strings.TrimRight(string(tail), "\x00")) {
		return fmt.Errorf("%s ends in an unfinished line that jsonl has not written: finish it, or use another path", j.path)
	}
	if err := j.file.Truncate(keep); err != nil {
		return fmt.Errorf("cut off the unfinished last line: %w", err)
	}
	return nil
}

func (j *journal) syncLocked() error {
	err := j.file.Sync()
	if errors.Is(err, syscall.EINVAL) && !j.info.Mode().IsRegular() {
		return nil // a pipe or terminal
	}
	return err
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close() // opened for reading
	return dir.Sync()
}
