package wire

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// recording is a connection that plays a stream over and over, up to an end.
type recording struct {
	net.Conn
	stream []byte
	at     int
	rounds int
	burst  int // octets at most in one Read; 0: no limit
}

func (r *recording) Read(p []byte) (int, error) {
	if r.at == len(r.stream) {
		if r.rounds--; r.rounds <= 0 {
			return 0, io.EOF
		}
		r.at = 0
	}
	if r.burst > 0 && len(p) > r.burst {
		p = p[:r.burst]
	}
	n := copy(p, r.stream[r.at:])
	r.at += n
	return n, nil
}

func (r *recording) Write(p []byte) (int, error)      { return len(p), nil }
func (r *recording) SetWriteDeadline(time.Time) error { return nil }
func (r *recording) Close() error                     { return nil }

func people(n int) []byte {
	var stream bytes.Buffer
	for i := range n {
		stream.Write(person(i))
	}
	return stream.Bytes()
}

// BenchmarkDecode measures the way of an entry of 1 KB from the read buffer to the
// consumer.
func BenchmarkDecode(b *testing.B) {
	const n = 2000
	stream := people(n)
	for name, burst := range map[string]int{"FullBuffers": 0, "OneEntryPerRead": len(stream) / n} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(stream) / n))
			b.ReportAllocs()
			c := &Conn{Conn: &recording{stream: stream, rounds: b.N/n + 1, burst: burst}}
			c.searching.Store(true)
			consume(b, started(c))
		})
	}
}

// BenchmarkLoopback does the same over TCP.
func BenchmarkLoopback(b *testing.B) {
	const n = 2000
	stream := people(n)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		for range b.N/n + 1 {
			if _, err := nc.Write(stream); err != nil {
				return
			}
		}
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(stream) / n))
	b.ReportAllocs()
	c := &Conn{Conn: nc}
	c.searching.Store(true)
	consume(b, started(c))
}

// started does what NewConn does.
func started(c *Conn) *Conn {
	c.start(Options{})
	return c
}

func consume(b *testing.B, c *Conn) {
	defer c.Close()
	entries := 0
	b.ResetTimer()
	for {
		k, err := c.Next(context.Background())
		if err == io.EOF {
			break
		}
		if err != nil {
			b.Fatal(err)
		}
		entries += len(k.Messages)
		k.Release()
	}
	if entries < b.N {
		b.Fatalf("%d entries of %d", entries, b.N)
	}
	b.ReportMetric(float64(entries)/b.Elapsed().Seconds(), "entries/s")
}
