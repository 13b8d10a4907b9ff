package daemon

import (
	"context"
	"sync"

	"github.com/go-ldap/ldap/v3"
)

// ldapPool keeps bound connections for the modules' look-ups.
type ldapPool struct {
	connect func(context.Context) (*ldap.Conn, error)

	mu     sync.Mutex // guards idle and closed
	idle   []*ldap.Conn
	closed bool
}

// maxIdleConns bounds the connections that are kept for later.
const maxIdleConns = 4

// get returns a connection whose Close gives it back.
func (p *ldapPool) get(ctx context.Context) (ldap.Client, error) {
	p.mu.Lock()
	for len(p.idle) > 0 {
		last := len(p.idle) - 1
		conn := p.idle[last]
		p.idle = p.idle[:last]
		if !conn.IsClosing() {
			p.mu.Unlock()
			return &pooledConn{Conn: conn, pool: p}, nil
		}
	}
	p.mu.Unlock()
	conn, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	return &pooledConn{Conn: conn, pool: p}, nil
}

func (p *ldapPool) put(conn *ldap.Conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || conn.IsClosing() || len(p.idle) >= maxIdleConns {
		return conn.Close()
	}
	p.idle = append(p.idle, conn)
	return nil
}

func (p *ldapPool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, conn := range p.idle {
		_ = conn.Close() // the server is told goodbye as well as possible
	}
	p.idle = nil
}

// pooledConn is a connection on loan.
type pooledConn struct {
	*ldap.Conn
	pool *ldapPool
	once sync.Once
}

var _ ldap.Client = (*pooledConn)(nil)

// Close gives the connection back.
func (c *pooledConn) Close() (err error) {
	c.once.Do(func() { err = c.pool.put(c.Conn) })
	return err
}
