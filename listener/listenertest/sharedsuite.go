package listenertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener"
)

// SharedFixture is an implementation of [listener.Shared] with a place of its own.
type SharedFixture struct {
	// Open returns a handle to the variables and locks of a module instance. Handles
	// of the same names reach the same ones, as workers in different processes do.
	// Required.
	Open func(daemon, module string) listener.Shared
	// Forget forgets all variables and frees all locks, as a restart of the place
	// does. Required.
	Forget func()
}

// TestShared tests an implementation of [listener.Shared] for its contract, in
// subtests that run in parallel. open is called for each of them and returns a place
// that is empty. It takes some seconds, because variables have to expire.
func TestShared(t *testing.T, open func(t *testing.T) SharedFixture) {
	tests := map[string]func(*testing.T, SharedFixture){
		"variables":      testVariables,
		"add":            testAdd,
		"expiry":         testExpiry,
		"compare":        testCompare,
		"update":         testUpdate,
		"update races":   testUpdateRaces,
		"incr":           testIncr,
		"incr races":     testIncrRaces,
		"keys":           testKeys,
		"names":          testNames,
		"size":           testSize,
		"arguments":      testArguments,
		"ended context":  testEndedContext,
		"typed":          testTyped,
		"lock":           testLock,
		"lock info":      testLockInfo,
		"lock waits":     testLockWaits,
		"lock races":     testLockRaces,
		"lock renewed":   testLockRenewed,
		"lock lost":      testLockLost,
		"lock taken":     testLockTaken,
		"lock kept":      testLockKept,
		"lock reentered": testLockReentered,
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tests[name](t, open(t))
		})
	}
}

// wantErr fails the test unless err matches want; a nil want matches nil.
func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantValue fails the test unless the variable has the value.
func wantValue(t *testing.T, s listener.Shared, key, want string) {
	t.Helper()
	if b, err := s.Get(t.Context(), key); err != nil || b == nil || string(b) != want {
		t.Errorf("get %.40q: %.40q, %v, want %.40q", key, b, err, want)
	}
}

func wantNone(t *testing.T, s listener.Shared, key string) {
	t.Helper()
	b, err := s.Get(t.Context(), key)
	if b != nil || !errors.Is(err, listener.ErrNotFound) {
		t.Errorf("get %.40q: %.40q, %v, want %v", key, b, err, listener.ErrNotFound)
	}
}

func testVariables(t *testing.T, f SharedFixture) {
	ctx, s, other := t.Context(), f.Open("d", "m"), f.Open("d", "m")
	wantNone(t, s, "k")
	for _, value := range []string{"one", "", "a\r\nb\x00c", strings.Repeat("x", 10000)} {
		must(t, s.Set(ctx, "k", []byte(value), 0))
		wantValue(t, other, "k", value)
	}
	must(t, s.Set(ctx, "k", nil, 0))
	wantValue(t, s, "k", "")

	b := []byte("mine")
	must(t, s.Set(ctx, "k", b, 0))
	copy(b, "your")
	got, err := s.Get(ctx, "k")
	must(t, err)
	copy(got, "your")
	wantValue(t, s, "k", "mine")

	must(t, s.Delete(ctx, "k"))
	wantNone(t, s, "k")
	must(t, s.Delete(ctx, "k"))
	must(t, s.Set(ctx, "k", []byte("v"), 0))
	f.Forget()
	wantNone(t, s, "k")
}

func testAdd(t *testing.T, f SharedFixture) {
	ctx := t.Context()
	var added atomic.Int32
	var adding sync.WaitGroup
	for i := range 16 {
		s := f.Open("d", "m")
		adding.Go(func() {
			switch err := s.Add(ctx, "k", []byte(strconv.Itoa(i)), 0); {
			case err == nil:
				added.Add(1)
			case !errors.Is(err, listener.ErrExists):
				t.Error(err)
			}
		})
	}
	adding.Wait()
	if n := added.Load(); n != 1 {
		t.Errorf("%d have added the variable, want 1", n)
	}
	s := f.Open("d", "m")
	must(t, s.Delete(ctx, "k"))
	must(t, s.Add(ctx, "k", []byte("v"), 0))
	wantValue(t, s, "k", "v")
}

