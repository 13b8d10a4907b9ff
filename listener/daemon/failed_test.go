package daemon_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener/internal/admin"
)

// printed runs a command that has to succeed.
func (s *site) printed(args ...string) string {
	s.t.Helper()
	out := s.command(append(args, "-c", "listenerd.yaml")...)
	says(s.t, strings.Join(args, " "), out.code, 0, out.stderr)
	return out.stdout
}

// bad is an instance that fails for bob until a file is there.
func bad(how string) string {
	return instance("bad", "probe", "config.uid: bob", "config.do: "+how, "config.until: healed")
}

// module returns the status of a module; of one that there is not, or that nothing is
// known of, such as no module has.
func (r *run) module(name string) (m admin.ModuleStatus) {
	m.Queued = -1
	status, _ := r.status()
	for _, m := range status.Modules {
		if m.Name == name {
			return m
		}
	}
	return m
}

const bob = "uid=bob,ou=people," + base

// failed waits until one call of the module is set aside and all others are through.
func (r *run) failed(name string) {
	r.site.t.Helper()
	r.until("one call of "+name+" has failed", func() bool { m := r.module(name); return m.SetAside == 1 && m.Queued == 1 })
}

func TestFailedCommands(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.configure(server, bad("permanent"))
	r := s.start()
	r.failed("bad")
	d.modify(bob, []string{"sn", "Waits"}, []string{"userPassword", "{SSHA}hidden"})
	r.until("bob has failed and his change waits", func() bool {
		m := r.module("bad")
		return m.SetAside == 1 && m.Queued == 2 && m.InFlight == 0
	})
	list := s.printed("failed", "list")
	if !strings.Contains(list, bob) || !strings.Contains(list, "set aside") || !strings.Contains(list, "the probe fails for good") {
		t.Errorf("list: %s", list)
	}
	var failed []admin.Failed
	if err := json.Unmarshal([]byte(s.printed("failed", "list", "bad", "--json")), &failed); err != nil || len(failed) != 1 ||
		failed[0].DN != bob || failed[0].Call != "create" || failed[0].Attempts != 1 || failed[0].Waiting != 1 || !failed[0].Next.IsZero() {
		t.Fatalf("%+v, %v", failed, err)
	}
	for _, target := range []string{"UID=Bob, ou=people," + base, failed[0].UUID} {
		show := s.printed("failed", "show", "bad", target)
		for _, want := range []string{"create, seq", "set aside", "+ uid: bob", "+ userPassword: (secret)", "waiting:", "modify " + bob} {
			if !strings.Contains(show, want) {
				t.Errorf("show %s lacks %q: %s", target, want, show)
			}
		}
		if strings.Contains(show, "SSHA") {
			t.Errorf("show tells a password: %s", show)
		}
	}
	for what, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"unknown module": {[]string{"failed", "retry", "nobody", "--all"}, 1, `no module "nobody"`},
		"unknown entry":  {[]string{"failed", "show", "bad", "uid=eve"}, 1, "no failed call"},
		"no target":      {[]string{"failed", "retry", "bad"}, 2, "--all"},
		"drop unasked":   {[]string{"failed", "drop", "bad", bob}, 2, "--yes"},
	} {
		out := s.command(append(c.args, "-c", "listenerd.yaml")...)
		says(t, what, out.code, c.code, out.stderr, c.says)
	}
	s.write("healed", "")
	if out := s.printed("failed", "retry", "bad", bob); out != "1 to be repeated\n" {
		t.Errorf("retry: %s", out)
	}
	r.until("all is delivered", func() bool { return r.module("bad").Queued == 0 && r.module("bad").State == "idle" })
	r.stop()
	kinds := slices.DeleteFunc(kindsOf(s.journal("bad")), func(k string) bool { return !strings.HasSuffix(k, "uid=bob") })
	if want := []string{"create uid=bob", "create uid=bob", "modify uid=bob"}; !slices.Equal(kinds, want) {
		t.Errorf("calls %q, want %q", kinds, want)
	}
}

