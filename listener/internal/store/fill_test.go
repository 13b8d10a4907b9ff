package store_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/store"
)

func numbered(n int) listener.UUID {
	var u listener.UUID
	binary.BigEndian.PutUint32(u[:], uint32(n)*2654435761) // no order
	return u
}

// filled returns the names that are found by UUID and in the tree; they must agree.
func filled(t *testing.T, s *store.Store) map[listener.UUID]string {
	t.Helper()
	out := map[listener.UUID]string{}
	err := s.View(func(tx *store.Tx) error {
		n := 0
		err := tx.Walk(nil, func(_ []byte, id uint64) (bool, error) {
			n++
			r, err := tx.Get(id)
			if err != nil || r == nil {
				return false, fmt.Errorf("the tree has entry %d, which is %v, %v", id, r, err)
			}
			found, err := tx.Lookup(r.UUID)
			if err != nil || found == nil || found.ID != id {
				t.Errorf("%s has number %d in the tree, by UUID %+v, %v", r.DN, id, found, err)
			}
			if at := tx.At(r.DN); len(at) != 1 || at[0] != id {
				t.Errorf("at %s are %v, want %d", r.DN, at, id)
			}
			out[r.UUID] = strings.Clone(r.DN)
			return true, nil
		})
		if n != len(out) || tx.Counters().Entries != uint64(n) {
			t.Errorf("%d names of %d entries; %d are counted", n, len(out), tx.Counters().Entries)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Of entries that come twice the last state stays, whether the first one has been written
// by then or not.
func TestFillWithRepetitions(t *testing.T) {
	s := open(t, t.TempDir())
	f, err := s.StartFill()
	if err != nil {
		t.Fatal(err)
	}
	const n = 20_000 // several chunks, and more than one part of the indexes
	filler := strings.Repeat("x", 500)
	want := map[listener.UUID]string{}
	add := func(i int, dn string) {
		t.Helper()
		if err := f.Add(&store.Record{UUID: numbered(i), DN: dn, Attrs: filler}); err != nil {
			t.Fatal(err)
		}
		want[numbered(i)] = dn
	}
	for i := range n {
		add(i, fmt.Sprintf("uid=user%d,dc=x", i))
		if i%100 == 1 {
			add(i, fmt.Sprintf("uid=moved%d,dc=x", i)) // at once
		}
	}
	for i := range n / 50 {
		add(i*50, fmt.Sprintf("uid=late%d,dc=x", i)) // of earlier parts
	}
	add(n, "uid="+strings.Repeat("y", 100)+",dc=x")
	if err := f.Finish(); err != nil {
		t.Fatal(err)
	}
	got := filled(t, s)
	if len(got) != len(want) {
		t.Errorf("%d entries, want %d", len(got), len(want))
	}
	for u, dn := range want {
		if got[u] != dn {
			t.Errorf("%v is %q, want %q", u, got[u], dn)
		}
	}
}

// A fill that was given up leaves nothing to the next one, at whatever point it was.
func TestFillBeginsAnew(t *testing.T) {
	s := open(t, t.TempDir())
	filler := strings.Repeat("x", 2000)
	for round := range 8 {
		f, err := s.StartFill()
		if err != nil {
			t.Fatal(err)
		}
		for i := range 1000 * round {
			if err := f.Add(&store.Record{UUID: numbered(i), DN: fmt.Sprintf("uid=user%d,dc=x", i), Attrs: filler}); err != nil {
				t.Fatal(err)
			}
		}
	}
	f, err := s.StartFill()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Add(&store.Record{UUID: numbered(7), DN: "dc=x"}); err != nil {
		t.Fatal(err)
	}
	if err := f.Finish(); err != nil {
		t.Fatal(err)
	}
	if got := filled(t, s); len(got) != 1 || got[numbered(7)] != "dc=x" {
		t.Errorf("there are %v", got)
	}
}

// What keeps the state file from being written is returned, and does not block.
func TestFillFails(t *testing.T) {
	s := open(t, t.TempDir())
	f, err := s.StartFill()
	if err != nil {
		t.Fatal(err)
	}
	long := "uid=a" + strings.Repeat(",ou=b", 20_000)
	for i := 0; err == nil && i < 100_000; i++ {
		err = f.Add(&store.Record{UUID: numbered(i), DN: long, Attrs: strings.Repeat("x", 10_000)})
		if i == 100 {
			_ = s.Close()
		}
	}
	if err == nil {
		t.Error("entries are added to a closed state file")
	}
	for range 2 {
		if f.Finish() == nil {
			t.Error("a fill of a closed state file is finished")
		}
	}
	if f.Add(&store.Record{DN: "dc=x"}) == nil {
		t.Error("an entry is added after the end")
	}
}
