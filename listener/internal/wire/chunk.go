package wire

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

// bufferSize is the size of the buffers that the network is read into. Only a
// message that does not fit gets a larger one.
const bufferSize = 256 << 10

// buffer is shared by the reader that fills it and the chunks that refer to it.
type buffer struct {
	data []byte
	refs atomic.Int32
}

var buffers = sync.Pool{New: func() any { return &buffer{data: make([]byte, bufferSize)} }}

// newBuffer returns a buffer of at least size octets with one reference.
func newBuffer(size int) *buffer {
	var b *buffer
	if size <= bufferSize {
		b = buffers.Get().(*buffer)
	} else {
		b = &buffer{data: make([]byte, size)}
	}
	b.refs.Store(1)
	return b
}

func (b *buffer) release() {
	if b.refs.Add(-1) == 0 && len(b.data) == bufferSize {
		buffers.Put(b)
	}
}

// Chunk is a series of messages that arrived together.
type Chunk struct {
	// Messages in the order of arrival. They and their bytes are valid until Release.
	Messages []Message

	buf  *buffer
	size int
}

var chunks = sync.Pool{New: func() any { return new(Chunk) }}

func newChunk(buf *buffer) *Chunk {
	k := chunks.Get().(*Chunk)
	k.buf, k.size = buf, 0
	buf.refs.Add(1)
	return k
}

// add decodes a message of n octets from what follows its message ID.
func (k *Chunk) add(body cursor, n int) error {
	k.Messages = append(k.Messages, Message{})
	last := len(k.Messages) - 1
	if err := decode(body, &k.Messages[last]); err != nil {
		k.Messages = k.Messages[:last]
		return err
	}
	k.size += n + int(unsafe.Sizeof(Message{}))
	return nil
}

// Size returns the number of octets of memory that the messages take.
func (k *Chunk) Size() int { return k.size }

// Release gives the chunk and its bytes back. Neither may be used afterwards.
func (k *Chunk) Release() {
	clear(k.Messages)
	k.Messages = k.Messages[:0]
	k.buf.release()
	k.buf = nil
	chunks.Put(k)
}

// queue passes chunks from one goroutine to another. It holds up to a number of
// octets, or one chunk of any size.
type queue struct {
	limit    int
	readable chan struct{} // holds a token when something changed for the reader
	writable chan struct{} // the same for the writer
	stopped  chan struct{} // closed by stop

	mu     sync.Mutex // guards what follows
	chunks []*Chunk   // those from head on are in the queue
	head   int
	bytes  int
	err    error // set by close
}

func newQueue(limit int) *queue {
	return &queue{
		limit:    limit,
		readable: make(chan struct{}, 1),
		writable: make(chan struct{}, 1),
		stopped:  make(chan struct{}),
	}
}

// push appends a chunk when there is room for it. It returns false, and releases the
// chunk, when the queue was stopped.
func (q *queue) push(k *Chunk) bool {
	for {
		q.mu.Lock()
		if q.bytes == 0 || q.bytes+k.size <= q.limit {
			q.chunks = append(q.chunks, k)
			q.bytes += k.size
			q.mu.Unlock()
			signal(q.readable)
			return true
		}
		q.mu.Unlock()
		select {
		case <-q.writable:
		case <-q.stopped:
			k.Release()
			return false
		}
	}
}

// pop takes the first chunk; nil when there is none, with the error when there will
// be none any more.
func (q *queue) pop() (*Chunk, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.chunks) {
		return nil, q.err
	}
	k := q.chunks[q.head]
	q.chunks[q.head] = nil
	q.head++
	if q.head == len(q.chunks) {
		q.chunks, q.head = q.chunks[:0], 0
	}
	q.bytes -= k.size
	signal(q.writable)
	return k, nil
}

// close says that nothing follows but err.
func (q *queue) close(err error) {
	q.mu.Lock()
	q.err = err
	q.mu.Unlock()
	signal(q.readable)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
