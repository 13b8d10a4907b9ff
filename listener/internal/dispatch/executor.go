package dispatch

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/listenerd/listenerd/listener"
)

// Executor is the place where a module's handler runs: this process, others, or hosts
// far away. The dispatcher decides what is called and when, the executor makes the call.
//
// Call is called by as many goroutines at a time as the module has workers. Never two
// at a time have the same entry or name, and a step is alone, so an executor need not
// order anything.
type Executor interface {
	// Has tells whether the handler has the optional step. It does not change while the
	// executor is used.
	Has(step listener.Kind) bool

	// Call makes the call, of a step that the handler has or of an entry, and returns
	// what came of it: nil acknowledges it, and an error of listener's classes says how
	// it goes on; HandleError has been asked. A panic of the handler is a [PanicError].
	// A call whose outcome is not known, because its place was lost, has failed: it is
	// repeated.
	//
	// ctx ends when the call's time is over, with a cause that says so, or with cause
	// [listener.ErrStopping]. Call may return after that; when it does not for long the
	// module counts as stuck. The call and its entries may be kept.
	Call(ctx context.Context, call *listener.Call) error
}

// InProcess returns the executor that calls the handler in the dispatcher's own
// goroutines.
func InProcess(h listener.Handler) Executor { return inProcess{h} }

type inProcess struct{ handler listener.Handler }

// Has implements [Executor].
func (e inProcess) Has(step listener.Kind) (ok bool) {
	switch step {
	case listener.KindInitialize:
		_, ok = e.handler.(listener.Initializer)
	case listener.KindClean:
		_, ok = e.handler.(listener.Cleaner)
	case listener.KindPreRun:
		_, ok = e.handler.(listener.PreRunner)
	case listener.KindPostRun:
		_, ok = e.handler.(listener.PostRunner)
	}
	return ok
}

// Call implements [Executor].
func (e inProcess) Call(ctx context.Context, call *listener.Call) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{shortened(fmt.Sprint(v), maxErrorText), debug.Stack()}
		}
	}()
	return settled(e.call(listener.WithCall(ctx, call), call))
}

func (e inProcess) call(ctx context.Context, call *listener.Call) (err error) {
	switch call.Kind {
	case listener.KindCreate:
		err = e.handler.Create(ctx, call.New)
	case listener.KindModify:
		err = e.handler.Modify(ctx, call.Old, call.New)
	case listener.KindRemove:
		err = e.handler.Remove(ctx, call.Old)
	case listener.KindInitialize:
		return e.handler.(listener.Initializer).Initialize(ctx)
	case listener.KindClean:
		return e.handler.(listener.Cleaner).Clean(ctx)
	case listener.KindPreRun:
		return e.handler.(listener.PreRunner).PreRun(ctx)
	case listener.KindPostRun:
		return e.handler.(listener.PostRunner).PostRun(ctx)
	}
	if err == nil {
		return nil
	}
	if h, ok := e.handler.(listener.ErrorHandler); ok {
		if classified := h.HandleError(ctx, *call, err); classified != nil {
			return classified
		}
	}
	return err
}

// settled returns an error with the text, which may be long, and the class of a handler's.
// The methods of that one are the handler's code: they are called here, where a panic (a
// nil pointer in an error is the usual reason) is caught, and nowhere else.
func settled(err error) error {
	if err == nil {
		return nil
	}
	out := errors.New(shortened(err.Error(), maxErrorText))
	if delay, ok := listener.RetryDelay(err); ok {
		out = listener.RetryAfter(delay, out)
	}
	if errors.Is(err, listener.ErrPermanent) {
		out = listener.Permanent(out)
	}
	return out
}

// PanicError is a handler's panic.
type PanicError struct {
	// Value is what the handler panicked with, or its text; Stack the stack of its goroutine.
	Value any
	Stack []byte
}

// Error says that it was a panic, and with what.
func (e *PanicError) Error() string { return fmt.Sprintf("handler panicked: %v", e.Value) }
