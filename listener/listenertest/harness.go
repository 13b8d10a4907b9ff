package listenertest

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"testing"

	"github.com/listenerd/listenerd/listener"
)

// ErrContract matches the errors of a [Harness] method that made no call, because
// the daemon would not make it. The test is marked as failed as well.
var ErrContract = errors.New("the daemon makes no such call")

// Harness calls the handler of a module under the contract of package listener.
//
// Each method returns the error that the daemon would act upon: the handler's,
// after [listener.ErrorHandler] if the handler has one, and an error for a panic. A
// call that failed can be repeated by calling the method again with the same entry:
// it has the same sequence number then, and the next attempt.
//
// Create, Modify and Remove first make the steps that are owed: Initialize once,
// PreRun before the first of them and after each PostRun, if the handler has them.
// So do PreRun and PostRun. When such a step fails its error is returned and the
// call is not made.
//
// The methods can be called from several goroutines. Calls of a synchronous module
// wait for one another then; see [Spec].
type Harness struct {
	t       testing.TB
	name    string
	spec    listener.Spec
	handler listener.Handler
	log     *logLines

	lane      sync.Mutex   // held during the calls of a synchronous module
	barrier   sync.RWMutex // held for reading during calls, for writing during steps
	preparing sync.Mutex   // held by the call that makes the steps owed

	mu           sync.Mutex // guards what follows
	seq          uint64
	entries      map[listener.UUID]*known
	last         *listener.Call // the last acknowledged call
	stepAttempts map[listener.Kind]int
	initialized  bool // nothing is owed to Initialize
	running      bool // nothing is owed to PreRun
}

// known is what the handler was told of an entry.
type known struct {
	state  *listener.Entry // the last acknowledged one; nil: not created, or removed
	failed *listener.Call  // to be repeated before anything else
	busy   bool            // a call is in flight
}

func newHarness(t testing.TB, name string, spec listener.Spec, handler listener.Handler, log *logLines) *Harness {
	return &Harness{
		t: t, name: name, spec: spec, handler: handler, log: log,
		entries:      map[listener.UUID]*known{},
		stepAttempts: map[listener.Kind]int{},
	}
}

// Handler returns what the module opened, for a look inside.
func (h *Harness) Handler() listener.Handler { return h.handler }

// Log returns the lines that the handler has logged: level, message and fields,
// separated by tabs, as in
//
//	info	moved	{"from": "uid=ada,ou=people", "to": "uid=ada,ou=alumni"}
func (h *Harness) Log() []string {
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	return slices.Clone(h.log.lines)
}

// Create makes a new entry known to the handler.
func (h *Harness) Create(ctx context.Context, new *listener.Entry) error {
	h.t.Helper()
	return h.call(ctx, listener.KindCreate, new)
}

// Modify hands over the new state of an entry that the handler knows. old is what
// it was told last. The daemon makes the call only if a listed attribute (none
// listed: a non-operational one) or the DN changed.
func (h *Harness) Modify(ctx context.Context, new *listener.Entry) error {
	h.t.Helper()
	return h.call(ctx, listener.KindModify, new)
}

// Remove tells the handler that an entry is gone. It hands over the state that the
// handler was told last; e says by its UUID which entry it is.
func (h *Harness) Remove(ctx context.Context, e *listener.Entry) error {
	h.t.Helper()
	return h.call(ctx, listener.KindRemove, e)
}

// Redeliver repeats the last acknowledged Create, Modify or Remove, as the daemon
// does when it died before the acknowledgement was durable: same sequence number,
// same content. Handlers should be able to stand it.
func (h *Harness) Redeliver(ctx context.Context) error {
	h.t.Helper()
	h.mu.Lock()
	last := h.last
	h.mu.Unlock()
	if last == nil {
		return h.refuse("no call was acknowledged yet")
	}
	if err := h.prepare(ctx); err != nil {
		return err
	}
	defer h.barrier.RUnlock()
	call := *last
	call.Attempt = 1 // counted since the start of the daemon
	return h.deliver(ctx, &call)
}

// Initialize makes the step if the handler has it; the first Create would.
func (h *Harness) Initialize(ctx context.Context) error {
	h.t.Helper()
	return h.step(ctx, listener.KindInitialize)
}

