package daemon_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/modules/event"
)

const staff = "ou=people," + base

// entryCalls returns kindsOf without steps.
func entryCalls(kinds []string) []string {
	return slices.DeleteFunc(kinds, func(k string) bool { return !strings.Contains(k, " ") })
}

func TestResyncEntry(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.configure(server, bad("permanent"), instance("other", "probe"))
	r := s.start()
	r.failed("bad")
	d.modify(bob, []string{"sn", "Waits"})
	r.until("his change waits", func() bool { m := r.module("bad"); return m.SetAside == 1 && m.Queued == 2 && m.InFlight == 0 })
	before := len(s.journal("bad"))
	last := func() (kinds []string) { return entryCalls(kindsOf(s.since("bad", before))) }

	s.printed("resync", "bad", "--dn", "UID=Ada, "+staff)
	r.until("ada is told again", func() bool { return slices.Contains(last(), "modify uid=ada") })
	again := s.since("bad", before)[0]
	if again.Cause != "resync" || len(again.Changed) > 0 || again.Old["sn"][0] != again.New["sn"][0] {
		t.Errorf("told of %+v", again)
	}

	s.printed("failed", "drop", "bad", bob, "--yes")
	r.until("bob is given up", func() bool { return r.module("bad").Queued == 0 })
	before = len(s.journal("bad"))
	s.printed("resync", "bad", "--dn", staff)
	r.failed("bad")
	if got, want := last(), []string{"modify uid=ada", "create uid=bob", "modify uid=eve"}; !slices.Equal(got, want) {
		t.Errorf("the subtree: %q, want %q", got, want)
	}

	d.modify(bob, []string{"sn", "Latest"})
	r.until("his change waits", func() bool { m := r.module("bad"); return m.SetAside == 1 && m.Queued == 2 && m.InFlight == 0 })
	s.write("healed", "")
	before = len(s.journal("bad"))
	s.printed("resync", "bad", "--dn", bob)
	r.until("bob is created", func() bool { return r.module("bad").State == "idle" && r.module("bad").Queued == 0 })
	docs := s.since("bad", before)
	if len(docs) == 0 || docs[0].Call != "create" || docs[0].New["sn"][0] != "Latest" {
		t.Errorf("bob: %+v", docs)
	}
	// When the create is done before his turn comes, he is told of as he is once more.
	if more := entryCalls(kindsOf(docs[min(1, len(docs)):])); len(more) > 1 || len(more) == 1 && more[0] != "modify uid=bob" {
		t.Errorf("bob: %q after the first call", more)
	}
	r.idle("other")
	others := entryCalls(kindsOf(s.journal("other")))
	if len(others) != 5 {
		t.Errorf("another module got %q", others)
	}
	r.stop()
}

// What failed for an entry that is gone is repeated by its DN. The daemon does not run.
func TestResyncEntryOffline(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.write("healed", "")
	s.configure(server, bad("permanent"))
	s.mustOnce()
	if err := os.Remove(s.path("healed")); err != nil {
		t.Fatal(err)
	}
	d.modify(bob, []string{"sn", "Changed"})
	if code, output := s.once(); code != 1 {
		t.Fatalf("%d: %s", code, output)
	}
	before := len(s.journal("bad"))
	d.delete(bob)
	s.write("healed", "")
	if code, output := s.once(); code != 1 {
		t.Fatalf("%d: %s", code, output)
	}
	s.printed("resync", "bad", "--dn", bob)
	s.printed("resync", "bad", "--dn", "uid=eve,"+staff)
	s.mustOnce()
	docs := slices.DeleteFunc(s.since("bad", before), func(d event.Document) bool { return d.UUID == "" })
	if got, want := entryCalls(kindsOf(docs)), []string{"modify uid=eve", "remove uid=bob"}; len(docs) != 2 || !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("calls %q, want %q", got, want)
	}
	for _, doc := range docs {
		if doc.Call == "remove" && doc.Old["sn"][0] != "Sn of bob" {
			t.Errorf("to be removed is %v, which the module was never told", doc.Old)
		}
	}
}

// A subtree that is told of again is told of once, wherever the daemon is killed.
func TestResyncSubtreeSurvivesAKill(t *testing.T) {
	t.Parallel()
	server, _, s := newCompany(t)
	s.configure(server, instance("probe", "probe", "config.uid: bob", "config.do: block", "config.until: healed"))
	s.write("healed", "")
	s.mustOnce()
	before := len(s.journal("probe"))
	s.printed("resync", "probe", "--dn", staff)
	if err := os.Remove(s.path("healed")); err != nil {
		t.Fatal(err)
	}
	r := s.start()
	r.until("bob's call runs", func() bool { return slices.Contains(kindsOf(s.since("probe", before)), "modify uid=bob") })
	r.process.Kill()
	s.write("healed", "")
	s.mustOnce()
	seqs := map[string]uint64{}
	for _, doc := range s.since("probe", before) {
		if doc.UUID == "" {
			continue
		}
		if seq := seqs[string(doc.DN)]; seq != 0 && seq != doc.Seq || doc.Call != "modify" {
			t.Errorf("%s of %s, seq %d, after seq %d", doc.Call, doc.DN, doc.Seq, seq)
		}
		seqs[string(doc.DN)] = doc.Seq
	}
	if len(seqs) != 3 {
		t.Errorf("told of %v", seqs)
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	for _, running := range []bool{true, false} {
		server, d, s := newCompany(t)
		s.configure(server, instance("gone", "probe"), instance("stays", "probe"))
		s.mustOnce()
		if _, err := os.Stat(s.path("state/modules/gone")); err != nil {
			t.Fatal(err)
		}
		s.configure(server, instance("stays", "probe"))
		d.modify(bob, []string{"sn", "Changed"})
		r := s.start()
		r.idle("stays")
		if m := r.module("gone"); m.State != "orphaned" || m.Queued != 1 {
			t.Errorf("before: %+v", m)
		}
		if !running {
			r.stop()
		}
		s.printed("forget", "gone", "--yes")
		if running {
			if m := r.module("gone"); m.Name != "" {
				t.Errorf("after: %+v", m)
			}
			d.modify(bob, []string{"sn", "Changed again"})
			r.caughtUp(d)
			r.stop()
			s.mustOnce() // which removes what that run has not yet
		}
		if _, err := os.Stat(s.path("state/modules/gone")); !os.IsNotExist(err) {
			t.Errorf("its directory: %v", err)
		}
		s.inspect(func(tx *store.Tx) error {
			if names := tx.Modules(); !slices.Equal(names, []string{"stays"}) {
				t.Errorf("modules %q", names)
			}
			if n := tx.CountTasks(1) + tx.CountMembers(1); n != 0 {
				t.Errorf("%d rows are left", n)
			}
			return nil
		})
		before := len(s.journal("gone"))
		s.configure(server, instance("gone", "probe"), instance("stays", "probe"))
		s.mustOnce()
		expectKinds(t, "it is back as a new one", s.since("gone", before), "pre_run", "create uid=ada", "create uid=bob", "create uid=eve", "post_run")
	}
}
