package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// The message IDs of the sync search and of the requests to end it. A library that
// counts up from one does not get there.
const (
	searchID  = 1<<31 - 3
	abandonID = 1<<31 - 2
	unbindID  = 1<<31 - 1
)

// The defaults of [Options].
const (
	defaultMaxMessageSize = 64 << 20
	defaultQueueSize      = 8 << 20
	defaultWriteTimeout   = 10 * time.Second
)

// ErrClosed is the error of a connection that was closed on this side.
var ErrClosed = errors.New("connection closed")

// Options of a [Conn].
type Options struct {
	// MaxMessageSize in octets of a message. Default 64 MiB.
	MaxMessageSize int
	// QueueSize is how many octets of decoded messages may wait. Default 8 MiB.
	QueueSize int
	// WriteTimeout for each request. Default 10 s.
	WriteTimeout time.Duration
}

// Conn is a connection that one sync search and an LDAP library share. As a
// [net.Conn] it belongs to the library: Read returns the messages that are not of
// the sync search. One goroutine may call Next and Poll; all other methods are safe
// for concurrent use.
type Conn struct {
	net.Conn
	opts  Options
	queue *queue

	others  chan []byte   // frames for Read
	partial []byte        // what is left of a frame for Read, which has one caller
	done    chan struct{} // closed when the reading goroutine has ended
	readErr error         // why it ended; to be read after done

	closing    sync.Once
	closeErr   error
	searching  atomic.Bool
	searchDone bool         // of the reading goroutine: the result has come
	lastID     atomic.Int64 // the highest message ID that the library used

	writing sync.Mutex // makes whole messages of writes
}

var _ net.Conn = (*Conn)(nil)

// NewConn takes over nc, from which nothing of what follows may have been read, and
// starts reading. The caller has to call Close.
func NewConn(nc net.Conn, opts Options) *Conn {
	c := &Conn{Conn: nc}
	c.start(opts)
	return c
}

func (c *Conn) start(opts Options) {
	if opts.MaxMessageSize <= 0 {
		opts.MaxMessageSize = defaultMaxMessageSize
	}
	if opts.QueueSize <= 0 {
		opts.QueueSize = defaultQueueSize
	}
	if opts.WriteTimeout <= 0 {
		opts.WriteTimeout = defaultWriteTimeout
	}
	c.opts = opts
	c.queue = newQueue(opts.QueueSize)
	c.others = make(chan []byte, 4)
	c.done = make(chan struct{})
	go c.read()
}

// Search sends the request. It can be called once. Its responses come from Next.
func (c *Conn) Search(r *SearchRequest) error {
	if !c.searching.CompareAndSwap(false, true) {
		return errors.New("a connection has one sync search only")
	}
	return c.send(r.encode(searchID))
}

// Unbind tells the server that we leave: it abandons the search, which then has no
// response, and ends the connection. Close has to follow. It waits for a second at
// most.
func (c *Conn) Unbind() error {
	goodbye := encodeUnbind(unbindID)
	if c.searching.Load() {
		goodbye = append(encodeAbandon(abandonID, searchID), goodbye...)
	}
	return c.sendWithin(goodbye, min(time.Second, c.opts.WriteTimeout))
}

// Poll returns the next chunk if there is one waiting, else nil.
func (c *Conn) Poll() *Chunk {
	k, _ := c.queue.pop()
	return k
}

