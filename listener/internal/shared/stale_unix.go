//go:build linux || darwin || freebsd || netbsd || openbsd

package shared

import (
	"errors"
	"net"
	"syscall"
)

// stale tells whether an idle connection cannot be used any more: it was closed by
// the server, or holds an answer that nobody has asked for. It does not block.
func stale(c net.Conn) bool {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	usable := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		usable = errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR)
		return true
	})
	return err != nil || !usable
}
