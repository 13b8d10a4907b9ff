package worker

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
)

// Session is what a worker process has of its daemon.
type Session struct {
	// Module is the instance's name, and Setup is that of the daemon's [Config].
	Module string
	Setup  string
	// Log sends the handler's log to the daemon.
	Log *zap.Logger

	w    *workerSide
	next uint64
	mu   sync.Mutex // guards next and open
	open map[uint64]chan string
}

// workerSide is the worker's end of the protocol.
type workerSide struct {
	mu  sync.Mutex // guards buf, and the stream to the daemon
	buf []byte
	out io.Writer
}

// send writes a frame. It does not fail: without its daemon the process ends.
func (w *workerSide) send(kind byte, content func([]byte) []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = content(begin(w.buf, kind))
	if err := end(w.buf, 0); err != nil {
		panic(err) // what is sent is bounded
	}
	_, _ = w.out.Write(w.buf)
	if cap(w.buf) > 16*step {
		w.buf = nil
	}
}

// Ask asks the daemon and waits for the answer, or for the end of the process: the daemon
// answers at once.
func (s *Session) Ask(question []byte) (answer string) {
	reply := make(chan string, 1)
	s.mu.Lock()
	s.next++
	id := s.next
	s.open[id] = reply
	s.mu.Unlock()
	s.w.send(frameAsk, func(b []byte) []byte { return append(binary.AppendUvarint(b, id), question...) })
	return <-reply
}

func (s *Session) answered(content string) error {
	f := fields{rest: content}
	id := f.uint()
	s.mu.Lock()
	reply := s.open[id]
	delete(s.open, id)
	s.mu.Unlock()
	if reply == nil {
		return fmt.Errorf("%w: an answer to no question", errProtocol)
	}
	reply <- f.rest
	return nil
}

// Main is a worker process whose daemon has started it as a [Pool] does. It returns when
// the daemon said goodbye; when the daemon is gone it ends the process, and all that this
// has started.
func Main(open func(context.Context, *Session) (listener.Handler, error)) error {
	files, err := inherited()
	if err != nil {
		return err
	}
	// A signal to the whole service is for the daemon to act on. What the handler starts
	// gets signals as usual.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err = Serve(files[0], files[1], open)
	if errors.Is(err, errLeft) && syscall.Getpgrp() == os.Getpid() {
		_ = syscall.Kill(0, syscall.SIGKILL) // our process group
	}
	return err // which ends the process
}

// inherited returns the ends of the protocol.
func inherited() (files [2]*os.File, err error) {
	for i := range files {
		fd := 3 + i
		var info syscall.Stat_t
		if err := syscall.Fstat(fd, &info); err != nil || info.Mode&syscall.S_IFMT != syscall.S_IFIFO {
			return files, errors.New("this command is for the daemon itself, which runs modules with isolation: process by it")
		}
		syscall.CloseOnExec(fd)
		if err := syscall.SetNonblock(fd, true); err != nil {
			return files, err
		}
		files[i] = os.NewFile(uintptr(fd), "daemon")
	}
	return files, nil
}

// errLeft says that the stream of the daemon has ended without a goodbye.
var errLeft = errors.New("the daemon is gone")

