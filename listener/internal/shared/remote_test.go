package shared_test

import (
	"errors"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/shared"
)

// A worker process reaches the variables of its own module only, whatever it asks.
func TestAnswererKeepsModulesApart(t *testing.T) {
	local := shared.NewLocal()
	other := local.Open("d", "other")
	if err := other.Set(t.Context(), "k", []byte("secret"), 0); err != nil {
		t.Fatal(err)
	}
	answer := local.Answerer("d", "mine")
	asked := shared.NewRemote(func(question []byte) string { return string(answer(question)) }).Open("d", "other")
	if v, err := asked.Get(t.Context(), "k"); !errors.Is(err, listener.ErrUnavailable) {
		t.Errorf("get returned %q, %v", v, err)
	}
	if err := asked.Set(t.Context(), "k", []byte("x"), 0); !errors.Is(err, listener.ErrUnavailable) {
		t.Errorf("set returned %v", err)
	}
	if v, err := other.Get(t.Context(), "k"); string(v) != "secret" || err != nil {
		t.Errorf("then it is %q, %v", v, err)
	}
}

// What a worker process asks can be anything, and so can an answer.
func FuzzAnswer(f *testing.F) {
	local := shared.NewLocal()
	answer := local.Answerer("d", "m")
	recording := shared.NewRemote(func(question []byte) string {
		a := answer(question)
		f.Add(question, string(a))
		return string(a)
	}).Open("d", "m")
	ctx := f.Context()
	_ = recording.Set(ctx, "k", []byte("1"), 0)
	_, _ = recording.Incr(ctx, "k", 2)
	_, _ = recording.Get(ctx, "k")
	_ = recording.CompareAndSwap(ctx, "k", []byte("3"), nil, 0)
	_ = recording.Delete(ctx, "k")
	f.Add([]byte{}, "")
	f.Fuzz(func(t *testing.T, question []byte, reply string) {
		if a := answer(question); len(a) < 2 {
			t.Errorf("the answer to %q is %q", question, a)
		}
		s := shared.NewRemote(func([]byte) string { return reply }).Open("d", "m")
		if v, err := s.Get(t.Context(), "k"); err == nil && (len(reply) < 9 || string(v) != reply[9:]) {
			t.Errorf("%q is taken for %q", reply, v)
		}
	})
}
