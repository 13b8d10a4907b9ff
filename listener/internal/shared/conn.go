package shared

import (
	"context"
	"net"
	"time"
)

// conn is a connection that is replaced when the server has closed it between two
// requests, because it was restarted or had no patience. Otherwise each idle connection
// would cost one failed operation after a restart.
//
// One goroutine at a time uses it: the client writes a request, then reads the answer.
type conn struct {
	net.Conn
	redial   func(ctx context.Context) (net.Conn, error)
	deadline time.Time
	idle     bool // an answer was read since the last write
}

func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	redial := func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}
	c, err := redial(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, redial: redial}, nil
}

// SetDeadline implements [net.Conn]; the client calls it before each request.
func (c *conn) SetDeadline(t time.Time) error {
	c.deadline = t
	return c.Conn.SetDeadline(t)
}

// Read implements [net.Conn].
func (c *conn) Read(b []byte) (int, error) {
	c.idle = true
	return c.Conn.Read(b)
}

// Write implements [net.Conn]. Before the first byte of a request it makes sure that
// the server is still there; nothing has been asked then, so nothing is asked twice.
func (c *conn) Write(b []byte) (int, error) {
	if c.idle && stale(c.Conn) {
		ctx, cancel := context.WithDeadline(context.Background(), c.deadline)
		fresh, err := c.redial(ctx)
		cancel()
		if err != nil {
			return 0, err
		}
		_ = c.Conn.Close() // the server's end is closed
		c.Conn = fresh
		if err := fresh.SetDeadline(c.deadline); err != nil {
			return 0, err
		}
	}
	c.idle = false
	return c.Conn.Write(b)
}
