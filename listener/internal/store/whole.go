package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"syscall"

	bbolterrors "go.etcd.io/bbolt/errors"
)

// errBegun is returned for a file that ends before its last page, and that no transaction
// was ever written to: the disk was full when it was made, or who made it was killed.
var errBegun = errors.New("it was begun and is not finished")

func checkWhole(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	return whole(f)
}

// whole returns an error if the file ends before the last page that it says it has, as a
// copy does that was broken off. What it cannot read is for bbolt to judge. A file that
// another daemon is writing only grows.
func whole(f *os.File) error {
	// A meta page, of which there are two, is a header of 16 octets and then magic,
	// version, page size and flags (32 bits each), root (128), freelist, the number of
	// pages, the transaction and a checksum (64 each). Numbers are as the machine has them.
	const header, magic = 16, 0xED0CDAED
	var meta [64]byte
	var last, pages, pageSize uint64
	begun := false
	for at, n := int64(0), 0; n < 2; n++ {
		if _, err := f.ReadAt(meta[:], at+header); err != nil {
			break
		}
		order := binary.NativeEndian
		sum := fnv.New64a()
		_, _ = sum.Write(meta[:56])
		if order.Uint32(meta[:]) != magic || order.Uint64(meta[56:]) != sum.Sum64() {
			break
		}
		pageSize = uint64(order.Uint32(meta[8:]))
		tx := order.Uint64(meta[48:])
		if tx >= last {
			last, pages = tx, order.Uint64(meta[40:])
		}
		// The first transaction after the creation is 2, and goes to the first of these pages.
		begun = begun || n == 0 && tx == 0
		at = int64(pageSize)
	}
	// Its length after the meta pages: meanwhile it may have been made longer, not shorter.
	info, err := f.Stat()
	switch {
	case err != nil || uint64(info.Size()) >= pages*pageSize:
		return nil
	case begun:
		return errBegun
	}
	return fmt.Errorf("it is damaged: it has %d of %d octets", info.Size(), pages*pageSize)
}

// beginAnew empties a file that is errBegun, so that bbolt makes it anew. It takes the lock
// that bbolt takes: the file may be one that another daemon is making.
func beginAnew(path string) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }() // which releases the lock
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return bbolterrors.ErrTimeout
	}
	if !errors.Is(whole(f), errBegun) {
		return nil // meanwhile it is finished
	}
	return f.Truncate(0)
}
