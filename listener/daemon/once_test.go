package daemon_test

import (
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
	"github.com/listenerd/listenerd/modules/event"
)

// newCompany starts a server with a few people and a site that follows it.
func newCompany(t *testing.T) (*slapdtest.Server, *directory, *site) {
	t.Helper()
	server := slapdtest.Start(t, slapdtest.SessionLog(100))
	d := newDirectory(t, server)
	at := d.unit("people", base).dn
	for _, uid := range []string{"ada", "bob", "eve"} {
		d.person(uid, at)
	}
	return server, d, newSite(t)
}

// kindsOf returns the calls and names in a journal: "create uid=ada".
func kindsOf(docs []event.Document) []string {
	var out []string
	for _, d := range docs {
		rdn, _, _ := strings.Cut(string(d.DN), ",")
		out = append(out, strings.TrimSpace(string(d.Call)+" "+rdn))
	}
	return out
}

func expectKinds(t testing.TB, what string, docs []event.Document, want ...string) {
	t.Helper()
	if got := kindsOf(docs); !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestOnce(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.configure(server, instance("people", "jsonl", "ldap_filter: (objectClass=inetOrgPerson)"))
	s.mustOnce()
	want := []string{"initialize", "pre_run", "create uid=ada", "create uid=bob", "create uid=eve", "post_run"}
	expectKinds(t, "first run", s.journal("people"), want...)

	s.mustOnce()
	expectKinds(t, "nothing changed: no call at all, no steps either", s.journal("people"), want...)

	// Nothing is owed to a module that no entry matches, initialize neither.
	s.configure(server, instance("people", "jsonl", "ldap_filter: (objectClass=inetOrgPerson)"), instance("idle", "jsonl", "ldap_filter: (uid=nobody)"))
	s.mustOnce()
	expectKinds(t, "idle", s.journal("idle"))

	d.modify("uid=bob,ou=people,"+base, []string{"sn", "Changed"})
	s.mustOnce()
	expectKinds(t, "one change", s.journal("people"), append(want, "pre_run", "modify uid=bob", "post_run")...)
}

// An entry that is set aside is not asked for again, by the next run either.
func TestOnceWithSetAsideEntry(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.configure(server, instance("bad", "probe", "config.uid: bob", "config.do: permanent", "config.until: healed"))
	want := []string{"pre_run", "create uid=ada", "create uid=bob", "create uid=eve", "post_run"}
	for range 2 {
		if code, output := s.once(); code != 1 || !strings.Contains(output, "calls are left: ") {
			t.Errorf("exit code %d: %s", code, output)
		}
		expectKinds(t, "set aside", s.journal("bad"), want...)
		s.write("healed", "")
	}
	d.modify("uid=bob,ou=people,"+base, []string{"sn", "Waits"})
	if code, output := s.once(); code != 1 || !strings.Contains(output, "calls are left: 2 ") {
		t.Errorf("exit code %d: %s", code, output)
	}
	expectKinds(t, "what waits for it", s.journal("bad"), want...)
}

func TestOnceWithFailingEntry(t *testing.T) {
	t.Parallel()
	for _, do := range []struct {
		what     string
		attempts int
		log      string
	}{{"fail", 3, "the probe fails"}, {"panic", 3, "the probe panics"}, {"later", 3, "the probe asks for later"}} {
		t.Run(do.what, func(t *testing.T) {
			t.Parallel()
			server, d, s := newCompany(t)
			s.configure(server, instance("bad", "probe", "config.uid: bob", "config.do: "+do.what, "config.until: healed", "retry: {min: 5ms}"))
			var seen, frozen []event.Document
			for run := range 2 {
				code, output := s.once()
				if code != 1 || !strings.Contains(output, "calls are left: ") || !strings.Contains(output, do.log) ||
					!strings.Contains(output, "uid=bob,ou=people,"+base) {
					t.Errorf("exit code %d: %s", code, output)
				}
				if do.what == "panic" && !strings.Contains(output, "probeHandler") {
					t.Errorf("no stack: %s", output)
				}
				all := s.journal("bad")
				news := all[len(seen):]
				seen = slices.Clone(all)
				attempts := slices.DeleteFunc(slices.Clone(news), func(doc event.Document) bool { return !strings.HasPrefix(string(doc.DN), "uid=bob,") })
				others := slices.DeleteFunc(slices.Clone(news), func(doc event.Document) bool { return strings.HasPrefix(string(doc.DN), "uid=bob,") })
				most := do.attempts
				if do.what == "later" {
					most += len(entryCalls(kindsOf(others))) // while others succeed, it does not ask in vain
				}
				if len(attempts) < do.attempts || len(attempts) > most {
					t.Fatalf("run %d: %d attempts", run, len(attempts))
				}
				for i := range attempts {
					want := do.attempts*run + i + 1
					if do.what == "later" {
						want = 1 // it counts none
					}
					if attempts[i].Attempt != want {
						t.Errorf("run %d: attempt %d says %d", run, want, attempts[i].Attempt)
					}
					attempts[i].Time, attempts[i].Attempt = attempts[0].Time, 0
					if i > 0 && !reflect.DeepEqual(attempts[i], attempts[0]) {
						t.Errorf("attempts differ: %+v, %+v", attempts[0], attempts[i])
					}
				}
				if run == 0 {
					expectKinds(t, "others", others, "pre_run", "create uid=ada", "create uid=eve", "post_run")
					d.modify("uid=bob,ou=people,"+base, []string{"sn", "Waits"})
					d.modify("uid=ada,ou=people,"+base, []string{"sn", "Goes on"})
					frozen = attempts[:1]
					continue
				}
				expectKinds(t, "others", others, "pre_run", "modify uid=ada", "post_run")
				frozen[0].Time = attempts[0].Time
				if !reflect.DeepEqual(attempts[0], frozen[0]) {
					t.Errorf("the next run repeats %+v, it was %+v", attempts[0], frozen[0])
				}
			}
			s.write("healed", "")
			s.mustOnce()
			expectKinds(t, "healed", s.journal("bad")[len(seen):], "pre_run", "create uid=bob", "modify uid=bob", "post_run")
			s.mustOnce()
			if n := len(s.journal("bad")); n != len(seen)+4 {
				t.Errorf("%d calls after all was delivered", n-len(seen)-4)
			}
		})
	}
}

func TestConfigurationChanges(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	d.modify("uid=eve,ou=people,"+base, []string{"employeeType", "guest"})
	people := func(keys ...string) string { return instance("people", "jsonl", keys...) }
	run := func(what string, want ...string) {
		t.Helper()
		before := len(s.journal("people"))
		s.mustOnce()
		expectKinds(t, what, s.journal("people")[before:], want...)
	}
	s.configure(server, people("ldap_filter: (&(objectClass=inetOrgPerson)(!(employeeType=*)))"))
	run("first run", "initialize", "pre_run", "create uid=ada", "create uid=bob", "post_run")

	s.configure(server, people("ldap_filter: (&(objectClass=inetOrgPerson)(!(uid=ada)))"))
	run("the filter changes: the difference", "pre_run", "remove uid=ada", "create uid=eve", "post_run")
	for _, doc := range s.journal("people") {
		if rdn := string(doc.DN[:min(7, len(doc.DN))]); rdn == "uid=eve" && doc.Cause != listener.CauseReconcile {
			t.Errorf("the cause is %q", doc.Cause)
		}
	}
	run("nothing changes")

	d.modify("uid=bob,ou=people,"+base, []string{"title", "Buyer"})
	s.configure(server, people("ldap_filter: (&(objectClass=inetOrgPerson)(uid=*))"))
	before := len(s.journal("people"))
	s.mustOnce()
	docs := s.journal("people")[before:]
	if len(docs) == 4 { // whether the walk or the change is first is open
		slices.SortFunc(docs[1:3], func(a, b event.Document) int { return strings.Compare(string(a.DN), string(b.DN)) })
	}
	expectKinds(t, "filter and directory change", docs, "pre_run", "create uid=ada", "modify uid=bob", "post_run")

	s.configure(server, people("ldap_filter: (&(objectClass=inetOrgPerson)(uid=*))", "attributes: [sn]"))
	run("attributes change: no call")
	d.modify("uid=bob,ou=people,"+base, []string{"title", "Driver"})
	run("a change of what is not listed: no call")
	d.modify("uid=bob,ou=people,"+base, []string{"sn", "Driver"})
	run("a change of what is listed", "pre_run", "modify uid=bob", "post_run")

	all := people("ldap_filter: (&(objectClass=inetOrgPerson)(uid=*))", "attributes: [sn]")
	s.configure(server, all, instance("later", "jsonl", "ldap_filter: (|(objectClass=organizationalUnit)(uid=bob))"))
	run("a module is added: the others are not called")
	expectKinds(t, "later", s.journal("later"), "initialize", "pre_run", "create ou=people", "create uid=bob", "post_run")

	s.configure(server, all)
	d.modify("uid=bob,ou=people,"+base, []string{"sn", "Not for later"})
	run("a module is taken away", "pre_run", "modify uid=bob", "post_run")
	if n := len(s.journal("later")); n != 5 {
		t.Errorf("the module that was taken away was called: %q", kindsOf(s.journal("later")[5:]))
	}
}

// A handler that does not return until it is told holds up neither the shutdown nor
// other modules, and its call is repeated.
func TestStopWithCallInFlight(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.configure(server,
		instance("stuck", "probe", "config.uid: bob", "config.do: block", "config.until: healed", "run_asynchronously: true", "parallelism: 2"),
		instance("other", "jsonl", "ldap_filter: (objectClass=inetOrgPerson)"))
	s.addConfig("shutdown_timeout: 10s") // the call gets half of it, and post_run the rest
	r := s.start()
	stuck := func() (docs []event.Document) {
		for _, doc := range s.journal("stuck") {
			if strings.HasPrefix(string(doc.DN), "uid=bob,") {
				docs = append(docs, doc)
			}
		}
		return docs
	}
	r.until("the call hangs, and the others are done", func() bool {
		return len(stuck()) == 1 && len(s.journal("stuck")) == 4 && len(s.journal("other")) == 5
	})
	d.modify("uid=bob,ou=people,"+base, []string{"sn", "Waits"})
	d.modify("uid=ada,ou=people,"+base, []string{"sn", "Goes on"})
	r.until("other changes are delivered", func() bool { return len(s.journal("stuck")) == 5 && len(s.journal("other")) == 7 })
	r.stop()
	expectKinds(t, "stuck", s.journal("stuck")[4:], "modify uid=ada", "post_run")

	s.write("healed", "")
	s.mustOnce()
	expectKinds(t, "stuck", s.journal("stuck")[6:], "pre_run", "create uid=bob", "modify uid=bob", "post_run")
	if calls := stuck(); calls[0].Seq != calls[1].Seq || describe(calls[0]) != describe(calls[1]) || calls[1].Attempt != 1 {
		t.Errorf("the call was %+v, and is repeated as %+v", calls[0], calls[1])
	}
}

// Every signal that asks a program to end is a shutdown, with all that is due at its end.
func TestSignalsStop(t *testing.T) {
	t.Parallel()
	caught := make(chan os.Signal, 1) // so that programs do not inherit that it is ignored, if the tests run under nohup
	signal.Notify(caught, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(caught) })
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			server, d, s := newCompany(t)
			s.configure(server, instance("people", "probe"))
			r := s.start()
			r.caughtUp(d)
			r.signal(sig)
			if code, output := r.wait(); code != 0 {
				t.Errorf("exit code %d: %s", code, output)
			}
			expectKinds(t, "until the end", s.journal("people"), "pre_run", "create uid=ada", "create uid=bob", "create uid=eve", "post_run")
		})
	}
}

