package listener_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/listenertest"
)

func ExampleShared() {
	shared := listenertest.NewShared().Open("daemon", "people") // a module has env.Shared
	ctx := context.Background()

	// UDL: self.set_shared_var("domain", ...), self.get_shared_var("domain")
	if err := shared.Set(ctx, "domain", []byte("example.com"), time.Hour); err != nil {
		fmt.Println(err)
	}
	domain, err := shared.Get(ctx, "domain")
	fmt.Printf("%s %v\n", domain, err)

	// UDL: with self.lock("quota"): ...
	err = shared.WithLock(ctx, "quota", 0, func(ctx context.Context) error {
		fmt.Println("holding", listener.LockInfo(ctx).Key)
		return nil
	})
	fmt.Println(err)
	// Output:
	// example.com <nil>
	// holding quota
	// <nil>
}

func ExampleVar() {
	shared := listenertest.NewShared().Open("daemon", "people") // a module has env.Shared
	ctx := context.Background()

	type usage struct{ Users, Mailboxes int }
	total := listener.Var[usage]{Shared: shared, Key: "usage"}
	for range 3 {
		if _, err := total.Update(ctx, func(u usage) (usage, error) {
			u.Users++
			return u, nil
		}); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(total.Get(ctx))
	// Output: {3 0} <nil>
}

func TestVarErrors(t *testing.T) {
	ctx, shared := t.Context(), listenertest.NewShared().Open("d", "m")
	if err := shared.Set(ctx, "k", []byte("no number"), 0); err != nil {
		t.Fatal(err)
	}
	v := listener.Var[int]{Shared: shared, Key: "k"}
	if n, err := v.Get(ctx); n != 0 || err == nil {
		t.Errorf("get: %d, %v", n, err)
	}
	called := false
	if n, err := v.Update(ctx, func(int) (int, error) { called = true; return 1, nil }); n != 0 || err == nil || called {
		t.Errorf("update: %d, %v, called %v", n, err, called)
	}
	refused := errors.New("refused")
	if err := v.Set(ctx, 1); err != nil {
		t.Error(err)
	}
	if n, err := v.Update(ctx, func(int) (int, error) { return 2, refused }); n != 0 || !errors.Is(err, refused) {
		t.Errorf("update: %d, %v", n, err)
	}
	if n, err := v.Get(ctx); n != 1 || err != nil {
		t.Errorf("get: %d, %v", n, err)
	}

	unfit := listener.Var[func()]{Shared: shared, Key: "unfit"}
	_, updateErr := unfit.Update(ctx, func(func()) (func(), error) { return func() {}, nil })
	for what, err := range map[string]error{"set": unfit.Set(ctx, nil), "add": unfit.Add(ctx, nil), "update": updateErr} {
		if _, ok := errors.AsType[*json.UnsupportedTypeError](err); !ok {
			t.Errorf("%s of what JSON doesn't have: %v", what, err)
		}
	}
}

// A variable that keeps null is there, with the zero value.
func TestVarNull(t *testing.T) {
	v := listener.Var[*int]{Shared: listenertest.NewShared().Open("d", "m"), Key: "k"}
	if err := v.Set(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if p, err := v.Get(t.Context()); p != nil || err != nil {
		t.Errorf("%v, %v", p, err)
	}
	if _, err := v.Update(t.Context(), func(p *int) (*int, error) { return new(7), nil }); err != nil {
		t.Error(err)
	}
	if p, err := v.Get(t.Context()); p == nil || *p != 7 || err != nil {
		t.Errorf("%v, %v", p, err)
	}
}

func TestLockInfo(t *testing.T) {
	if l := listener.LockInfo(t.Context()); l != (listener.Lock{}) {
		t.Errorf("%+v without a lock", l)
	}
	outer := listener.WithLockInfo(t.Context(), listener.Lock{Key: "a", Fence: 1})
	inner := listener.WithLockInfo(outer, listener.Lock{Key: "b", Fence: 2})
	if l := listener.LockInfo(inner); l.Key != "b" || l.Fence != 2 {
		t.Errorf("%+v", l)
	}
	if l := listener.LockInfo(outer); l.Key != "a" || l.Fence != 1 {
		t.Errorf("%+v", l)
	}
}
