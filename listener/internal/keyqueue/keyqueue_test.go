package keyqueue_test

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/listenerd/listenerd/listener/internal/keyqueue"
)

func TestSharedKeyWaits(t *testing.T) {
	var ready []string
	q := keyqueue.New(func(i *keyqueue.Item[string, string]) { ready = append(ready, i.Value) })
	a := q.Push("a", "x", "y")
	q.Push("b", "y", "z")
	q.Push("c", "z")
	q.Push("d", "free", "free")
	if want := []string{"a", "d"}; !slices.Equal(ready, want) {
		t.Fatalf("ready: %v, want %v", ready, want)
	}
	q.Done(a)
	if want := []string{"a", "d", "b"}; !slices.Equal(ready, want) {
		t.Fatalf("ready: %v, want %v", ready, want)
	}
}

func TestDoneOutOfTurnPanics(t *testing.T) {
	q := keyqueue.New(func(*keyqueue.Item[int, int]) {})
	q.Push(1, 7)
	second := q.Push(2, 7)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	q.Done(second)
}

// TestOrder: whatever is pushed, finished, removed and withdrawn in whatever order, an item is
// ready exactly when no unfinished earlier item shares a key with it.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type item = keyqueue.Item[int, int]
		ready, items := map[int]*item{}, map[int]*item{}
		q := keyqueue.New(func(i *item) { ready[i.Value] = i })
		var open []int // values in order
		keys := map[int][]int{}
		next := 0
		check := func() {
			for pos, v := range open {
				blocked := slices.ContainsFunc(open[:pos], func(earlier int) bool {
					return slices.ContainsFunc(keys[v], func(k int) bool { return slices.Contains(keys[earlier], k) })
				})
				if _, isReady := ready[v]; isReady == blocked {
					t.Fatalf("item %d: ready %v, blocked %v", v, isReady, blocked)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				next++
				keys[next] = rapid.SliceOfN(rapid.IntRange(0, 5), 0, 3).Draw(t, "keys")
				open = append(open, next)
				i := q.Push(next, keys[next]...)
				items[next] = i
				var got []int
				for _, ahead := range q.Ahead(i, func(int) bool { return false }) {
					got = append(got, ahead.Value)
				}
				slices.Sort(got)
				if want := ahead(open, keys, next); !slices.Equal(got, want) || i.Waits() != (len(want) > 0) {
					t.Fatalf("%d waits for %v, want %v", next, got, want)
				}
			},
			"done": func(t *rapid.T) {
				if len(ready) == 0 {
					t.Skip("nothing to finish")
				}
				var values []int
				for v := range ready {
					values = append(values, v)
				}
				slices.Sort(values)
				v := rapid.SampledFrom(values).Draw(t, "value")
				i := ready[v]
				delete(ready, v)
				open = slices.DeleteFunc(open, func(o int) bool { return o == v })
				q.Done(i)
			},
			"remove": func(t *rapid.T) {
				if len(open) == 0 {
					t.Skip("nothing to remove")
				}
				v := rapid.SampledFrom(open).Draw(t, "value")
				delete(ready, v)
				open = slices.DeleteFunc(open, func(o int) bool { return o == v })
				q.Remove(items[v])
			},
			"withdraw": func(t *rapid.T) {
				if len(ready) == 0 {
					t.Skip("nothing to withdraw")
				}
				v := rapid.SampledFrom(slices.Sorted(maps.Keys(ready))).Draw(t, "value")
				want := waiting(open, keys, v)
				got := []int{}
				for _, i := range q.Withdraw(ready[v]) {
					got = append(got, i.Value)
				}
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Fatalf("withdrawn with %d: %v, want %v", v, got, want)
				}
				delete(ready, v)
				open = slices.DeleteFunc(open, func(o int) bool { return o == v || slices.Contains(want, o) })
			},
			"": func(*rapid.T) {
				check()
				for key := range 6 {
					var line []int
					for i := range q.Line(key) {
						line = append(line, i.Value)
					}
					want := slices.DeleteFunc(slices.Clone(open), func(v int) bool { return !slices.Contains(keys[v], key) })
					if !slices.Equal(line, want) {
						t.Fatalf("line of %d: %v, want %v", key, line, want)
					}
				}
			},
		})
	})
}

// ahead returns what v waits for, directly or through others.
func ahead(open []int, keys map[int][]int, v int) (out []int) {
	for _, o := range open {
		if o < v && slices.Contains(waiting(open, keys, o), v) {
			out = append(out, o)
		}
	}
	return out
}

// waiting returns what waits for v, directly or through others.
func waiting(open []int, keys map[int][]int, v int) []int {
	out := []int{}
	behind := slices.Clone(keys[v])
	for _, o := range open {
		if o > v && slices.ContainsFunc(keys[o], func(k int) bool { return slices.Contains(behind, k) }) {
			out = append(out, o)
			behind = append(behind, keys[o]...)
		}
	}
	return out
}

func BenchmarkPushDone(b *testing.B) {
	var ready *keyqueue.Item[string, int]
	q := keyqueue.New(func(i *keyqueue.Item[string, int]) { ready = i })
	b.ReportAllocs()
	for b.Loop() {
		q.Push(1, "30593fe3-f028-432e-9840-43c43e5fd2da", "uid=a,ou=people,dc=example,dc=com")
		q.Done(ready)
	}
}