// Next waits for the next chunk. When the connection has ended and all that arrived
// before was returned, the error says why: [io.EOF], one of the network, [ErrClosed],
// a [*NoticeError], or one that matches [ErrProtocol]. If ctx ends first, the error
// is ctx's.
func (c *Conn) Next(ctx context.Context) (*Chunk, error) {
	for {
		if k, err := c.queue.pop(); k != nil || err != nil {
			return k, err
		}
		select {
		case <-c.queue.readable:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Err returns why the connection ended, as Next does; nil while it stands.
func (c *Conn) Err() error {
	select {
	case <-c.done:
		return c.readErr
	default:
		return nil
	}
}

// Read implements [net.Conn] for the library.
func (c *Conn) Read(p []byte) (int, error) {
	if len(c.partial) == 0 {
		select {
		case c.partial = <-c.others:
		case <-c.done:
			select { // what came before the end
			case c.partial = <-c.others:
			default:
				return 0, c.readErr
			}
		}
	}
	n := copy(p, c.partial)
	c.partial = c.partial[n:]
	return n, nil
}

// Write implements [net.Conn] for the library, which writes whole messages.
func (c *Conn) Write(p []byte) (int, error) {
	if id, _, err := messageID(p); err == nil && int64(id) > c.lastID.Load() {
		c.lastID.Store(int64(id))
	}
	if err := c.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *Conn) send(p []byte) error { return c.sendWithin(p, c.opts.WriteTimeout) }

func (c *Conn) sendWithin(p []byte, timeout time.Duration) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.Conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	_, err := c.Conn.Write(p)
	return err
}

// Close closes the connection and waits for the end of reading. Chunks that have
// arrived can still be had from Poll and Next.
func (c *Conn) Close() error {
	c.closing.Do(func() {
		close(c.queue.stopped)
		c.closeErr = c.Conn.Close()
	})
	<-c.done
	return c.closeErr
}

// read is the goroutine that reads until the connection ends.
func (c *Conn) read() {
	err := c.readFrames()
	select {
	case <-c.queue.stopped:
		if !errors.Is(err, ErrProtocol) {
			err = ErrClosed
		}
	default:
	}
	c.readErr = err
	close(c.done) // first, so that Err knows what Next returns
	c.queue.close(err)
}

// minFree is the room in a buffer that is worth reading into.
const minFree = bufferSize / 4

func (c *Conn) readFrames() error {
	buf := newBuffer(0)
	defer func() { buf.release() }()
	from, to := 0, 0 // what was read and not yet decoded
	for {
		used, need, err := c.sort(buf, from, to)
		if err != nil {
			return err
		}
		from += used

		// Make room for the rest of the message, or else for what comes. A large message
		// gets its room as it arrives, not because its header says so.
		rest, free := buf.data[from:to], len(buf.data)-to
		fits := need > 0 && need <= len(buf.data)-from
		if free < minFree && (!fits || len(rest) < minFree) {
			if buf.refs.Load() == 1 && len(buf.data) == bufferSize && need <= bufferSize {
				to = copy(buf.data, rest) // nobody else looks at it
			} else {
				next := newBuffer(min(need, 2*max(len(rest), bufferSize)))
				to = copy(next.data, rest)
				buf.release()
				buf = next
			}
			from = 0
		}
		n, err := c.Conn.Read(buf.data[to:])
		to += n
		if n == 0 && err != nil {
			if err == io.EOF && to > from {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// sort takes the complete messages from buf.data[from:to]. It returns how many octets
// they have, and how many the message that follows will have at least.
func (c *Conn) sort(buf *buffer, from, to int) (used, need int, err error) {
	var chunk *Chunk
	defer func() {
		if chunk != nil && !c.queue.push(chunk) && err == nil {
			err = ErrClosed
		}
	}()
	at := from
	for {
		n, err := frameLength(buf.data[at:to], c.opts.MaxMessageSize)
		if err != nil {
			return 0, 0, err
		}
		if n == 0 || n > to-at {
			return at - from, n, nil
		}
		frame := buf.data[at : at+n : at+n]
		at += n
		id, body, err := messageID(frame)
		if err != nil {
			return 0, 0, err
		}
		switch {
		case id == searchID && c.searching.Load():
			if chunk == nil {
				chunk = newChunk(buf)
			}
			if c.searchDone {
				return 0, 0, body.fail("messageID", "a response to the search after its result")
			}
			if err := chunk.add(body, n); err != nil {
				return 0, 0, err
			}
			c.searchDone = chunk.Messages[len(chunk.Messages)-1].Kind == KindDone
		case id == 0:
			notice, err := decodeUnsolicited(body)
			if err != nil {
				return 0, 0, err
			}
			if notice != nil {
				return 0, 0, notice
			}
		case int64(id) <= c.lastID.Load():
			if err := checkNesting(frame, 0, len(frame), "LDAPMessage"); err != nil {
				return 0, 0, err
			}
			select {
			case c.others <- append([]byte(nil), frame...):
			case <-c.queue.stopped:
				return 0, 0, ErrClosed
			}
		default:
			return 0, 0, body.fail("messageID", "a response to a request that was not made")
		}
	}
}
