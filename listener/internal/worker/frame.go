package worker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The longest frames that each side takes. Those of the daemon hold two entries, each no
// longer than an LDAP message can be; those of a worker a shared variable at most.
const (
	maxFromDaemon = 1<<32 - 1
	maxFromWorker = 2 << 20
)

// errProtocol matches the errors of a peer that does not keep to the protocol.
var errProtocol = errors.New("not the protocol of a worker")

// frameReader reads frames, one at a time.
type frameReader struct {
	r     io.Reader
	limit uint32
	buf   []byte
}

// step is how much memory a length alone is good for.
const step = 64 << 10

// next returns the type and the content of the next frame, which is valid until the next
// call. At the end of the stream it returns io.EOF, in a frame io.ErrUnexpectedEOF.
func (f *frameReader) next() (kind byte, content []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(f.r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > f.limit {
		return 0, nil, fmt.Errorf("%w: a frame of %d octets, at most %d are taken", errProtocol, n, f.limit)
	}
	n-- // the type
	if cap(f.buf) > 16*step {
		f.buf = nil // of one large frame
	}
	f.buf = f.buf[:0]
	for left := int(n); left > 0; {
		have := len(f.buf)
		part := min(left, max(step, have))
		if cap(f.buf) < have+part {
			f.buf = append(make([]byte, 0, have+part), f.buf...)
		}
		f.buf = f.buf[:have+part]
		if _, err := io.ReadFull(f.r, f.buf[have:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, nil, err
		}
		left -= part
	}
	return head[4], f.buf, nil
}

// begin starts a frame in place of what b holds.
func begin(b []byte, kind byte) []byte { return append(b[:0], 0, 0, 0, 0, kind) }

// end sets the length of the frame that begins at start.
func end(b []byte, start int) error {
	n := len(b) - start - 4
	if uint64(n) > maxFromDaemon {
		return fmt.Errorf("a call of %d bytes is too large for a worker process", n)
	}
	binary.BigEndian.PutUint32(b[start:], uint32(n))
	return nil
}

func appendText[T string | []byte](b []byte, text T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// fields takes a frame's content apart. After the first error everything is zero.
type fields struct {
	rest string
	bad  bool
}

func (f *fields) uint() uint64 {
	n := uint64(0)
	for i := range min(len(f.rest), binary.MaxVarintLen64) {
		c := f.rest[i]
		if i == binary.MaxVarintLen64-1 && c > 1 {
			break
		}
		if n |= uint64(c&0x7f) << (7 * i); c < 0x80 {
			f.rest = f.rest[i+1:]
			return n
		}
	}
	f.fail()
	return 0
}

// int reads a number that must not be greater than most.
func (f *fields) int(most int) int {
	n := f.uint()
	if n > uint64(most) {
		f.fail()
		return 0
	}
	return int(n)
}

func (f *fields) text() string {
	n := f.uint()
	if n > uint64(len(f.rest)) {
		f.fail()
		return ""
	}
	return f.take(int(n))
}

func (f *fields) take(n int) string {
	if n > len(f.rest) {
		f.fail()
		return ""
	}
	text := f.rest[:n]
	f.rest = f.rest[n:]
	return text
}

func (f *fields) fail() { f.rest, f.bad = "", true }

// end returns an error unless all was read and made sense.
func (f *fields) end(what string) error {
	if f.bad || f.rest != "" {
		return fmt.Errorf("%w: a %s makes no sense", errProtocol, what)
	}
	return nil
}
