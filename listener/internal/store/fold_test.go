package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// history writes an entry's versions, one a change, and the module's tasks for them:
// each is a name and a value, or - for no entry.
func history(t *testing.T, s *store.Store, states ...string) {
	t.Helper()
	update(t, s, func(tx *store.Tx) error {
		var old *store.Record
		tx.NextSeq() // of the version before the first task
		for i, state := range states[1:] {
			seq := tx.NextSeq()
			var new *store.Record
			if state != "-" {
				new = &store.Record{Seq: seq, UUID: listener.UUID{1}, DN: "cn=" + state[:1], Attrs: state[1:]}
			}
			task := store.Task{Module: 1, Seq: seq, Cause: listener.CauseLive, ID: 1}
			switch {
			case states[i] == "-":
				task.Kind, task.New = listener.KindCreate, seq
			case new == nil:
				task.Kind, task.Old = listener.KindRemove, seq-1
			default:
				task.Kind, task.Old, task.New = listener.KindModify, seq-1, seq
			}
			if old != nil {
				if err := tx.KeepVersion(old); err != nil {
					return err
				}
			}
			if new != nil {
				new.ID = 1
				if err := tx.KeepVersion(new); err != nil {
					return err
				}
			}
			if err := tx.AddTask(task); err != nil {
				return err
			}
			old = new
		}
		return nil
	})
}

func TestFold(t *testing.T) {
	for _, c := range []struct {
		name      string
		states    string // the first is before the first task, and known
		attempted uint64
		want      string
	}{
		{"create and modify", "- a1 a2 a3", 0, "3:->a3"},
		{"modifies", "a0 a1 a2 a3", 0, "3:a0>a3"},
		{"modifies and back", "a0 a1 a2 a0", 0, ""},
		{"modify and remove", "a0 a1 a2 -", 0, "3:a0>-"},
		{"create and remove", "- a1 a2 -", 0, ""},
		{"remove and create stay apart", "a0 - a1 a2", 0, "1:a0>- 3:->a2"},
		{"what was attempted stays", "- a1 a2 a3", 1, "1:->a1 3:a1>a3"},
		{"an attempted create is removed", "- a1 a2 -", 1, "1:->a1 3:a1>-"},
		{"a move ends what is folded", "a0 a1 b2 b3 b4", 0, "2:a0>b2 4:b2>b4"},
		{"a move is not taken back", "a0 b1 a2", 0, "1:a0>b1 2:b1>a2"},
		{"a move at first", "a0 b1 b2 b3", 0, "1:a0>b1 3:b1>b3"},
		{"one task", "a0 a1", 0, "1:a0>a1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			states := baseAndHistory(t, s, c.states)
			update(t, s, func(tx *store.Tx) error {
				gone, err := tx.Fold(&store.Folding{Module: 1, Loaded: c.attempted + 1, Same: func(a, b *store.Record) (bool, error) {
					return a.DN == b.DN && a.Attrs == b.Attrs, nil
				}}, 1)
				if left := tx.CountTasks(1); left+gone != len(states)-1 {
					t.Errorf("%d are gone, %d left", gone, left)
				}
				return err
			})
			if got := content(t, s); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// baseAndHistory is history for states in one text, with the version before the first.
func baseAndHistory(t *testing.T, s *store.Store, text string) []string {
	t.Helper()
	states := strings.Fields(text)
	if states[0] != "-" {
		update(t, s, func(tx *store.Tx) error {
			if err := tx.AddTask(store.Task{Module: 2, Seq: 1 << 40, Kind: listener.KindRemove, Cause: listener.CauseLive, ID: 1}); err != nil {
				return err
			}
			return tx.KeepVersion(&store.Record{ID: 1, Seq: 1, UUID: listener.UUID{1}, DN: "cn=" + states[0][:1], Attrs: states[0][1:]})
		})
	}
	history(t, s, states...)
	return states
}

// content returns the tasks of module 1.
func content(t *testing.T, s *store.Store) string {
	t.Helper()
	var out []string
	err := s.View(func(tx *store.Tx) error {
		tasks, err := tx.Queued(1, 1)
		if err != nil {
			return err
		}
		state := func(seq uint64, none bool) string {
			if none {
				return "-"
			}
			r, err := tx.Version(1, seq)
			if err != nil {
				t.Fatal(err)
			}
			return r.DN[3:] + r.Attrs
		}
		for _, task := range tasks {
			out = append(out, fmt.Sprintf("%d:%s>%s", task.Seq-1, state(task.Old, task.Kind == listener.KindCreate), state(task.New, task.Kind == listener.KindRemove)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}