// Who is started by nohup goes on when the terminal is closed.
func TestIgnoredHangupIsNoSignal(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.configure(server, instance("people", "probe"))
	s.write("nohup.sh", "#!/bin/sh\ntrap '' HUP\nexec '"+s.program+"' \"$@\"\n")
	if err := os.Chmod(s.path("nohup.sh"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.program = s.path("nohup.sh")
	r := s.start()
	r.caughtUp(d)
	r.signal(syscall.SIGHUP)
	d.modify(bob, []string{"sn", "Changed"})
	r.until("the change is delivered", func() bool { return len(s.journal("people")) == 5 })
	r.caughtUp(d)
	r.stop()
}

// Who does not want to wait for a call in flight signals again.
func TestSecondSignalKills(t *testing.T) {
	t.Parallel()
	server, _, s := newCompany(t)
	s.configure(server, instance("stuck", "probe", "config.uid: bob", "config.do: block", "config.until: healed"))
	s.addConfig("shutdown_timeout: 1h") // the call would have half of it
	r := s.start()
	r.until("the call hangs, and the one before it is acknowledged", func() bool {
		return len(s.journal("stuck")) == 3 && len(s.explained("stuck", "uid=ada,ou=people,"+base).Queue) == 0
	})
	r.signal(syscall.SIGTERM)
	eventually(t, "the second signal ends it", func() bool {
		select {
		case <-r.process.Done():
			return true
		default:
			_ = syscall.Kill(r.process.PID(), syscall.SIGTERM) // it may just have ended
			return false
		}
	})
	s.write("healed", "")
	s.mustOnce()
	expectKinds(t, "stuck", s.journal("stuck")[3:], "pre_run", "create uid=bob", "create uid=eve", "post_run")
}
