package wire

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// tcpPair returns both ends of a TCP connection.
func tcpPair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	for _, c := range []net.Conn{client, server} {
		if err := c.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	return client, server
}

// In bursts and between them every octet arrives: the last ones too, although nothing
// follows them until they have been read; and then the end.
func TestCoalesce(t *testing.T) {
	client, server := tcpPair(t)
	want := make([]byte, 4<<20)
	for i := range want {
		want[i] = byte(i * i >> 8)
	}
	var ends []int // of the parts
	for _, size := range []int{1 << 20, 1, 3, 2 << 20, burstMark, burstMark - 1, 100} {
		ends = append(ends, size)
		if n := len(ends); n > 1 {
			ends[n-1] += ends[n-2]
		}
	}
	go func() {
		defer server.Close()
		at := 0
		for _, end := range ends {
			for at < end {
				n := min(1000, end-at)
				if _, err := server.Write(want[at : at+n]); err != nil {
					t.Error(err)
					return
				}
				at += n
			}
			if _, err := server.Read(make([]byte, 1)); err != nil { // the reader has it all
				t.Error(err)
				return
			}
		}
	}()
	c := Coalesce(client)
	got, buf, reads, parts := []byte(nil), make([]byte, bufferSize), 0, 0
	for {
		n, err := c.Read(buf)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		reads++
		got = append(got, buf[:n]...)
		if parts < len(ends) && len(got) == ends[parts] {
			parts++
			if _, err := client.Write([]byte("+")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if parts != len(ends) || !bytes.Equal(got, want[:ends[parts-1]]) {
		t.Errorf("%d octets in %d parts, or other ones", len(got), parts)
	}
	t.Logf("%d reads", reads)
}

func TestCoalesceClose(t *testing.T) {
	client, server := tcpPair(t)
	c := Coalesce(client)
	done := make(chan error, 1)
	go func() {
		buf := make([]byte, 100)
		for {
			if _, err := c.Read(buf); err != nil {
				done <- err
				return
			}
		}
	}()
	for range 1000 {
		if _, err := server.Write([]byte("0123456789")); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	select {
	case err := <-done:
		if err == nil || err == io.EOF {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("Read does not end")
	}
}
