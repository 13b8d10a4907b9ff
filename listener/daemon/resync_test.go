package daemon_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/modules/event"
)

// since returns what an instance has written after the first n lines.
func (s *site) since(name string, n int) []event.Document { return s.journal(name)[n:] }

// idle waits until a module has nothing to do.
func (r *run) idle(name string) {
	r.site.t.Helper()
	r.until(name+" is idle", func() bool {
		s, ok := r.status()
		m := r.module(name)
		return ok && s.Phase == "persist" && m.State == "idle" && m.Queued == 0
	})
}

func (r *run) clean(name string) {
	r.site.t.Helper()
	r.until("clean was called", func() bool { return slices.Contains(kindsOf(r.site.journal(name)), "clean") })
}

func TestResync(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.configure(server, instance("cleaner", "cleaner", "config.uid: bob", "config.do: permanent", "config.until: healed"),
		instance("other", "probe"))
	r := s.start()
	r.failed("cleaner")
	d.modify(bob, []string{"sn", "Waits"})
	r.until("his change waits", func() bool { m := r.module("cleaner"); return m.SetAside == 1 && m.Queued == 2 && m.InFlight == 0 })
	r.idle("other")
	before, others := len(s.journal("cleaner")), len(s.journal("other"))
	s.write("healed", "")
	s.printed("resync", "cleaner")
	r.clean("cleaner")
	r.idle("cleaner")
	expectKinds(t, "resync", s.since("cleaner", before), "post_run", "clean", "initialize", "pre_run",
		"create uid=ada", "create uid=bob", "create uid=eve")
	for _, doc := range s.since("cleaner", before)[4:] {
		if doc.Cause != "resync" {
			t.Errorf("%s of %s has the cause %s", doc.Call, doc.DN, doc.Cause)
		}
	}
	d.modify(bob, []string{"sn", "Goes on"})
	r.caughtUp(d)
	r.stop()
	expectKinds(t, "afterwards", s.since("cleaner", before)[7:], "modify uid=bob", "post_run")
	expectKinds(t, "another module", s.since("other", others), "modify uid=bob", "post_run")
	s.mustOnce() // which removes what that run has not yet
	s.inspect(func(tx *store.Tx) error {
		state, err := tx.Module("cleaner")
		if err != nil {
			return err
		}
		if tx.CountMembers(state.Number) != 3 || state.Resync != "" || state.Walk != nil || len(state.Former) > 0 {
			t.Errorf("state %+v, %d members", state, tx.CountMembers(state.Number))
		}
		if n := tx.CountMembers(1) + tx.CountTasks(1); state.Number != 1 && n != 0 {
			t.Errorf("%d rows are left of the number that it had", n)
		}
		return nil
	})
}

// A clean that fails is repeated, holds the module's calls back and nobody else's, over a
// crash too.
func TestResyncWithFailingClean(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.configure(server, instance("cleaner", "cleaner", "config.do: dirty", "config.until: healed", "retry: {min: 10ms, max: 10ms}"),
		instance("other", "probe"))
	r := s.start()
	r.idle("cleaner")
	before := len(s.journal("cleaner"))
	s.printed("resync", "cleaner")
	r.until("clean fails", func() bool {
		m := r.module("cleaner")
		return m.State == "cleaning" && strings.Contains(m.LastError, "the probe does not clean")
	})
	out := s.command("resync", "cleaner", "-c", "listenerd.yaml")
	says(t, "resync again", out.code, 1, out.stderr, "is being resynchronized already")
	d.modify(bob, []string{"sn", "Changed"})
	r.until("others go on", func() bool { return slices.Contains(kindsOf(s.journal("other")), "modify uid=bob") })
	r.process.Kill()
	if code, output := s.once(); code != 1 || !strings.Contains(output, "a step is owed to cleaner") {
		t.Errorf("once: %d %s", code, output)
	}
	s.write("healed", "")
	s.mustOnce()
	kinds := slices.DeleteFunc(kindsOf(s.since("cleaner", before)), func(k string) bool { return k == "pre_run" || k == "post_run" })
	last := slices.Index(kinds, "initialize")
	if last < 4 || slices.ContainsFunc(kinds[:last], func(k string) bool { return k != "clean" }) ||
		!slices.Equal(kinds[last+1:], []string{"create uid=ada", "create uid=bob", "create uid=eve"}) {
		t.Errorf("calls %q", kinds)
	}
	for _, doc := range s.since("cleaner", before) {
		if doc.Call == "create" && strings.HasPrefix(string(doc.DN), "uid=bob") && doc.New["sn"][0] != "Changed" {
			t.Errorf("bob is created as %v", doc.New)
		}
	}
}

