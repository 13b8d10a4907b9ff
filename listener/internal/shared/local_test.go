package shared

import (
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/listenerd/listenerd/listener"
)

func TestLocalExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewLocal().Open("d", "m")
		if err := s.Set(t.Context(), "k", []byte("1"), time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute - 1)
		if n, err := s.Incr(t.Context(), "k", 1); n != 2 || err != nil {
			t.Errorf("incr just before the end: %d, %v", n, err)
		}
		time.Sleep(time.Nanosecond)
		if _, err := s.Get(t.Context(), "k"); !errors.Is(err, listener.ErrNotFound) {
			t.Errorf("get at the end: %v; Incr must not prolong a variable", err)
		}
	})
}

func TestLocalForgetsTheLeastUsed(t *testing.T) {
	local := NewLocal()
	local.memory.limit = 100 * (itemOverhead + 1000)
	s := local.Open("d", "m")
	for i := range 1000 {
		if err := s.Set(t.Context(), strconv.Itoa(i), make([]byte, 900), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), "0"); err != nil {
			t.Fatalf("the variable that is used was forgotten at %d: %v", i, err)
		}
	}
	if _, err := s.Get(t.Context(), "999"); err != nil {
		t.Errorf("the newest one: %v", err)
	}
	if _, err := s.Get(t.Context(), "500"); !errors.Is(err, listener.ErrNotFound) {
		t.Errorf("an old one: %v", err)
	}
	if n := len(local.memory.items); n < 90 || n > 110 || local.memory.used.Len() != n {
		t.Errorf("%d variables are kept", n)
	}
	local.Forget()
	if local.memory.size != 0 {
		t.Errorf("size %d after all was forgotten", local.memory.size)
	}
}

func TestLocalStatus(t *testing.T) {
	local := NewLocal()
	if st := local.Status(); st.Kind != "in-process" || len(st.Servers) != 0 {
		t.Errorf("%+v", st)
	}
	if err := local.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	local.SetDown(true)
	if err := local.Ping(t.Context()); !errors.Is(err, listener.ErrUnavailable) {
		t.Errorf("ping: %v", err)
	}
	local.Close()
}