// Serve does what the daemon at the other end of the streams says, until it says goodbye.
// It calls open once, to get the handler that calls are for.
func Serve(in io.Reader, out io.Writer, open func(context.Context, *Session) (listener.Handler, error)) error {
	w := &workerSide{out: out}
	frames := frameReader{r: bufio.NewReaderSize(in, step), limit: maxFromDaemon}
	kind, content, err := frames.next()
	if err != nil || kind != frameHello {
		return errors.Join(errLeft, err)
	}
	h, err := parseHello(string(content))
	if err == nil {
		err = limitMemory(h.memory)
	}
	if err != nil {
		w.send(frameRefused, func(b []byte) []byte { return appendText(b, err.Error()) })
		return err
	}
	if h.memory > 0 {
		debug.SetMemoryLimit(int64(h.memory - h.memory/10))
	}
	s := &Session{
		Module: h.module, Setup: h.setup, w: w, open: map[uint64]chan string{},
		Log: zap.New(newLogCore(zapcore.Level(h.logLevel), w.send)),
	}
	m := &maker{side: w, hello: h, calls: make(chan numbered, 1)}
	life, end := context.WithCancelCause(context.Background())
	defer end(nil)
	made := make(chan error, 1)
	go func() { made <- m.run(life, s, open) }()

	received := make(chan error, 1)
	go func() {
		err := m.receive(life, &frames, s)
		if err != nil {
			end(err)
		}
		close(m.calls)
		received <- err
	}()
	select {
	case err := <-received:
		if err != nil {
			return err
		}
		return <-made // it said goodbye
	case err := <-made:
		return err // it could not be opened
	}
}

// numbered is a call with its number and context.
type numbered struct {
	id   uint64
	call *listener.Call
	ctx  context.Context
	end  context.CancelCauseFunc
}

// maker makes the calls.
type maker struct {
	side  *workerSide
	hello hello
	calls chan numbered // closed when there are no more
}

// receive does what the daemon says, until it says goodbye. ctx is that of all calls.
func (m *maker) receive(ctx context.Context, frames *frameReader, s *Session) error {
	var tables names
	var last numbered
	for {
		kind, content, err := frames.next()
		if err != nil {
			if errors.Is(err, errProtocol) {
				return err
			}
			return errLeft
		}
		switch kind {
		case frameNames:
			err = tables.receive(string(content))
		case frameCall:
			var n numbered
			if n.id, n.call, err = tables.parseCall(string(content)); err == nil {
				n.call.Module = m.hello.module
				n.ctx, n.end = context.WithCancelCause(ctx)
				last = n
				select {
				case m.calls <- n:
				default:
					err = fmt.Errorf("%w: a call before the result of the last one", errProtocol)
				}
			}
		case frameCancel:
			var id uint64
			var cause error
			if id, cause, err = parseCancel(string(content)); err == nil {
				if last.id == id && last.end != nil { // else its result is on the way
					last.end(cause)
				}
			}
		case frameAnswer:
			err = s.answered(string(content))
		case frameBye:
			return nil
		default:
			err = fmt.Errorf("%w: a frame of type %d", errProtocol, kind)
		}
		if err != nil {
			return err
		}
	}
}

// run opens the handler, makes calls until the goodbye, and closes the handler.
func (m *maker) run(ctx context.Context, s *Session, open func(context.Context, *Session) (listener.Handler, error)) error {
	handler, err := open(ctx, s)
	if err != nil {
		m.side.send(frameRefused, func(b []byte) []byte { return appendText(b, shortened(err.Error(), maxErrorText)) })
		return err
	}
	executor := dispatch.InProcess(handler)
	has := uint64(0)
	for i, step := range steps {
		if executor.Has(step) {
			has |= 1 << i
		}
	}
	m.side.send(frameReady, func(b []byte) []byte {
		return binary.AppendUvarint(binary.AppendUvarint(b, version), has)
	})
	for n := range m.calls {
		err := m.make(executor, n)
		m.side.send(frameResult, func(b []byte) []byte { return appendResult(b, n.id, err) })
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	text := ""
	if c, ok := handler.(io.Closer); ok {
		if err := c.Close(); err != nil {
			text = shortened(err.Error(), maxErrorText)
		}
	}
	m.side.send(frameClosed, func(b []byte) []byte { return appendText(b, text) })
	return nil
}

func (m *maker) make(executor dispatch.Executor, n numbered) error {
	ctx := n.ctx
	defer n.end(nil)
	if t := m.hello.timeout; t > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, t, fmt.Errorf("timeout of %v", t))
		defer stop()
	}
	return executor.Call(ctx, n.call)
}
