package wire

import (
	"bufio"
	"net"
)

// Buffer returns a connection that reads from nc in large pieces, whatever small ones
// are asked of it. It stands between [Coalesce], which has something to wait for only
// then, and TLS, which asks for a record's header and then for the record.
func Buffer(nc net.Conn) net.Conn {
	return &buffered{nc, bufio.NewReaderSize(nc, bufferSize)}
}

type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }
