package worker

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
)

// child is the daemon's side of one worker process.
type child struct {
	pool  *Pool
	s     *spawned
	pid   int
	proc  string // the same as text
	steps uint64 // of its handler, once it is ready

	ready   chan error // how the handler was opened
	results chan error
	closing chan error // how the handler was closed
	read    chan struct{}
	ended   chan struct{} // closed when the process has ended and all it said was read
	err     error         // how it ended; read after ended

	out sync.Mutex // guards what follows, and the stream to the worker
	buf []byte
	has names

	current atomic.Uint64 // number of the call whose result is waited for; 0: none
	active  atomic.Uint64 // number of the call that is made; 0: none
	last    uint64        // number of the last call; the one caller's

	mu     sync.Mutex // guards what follows
	reaped bool
	reason string // why it was killed, the first one
}

// launch starts a process and returns when its handler is open. It calls started before it
// waits for that.
func (p *Pool) launch(started func(*child)) (*child, error) {
	s, err := p.launcher.spawn(&p.Config)
	if err != nil {
		return nil, err
	}
	c := &child{
		pool: p, s: s, pid: s.cmd.Process.Pid, proc: strconv.Itoa(s.cmd.Process.Pid),
		ready: make(chan error, 1), results: make(chan error, 1), closing: make(chan error, 1),
		read: make(chan struct{}), ended: make(chan struct{}),
	}
	started(c)
	c.lookAfter()
	stop := context.AfterFunc(p.life, func() { c.kill("the daemon stops") })
	defer stop()
	late := time.AfterFunc(startLimit, func() { c.kill(fmt.Sprintf("it was not ready within %v", startLimit)) })
	defer late.Stop()

	h := hello{version, p.Module, p.Timeout, p.MemoryLimit, int8(p.Log.Level()), string(p.Setup)}
	err = c.send(frameHello, h.append)
	if err == nil {
		select {
		case err = <-c.ready:
			if err == nil {
				return c, nil
			}
			c.kill("its handler does not open")
			<-c.ended
			return nil, err
		case <-c.ended:
		}
	}
	// It has ended, or is about to; only one that closed its streams is not.
	lost := time.AfterFunc(time.Second, func() { c.kill("it takes no hello") })
	defer lost.Stop()
	<-c.ended
	return nil, c.err
}

// lookAfter reads what the process says, and waits for its end.
func (c *child) lookAfter() {
	var printing sync.WaitGroup
	hints := &hints{}
	printing.Go(func() { c.pool.logLines(c.s.stdout, c.pid, "stdout", nil) })
	printing.Go(func() { c.pool.logLines(c.s.stderr, c.pid, "stderr", hints) })
	go func() { // ends with the process
		defer close(c.read)
		if err := c.receive(); err != nil {
			c.kill(err.Error())
		}
	}()
	go func() { // ends with the process
		awaitEnd(c.pid)
		killGroup(c.pid) // what it started and left
		err := c.s.cmd.Wait()
		c.mu.Lock()
		c.reaped = true
		reason := c.reason
		c.mu.Unlock()
		// What is in the pipes is read. Somebody else may hold their ends; that is no matter
		// of ours.
		_ = c.s.in.SetWriteDeadline(time.Now().Add(time.Second))
		for _, f := range []*os.File{c.s.out, c.s.stdout, c.s.stderr} {
			_ = f.SetReadDeadline(time.Now().Add(time.Second))
		}
		<-c.read
		printing.Wait()
		c.s.close()
		c.err = exitError(err, reason, hints.text())
		close(c.ended)
	}()
}

// exitError says how a process ended.
func exitError(err error, reason, hint string) error {
	switch {
	case reason != "":
		return fmt.Errorf("killed: %s", reason)
	case err == nil:
		err = errors.New("exit status 0")
	case err.Error() == "signal: killed":
		err = errors.New("signal: killed (by someone, or by the kernel for lack of memory)")
	}
	if hint != "" {
		return fmt.Errorf("%w: %s", err, hint)
	}
	return err
}

// kill ends the process with all that it started.
func (c *child) kill(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reaped {
		return
	}
	if c.reason == "" {
		c.reason = reason
	}
	killGroup(c.pid)
}

// gone tells whether the process was killed, or has ended.
func (c *child) gone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reaped || c.reason != ""
}

// send writes a frame.
func (c *child) send(kind byte, content func([]byte) []byte) error {
	c.out.Lock()
	defer c.out.Unlock()
	c.buf = content(begin(c.buf, kind))
	if err := end(c.buf, 0); err != nil {
		return err
	}
	return c.writeLocked()
}

func (c *child) writeLocked() error {
	_, err := c.s.in.Write(c.buf)
	if cap(c.buf) > 16*step {
		c.buf = nil // of one large call
	}
	return err
}

