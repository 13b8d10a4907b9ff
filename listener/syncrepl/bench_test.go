package syncrepl

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
)

// counter is a sink that counts.
type counter struct{ entries, octets int }

func (c *counter) Begin(context.Context, Session) ([]byte, error) { return nil, nil }
func (c *counter) Entry(_ context.Context, e *Entry) error {
	c.entries++
	c.octets += len(e.Attributes)
	return nil
}
func (c *counter) Present(context.Context, []UUID) error            { return nil }
func (c *counter) Delete(context.Context, []UUID) error             { return nil }
func (c *counter) Sweep(context.Context) error                      { return nil }
func (c *counter) RefreshDone(context.Context) error                { return nil }
func (c *counter) Cookie(context.Context, []byte) error             { return nil }
func (c *counter) ResetCookie(context.Context, []byte, error) error { return nil }
func (c *counter) Flush(context.Context) error                      { return nil }

// BenchmarkRefresh measures a full load of entries of 1 KB over TCP, from a provider
// that costs nothing to a sink that only counts.
func BenchmarkRefresh(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	var stream bytes.Buffer
	const n = 1000
	attrs := tlv(0x30, text("description"), tlv(0x31, text(strings.Repeat("x", 100))))
	for i := range n {
		e := [][]byte{tlv(0x64, text(fmt.Sprintf("uid=user%d,ou=people,dc=example,dc=com", i)), tlv(0x30, bytes.Repeat(attrs, 7))), state(i, 1)}
		stream.Write(tlv(0x30, append([][]byte{num(0x02, 1<<31-3)}, e...)...))
	}
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		p := &peer{script: &script{t: b}, conn: nc, gone: make(chan struct{})}
		if !p.search() {
			return
		}
		for range b.N/n + 1 {
			if _, err := nc.Write(stream.Bytes()); err != nil {
				return
			}
		}
		p.send(done(true, "c"))
		p.stay()
	}()
	c, err := New(Config{URIs: []string{"ldap://" + l.Addr().String()}, Mode: RefreshOnly})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(stream.Len() / n))
	b.ReportAllocs()
	var sink counter
	b.ResetTimer()
	if err := c.Run(b.Context(), &sink); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(sink.entries)/b.Elapsed().Seconds(), "entries/s")
}