// expirySlack is how much longer than its ttl a variable may live: two seconds, and
// some for a machine that is busy.
const expirySlack = 5 * time.Second

// eventually calls done every few milliseconds until it is true, and fails the test
// after limit.
func eventually(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	next := time.NewTicker(20 * time.Millisecond)
	defer next.Stop()
	for !done() {
		select {
		case <-next.C:
		case <-deadline.C:
			t.Fatalf("%s: not in %v", what, limit)
		}
	}
}

func testExpiry(t *testing.T, f SharedFixture) {
	ctx, s := t.Context(), f.Open("d", "m")
	const ttl = 900 * time.Millisecond
	must(t, s.Set(ctx, "stays", nil, 0))
	must(t, s.Set(ctx, "long", nil, 60*24*time.Hour)) // memcached counts that otherwise
	must(t, s.Set(ctx, "changed", nil, ttl))
	must(t, s.Set(ctx, "changed", nil, 0))
	start := time.Now()
	must(t, s.Set(ctx, "set", nil, ttl))
	must(t, s.Add(ctx, "added", nil, ttl))
	must(t, s.Update(ctx, "updated", ttl, func([]byte) ([]byte, error) { return []byte{}, nil }))
	must(t, s.CompareAndSwap(ctx, "swapped", nil, []byte{}, ttl))
	for _, key := range []string{"set", "added", "updated", "swapped"} {
		eventually(t, ttl+expirySlack, key+" expires", func() bool {
			_, err := s.Get(ctx, key)
			gone := errors.Is(err, listener.ErrNotFound)
			if gone && time.Since(start) < ttl {
				t.Errorf("%s expired before its time", key)
			}
			return gone
		})
		must(t, s.Add(ctx, key, nil, 0))
	}
	wantValue(t, s, "stays", "")
	wantValue(t, s, "long", "")
	wantValue(t, s, "changed", "")
}

func testCompare(t *testing.T, f SharedFixture) {
	ctx, s := t.Context(), f.Open("d", "m")
	for i, step := range []struct {
		old, new []byte
		want     error
	}{
		{[]byte{}, []byte("x"), listener.ErrConflict}, // there is none, rather than an empty one
		{nil, nil, nil},
		{nil, []byte("a"), nil},
		{nil, []byte("b"), listener.ErrConflict},
		{nil, nil, listener.ErrConflict},
		{[]byte("b"), []byte("c"), listener.ErrConflict},
		{[]byte("a"), []byte{}, nil},
		{nil, []byte("d"), listener.ErrConflict},
		{[]byte{}, []byte("e"), nil},
		{[]byte("e"), nil, nil},
		{[]byte("e"), nil, listener.ErrConflict},
		{nil, []byte("f"), nil},
	} {
		wantErr(t, fmt.Sprintf("step %d, %q to %q", i, step.old, step.new),
			s.CompareAndSwap(ctx, "k", step.old, step.new, 0), step.want)
	}
	wantValue(t, s, "k", "f")
}

func testUpdate(t *testing.T, f SharedFixture) {
	ctx, s := t.Context(), f.Open("d", "m")
	to := func(wantOld, result []byte) func([]byte) ([]byte, error) {
		return func(old []byte) ([]byte, error) {
			if (old == nil) != (wantOld == nil) || !bytes.Equal(old, wantOld) {
				t.Errorf("old is %q, want %q", old, wantOld)
			}
			for i := range old {
				old[i] = '!'
			}
			return result, nil
		}
	}
	must(t, s.Update(ctx, "k", 0, to(nil, nil)))
	wantNone(t, s, "k")
	must(t, s.Update(ctx, "k", 0, to(nil, []byte("a"))))
	must(t, s.Update(ctx, "k", 0, to([]byte("a"), []byte{})))
	wantValue(t, s, "k", "")
	must(t, s.Update(ctx, "k", 0, to([]byte{}, []byte("b"))))
	refused := errors.New("refused")
	wantErr(t, "update", s.Update(ctx, "k", 0, func([]byte) ([]byte, error) { return []byte("c"), refused }), refused)
	wantValue(t, s, "k", "b")

	calls := 0
	must(t, s.Update(ctx, "k", 0, func(old []byte) ([]byte, error) {
		if calls++; calls == 1 {
			must(t, s.Set(ctx, "k", []byte("between"), 0))
		}
		return append(old, '+'), nil
	}))
	wantValue(t, s, "k", "between+")
	must(t, s.Update(ctx, "k", 0, to([]byte("between+"), nil)))
	wantNone(t, s, "k")
}

func testUpdateRaces(t *testing.T, f SharedFixture) {
	ctx := t.Context()
	const workers, times = 8, 25
	var running sync.WaitGroup
	for range workers {
		counter := listener.Var[int]{Shared: f.Open("d", "m"), Key: "n"}
		running.Go(func() {
			for range times {
				if _, err := counter.Update(ctx, func(n int) (int, error) { return n + 1, nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	wantValue(t, f.Open("d", "m"), "n", strconv.Itoa(workers*times))
}

func testIncr(t *testing.T, f SharedFixture) {
	ctx, s := t.Context(), f.Open("d", "m")
	wantSum := func(key string, delta, want uint64) {
		t.Helper()
		if n, err := s.Incr(ctx, key, delta); err != nil || n != want {
			t.Errorf("incr %s by %d: %d, %v, want %d", key, delta, n, err, want)
		}
	}
	wantSum("k", 0, 0)
	wantSum("k", 7, 7)
	wantSum("k", 1, 8)
	wantValue(t, s, "k", "8")
	must(t, s.Set(ctx, "k", []byte("99"), 0))
	wantSum("k", 1, 100)
	wantSum("new", 1<<63, 1<<63)
	wantSum("new", 1<<63, 0) // modulo 2^64
	for _, value := range []string{"", "x", "1.5"} {
		must(t, s.Set(ctx, "k", []byte(value), 0))
		_, err := s.Incr(ctx, "k", 1)
		wantErr(t, fmt.Sprintf("incr of %q", value), err, listener.ErrNotNumber)
		wantValue(t, s, "k", value)
	}
}

func testIncrRaces(t *testing.T, f SharedFixture) {
	ctx := t.Context()
	const workers, times = 16, 50
	var seen sync.Map
	var running sync.WaitGroup
	for range workers {
		s := f.Open("d", "m")
		running.Go(func() {
			for range times {
				n, err := s.Incr(ctx, "n", 1)
				if _, twice := seen.LoadOrStore(n, true); twice || err != nil {
					t.Errorf("%d, %v: seen before: %v", n, err, twice)
				}
			}
		})
	}
	running.Wait()
	wantValue(t, f.Open("d", "m"), "n", strconv.Itoa(workers*times))
}

func testKeys(t *testing.T, f SharedFixture) {
	ctx, s := t.Context(), f.Open("d", "m")
	keys := []string{
		"", " ", "a b", "a\nb", "a\x00b", "\x7f", "\xff", "ünïcödé", "#", "#a", ":", "v:k", "l:k", "*",
		"noreply", "0", strings.Repeat("k", 100), strings.Repeat("k", 250), strings.Repeat("k", 251), strings.Repeat("k ", 5000),
	}
	for i, key := range keys {
		must(t, s.Add(ctx, key, []byte(strconv.Itoa(i)), 0))
	}
	for i, key := range keys {
		wantValue(t, s, key, strconv.Itoa(i))
		must(t, s.WithLock(ctx, key, 0, func(context.Context) error { return nil }))
	}
}

func testNames(t *testing.T, f SharedFixture) {
	ctx := t.Context()
	names := [][2]string{
		{"d", "m"}, {"d", "n"}, {"e", "m"}, {"", ""}, {"", "m"}, {"d", ""}, {"d:m", ""}, {"a:b", "c"}, {"a", "b:c"},
		{"Daemon on host", "m"}, {strings.Repeat("d", 300), "m"}, {strings.Repeat("d", 300), strings.Repeat("m", 300)},
	}
	for i, n := range names {
		must(t, f.Open(n[0], n[1]).Add(ctx, "k", []byte(strconv.Itoa(i)), 0))
	}
	for i, n := range names {
		wantValue(t, f.Open(n[0], n[1]), "k", strconv.Itoa(i))
	}
	must(t, f.Open("d", "m").WithLock(ctx, "k", 0, func(ctx context.Context) error {
		return f.Open("d", "n").TryLock(ctx, "k", 0, func(context.Context) error { return nil })
	}))
}

func testSize(t *testing.T, f SharedFixture) {
	ctx, s, key := t.Context(), f.Open("d", "m"), strings.Repeat("k", 200)
	largest := bytes.Repeat([]byte("0123456789abcdef"), listener.MaxSharedValue/16)
	over := append(bytes.Clone(largest), 'x')
	must(t, s.Set(ctx, key, largest, 0))
	wantErr(t, "set", s.Set(ctx, key, over, 0), listener.ErrTooLarge)
	wantErr(t, "add", s.Add(ctx, "other", over, 0), listener.ErrTooLarge)
	wantErr(t, "compare and swap", s.CompareAndSwap(ctx, key, largest, over, 0), listener.ErrTooLarge)
	wantErr(t, "update", s.Update(ctx, key, 0, func([]byte) ([]byte, error) { return over, nil }), listener.ErrTooLarge)
	wantValue(t, s, key, string(largest))
}

func testArguments(t *testing.T, f SharedFixture) {
	ctx, s := t.Context(), f.Open("d", "m")
	called := func(context.Context) error {
		t.Error("fn was called")
		return nil
	}
	for what, err := range map[string]error{
		"set":              s.Set(ctx, "k", nil, -1),
		"add":              s.Add(ctx, "k", nil, -1),
		"compare and swap": s.CompareAndSwap(ctx, "k", nil, []byte("v"), -1),
		"with lock":        s.WithLock(ctx, "k", -1, called),
		"try lock":         s.TryLock(ctx, "k", -1, called),
	} {
		if err == nil {
			t.Errorf("%s with a negative ttl: no error", what)
		}
	}
	wantNone(t, s, "k")
}

func testEndedContext(t *testing.T, f SharedFixture) {
	reason := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	s := f.Open("d", "m")
	_, getErr := s.Get(ctx, "k")
	_, incrErr := s.Incr(ctx, "k", 1)
	unexpected := func(context.Context) error { return errors.New("fn was called") }
	for what, err := range map[string]error{
		"get": getErr, "incr": incrErr,
		"set":              s.Set(ctx, "k", nil, 0),
		"add":              s.Add(ctx, "k", nil, 0),
		"delete":           s.Delete(ctx, "k"),
		"compare and swap": s.CompareAndSwap(ctx, "k", nil, []byte("v"), 0),
		"update":           s.Update(ctx, "k", 0, func([]byte) ([]byte, error) { return []byte("v"), nil }),
		"with lock":        s.WithLock(ctx, "k", 0, unexpected),
		"try lock":         s.TryLock(ctx, "k", 0, unexpected),
	} {
		wantErr(t, what, err, reason)
	}
	wantNone(t, s, "k")
}

func testTyped(t *testing.T, f SharedFixture) {
	type range_ struct{ From, To int }
	ctx, s := t.Context(), f.Open("d", "m")
	v := listener.Var[range_]{Shared: s, Key: "range"}
	if r, err := v.Get(ctx); r != (range_{}) || !errors.Is(err, listener.ErrNotFound) {
		t.Errorf("get: %v, %v", r, err)
	}
	must(t, v.Add(ctx, range_{1, 2}))
	wantErr(t, "add", v.Add(ctx, range_{3, 4}), listener.ErrExists)
	r, err := v.Update(ctx, func(r range_) (range_, error) { return range_{r.To, r.To + 1}, nil })
	if r != (range_{2, 3}) || err != nil {
		t.Errorf("update: %v, %v", r, err)
	}
	must(t, v.Set(ctx, range_{5, 6}))
	if r, err = v.Get(ctx); r != (range_{5, 6}) || err != nil {
		t.Errorf("get: %v, %v", r, err)
	}
	must(t, v.Delete(ctx))
	wantNone(t, s, "range")
}
