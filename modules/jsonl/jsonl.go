// Package jsonl is the built-in module jsonl: it appends the event document (see
// package event) of every call to a file, one line per call.
//
// # Lines
//
// A line is written by one write(2) to a file in append mode, so readers such as
// tail -F see whole lines. When a write fails (the disk is full, say), what it
// left of the line is cut off again and the call is repeated later. A line that a
// crash left unfinished is cut off at the next start; its call was never
// acknowledged and is repeated, so nothing is lost by it. A file whose last line is
// unfinished and was not begun by jsonl is refused.
//
// # Rotation
//
// Before each write the path is checked: a file that was renamed or removed is left
// alone and a new one is made. logrotate needs neither a signal nor copytruncate,
// which works but may lose lines.
//
// # Durability
//
// The operating system writes the lines back in its own time: they survive a crash
// of the daemon, not one of the machine. With fsync: true a call is acknowledged
// only when its line is on the disk, which limits the module to what the disk can
// do (some hundred calls per second on rotating disks).
package jsonl

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/modules/event"
)

// Module is the module jsonl.
var Module = listener.Define(
	listener.Spec{
		Name:        "jsonl",
		Description: "Appends every call as a line of JSON to a file.",
		LDAPFilter:  "(objectClass=*)",
	},
	Config{},
	open,
)

// Config is the configuration of the module.
type Config struct {
	// Path is the file to append to: absolute, or relative to the working directory
	// of the daemon. Its directory must exist; the file is made with mode 0600 when
	// it does not. One instance per file. A device or pipe such as /dev/stdout works
	// as well. Required.
	Path string `yaml:"path"`
	// Fsync acknowledges a call only when its line is on the disk. Default false.
	Fsync bool `yaml:"fsync"`
	// Secrets includes passwords and keys, which are left out otherwise; see
	// [event.Secret] for the attributes. Default false.
	Secrets bool `yaml:"secrets"`
}

// Validate implements [listener.Validator].
func (c Config) Validate() error {
	if c.Path == "" {
		return errors.New("path is empty: name the file to append to")
	}
	return nil
}

var _ listener.Validator = Config{}

// handler is safe for concurrent calls: it encodes in parallel, and journal
// writes one line at a time.
type handler struct {
	name    string // of the instance
	encoder event.Encoder
	journal *journal
	buffers sync.Pool // of *[]byte
}

func open(_ context.Context, env listener.Env, c Config) (listener.Handler, error) {
	j, err := openJournal(c.Path, c.Fsync)
	if err != nil {
		return nil, err
	}
	return &handler{
		name:    env.Name,
		encoder: event.Encoder{Secrets: c.Secrets},
		journal: j,
		buffers: sync.Pool{New: func() any { return new([]byte) }},
	}, nil
}

var (
	_ listener.Handler     = (*handler)(nil)
	_ listener.Initializer = (*handler)(nil)
	_ listener.Cleaner     = (*handler)(nil)
	_ listener.PreRunner   = (*handler)(nil)
	_ listener.PostRunner  = (*handler)(nil)
	_ io.Closer            = (*handler)(nil)
)

func (h *handler) Create(ctx context.Context, new *listener.Entry) error {
	return h.write(ctx, listener.KindCreate, nil, new)
}

func (h *handler) Modify(ctx context.Context, old, new *listener.Entry) error {
	return h.write(ctx, listener.KindModify, old, new)
}

func (h *handler) Remove(ctx context.Context, old *listener.Entry) error {
	return h.write(ctx, listener.KindRemove, old, nil)
}

func (h *handler) Initialize(ctx context.Context) error {
	return h.write(ctx, listener.KindInitialize, nil, nil)
}

// Clean journals the step and keeps the lines: a consumer that has read them needs
// to see that the calls start over.
func (h *handler) Clean(ctx context.Context) error {
	return h.write(ctx, listener.KindClean, nil, nil)
}

func (h *handler) PreRun(ctx context.Context) error {
	return h.write(ctx, listener.KindPreRun, nil, nil)
}

func (h *handler) PostRun(ctx context.Context) error {
	return h.write(ctx, listener.KindPostRun, nil, nil)
}

// Close closes the file.
func (h *handler) Close() error { return h.journal.close() }

// keptBuffer bounds the memory that buffers hold on to after an entry of
// unusual size.
const keptBuffer = 1 << 20

func (h *handler) write(ctx context.Context, kind listener.Kind, old, new *listener.Entry) error {
	call := listener.CallInfo(ctx)
	call.Module, call.Kind, call.Old, call.New = h.name, kind, old, new

	buffer := h.buffers.Get().(*[]byte)
	*buffer = append(h.encoder.Append((*buffer)[:0], time.Now(), &call), '\n')
	err := h.journal.write(*buffer)
	if cap(*buffer) <= keptBuffer {
		h.buffers.Put(buffer)
	}
	return err
}
