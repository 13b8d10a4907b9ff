package listener_test

import (
	"context"
	"testing"

	"github.com/listenerd/listenerd/listener"
)

func TestCallInfo(t *testing.T) {
	if got := listener.CallInfo(t.Context()); got != (listener.Call{}) {
		t.Errorf("of a context from elsewhere: %+v", got)
	}
	call := listener.Call{
		Module: "m", Kind: listener.KindCreate, Seq: 7, Attempt: 2, Cause: listener.CauseLive, New: entry(),
	}
	ctx, cancel := context.WithCancel(listener.WithCall(t.Context(), &call))
	defer cancel()
	got := listener.CallInfo(ctx)
	if got != call {
		t.Errorf("got %+v", got)
	}
	got.Seq = 8
	if listener.CallInfo(ctx).Seq != 7 {
		t.Error("the result is not a copy")
	}
}

func TestBaseAcknowledges(t *testing.T) {
	var h listener.Handler = struct{ listener.Base }{}
	if h.Create(t.Context(), entry()) != nil || h.Modify(t.Context(), entry(), entry()) != nil || h.Remove(t.Context(), entry()) != nil {
		t.Error("an error")
	}
}