// receive reads frames until the stream ends. An error is the worker's fault.
func (c *child) receive() error {
	frames := frameReader{r: bufio.NewReaderSize(c.s.out, step), limit: maxFromWorker}
	ready := false
	for {
		kind, content, err := frames.next()
		if err != nil {
			if errors.Is(err, errProtocol) {
				return err
			}
			return nil // it has ended, or is about to
		}
		switch {
		case kind == frameReady && !ready:
			f := fields{rest: string(content)}
			if v := f.int(1 << 30); v != version && !f.bad {
				return fmt.Errorf("%w: it speaks version %d, not %d", errProtocol, v, version)
			}
			c.steps = f.uint()
			if err := f.end("ready"); err != nil {
				return err
			}
			ready = true
			c.ready <- nil
		case kind == frameRefused && !ready:
			f := fields{rest: string(content)}
			text := f.text()
			if err := f.end("refusal"); err != nil {
				return err
			}
			ready = true
			c.ready <- errors.New(text)
		case kind == frameResult:
			id, result, err := parseResult(string(content))
			if err != nil {
				return err
			}
			if id == 0 || !c.current.CompareAndSwap(id, 0) {
				return fmt.Errorf("%w: a result that nobody waits for", errProtocol)
			}
			c.results <- result
		case kind == frameLog:
			if err := c.pool.replayLog(string(content)); err != nil {
				return err
			}
		case kind == frameAsk && c.pool.Answer != nil:
			id, n := binary.Uvarint(content)
			if n <= 0 {
				return fmt.Errorf("%w: a question without a number", errProtocol)
			}
			answer := c.pool.Answer(content[n:])
			// An error means that the process is gone.
			_ = c.send(frameAnswer, func(b []byte) []byte { return append(binary.AppendUvarint(b, id), answer...) })
		case kind == frameClosed:
			f := fields{rest: string(content)}
			text := f.text()
			if err := f.end("farewell"); err != nil {
				return err
			}
			if text != "" {
				err = errors.New(text)
			}
			select {
			case c.closing <- err:
			default:
				return fmt.Errorf("%w: two farewells", errProtocol)
			}
		default:
			return fmt.Errorf("%w: a frame of type %d at this point", errProtocol, kind)
		}
	}
}

// call makes a call; one at a time.
func (c *child) call(ctx context.Context, call *listener.Call) error {
	c.last++
	id := c.last
	c.current.Store(id)
	c.active.Store(id)
	defer c.active.Store(0)
	stop := context.AfterFunc(ctx, func() { c.overdue(ctx, id) })
	defer stop()
	c.out.Lock()
	var err error
	if c.buf, err = c.has.appendCall(c.buf, id, call); err == nil {
		// An error of writing means that the process is about to end.
		_ = c.writeLocked()
	}
	c.out.Unlock()
	if err != nil {
		c.kill(err.Error()) // the tables of names are not the same any more
		<-c.ended
		return err
	}
	if ctx.Err() != nil {
		c.cancel(ctx, id) // what overdue says may have been ahead of the call
	}
	select {
	case err = <-c.results:
		return err
	case <-c.ended:
	}
	c.current.Store(0)
	select {
	case err = <-c.results: // it said so before it ended
		return err
	default:
		return fmt.Errorf("the worker process %d ended during the call: %w", c.pid, c.err)
	}
}

// overdue tells the worker that a call's context has ended, and kills it if that does not
// help. At the end of the daemon that is left to Close.
func (c *child) overdue(ctx context.Context, id uint64) {
	cause := context.Cause(ctx)
	if !errors.Is(cause, listener.ErrStopping) {
		time.AfterFunc(Grace, func() {
			if c.active.Load() == id {
				c.kill(fmt.Sprintf("%v: the call did not return within %v after that", cause, Grace))
			}
		})
	}
	if c.active.Load() == id {
		c.cancel(ctx, id)
	}
}

// cancel tells the worker that a call's context has ended. Of another call than its last
// one it takes no notice.
func (c *child) cancel(ctx context.Context, id uint64) {
	_ = c.send(frameCancel, func(b []byte) []byte { return appendCancel(b, id, context.Cause(ctx)) }) // else it is about to end
}

// close has the handler closed and returns its error when the process has ended.
func (c *child) close(limit time.Duration) error {
	late := time.AfterFunc(limit, func() { c.kill(fmt.Sprintf("it did not close within %v", limit)) })
	defer late.Stop()
	_ = c.send(frameBye, func(b []byte) []byte { return b }) // else it has ended
	<-c.ended
	select {
	case err := <-c.closing:
		return err
	default:
		return fmt.Errorf("worker process %d: %w", c.pid, c.err)
	}
}

// hints keeps of what a process prints to standard error what tells why it ended.
type hints struct {
	cause, last string
}

func (h *hints) add(line string) {
	if h == nil || line == "" {
		return
	}
	if h.cause == "" && (strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, "runtime: out of memory")) {
		h.cause = shortened(line, 500)
	}
	h.last = shortened(line, 500)
}

// text returns the first line that names a cause, else the last one there was.
func (h *hints) text() string {
	if h.cause != "" {
		return h.cause
	}
	return h.last
}

// maxLine is the longest line of what a process prints that is logged as one.
const maxLine = 16 << 10

// logLines logs what a process prints, until the end of the stream.
func (p *Pool) logLines(r *os.File, pid int, stream string, hints *hints) {
	lines := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		if text := strings.ToValidUTF8(strings.TrimRight(string(line), "\r\n"), "\uFFFD"); text != "" {
			hints.add(text)
			p.Log.Info(text, zap.String("stream", stream), zap.Int("pid", pid))
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}