// Clean makes the step that a resync begins with: the handler knows no entry
// afterwards, and Initialize is owed to it.
func (h *Harness) Clean(ctx context.Context) error {
	h.t.Helper()
	return h.step(ctx, listener.KindClean)
}

// PreRun makes the step; the first call after PostRun would.
func (h *Harness) PreRun(ctx context.Context) error {
	h.t.Helper()
	return h.step(ctx, listener.KindPreRun)
}

// PostRun makes the step, as the daemon does when the module had nothing to do for a
// while, and at shutdown.
func (h *Harness) PostRun(ctx context.Context) error {
	h.t.Helper()
	return h.step(ctx, listener.KindPostRun)
}

func (h *Harness) refuse(format string, args ...any) error {
	h.t.Helper()
	err := fmt.Errorf("%w: %s", ErrContract, fmt.Sprintf(format, args...))
	h.t.Error(err)
	return err
}

func (h *Harness) call(ctx context.Context, kind listener.Kind, e *listener.Entry) error {
	h.t.Helper()
	if e == nil {
		return h.refuse("%s without an entry", kind)
	}
	if err := h.prepare(ctx); err != nil {
		return err
	}
	defer h.barrier.RUnlock()
	call, err := h.begin(kind, e)
	if err != nil {
		return err
	}
	err = h.deliver(ctx, call)
	h.end(call, e.UUID(), err)
	return err
}

// begin makes the call for the next state of the entry and marks it as busy.
func (h *Harness) begin(kind listener.Kind, e *listener.Entry) (*listener.Call, error) {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.entries[e.UUID()]
	if k == nil {
		k = &known{}
		h.entries[e.UUID()] = k
	}
	call := &listener.Call{Module: h.name, Kind: kind, Cause: listener.CauseLive, Old: k.state, New: e}
	if kind == listener.KindRemove {
		call.New = nil
	}
	switch {
	case k.busy:
		return nil, h.refuse("%s of %s while another call for it is in flight", kind, e)
	case k.failed != nil && (k.failed.Kind != kind || !sameState(k.failed.New, call.New)):
		return nil, h.refuse("%s of %s, whose %s failed: repeat that one first", kind, e, k.failed.Kind)
	case k.failed != nil:
		repeated := *k.failed
		repeated.Attempt++
		call = &repeated
	case kind == listener.KindCreate && k.state != nil:
		return nil, h.refuse("create of %s, which the module knows already", e)
	case kind != listener.KindCreate && k.state == nil:
		return nil, h.refuse("%s of %s, which the module does not know: create it first", kind, e)
	case kind == listener.KindModify && k.state.DN() == e.DN() && !listener.Changed(k.state, e, h.spec.Attributes...):
		return nil, h.refuse("modify of %s: nothing that the module listens to has changed", e)
	default:
		h.seq++
		call.Seq, call.Attempt = h.seq, 1
	}
	k.busy = true
	return call, nil
}

func (h *Harness) end(call *listener.Call, uuid listener.UUID, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.entries[uuid]
	k.busy = false
	if err != nil {
		k.failed = call
		return
	}
	k.failed, k.state = nil, call.New
	h.last = call
}

// sameState tells whether a and b, which are states of one entry, are equal.
func sameState(a, b *listener.Entry) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.DN() != b.DN() || a.Len() != b.Len() || listener.Changed(a, b) {
		return false
	}
	for name := range a.All() {
		if listener.Changed(a, b, name) { // operational ones too
			return false
		}
	}
	return true
}

// deliver calls the handler; the barrier is held for reading.
func (h *Harness) deliver(ctx context.Context, call *listener.Call) error {
	if !h.spec.RunAsynchronously {
		h.lane.Lock()
		defer h.lane.Unlock()
	}
	ctx = listener.WithCall(ctx, call)
	err := protect(func() error {
		switch call.Kind {
		case listener.KindCreate:
			return h.handler.Create(ctx, call.New)
		case listener.KindModify:
			return h.handler.Modify(ctx, call.Old, call.New)
		default:
			return h.handler.Remove(ctx, call.Old)
		}
	})
	classifier, ok := h.handler.(listener.ErrorHandler)
	if err == nil || !ok {
		return err
	}
	var classified error
	if p := protect(func() error {
		classified = classifier.HandleError(ctx, *call, err)
		return nil
	}); p != nil {
		return p
	}
	if classified == nil {
		return err
	}
	return classified
}

// protect makes an error of a panic.
func protect(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}
