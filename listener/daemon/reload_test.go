package daemon_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/dirsrvtest"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// changeSync changes the state of the synchronization while no daemon runs, and
// returns it as it is then.
func (s *site) changeSync(change func(*store.Sync)) store.Sync {
	s.t.Helper()
	st, err := store.Open(s.state())
	if err != nil {
		s.t.Fatal(err)
	}
	var sync store.Sync
	err = st.Update(func(tx *store.Tx) (err error) {
		if sync, err = tx.Sync(); err != nil {
			return err
		}
		change(&sync)
		return tx.SetSync(sync)
	})
	if err := errors.Join(err, st.Close()); err != nil {
		s.t.Fatal(err)
	}
	return sync
}

// age makes the last full load older than it is.
func (s *site) age(by time.Duration) store.Sync {
	s.t.Helper()
	return s.changeSync(func(sync *store.Sync) { sync.LoadedAt = sync.LoadedAt.Add(-by) })
}

const reloadMessage = "loading everything again"

// newGroups starts a server that computes memberOf, and a site whose module listens
// for it. The server does not notify such a change.
func newGroups(t *testing.T, lines ...string) (*slapdtest.Server, *directory, *site) {
	t.Helper()
	server := slapdtest.Start(t, slapdtest.MemberOf())
	d := newDirectory(t, server)
	d.person("ada", base)
	s := newSite(t)
	s.write("listenerd.yaml", "ldap:\n  base: "+base+"\n"+followOf(server, lines...)+
		"state_dir: state\nmodules:\n"+instance("people", "jsonl", "ldap_filter: (objectClass=inetOrgPerson)", "attributes: [memberOf]"))
	return server, d, s
}

func (d *directory) group(name string) {
	d.t.Helper()
	d.add("cn="+name+","+base, "objectClass", "groupOfNames", "cn", name, "member", "uid=ada,"+base)
}

// A change that is never notified is found by the next full load, and by nothing
// before. When that is due survives restarts.
func TestScenario20ReloadFindsMemberOf(t *testing.T) {
	t.Parallel()
	_, d, s := newGroups(t, "full_reload_interval: 100h")
	s.mustOnce()
	first := s.age(0).LoadedAt
	if first.IsZero() {
		t.Fatal("the first load is not noted")
	}
	d.group("staff")
	steps := []string{"initialize", "pre_run", "create uid=ada", "post_run"}

	s.mustOnce()
	expectKinds(t, "soon after the load", s.journal("people"), steps...)
	if at := s.age(99 * time.Hour).LoadedAt; !at.Equal(first.Add(-99 * time.Hour)) {
		t.Errorf("loaded at %v, then at %v", first, at)
	}
	s.mustOnce()
	expectKinds(t, "after 99 hours", s.journal("people"), steps...)

	s.age(11*time.Hour + time.Minute) // 100 h and their tenth
	s.mustOnce()
	steps = append(steps, "pre_run", "modify uid=ada", "post_run")
	expectKinds(t, "after 110 hours", s.journal("people"), steps...)
	if at := s.age(0).LoadedAt; at.Before(first) {
		t.Errorf("the reload is not noted: %v", at)
	}
	s.mustOnce()
	expectKinds(t, "and then", s.journal("people"), steps...)
}

// A running daemon ends its session for it.
func TestReloadWhileFollowing(t *testing.T) {
	t.Parallel()
	_, d, s := newGroups(t, "full_reload_interval: 2s")
	r := s.start()
	r.caughtUp(d)
	for i := range 2 {
		before := len(s.journal("people"))
		d.group(fmt.Sprint("staff-", i))
		r.until("the change is found", func() bool { return len(s.journal("people")) > before })
	}
	// Changes of entries that nobody compares with are still heard of at once.
	e := d.person("bob", base)
	r.until("bob is known", func() bool {
		docs := s.journal("people")
		return string(docs[len(docs)-1].DN) == e.dn
	})
	r.stop()
	if strings.Contains(r.output(), "session with the provider failed") {
		t.Errorf("a reload is logged as a failure: %s", r.output())
	}
	expectKinds(t, "all", s.journal("people"), "initialize", "pre_run", "create uid=ada", "modify uid=ada", "modify uid=ada", "create uid=bob", "post_run")
}

