package store_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener/internal/store"
)

func TestDrop(t *testing.T) {
	for _, c := range []struct {
		name, states string
		parked       int // the first of them failed
		want         string
		member       bool
	}{
		{"create with its queue", "- a1 a2 b3", 2, "", false},
		{"modify goes into the next change", "a0 a1 a2 a3", 1, "2:a0>a2 3:a2>a3", true},
		{"modify goes into a parked one", "a0 b1 c2 c3", 3, "2:a0>c2 3:c2>c3", true},
		{"modify goes into a remove", "a0 b1 -", 2, "2:a0>-", true},
		{"the last modify", "a0 a1", 1, "", true},
		{"remove", "a0 - b2", 2, "2:->b2", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			entryQueue(t, s, c.states, c.parked)
			update(t, s, func(tx *store.Tx) error {
				failed, err := tx.Parked(1, 2)
				if err != nil {
					return err
				}
				_, err = tx.Drop(failed)
				return err
			})
			if got := content(t, s); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			_ = s.View(func(tx *store.Tx) error {
				if tx.IsMember(1, 1) != c.member {
					t.Errorf("member: %v", tx.IsMember(1, 1))
				}
				if failed, _, _ := tx.CountFailures(1); failed != 0 {
					t.Errorf("%d failures are left", failed)
				}
				return nil
			})
		})
	}
}

// entryQueue writes a history of an entry that module 1 is a member of, and parks some
// of its tasks.
func entryQueue(t *testing.T, s *store.Store, states string, parked int) {
	t.Helper()
	baseAndHistory(t, s, states)
	update(t, s, func(tx *store.Tx) error {
		if err := tx.SetMember(1, 1, true); err != nil {
			return err
		}
		tasks, err := tx.Tasks(1, 0, 1<<60, parked)
		if err != nil {
			return err
		}
		for i := range tasks {
			keys, err := tx.Keys(&tasks[i])
			if err != nil {
				return err
			}
			if err := tx.Park(&tasks[i], keys); err != nil {
				return err
			}
			if i > 0 {
				continue
			}
			if err := tx.SetFailure(&tasks[i], &store.Failure{Attempts: 1, Next: time.Unix(1, 0)}); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestLatest(t *testing.T) {
	for _, c := range []struct {
		name, states string
		parked       int
		want         string
	}{
		{"modifies", "a0 a1 a2 a3", 2, "4:a0>a3"},
		{"create and modify", "- a1 a2", 1, "3:->a2"},
		{"an attempted create is removed", "- a1 a2 -", 1, "4:a2>-"},
		{"as far as one name goes", "a0 a1 b2 b3", 1, "3:a0>b2 4:b2>b3"},
		{"alone", "a0 a1", 1, "2:a0>a1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			entryQueue(t, s, c.states, c.parked)
			update(t, s, func(tx *store.Tx) error {
				failed, err := tx.Parked(1, 2)
				if err != nil {
					return err
				}
				_, err = tx.Latest(failed)
				return err
			})
			want := ""
			for i, task := range strings.Fields(c.want) { // seq is from 2 on, content counts from 1
				seq, rest, _ := strings.Cut(task, ":")
				n, _ := strconv.Atoi(seq)
				want += strings.Repeat(" ", min(i, 1)) + strconv.Itoa(n-1) + ":" + rest
			}
			if got := content(t, s); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
