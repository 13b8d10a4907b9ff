package shared

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/listenerd/listenerd/listener"
)

// NewRemote returns a store that another process keeps: ask carries a question to the
// function that [Store.Answerer] returned there, and its answer back. It answers at once,
// so contexts are looked at before a step only.
func NewRemote(ask func(question []byte) (answer string)) *Store { return newStore(&remote{ask}) }

// Answerer returns a function that makes the steps of a store made by [NewRemote], on the
// variables and locks of one module instance only. It may be called by several goroutines.
func (s *Store) Answerer(daemon, module string) func(question []byte) []byte {
	prefix := prefix(daemon, module)
	return func(question []byte) []byte { return answer(s.backend, prefix, question) }
}

// remote is the backend whose steps are made by another process.
type remote struct {
	ask func([]byte) string
}

var _ backend = (*remote)(nil)

// The steps, as a question begins.
const (
	stepGet = iota
	stepSet
	stepAdd
	stepRemove
	stepSwap
	stepDrop
	stepIncr
)

// The errors, as an answer begins.
var remoteErrors = []error{nil, listener.ErrNotFound, listener.ErrExists, listener.ErrConflict, listener.ErrNotNumber}

// otherError is followed by a text.
const otherError = 255

// question is a step with its arguments; each step has those it needs.
type question struct {
	step           byte
	key            string
	value          []byte
	version        uint64
	ttl            time.Duration
	delta, initial uint64
}

func (q *question) append(b []byte) []byte {
	b = append(b, q.step)
	for _, n := range []uint64{q.version, uint64(q.ttl), q.delta, q.initial, uint64(len(q.key))} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return append(append(b, q.key...), q.value...)
}

func parseQuestion(b []byte) (q question, ok bool) {
	const head = 1 + 5*8
	if len(b) < head {
		return q, false
	}
	number := func(i int) uint64 { return binary.BigEndian.Uint64(b[1+8*i:]) }
	q = question{step: b[0], version: number(0), ttl: time.Duration(number(1)), delta: number(2), initial: number(3)}
	n, rest := number(4), b[head:]
	if n > uint64(len(rest)) || q.ttl < 0 {
		return q, false
	}
	q.key, q.value = string(rest[:n]), rest[n:]
	return q, true
}

// answer makes a step, on keys that begin with the prefix.
func answer(b backend, prefix string, asked []byte) []byte {
	q, ok := parseQuestion(asked)
	if !ok || !strings.HasPrefix(q.key, prefix) || len(q.key) > maxKey || len(q.value) > listener.MaxSharedValue {
		return append([]byte{otherError}, "a question that makes no sense"...)
	}
	ctx := context.Background() // whoever asks waits
	var it item
	var n uint64
	err := errors.New("no such step")
	switch q.step {
	case stepGet:
		it, err = b.get(ctx, q.key)
		n = it.version
	case stepSet:
		err = b.set(ctx, q.key, q.value, q.ttl)
	case stepAdd:
		err = b.add(ctx, q.key, q.value, q.ttl)
	case stepRemove:
		err = b.remove(ctx, q.key)
	case stepSwap:
		err = b.swap(ctx, q.key, q.value, q.version, q.ttl)
	case stepDrop:
		err = b.drop(ctx, q.key, q.version)
	case stepIncr:
		n, err = b.incr(ctx, q.key, q.delta, q.initial)
	}
	for i, known := range remoteErrors {
		if errors.Is(err, known) {
			return append(binary.BigEndian.AppendUint64([]byte{byte(i)}, n), it.value...)
		}
	}
	return append([]byte{otherError}, err.Error()...)
}

// do asks for a step.
func (r *remote) do(ctx context.Context, q question) (n uint64, value string, err error) {
	if ctx.Err() != nil {
		return 0, "", context.Cause(ctx)
	}
	a := r.ask(q.append(nil))
	switch {
	case len(a) >= 9 && int(a[0]) < len(remoteErrors):
		return binary.BigEndian.Uint64([]byte(a[1:9])), a[9:], remoteErrors[a[0]]
	case len(a) > 1 && a[0] == otherError:
		return 0, "", fmt.Errorf("%w: %s", listener.ErrUnavailable, a[1:])
	}
	return 0, "", fmt.Errorf("%w: an answer that makes no sense", listener.ErrUnavailable)
}

func (r *remote) get(ctx context.Context, key string) (item, error) {
	version, value, err := r.do(ctx, question{step: stepGet, key: key})
	if err != nil {
		return item{}, err
	}
	return item{[]byte(value), version}, nil
}

func (r *remote) set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	_, _, err := r.do(ctx, question{step: stepSet, key: key, value: value, ttl: ttl})
	return err
}

func (r *remote) add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	_, _, err := r.do(ctx, question{step: stepAdd, key: key, value: value, ttl: ttl})
	return err
}

func (r *remote) claim(ctx context.Context, key, token string, ttl time.Duration) error {
	return r.add(ctx, key, []byte(token), ttl)
}

func (r *remote) remove(ctx context.Context, key string) error {
	_, _, err := r.do(ctx, question{step: stepRemove, key: key})
	return err
}

func (r *remote) swap(ctx context.Context, key string, value []byte, version uint64, ttl time.Duration) error {
	_, _, err := r.do(ctx, question{step: stepSwap, key: key, value: value, version: version, ttl: ttl})
	return err
}

func (r *remote) drop(ctx context.Context, key string, version uint64) error {
	_, _, err := r.do(ctx, question{step: stepDrop, key: key, version: version})
	return err
}

func (r *remote) incr(ctx context.Context, key string, delta, initial uint64) (uint64, error) {
	n, _, err := r.do(ctx, question{step: stepIncr, key: key, delta: delta, initial: initial})
	return n, err
}

func (r *remote) ping(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func (r *remote) status() Status { return Status{Kind: "in-process"} }

func (r *remote) close() {}