// A reload that breaks down wipes nothing, and does not stand in the way of sessions
// that go on from the cookie.
func TestReloadInterrupted(t *testing.T) {
	t.Parallel()
	server := slapdtest.Start(t, slapdtest.WithLDIF(slapdtest.People(3000, 1)))
	d := newDirectory(t, server)
	proxy := slapdtest.NewProxy(t, server.Addr())
	s := newSite(t)
	s.configureSession(fmt.Sprintf("  uri: %s\n  bind: {dn: %q, password_file: ldap.secret}\n  full_reload_interval: 1h\n", proxy.URI(), slapdtest.ListenerDN))
	s.mustOnce()
	calls := len(s.journal("people"))
	loaded := s.age(2 * time.Hour)

	proxy.Throttle(1 << 17) // it would take a quarter of a minute
	r := s.start()
	r.until("a part has come", func() bool {
		status, ok := r.status()
		return ok && status.Phase == "refresh"
	})
	proxy.Cut()
	r.until("it has noticed", func() bool { return strings.Contains(r.output(), "session with the provider failed") })
	proxy.Throttle(0)
	r.caughtUp(d)
	d.person("zoe", base)
	r.until("zoe is known", func() bool { return len(s.journal("people")) > calls+1 }) // behind pre_run
	r.stop()
	if n := strings.Count(r.output(), reloadMessage); n != 1 {
		t.Errorf("%d reloads were begun: %s", n, r.output())
	}
	docs := s.journal("people")[calls:]
	expectKinds(t, "after the break", docs, "pre_run", "create uid=zoe", "post_run")
	if at := s.age(0).LoadedAt; !at.Equal(loaded.LoadedAt) {
		t.Errorf("the broken reload counts: %v, then %v", loaded.LoadedAt, at)
	}
	// It is made up for.
	s.mustOnce()
	if at := s.age(0).LoadedAt; !at.After(loaded.LoadedAt) {
		t.Errorf("no reload since %v", at)
	}
	if more := len(s.journal("people")); more != calls+len(docs) {
		t.Errorf("%d calls for a reload that finds nothing", more-calls-len(docs))
	}
}

// Of a 389 Directory Server, a full load compares as well.
func TestDirsrvReload(t *testing.T) {
	t.Parallel()
	server := dirsrvtest.Start(t)
	conn := server.Client(t)
	for _, uid := range []string{"ada", "bob"} {
		if err := conn.Add(addRequest("uid="+uid+","+base, "objectClass", "inetOrgPerson", "uid", uid, "cn", uid, "sn", uid)); err != nil {
			t.Fatal(err)
		}
	}
	s := newSite(t)
	s.configureSession(fmt.Sprintf("  uri: %s\n  bind: {dn: %q, password_file: ldap.secret}\n  full_reload_interval: 1h\n", server.URI(), slapdtest.ListenerDN))
	s.mustOnce()
	steps := []string{"initialize", "pre_run", "create uid=ada", "create uid=bob", "post_run"}
	expectKinds(t, "first", s.journal("people"), steps...)

	// A delete that the server does not tell: the cookie says that we know of it.
	if err := conn.Del(ldap.NewDelRequest("uid=bob,"+base, nil)); err != nil {
		t.Fatal(err)
	}
	s.changeSync(func(sync *store.Sync) {
		cookie, number, _ := strings.Cut(string(sync.Cookie), ")#")
		if number != "4" {
			t.Fatalf("cookie %q", sync.Cookie)
		}
		sync.Cookie = []byte(cookie + ")#5")
	})
	s.mustOnce()
	expectKinds(t, "before the reload", s.journal("people"), steps...)
	old := s.age(2 * time.Hour)
	code, output := s.once()
	says(t, "the reload", code, 0, output, reloadMessage)
	expectKinds(t, "the reload", s.journal("people"), append(steps, "pre_run", "remove uid=bob", "post_run")...)
	if at := s.age(0).LoadedAt; !at.After(old.LoadedAt) {
		t.Errorf("no reload since %v", at)
	}
}
