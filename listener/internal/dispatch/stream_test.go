package dispatch_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
)

// slowly returns a handler that takes a millisecond for each call.
func slowly(name string, j *journal) *recorder {
	return &recorder{name: name, log: j, do: func(context.Context, listener.Call) error { time.Sleep(time.Millisecond); return nil }}
}

// calls returns the index of the first call of the entry, and counts those of the
// modules before it.
func calls(t *testing.T, j *journal, call string) (before []string) {
	t.Helper()
	lines := strings.Fields(j.String())
	at := slices.Index(lines, call)
	if at < 0 {
		t.Fatalf("%s was not called", call)
	}
	return lines[:at]
}

func fillBacklog(box *memory, m string, from, to uint64) {
	for seq := from; seq <= to; seq++ {
		task := entryTask(seq, int(seq))
		task.Walk, task.Cause = true, listener.CauseInitialize
		box.backlog[m] = append(box.backlog[m], task)
	}
}

func TestLiveChangesDoNotWaitBehindAWalk(t *testing.T) {
	for name, lane := range map[string]func(*dispatch.Module){"synchronous": func(*dispatch.Module) {}, "pool": async(1)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j, box := &journal{}, newMemory()
				fillBacklog(box, "m", 1, 4_000)
				d, stop := startAt(t, box, 4_000, module("m", slowly("m", j), lane))
				time.Sleep(100 * time.Millisecond)
				box.add("m", create(5_000, "live"))
				d.Queued(5_000, map[string]int{"m": 1})
				time.Sleep(10 * time.Millisecond)
				synctest.Wait()
				if n := len(calls(t, j, "m:uid=live")); n > 105 {
					t.Errorf("%d calls before the live one", n)
				}
				if err := d.Settle(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				if box.left("m") != 0 {
					t.Errorf("%d calls are left", box.left("m"))
				}
			})
		})
	}
}

// A live task comes after the walk's task for its entry, which is called ahead of its
// turn.
func TestLiveChangeComesAfterTheWalksTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newMemory()
		var seqs []uint64
		h := &recorder{log: &journal{}, do: func(_ context.Context, c listener.Call) error {
			seqs = append(seqs, c.Seq)
			time.Sleep(time.Millisecond)
			return nil
		}}
		fillBacklog(box, "m", 1, 4_000)
		d, stop := startAt(t, box, 4_000, module("m", h))
		time.Sleep(100 * time.Millisecond)
		box.add("m", entryTask(4_001, 3_500))
		d.Queued(4_001, map[string]int{"m": 1})
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		walked, live := slices.Index(seqs, 3_500), slices.Index(seqs, 4_001)
		if walked < 0 || live < walked || live > 300 || len(seqs) != 4_001 {
			t.Errorf("%d calls, the walk's one at %d, the live one at %d", len(seqs), walked, live)
		}
	})
}

// While live changes keep coming, retries and walks get one call in four.
func TestOthersGetOneCallInFour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newMemory()
		live, walked := map[string]int{}, map[string]int{}
		handler := func(name string) *recorder {
			return &recorder{log: &journal{}, do: func(_ context.Context, c listener.Call) error {
				if c.Cause == listener.CauseLive {
					live[name]++
				} else {
					walked[name]++
				}
				time.Sleep(time.Millisecond)
				return nil
			}}
		}
		for _, m := range []string{"a", "b"} {
			fillBacklog(box, m, 1, 1_500)
			for seq := uint64(2_001); seq <= 3_500; seq++ {
				box.add(m, entryTask(seq, int(seq)))
			}
		}
		_, stop := startAt(t, box, 4_000, module("a", handler("a")), module("b", handler("b")))
		time.Sleep(1_000 * time.Millisecond)
		synctest.Wait()
		for _, m := range []string{"a", "b"} {
			if walked[m] < 115 || walked[m] > 135 || live[m] < 365 || live[m] > 385 {
				t.Errorf("%s: %d live calls and %d of the walk", m, live[m], walked[m])
			}
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// A synchronous module with more to do than its window holds does not make the others
// wait.
func TestModuleThatIsBehindHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, box := &journal{}, newMemory()
		for seq := uint64(1); seq <= 6_000; seq++ {
			box.tasks["slow"] = append(box.tasks["slow"], entryTask(seq, int(seq)))
		}
		d, stop := startAt(t, box, 6_000, module("slow", slowly("slow", j)), module("quick", slowly("quick", j)))
		time.Sleep(100 * time.Millisecond)
		for i := range uint64(20) {
			box.add("quick", create(7_000+i, fmt.Sprintf("q%d", i)))
		}
		d.Queued(7_100, map[string]int{"quick": 20})
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		if n := len(calls(t, j, "quick:uid=q19")); n > 140 {
			t.Errorf("%d calls before the last one of the quick module", n)
		}
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if box.left("slow") != 0 {
			t.Errorf("%d calls are left", box.left("slow"))
		}
	})
}