// While a module backs off as a whole, its failed calls are not due at the time that they
// were given.
func TestFailedCallsOfAModuleThatBacksOff(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	for i := range 10 {
		d.person(fmt.Sprint("p", i), "ou=people,"+base)
	}
	s.configure(server, instance("bad", "probe", "config.do: down", "config.until: healed", "retry: {min: 10ms}"))
	r := s.start()
	var failed []admin.Failed
	r.until("all that has failed waits for the module", func() bool {
		failed = nil
		if _, ok := r.status(); !ok {
			return false
		}
		if err := json.Unmarshal([]byte(s.printed("failed", "list", "--json")), &failed); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, f := range failed {
			if f.BacksOff {
				n++
			}
		}
		return n > 5
	})
	if list := s.printed("failed", "list"); !strings.Contains(list, "  module backs off  ") {
		t.Errorf("list: %s", list)
	}
	s.write("healed", "")
	r.until("all is delivered", func() bool { m := r.module("bad"); return m.Queued == 0 && m.State == "idle" })
	r.stop()
}

func TestDropFailedCreate(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.configure(server, bad("permanent"))
	r := s.start()
	r.failed("bad")
	d.modify(bob, []string{"sn", "Waits"})
	r.until("bob has failed and his change waits", func() bool { m := r.module("bad"); return m.SetAside == 1 && m.Queued == 2 })
	if out := s.printed("failed", "drop", "bad", "--all", "--yes"); out != "1 dropped\n" {
		t.Errorf("drop: %s", out)
	}
	r.until("nothing is owed", func() bool {
		m := r.module("bad")
		return m.Queued == 0 && m.SetAside == 0 && m.Failing == 0 && m.State == "idle"
	})
	s.write("healed", "")
	d.modify(bob, []string{"sn", "Is new"})
	r.until("bob is created with his next change", func() bool {
		kinds := kindsOf(s.journal("bad"))
		return slices.Index(kinds, "create uid=bob") != len(kinds)-1 && kinds[len(kinds)-1] == "create uid=bob"
	})
	if !strings.Contains(r.output(), "failed call dropped by command") {
		t.Errorf("the log does not tell: %s", r.output())
	}
	r.stop()
}

// The failed call that stops a module is not dropped, nor made again by that; it is repeated
// when that is asked for, unless it is being repeated.
func TestFailedCallOfAStoppedModule(t *testing.T) {
	t.Parallel()
	server, _, s := newCompany(t)
	s.configure(server, instance("bad", "probe", "config.uid: bob", "config.do: fail", "on_error: stop", "retry: {min: 1h, max: 1h}"))
	r := s.start()
	attempts := func(n int) {
		t.Helper()
		r.until("it has failed once more, and is known to have", func() bool {
			found, err := admin.NewClient(s.state()).Failed(t.Context(), "bad")
			return err == nil && len(found) == 1 && found[0].Attempts == n
		})
	}
	attempts(1)
	for _, target := range []string{bob, "--all"} {
		out := s.command("failed", "drop", "bad", target, "--yes", "-c", "listenerd.yaml")
		says(t, "drop", out.code, 1, out.stderr, "the module has on_error: stop")
	}
	for i := range 2 {
		if out := s.printed("failed", "retry", "bad", "--all"); out != "1 to be repeated\n" {
			t.Errorf("retry: %s", out)
		}
		attempts(2 + i)
	}
	r.stop()
	expectKinds(t, "all", s.journal("bad"), "pre_run", "create uid=ada", "create uid=bob", "create uid=bob", "create uid=bob", "post_run")
}

func TestPausedModule(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.configure(server, instance("people", "jsonl", "ldap_filter: (objectClass=inetOrgPerson)"))
	s.mustOnce()
	before := len(s.journal("people"))
	r := s.start()
	r.until("it follows", func() bool { status, ok := r.status(); return ok && status.Phase == "persist" })
	s.printed("pause", "people")
	d.modify(bob, []string{"sn", "Changed"})
	r.until("the change is queued", func() bool { m := r.module("people"); return m.State == "paused" && m.Queued == 1 })
	r.stop()
	if code, output := s.once(); code != 1 || !strings.Contains(output, "calls are left: 1 ") {
		t.Errorf("exit code %d: %s", code, output)
	}
	if n := len(s.journal("people")); n != before {
		t.Errorf("%d calls of a paused module", n-before)
	}
	r = s.start()
	r.until("it is still paused", func() bool { m := r.module("people"); return m.State == "paused" && m.Queued == 1 })
	s.printed("resume", "people")
	r.until("the change is delivered", func() bool { return r.module("people").Queued == 0 })
	r.stop()
	expectKinds(t, "after resume", s.journal("people")[before:], "pre_run", "modify uid=bob", "post_run")
	out := s.command("pause", "-c", "listenerd.yaml", "people")
	says(t, "pause without a daemon", out.code, 3, out.stderr)
}