// A module without a Cleaner gets the removes that it was owed first, each of what it
// knows; a daemon that does not run is told in its state file.
func TestResyncWithoutCleaner(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.configure(server, instance("plain", "probe"))
	r := s.start()
	r.idle("plain")
	before := len(s.journal("plain"))
	s.printed("pause", "plain")
	d.modify(bob, []string{"sn", "Never told"})
	d.delete(bob)
	eve := "uid=eve,ou=people," + base
	d.modify(eve, []string{"sn", "Changed"})
	d.person("zoe", "ou=people,"+base)
	d.delete("uid=zoe,ou=people," + base) // she was never told of
	r.until("it is owed five calls", func() bool { return r.module("plain").Queued == 5 })
	r.stop()
	s.printed("resync", "plain")
	r = s.start()
	r.until("it is paused", func() bool { m := r.module("plain"); return m.State == "paused" && m.Queued == 1 })
	d.delete(eve) // the module was told of her
	r.until("it is owed two removes", func() bool { return r.module("plain").Queued == 2 })
	s.printed("resume", "plain")
	r.until("it is idle", func() bool { m := r.module("plain"); return m.State == "idle" && m.Queued == 0 })
	r.stop()
	kinds := slices.DeleteFunc(kindsOf(s.since("plain", before)), func(k string) bool { return k == "pre_run" || k == "post_run" })
	if want := []string{"remove uid=bob", "remove uid=eve", "create uid=ada"}; !slices.Equal(kinds, want) {
		t.Errorf("calls %q, want %q", kinds, want)
	}
	for _, doc := range s.since("plain", before) {
		if doc.Call == "remove" && !strings.HasPrefix(string(doc.Old["sn"][0]), "Sn of") {
			t.Errorf("the module is told to remove %v, which it does not know", doc.Old)
		}
	}
}

func TestResyncWrongModule(t *testing.T) {
	t.Parallel()
	server, _, s := newCompany(t)
	s.configure(server, instance("gone", "probe"), instance("stays", "probe"))
	out := s.command("resync", "stays", "-c", "listenerd.yaml")
	says(t, "without state", out.code, 1, out.stderr, "has not run yet")
	s.mustOnce()
	s.configure(server, instance("stays", "probe"))
	check := func(when string) {
		t.Helper()
		for _, c := range []struct {
			args  []string
			code  int
			words string
		}{
			{[]string{"resync", "nobody"}, 1, `no module "nobody" is configured`},
			{[]string{"resync", "gone"}, 1, "listenerd forget gone"},
			{[]string{"resync", "stays", "--dn", "ou=nowhere," + base}, 1, "no entry at or below"},
			{[]string{"resync"}, 2, "wants a module"},
			{[]string{"forget", "stays", "--yes"}, 1, "listenerd resync stays"},
			{[]string{"forget", "nobody", "--yes"}, 1, `no state of a module "nobody"`},
			{[]string{"forget", "gone"}, 2, "--yes"},
		} {
			out := s.command(append(c.args, "-c", "listenerd.yaml")...)
			says(t, when+strings.Join(c.args, " "), out.code, c.code, out.stderr, c.words)
		}
	}
	check("offline: ")
	r := s.start()
	r.idle("stays")
	check("online: ")
	for _, command := range []string{"pause gone", "resume gone", "wait --module gone", "failed list gone", "failed show gone 1", "failed retry gone --all", "failed drop gone --all --yes"} {
		out := s.command(append(strings.Fields(command), "-c", "listenerd.yaml")...)
		says(t, command, out.code, 1, out.stderr, "module gone is no longer in the configuration", "listenerd forget gone")
	}
	r.stop()
}

// Wherever the daemon is killed, a resync is carried through: after the last clean comes
// initialize, and then a create for each entry, repeated at most as it was.
func TestResyncSurvivesKills(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	for i := range 40 {
		d.person(fmt.Sprint("p", i), "ou=people,"+base)
	}
	s.configure(server, instance("cleaner", "cleaner"))
	r := s.start()
	r.idle("cleaner")
	for _, lines := range []int{0, 1, 2, 3, 4, 10, 30, 46} { // written since the resync, when it is killed
		before := len(s.journal("cleaner"))
		s.printed("resync", "cleaner")
		r.until("it is to be killed", func() bool { return len(s.since("cleaner", before)) >= lines })
		r.process.Kill()
		r = s.start()
		r.until("it answers", func() bool { _, ok := r.status(); return ok })
		s.printed("wait")
		docs := s.since("cleaner", before)
		last := -1
		for i, doc := range docs {
			if doc.Call == "clean" {
				last = i
			}
		}
		if last < 0 || last+1 >= len(docs) || docs[last+1].Call != "initialize" {
			t.Fatalf("killed after %d lines: %q", lines, kindsOf(docs))
		}
		seqs := map[event.Value]uint64{}
		for _, doc := range docs[last+1:] {
			if doc.UUID == "" {
				continue
			}
			if seq := seqs[doc.DN]; doc.Call != "create" || doc.Cause != "resync" || seq != 0 && seq != doc.Seq {
				t.Errorf("killed after %d lines: %s (%s) of %s, seq %d, after seq %d", lines, doc.Call, doc.Cause, doc.DN, doc.Seq, seq)
			}
			seqs[doc.DN] = doc.Seq
		}
		if len(seqs) != 43 {
			t.Errorf("killed after %d lines: %d entries are created", lines, len(seqs))
		}
	}
	r.stop()
}
