package daemon_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener/internal/admin"
)

// explained runs explain --json.
func (s *site) explained(module, target string) (e admin.Explanation) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.printed("explain", module, target, "--json")), &e); err != nil {
		s.t.Fatal(err)
	}
	return e
}

func hasAll(t testing.TB, what, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s: nothing of %q in\n%s", what, w, text)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.configure(server, bad("permanent"),
		instance("people", "jsonl", `ldap_filter: "(&(objectClass=person)(|(uid=ADA)(sn=x*))(!(mail>=a))(userPassword=*))"`, "attributes: [mail, sn]"),
		instance("people2", "jsonl", `ldap_filter: "(&(objectClass=person)(|(uid=ADA)(sn=x*))(!(noSuchType=a))(uidNumber=x))"`),
		instance("all", "jsonl", `ldap_filter: "(&(objectClass=person)(|(uid=ADA)(2.5.4.35=*)))"`))
	r := s.start()
	r.failed("bad")
	r.idle("all")
	const ada = "uid=ada,ou=people," + base

	e := s.explained("all", "UID=Ada, OU=People,"+base)
	if !e.Mirrored || !e.Filled || !e.Member || e.DN != ada || e.Schema != "provider" || e.State != "idle" || e.Filter.Value != "true" || e.Filter.Text != "&" ||
		len(e.Filter.Parts) != 2 || len(e.Queue) != 0 || len(e.LastCalls) != 1 || e.LastCalls[0].Call != "create" || e.LastCalls[0].Error != "" {
		t.Errorf("a member: %+v", e)
	}
	if part := e.Filter.Parts[0]; part.Value != "true" || part.Rule != "objectIdentifierMatch" || part.Compared[0].Value != "inetOrgPerson" || part.Compared[0].Result != "true" {
		t.Errorf("the class: %+v", part)
	}
	if part := e.Filter.Parts[1].Parts[1]; part.Value != "true" || len(part.Compared) != 1 || part.Compared[0].Value != "(secret)" {
		t.Errorf("a password: %+v", part)
	}
	if byUUID := s.explained("all", e.UUID); byUUID.DN != ada {
		t.Errorf("by UUID: %+v", byUUID)
	}
	hasAll(t, "a member", s.printed("explain", "all", ada), "module      all (idle)", "entry       "+ada, "member      yes", "attributes  all", "filter      true, by the provider schema",
		"last calls  create, seq", "true      &", "true      (uid=ADA), by caseIgnoreMatch", "uid: ada (true)", "the filter is true, and the module knows the entry as it is")
	hasAll(t, "what the schema lacks", s.printed("explain", "people", ada), "member      no", "attributes  mail,sn", "filter      undefined", "undefined !",
		"undefined (mail>=a): the type has no rule for ordering", "false     (sn=x*), by caseIgnoreSubstringsMatch", "sn: Sn of ada (false)", "userPassword: (secret) (true)",
		"the filter is undefined: the entry is none of the module's")
	hasAll(t, "more that it lacks", s.printed("explain", "people2", ada), "(noSuchType=a): the directory has no attribute type nosuchtype", "(uidNumber=x): the value does not fit integerMatch")

	hasAll(t, "the log", r.output(), `"module":"people","part":"(mail>=a)","reason":"the type has no rule for ordering"`, `"part":"(noSuchType=a)"`, `"part":"(uidNumber=x)"`)

	d.modify(bob, []string{"sn", "Waits"})
	r.until("bob's change waits", func() bool { return r.module("bad").Queued == 2 })
	e = s.explained("bad", bob)
	if !e.Member || len(e.Queue) != 2 || e.Queue[0].State != "set aside" || e.Queue[0].Attempts != 1 || !strings.Contains(e.Queue[0].Error, "fails for good") ||
		e.Queue[1].State != "waiting" || e.Queue[1].Call != "modify" || len(e.LastCalls) != 1 || e.LastCalls[0].Error == "" {
		t.Errorf("what failed: %+v", e)
	}
	d.delete(bob)
	r.until("bob's end waits", func() bool { return r.module("bad").Queued == 3 })
	e = s.explained("bad", bob)
	if e.Mirrored || e.Filter != nil || len(e.Queue) != 3 || e.Queue[2].Call != "remove" {
		t.Errorf("what is gone: %+v", e)
	}
	hasAll(t, "what is gone", s.printed("explain", "bad", bob), "mirrored    no", "owed        create, seq", "set aside", "1 attempt failed: the probe fails for good", "the module is yet to be told")
	s.printed("pause", "all")
	hasAll(t, "what never was", s.printed("explain", "all", "uid=nobody,"+base), "mirrored    no", "the mirror has no such entry", "the module is paused")
	r.stop()

	hasAll(t, "offline", s.printed("explain", "all", ada), "module      all\n", "member      yes", "the daemon does not run", "the module is paused")
	if e := s.explained("bad", bob); len(e.Queue) != 3 || e.Queue[0].State != "set aside" || e.State != "" {
		t.Errorf("offline: %+v", e)
	}
	s.configure(server, instance("all", "jsonl"), instance("new", "jsonl"))
	hasAll(t, "not in the configuration", s.printed("explain", "people", ada), "the module is not in the configuration")
	hasAll(t, "not yet known", s.printed("explain", "new", ada), "member      no", "filter      true", "the module has never run")

	for what, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no entry":      {[]string{"explain", "all"}, 2, "a module, and a DN or UUID"},
		"wrong module":  {[]string{"explain", "nobody", ada}, 1, `there is no module "nobody"`},
		"wrong command": {[]string{"explain", "all", ada, "--verbose"}, 2, "unknown flag"},
	} {
		out := s.command(append(c.args, "-c", "listenerd.yaml")...)
		says(t, what, out.code, c.code, out.stderr, c.want)
	}
	empty := newSite(t)
	empty.configure(server, instance("all", "jsonl"))
	out := empty.command("explain", "all", ada, "-c", "listenerd.yaml")
	says(t, "no state", out.code, 1, out.stderr, "state file")
}
