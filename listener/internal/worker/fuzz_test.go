package worker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
)

// framed returns a frame.
func framed(t testing.TB, kind byte, content func([]byte) []byte) []byte {
	b := content(begin(nil, kind))
	if err := end(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// conversation returns what a daemon says: a hello, calls, a goodbye.
func conversation(t testing.TB) []byte {
	known := listener.NewAttributeNames([]listener.AttributeType{{Names: []string{"sn", "surname"}}, {Names: []string{"x"}, Operational: true}})
	e := listener.NewEntry(listener.UUID{1}, "uid=a,dc=x", listener.Attribute{Name: "sn", Values: []string{"A", "\xff"}})
	h := hello{version: version, module: "m", timeout: time.Second, setup: "setup"}
	out := framed(t, frameHello, h.append)
	var tables names
	for i, c := range []listener.Call{
		{Kind: listener.KindCreate, Cause: listener.CauseLive, Seq: 1, Attempt: 1, New: e},
		{Kind: listener.KindModify, Cause: listener.CauseResync, Seq: 2, Attempt: 2, Old: e, New: e.WithNames(known)},
		{Kind: listener.KindRemove, Cause: listener.CauseInitialize, Seq: 1 << 60, Attempt: 1, Old: e.WithNames(known)},
		{Kind: listener.KindPostRun, Attempt: 9},
	} {
		b, err := tables.appendCall(nil, uint64(i+1), &c)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b...)
		out = append(out, framed(t, frameCancel, func(b []byte) []byte { return appendCancel(b, uint64(i+1), errors.New("timeout")) })...)
	}
	return append(out, framed(t, frameBye, func(b []byte) []byte { return b })...)
}

// FuzzServe has a worker listen to what no daemon says. It never panics, and ends with its
// stream.
func FuzzServe(f *testing.F) {
	whole := conversation(f)
	f.Add(whole)
	for n := 1; n < len(whole); n += 7 {
		f.Add(whole[:n])
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, frameCall})
	f.Add([]byte{0, 0, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, said []byte) {
		if h, err := parseHelloFrame(said); err == nil && h.memory > 0 {
			return // it would limit this process
		}
		_ = Serve(bytes.NewReader(said), io.Discard, func(context.Context, *Session) (listener.Handler, error) { return listener.Base{}, nil })
	})
}

func parseHelloFrame(said []byte) (hello, error) {
	r := frameReader{r: bytes.NewReader(said), limit: maxFromDaemon}
	_, content, err := r.next()
	if err != nil {
		return hello{}, err
	}
	return parseHello(string(content))
}

// FuzzFrames takes frames apart as the daemon does. What makes sense is the same when it
// is put together again, and no more memory is taken than bytes came.
func FuzzFrames(f *testing.F) {
	for _, err := range []error{nil, errors.New("no"), listener.Permanent(errors.New("no")), listener.RetryAfter(time.Hour, nil), &dispatch.PanicError{Value: 1, Stack: []byte("s")}} {
		f.Add(framed(f, frameResult, func(b []byte) []byte { return appendResult(b, 3, err) }))
	}
	core := newLogCore(-1, func(kind byte, content func([]byte) []byte) { f.Add(framed(f, kind, content)) })
	zap.New(core).Named("n").Info("message", zap.Int("a", 1), zap.String("b", "c"), zap.Strings("d", []string{"e"}))
	f.Add(conversation(f))
	f.Add([]byte{0x7f, 0xff, 0xff, 0xff, frameResult})
	pool := &Pool{Config: Config{Log: zap.NewNop()}}
	f.Fuzz(func(t *testing.T, said []byte) {
		r := frameReader{r: bytes.NewReader(said), limit: maxFromWorker}
		for {
			kind, content, err := r.next()
			if cap(r.buf) > 2*len(said)+step {
				t.Fatalf("%d bytes for %d", cap(r.buf), len(said))
			}
			if err != nil {
				return
			}
			switch kind {
			case frameResult:
				id, result, err := parseResult(string(content))
				if err != nil {
					continue
				}
				again := appendResult(nil, id, result)
				if id2, result2, err := parseResult(string(again)); err != nil || id2 != id || (result2 == nil) != (result == nil) || result != nil && result.Error() != result2.Error() && len(result.Error()) < maxErrorText {
					t.Errorf("%q is %v, and then %v, %v", content, result, result2, err)
				}
			case frameLog:
				_ = pool.replayLog(string(content))
			case frameCall:
				var tables names
				if _, _, err := tables.parseCall(string(content)); err != nil && !errors.Is(err, errProtocol) {
					t.Errorf("error %v", err)
				}
			default:
				fs := fields{rest: string(content)}
				_, _, _ = fs.uint(), fs.text(), fs.int(10)
				_, _ = binary.Uvarint(content)
			}
		}
	})
}
