package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const patience = time.Minute

// pair returns a Conn with a search begun, and the server's end of it.
func pair(t testing.TB, opts Options) (*Conn, net.Conn) {
	t.Helper()
	client, server := net.Pipe()
	c := NewConn(client, opts)
	t.Cleanup(func() { server.Close(); c.Close() })
	sent := make(chan error, 1)
	go func() { sent <- c.Search(&SearchRequest{Filter: []byte{0x87, 2, 'c', 'n'}}) }()
	if id, _ := readFrame(t, server); id != searchID {
		t.Fatalf("the search has the message ID %d", id)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	return c, server
}

// readFrame reads one message.
func readFrame(t testing.TB, r io.Reader) (int, []byte) {
	t.Helper()
	b := make([]byte, 2)
	for {
		if _, err := io.ReadFull(r, b[len(b)-2:]); err != nil {
			t.Fatal(err)
		}
		n, err := frameLength(b, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			rest := make([]byte, n-len(b))
			if _, err := io.ReadFull(r, rest); err != nil {
				t.Fatal(err)
			}
			b = append(b, rest...)
			id, _, err := messageID(b)
			if err != nil {
				t.Fatal(err)
			}
			return id, b
		}
		b = append(b, 0, 0) // the length goes on
	}
}

// serve writes in the background and closes the connection.
func serve(server net.Conn, frames ...[]byte) {
	go func() {
		for _, f := range frames {
			if _, err := server.Write(f); err != nil {
				return
			}
		}
		server.Close()
	}()
}

// collect reads copies of all messages until the end of the connection.
func collect(t testing.TB, c *Conn) ([]Message, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out []Message
	for {
		k, err := c.Next(ctx)
		if err != nil {
			return out, err
		}
		for i := range k.Messages {
			out = append(out, k.Messages[i].Clone())
		}
		k.Release()
	}
}

func TestConnDelivers(t *testing.T) {
	c, server := pair(t, Options{})
	serve(server, wellFormed()[:8]...)
	got, err := collect(t, c)
	if err != io.EOF {
		t.Error(err)
	}
	var kinds []Kind
	for _, m := range got {
		kinds = append(kinds, m.Kind)
	}
	if !slices.Equal(kinds, []Kind{KindEntry, KindEntry, KindReference, KindInfo, KindInfo, KindInfo, KindInfo, KindDone}) {
		t.Errorf("kinds %v", kinds)
	}
	if c.Err() != io.EOF {
		t.Error(c.Err())
	}
}

// Messages arrive whole in whatever pieces they come.
func TestConnByteByByte(t *testing.T) {
	c, server := pair(t, Options{})
	var pieces [][]byte
	for i := range 20 {
		for _, b := range person(i) {
			pieces = append(pieces, []byte{b})
		}
	}
	serve(server, pieces...)
	got, err := collect(t, c)
	if err != io.EOF || len(got) != 20 {
		t.Errorf("%d messages, %v", len(got), err)
	}
}

// Entries that are larger than the buffer, than a message length of two octets, and
// small ones between them.
func TestConnLargeMessages(t *testing.T) {
	c, server := pair(t, Options{})
	var frames [][]byte
	sizes := []int{10, 3 << 20, 10, bufferSize - 70, bufferSize, bufferSize + 1, 1 << 16, 7 << 20, 10}
	for i, n := range sizes {
		frames = append(frames, message(searchID,
			searchEntry(fmt.Sprint("cn=", i), attributes("cn", strings.Repeat(fmt.Sprint(i), n))), syncState(1, uuid16, "")))
	}
	go func() {
		w := bufio.NewWriterSize(server, 100_000) // cuts frames anywhere
		for _, f := range frames {
			w.Write(f)
		}
		w.Flush()
		server.Close()
	}()
	got, err := collect(t, c)
	if err != io.EOF || len(got) != len(sizes) {
		t.Fatalf("%d messages, %v", len(got), err)
	}
	for i, m := range got {
		if n := bytes.Count(m.Attributes, []byte(fmt.Sprint(i))); string(m.DN) != fmt.Sprint("cn=", i) || n < sizes[i] {
			t.Errorf("%s has %d of %d octets", m.DN, n, sizes[i])
		}
	}
}

// An entry of 100,000 values takes no more memory than its octets.
func TestConnManyValues(t *testing.T) {
	var set []byte
	for i := range 100_000 {
		set = append(set, str(fmt.Sprintf("value %d", i))...)
	}
	frame := message(searchID, searchEntry("cn=a", element(tagSequence, element(tagSequence, str("cn"), element(tagSet, set)))), syncState(1, uuid16, ""))
	var m Message
	if n := testing.AllocsPerRun(10, func() {
		m = Message{}
		_, body, err := messageID(frame)
		if err == nil {
			err = decode(body, &m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	n := 0
	for _, set := range Attributes(m.Attributes) {
		for range Values(set) {
			n++
		}
	}
	if n != 100_000 {
		t.Errorf("%d values", n)
	}
}

// A message that only claims to be large gets no memory.
func TestConnClaimedLength(t *testing.T) {
	c, server := pair(t, Options{MaxMessageSize: 1 << 30})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	serve(server, []byte{0x30, 0x84, 0x3f, 0, 0, 0, 2})
	if _, err := collect(t, c); err != io.ErrUnexpectedEOF {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("%d octets allocated", n)
	}
}

// What came before a malformed message is delivered.
func TestConnMalformed(t *testing.T) {
	for name, frame := range malformed() {
		t.Run(name, func(t *testing.T) {
			c, server := pair(t, Options{})
			serve(server, bytes.Join([][]byte{person(1), person(2), frame, person(3)}, nil))
			got, err := collect(t, c)
			if len(got) != 2 || !errors.Is(err, ErrProtocol) {
				t.Errorf("%d messages, %v", len(got), err)
			}
			if c.Err() != err {
				t.Errorf("Err is %v", c.Err())
			}
		})
	}
}

func TestConnEnds(t *testing.T) {
	entry := person(1)
	for _, c := range []struct {
		name   string
		frames [][]byte
		count  int
		check  func(error) bool
	}{
		{"EOF", [][]byte{entry}, 1, func(err error) bool { return err == io.EOF }},
		{"EOF within a message", [][]byte{entry, entry[:100]}, 1, func(err error) bool { return err == io.ErrUnexpectedEOF }},
		{"notice of disconnection", [][]byte{entry, notice(52, "going down"), entry}, 1, func(err error) bool {
			n, ok := errors.AsType[*NoticeError](err)
			return ok && n.Code == 52 && strings.Contains(err.Error(), "going down")
		}},
		{"other notice", [][]byte{message(0, element(tagExtended, enum(0), str(""), str(""), element(tagExtendedName, []byte("1.2.3")))), entry}, 1,
			func(err error) bool { return err == io.EOF }},
		{"message ID 0 for an entry", [][]byte{message(0, searchEntry("cn=a", attributes()), syncState(1, uuid16, "")), entry}, 0,
			func(err error) bool { return errors.Is(err, ErrProtocol) }},
		{"unknown message ID", [][]byte{entry, message(77, searchDone(0)), entry}, 1,
			func(err error) bool { return errors.Is(err, ErrProtocol) && strings.Contains(err.Error(), "not made") }},
		{"2 GiB", [][]byte{entry, {0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 2}}, 1,
			func(err error) bool { return errors.Is(err, ErrProtocol) && strings.Contains(err.Error(), "limit") }},
		{"indefinite length", [][]byte{entry, {0x30, 0x80, 2}}, 1,
			func(err error) bool {
				return errors.Is(err, ErrProtocol) && strings.Contains(err.Error(), "indefinite")
			}},
		{"after the result", [][]byte{entry, message(searchID, searchDone(0)), entry}, 2,
			func(err error) bool {
				return errors.Is(err, ErrProtocol) && strings.Contains(err.Error(), "after its result")
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, server := pair(t, Options{})
			serve(server, bytes.Join(c.frames, nil))
			got, err := collect(t, conn)
			if len(got) != c.count || !c.check(err) {
				t.Errorf("%d messages, %v", len(got), err)
			}
		})
	}
}

// The library sees the answers to its requests and nothing else; both directions work
// while a search runs.
func TestConnShares(t *testing.T) {
	c, server := pair(t, Options{})
	request := message(1, element(0x63, str("")))
	go func() {
		if _, err := c.Write(request); err != nil {
			t.Error(err)
		}
	}()
	if id, got := readFrame(t, server); id != 1 || !bytes.Equal(got, request) {
		t.Fatalf("the server got %x", got)
	}
	answer := message(1, searchDone(0))
	serve(server, bytes.Join([][]byte{person(1), answer, person(2), answer}, nil))
	var library []byte
	b := make([]byte, 3)
	for {
		n, err := c.Read(b)
		library = append(library, b[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(library, append(answer, answer...)) {
		t.Errorf("the library read %x", library)
	}
	if got, err := collect(t, c); len(got) != 2 || err != io.EOF {
		t.Errorf("%d messages, %v", len(got), err)
	}
}

// A deeply nested message must not reach the library, which recurses.
func TestConnShieldsLibrary(t *testing.T) {
	c, server := pair(t, Options{})
	go c.Write(message(1, element(0x63, str(""))))
	readFrame(t, server)
	deep := str("x")
	for range 100 {
		deep = element(tagSequence, deep)
	}
	serve(server, message(1, deep))
	if _, err := c.Read(make([]byte, 10)); !errors.Is(err, ErrProtocol) {
		t.Error(err)
	}
}

// A slow consumer stops the reading, and nothing is lost.
func TestConnBackPressure(t *testing.T) {
	const n, queue = 4000, 64 << 10
	c, server := pair(t, Options{QueueSize: queue})
	stream := people(n)
	var mu sync.Mutex
	written, blocked := 0, make(chan int, 1)
	go func() {
		for len(stream) > 0 {
			k := min(len(stream), 4096)
			if _, err := server.Write(stream[:k]); err != nil {
				t.Error(err)
				return
			}
			stream = stream[k:]
			mu.Lock()
			written += k
			if written > queue && written-k <= queue {
				blocked <- written
			}
			mu.Unlock()
		}
		server.Close()
	}()
	select {
	case <-blocked:
		t.Error("more than the queue's size was read")
	case <-func() chan struct{} {
		full := make(chan struct{})
		go func() {
			defer close(full)
			for {
				c.queue.mu.Lock()
				bytes := c.queue.bytes
				c.queue.mu.Unlock()
				if bytes > queue-10_000 {
					return
				}
				runtime.Gosched()
			}
		}()
		return full
	}():
	}
	c.queue.mu.Lock()
	if c.queue.bytes > queue {
		t.Errorf("%d octets queued", c.queue.bytes)
	}
	c.queue.mu.Unlock()
	got, err := collect(t, c)
	if len(got) != n || err != io.EOF {
		t.Errorf("%d messages, %v", len(got), err)
	}
}

// Close ends a reader that waits for the consumer, and one that waits for the network;
// what has arrived stays.
func TestConnClose(t *testing.T) {
	t.Run("Queue", func(t *testing.T) {
		c, server := pair(t, Options{QueueSize: 1})
		go server.Write(bytes.Join([][]byte{person(1)}, nil))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		k, err := c.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		k.Release()
		for i := range 2 {
			if _, err := server.Write(person(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		got, err := collect(t, c)
		if len(got) == 0 || err != ErrClosed {
			t.Errorf("%d messages, %v", len(got), err)
		}
	})
	t.Run("Network", func(t *testing.T) {
		c, _ := pair(t, Options{})
		c.Close()
		if _, err := collect(t, c); err != ErrClosed {
			t.Error(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != ErrClosed {
			t.Error(err)
		}
	})
	t.Run("Library", func(t *testing.T) {
		c, server := pair(t, Options{})
		go c.Write(message(1, element(0x63, str(""))))
		readFrame(t, server)
		for range cap(c.others) + 1 {
			if _, err := server.Write(message(1, searchDone(0))); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
	})
}

func TestConnNextCancelled(t *testing.T) {
	c, _ := pair(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if c.Poll() != nil || c.Err() != nil {
		t.Error("the connection ended")
	}
}

func TestConnUnbind(t *testing.T) {
	c, server := pair(t, Options{})
	go c.Unbind()
	_, abandon := readFrame(t, server)
	_, unbind := readFrame(t, server)
	if !bytes.Equal(abandon, message(abandonID, appendInt(nil, 0x50, searchID))) || !bytes.Equal(unbind, message(unbindID, element(0x42))) {
		t.Errorf("%x %x", abandon, unbind)
	}
}

func TestSearchRequest(t *testing.T) {
	r := SearchRequest{Base: "dc=a", Scope: 2, Filter: []byte{0x87, 2, 'c', 'n'}, Attributes: []string{"*", "+"}, Mode: ModeRefreshAndPersist, Cookie: []byte("c")}
	want := message(searchID,
		element(0x63, str("dc=a"), enum(2), enum(0), integer(0), integer(0), boolean(false), []byte{0x87, 2, 'c', 'n'}, element(tagSequence, str("*"), str("+"))),
		element(tagControls,
			element(tagSequence, str(oidSyncRequest), boolean(true), element(tagOctetString, element(tagSequence, enum(3), str("c")))),
			element(tagSequence, str(oidManageDsaIT))))
	if got := r.encode(searchID); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}
