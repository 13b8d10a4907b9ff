package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// A server sends each entry by itself. In a refresh on a fast network a reader that
// wakes up for each of them spends several times the work of decoding on waking up,
// and takes it from a server on the same machine. So while messages come in quick
// succession the kernel is asked to wait until there is something worth waking up for.
const (
	burstMark  = 64 << 10               // octets to wait for in a burst
	burstWait  = time.Millisecond       // at most
	burstQuick = 200 * time.Microsecond // a read that waits for less than this is quick
	burstBegin = 8                      // quick reads in a row begin a burst
)

// Coalesce returns a connection to read from in larger pieces while much arrives. It
// delays what was received for up to a millisecond then. It is for TCP connections on
// which nobody sets read deadlines; others are returned as they are.
func Coalesce(nc net.Conn) net.Conn {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nc
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nc
	}
	return &coalescing{TCPConn: tcp, raw: raw}
}

// coalescing has one reader. Outside of bursts it reads as its TCPConn does.
type coalescing struct {
	*net.TCPConn
	raw   syscall.RawConn
	quick int  // quick reads in a row
	burst bool // SO_RCVLOWAT is set to burstMark
}

func (c *coalescing) Read(p []byte) (int, error) {
	if c.burst {
		n, err := c.readBurst(p)
		if n > 0 || err != nil {
			return n, err
		}
		c.endBurst()
	}
	asked := time.Now()
	n, err := c.TCPConn.Read(p)
	if n < burstMark && time.Since(asked) < burstQuick {
		c.quick++
	} else {
		c.quick = 0
	}
	if c.quick == burstBegin {
		c.quick = 0
		c.burst = c.lowWater(burstMark) == nil
	}
	return n, err
}

// readBurst waits for burstMark octets, not longer than burstWait, and reads what
// there is. Without anything it returns zeros.
func (c *coalescing) readBurst(p []byte) (n int, err error) {
	if err := c.SetReadDeadline(time.Now().Add(burstWait)); err != nil {
		return 0, err
	}
	var rerr error
	read := func(fd uintptr) bool {
		n, rerr = retryRead(int(fd), p)
		return rerr != syscall.EAGAIN
	}
	first := true
	err = c.raw.Read(func(fd uintptr) bool {
		if first {
			// The notice of what is there already has passed: ask.
			first = false
			if waiting(fd) < burstMark {
				return false
			}
		}
		return read(fd)
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		rerr = nil
		err = c.raw.Control(func(fd uintptr) { read(fd) })
		if rerr == syscall.EAGAIN {
			return 0, err
		}
	}
	switch {
	case err != nil:
		return 0, err
	case rerr != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError("read", rerr)}
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

func (c *coalescing) endBurst() {
	c.burst = false
	_ = c.lowWater(1)
	_ = c.SetReadDeadline(time.Time{})
}

// lowWater sets how many octets make the socket readable.
func (c *coalescing) lowWater(n int) (err error) {
	if cerr := c.raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, n)
	}); cerr != nil {
		return cerr
	}
	return err
}

// retryRead reads without waiting.
func retryRead(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, p)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// waiting returns how many octets can be read.
func waiting(fd uintptr) int {
	var n int32
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCINQ, uintptr(unsafe.Pointer(&n))); errno != 0 {
		return burstMark // don't wait then
	}
	return int(n)
}
