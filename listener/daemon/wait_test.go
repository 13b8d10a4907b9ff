package daemon_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/dirsrvtest"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

func TestWait(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.configure(server, instance("bad", "probe", "run_asynchronously: true", "config.uid: bob", "config.do: block", "config.until: healed"), instance("other", "probe"))
	wait := func(what string, code int, words string, flags ...string) {
		t.Helper()
		out := s.command(append([]string{"wait", "-c", "listenerd.yaml"}, flags...)...)
		says(t, what, out.code, code, out.stderr, words)
	}
	wait("without a daemon", 3, "not running")
	wait("wrong timeout", 2, "--timeout", "--timeout", "-1s")
	r := s.start()
	r.until("it answers", func() bool { _, ok := r.status(); return ok })
	wait("unknown module", 1, `no module "nobody"`, "--module", "nobody")
	wait("for the first walk of a module", 0, "", "--module", "other")
	if got := entryCalls(kindsOf(s.journal("other"))); len(got) != 3 {
		t.Errorf("after wait the module was called for %q", got)
	}
	// Before it can know what is left it has to ask the provider, which takes its time.
	var out result
	r.until("wait says that a call runs", func() bool {
		out = s.command("wait", "-c", "listenerd.yaml", "--timeout", "100ms")
		return out.code != 4 || !strings.Contains(out.stderr, "the provider has not answered yet")
	})
	says(t, "for a call that runs", out.code, 4, out.stderr, "calls of module bad are left")
	s.write("healed", "")
	r.process.Kill()
	r = s.start()
	r.until("it answers", func() bool { _, ok := r.status(); return ok })
	wait("for all", 0, "")
	for i := range 20 {
		d.modify(bob, []string{"sn", fmt.Sprint(i)})
		wait("after a change", 0, "")
		docs := s.journal("bad")
		if last := docs[len(docs)-1]; last.Call != "modify" || string(last.New["sn"][0]) != fmt.Sprint(i) {
			t.Fatalf("after change %d and wait the last call is %s of %v", i, last.Call, last.New["sn"])
		}
	}
	s.printed("resync", "other")
	wait("for a resync", 0, "")
	if got := entryCalls(kindsOf(s.journal("other"))); len(got) != 26 || !slices.Equal(got[len(got)-3:], []string{"create uid=ada", "create uid=bob", "create uid=eve"}) {
		t.Errorf("after a resync and wait: %q", got)
	}
	s.printed("pause", "other")
	wait("for a paused module that is owed nothing", 0, "")
	d.modify(bob, []string{"sn", "Paused"})
	wait("for a paused module", 1, "module other is paused")
	wait("for another one", 0, "", "--module", "bad")
	s.printed("resume", "other")
	wait("for one that goes on", 0, "")
	r.stop()
}

func TestWaitEndsWhenAnEntryIsSetAside(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.write("healed", "")
	s.configure(server, bad("permanent"), instance("other", "probe"))
	r := s.start()
	r.idle("bad")
	if err := os.Remove(s.path("healed")); err != nil {
		t.Fatal(err)
	}
	d.modify(bob, []string{"sn", "Fails"})
	out := s.command("wait", "-c", "listenerd.yaml")
	says(t, "wait", out.code, 1, out.stderr, "module bad: modify of "+bob+" is set aside after 1 attempt: ", "the probe fails for good")
	out = s.command("wait", "-c", "listenerd.yaml", "--module", "other")
	says(t, "wait for the other", out.code, 0, out.stderr)
	r.stop()
}

