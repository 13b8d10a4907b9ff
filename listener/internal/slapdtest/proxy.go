package slapdtest

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy is a network between a client and a server that can be made a bad one.
type Proxy struct {
	target   string
	listener net.Listener
	running  sync.WaitGroup
	done     chan struct{} // closed at the end

	mu      sync.Mutex // guards what follows
	conns   map[net.Conn]bool
	stalled chan struct{} // closed while packets pass
	rate    int           // octets per second in each direction of a connection; 0: all
}

// NewProxy returns a network that passes everything on to the server at target, a
// host:port. It ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{target: target, listener: l, done: make(chan struct{}), conns: map[net.Conn]bool{}, stalled: make(chan struct{})}
	close(p.stalled)
	p.running.Go(p.accept)
	t.Cleanup(func() {
		close(p.done)
		_ = l.Close()
		p.Cut()
		p.running.Wait()
	})
	return p
}

// Addr returns the host:port to connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// URI returns the ldap:// address to connect to.
func (p *Proxy) URI() string { return "ldap://" + p.Addr() }

// Stall swallows no octet and passes none, as a network whose cable was pulled:
// connections stay as they are, and new ones are made but lead to nothing.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.stalled:
		p.stalled = make(chan struct{})
	default:
	}
}

// Resume ends a [Proxy.Stall].
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.stalled:
	default:
		close(p.stalled)
	}
}

// Throttle limits how many octets a second pass in each direction of a connection.
func (p *Proxy) Throttle(octets int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = octets
}

// Cut ends all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	if !p.keep(client) || !p.pass() {
		return
	}
	defer p.forget(client)
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	if !p.keep(server) {
		return
	}
	defer p.forget(server)
	var both sync.WaitGroup
	both.Go(func() { p.copy(server, client) })
	both.Go(func() { p.copy(client, server) })
	both.Wait()
}

func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
		return false
	default:
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// pass waits while the network is stalled; false at the end.
func (p *Proxy) pass() bool {
	p.mu.Lock()
	stalled := p.stalled
	p.mu.Unlock()
	select {
	case <-stalled:
		return true
	case <-p.done:
		return false
	}
}

func (p *Proxy) copy(to, from net.Conn) {
	defer to.Close() // both ends end together
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		p.mu.Lock()
		rate := p.rate
		p.mu.Unlock()
		size := len(buf)
		if rate > 0 {
			size = max(1, min(size, rate/100))
		}
		n, err := from.Read(buf[:size])
		if !p.pass() {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
		if rate > 0 && !p.rest(time.Duration(n)*time.Second/time.Duration(rate)) {
			return
		}
	}
}

// rest waits for as long as the octets take; false at the end.
func (p *Proxy) rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.done:
		return false
	}
}
