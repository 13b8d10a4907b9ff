package wire

import (
	"net"
	"time"
)

// A server sends each entry by itself. In a refresh on a fast network a reader that
// wakes up for each of them spends several times the work of decoding on waking up.
// On the same machine it takes that from the server, whose writes go through all of
// TCP, to the reader's wake-up, one by one; while the receive window is full, they are
// only copied, and later sent many at a time: slapd sends a third more entries. So
// while messages come in quick succession the reader pauses when it has read all there
// is, and on the same machine the window is kept small.
const (
	burstMark  = 64 << 10              // octets that are worth waking up for
	burstBegin = 256 << 10             // octets that begin a burst when they come
	burstTime  = 32 * time.Millisecond // within this time
	pauseFar   = time.Millisecond      // from other machines: no window may fill up
	pauseNear  = 8 * time.Millisecond
	windowNear = 256 << 10
)

// Coalesce returns a connection to read from in larger pieces while much arrives. It
// delays what was received for up to some milliseconds then. It is for TCP connections;
// others are returned as they are.
func Coalesce(nc net.Conn) net.Conn {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nc
	}
	c := &coalescing{TCPConn: tcp, pause: pauseFar}
	local, lok := tcp.LocalAddr().(*net.TCPAddr)
	remote, rok := tcp.RemoteAddr().(*net.TCPAddr)
	if lok && rok && (remote.IP.IsLoopback() || local.IP.Equal(remote.IP)) && tcp.SetReadBuffer(windowNear) == nil {
		c.pause = pauseNear
	}
	return c
}

// coalescing has one reader. Outside of bursts it reads as its TCPConn does.
type coalescing struct {
	*net.TCPConn
	pause time.Duration
	burst bool
	more  bool // in a burst: the last read left something behind, probably

	// Outside of bursts:
	began time.Time // when counting began
	count int       // octets read since then
}

func (c *coalescing) Read(p []byte) (int, error) {
	if !c.burst {
		n, err := c.TCPConn.Read(p)
		c.watch(n)
		return n, err
	}
	paused := !c.more
	if paused {
		time.Sleep(c.pause)
	}
	n, err := c.TCPConn.Read(p)
	c.more = n >= burstMark
	c.burst = c.more || !paused
	return n, err
}

// watch looks for the begin of a burst when n octets were read.
func (c *coalescing) watch(n int) {
	if c.count == 0 {
		c.began = time.Now()
	}
	if c.count += n; c.count >= burstBegin {
		c.burst, c.more = time.Since(c.began) < burstTime, false
		c.count = 0
	}
}