// A module that is full and is to stall keeps everybody from getting further; who asks is
// told which one it is.
func TestStalledModuleIsNamed(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.write("healed", "")
	s.configure(server, instance("bad", "probe", "on_full: stall", "max_tasks: 2", "config.uid: bob", "config.do: permanent", "config.until: healed"), instance("other", "probe"))
	r := s.start()
	r.caughtUp(d)
	stalls := func(state string) {
		t.Helper()
		for i := range 3 { // the first two fill the queue, and the last one is not read
			d.modify(bob, []string{"sn", fmt.Sprint(state, i)})
			if i < 2 {
				r.until("the change is queued", func() bool { return r.module("bad").Queued == i+1 })
			}
		}
		r.until("it stalls", func() bool { m := r.module("bad"); return m.State == state && m.Queued == 2 && m.Stalled })
		if out := s.printed("status"); !strings.Contains(out, state+", stalled") {
			t.Errorf("status prints %s", out)
		}
	}
	wait := func(what string, code int, words []string, flags ...string) {
		t.Helper()
		out := s.command(append([]string{"wait", "-c", "listenerd.yaml"}, flags...)...)
		says(t, what, out.code, code, out.stderr, words...)
	}
	const nothing = "nothing more is read from the provider"

	s.printed("pause", "bad")
	stalls("paused")
	wait("for all", 1, []string{"module bad is paused", nothing})
	wait("for another", 1, []string{"module bad is paused", nothing}, "--module", "other")
	s.printed("resume", "bad")
	wait("when it goes on", 0, nil)
	if r.module("bad").Stalled {
		t.Error("it stalls with an empty queue")
	}

	if err := os.Remove(s.path("healed")); err != nil {
		t.Fatal(err)
	}
	stalls("failing")
	wait("for all", 1, []string{"module bad: modify of " + bob + " is set aside"})
	r.until("wait names who stalls", func() bool { // before, it has to ask the provider
		out := s.command("wait", "-c", "listenerd.yaml", "--module", "other", "--timeout", "100ms")
		return out.code == 4 && strings.Contains(out.stderr, "module bad has max_tasks calls queued") && strings.Contains(out.stderr, nothing)
	})
	r.stop()
}

// Changes elsewhere in the database move the provider's position, and the cookie.
func TestWaitForAPartOfTheDirectory(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.configure(server, instance("people", "probe"))
	text, err := os.ReadFile(s.path("listenerd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("listenerd.yaml", strings.Replace(string(text), "base: "+base, "base: "+staff, 1))
	r := s.start()
	r.idle("people")
	for i := range 5 {
		d.unit(fmt.Sprint("elsewhere", i), base)
		s.printed("wait")
		d.modify(bob, []string{"sn", fmt.Sprint(i)})
		s.printed("wait")
		docs := s.journal("people")
		if got := string(docs[len(docs)-1].New["sn"][0]); got != fmt.Sprint(i) {
			t.Errorf("after change %d the last one called for is %s", i, got)
		}
	}
	r.stop()
}

func TestWaitFor389(t *testing.T) {
	t.Parallel()
	server := dirsrvtest.Start(t)
	conn := server.Client(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, ou := range []string{"people", "elsewhere"} {
		must(conn.Add(addRequest("ou="+ou+","+base, "objectClass", "organizationalUnit", "ou", ou)))
	}
	s := newSite(t)
	s.configureURI(server.URI(), instance("people", "probe"))
	text, err := os.ReadFile(s.path("listenerd.yaml"))
	must(err)
	s.write("listenerd.yaml", strings.Replace(string(text), "base: "+slapdtest.BaseDN, "base: "+staff, 1))
	r := s.start()
	r.until("it follows", func() bool { status, ok := r.status(); return ok && status.Phase == "persist" })
	must(conn.Add(addRequest(bob, "objectClass", "inetOrgPerson", "uid", "bob", "cn", "Bob", "sn", "Bob")))
	s.printed("wait")
	for i := range 5 {
		change := ldap.NewModifyRequest("ou=elsewhere,"+base, nil)
		change.Replace("description", []string{fmt.Sprint(i)})
		must(conn.Modify(change))
		s.printed("wait")
		change = ldap.NewModifyRequest(bob, nil)
		change.Replace("sn", []string{fmt.Sprint(i)})
		must(conn.Modify(change))
		s.printed("wait")
		docs := s.journal("people")
		if got := string(docs[len(docs)-1].New["sn"][0]); got != fmt.Sprint(i) {
			t.Errorf("after change %d the last one called for is %s", i, got)
		}
	}
	r.stop()
}
