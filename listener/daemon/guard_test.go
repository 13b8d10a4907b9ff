package daemon_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
	"github.com/listenerd/listenerd/modules/event"
)

// crowd starts a server with 200 people more than the guard lets go at once, and a site
// that knows them all.
func crowd(t *testing.T) (*directory, *site) {
	t.Helper()
	server := slapdtest.Start(t, slapdtest.WithLDIF(slapdtest.People(300, 1)))
	s := newSite(t)
	s.configure(server, instance("people", "jsonl", "ldap_filter: (objectClass=inetOrgPerson)", "quiet_period: 0s"))
	s.mustOnce()
	return newDirectory(t, server), s
}

// deletePeople deletes that many of them.
func (d *directory) deletePeople(n int) {
	d.t.Helper()
	for _, e := range d.search(base, 2, "(objectClass=inetOrgPerson)")[:n] {
		d.delete(e.dn)
	}
}

func removes(docs []event.Document) (n int) {
	for _, doc := range docs {
		if doc.Call == listener.KindRemove {
			n++
		}
	}
	return n
}

// Removes that are too many wait for a decision: a run with --once says so, and the next
// one makes what was released, but not more.
func TestGuardOnce(t *testing.T) {
	t.Parallel()
	d, s := crowd(t)
	d.deletePeople(150)
	d.person("ada", base)
	for range 2 {
		if code, output := s.once(); code != 4 || !strings.Contains(output, "150 of 32") {
			t.Fatalf("exit code %d: %s", code, output)
		}
	}
	docs := s.journal("people")
	if n := removes(docs); n > 0 {
		t.Fatalf("%d removes", n)
	}
	if !slices.ContainsFunc(docs, func(doc event.Document) bool { return doc.DN == "uid=ada,"+base }) {
		t.Error("what was added is held back too")
	}
	r := s.command("release", "-c", "listenerd.yaml")
	if r.code != 0 || !strings.Contains(r.stdout, "up to 150 removes of the next refresh") {
		t.Fatalf("%+v", r)
	}
	d.deletePeople(1)
	if code, output := s.once(); code != 4 || !strings.Contains(output, "151 of") {
		t.Fatalf("one more than released: exit code %d: %s", code, output)
	}
	if r := s.command("release", "-c", "listenerd.yaml"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	s.mustOnce()
	if n := removes(s.journal("people")); n != 151 {
		t.Errorf("%d removes", n)
	}
	if r := s.command("release", "-c", "listenerd.yaml"); r.code != 1 || !strings.Contains(r.stderr, "no removes are held") {
		t.Errorf("%+v", r)
	}
}

// A daemon whose guard holds goes on following live, says what it holds, and removes it
// when it is told to.
func TestGuardLive(t *testing.T) {
	t.Parallel()
	d, s := crowd(t)
	d.deletePeople(150)
	r := s.start()
	r.until("the guard holds", func() bool {
		status, ok := r.status()
		return ok && status.Guard != nil && status.Phase == "persist"
	})
	status, _ := r.status()
	if g := status.Guard; g.Removes != 150 || len(g.Examples) != 10 || g.Since.IsZero() {
		t.Errorf("status %+v", g)
	}
	if out := s.command("status", "-c", "listenerd.yaml").stdout; !strings.Contains(out, "150 removes") || !strings.Contains(out, "listenerd release") {
		t.Errorf("status prints %s", out)
	}
	cookie := status.Cookie
	// The refresh is repeated from time to time: who is found to be gone then is held, too.
	gone := 0
	for told := false; !told; {
		gone++
		e := d.person(fmt.Sprint("ada", gone), base)
		r.until("she is known", func() bool {
			return slices.ContainsFunc(s.journal("people"), func(doc event.Document) bool { return string(doc.DN) == e.dn })
		})
		d.delete(e.dn)
		r.until("her end is told, or held", func() bool {
			told = removes(s.journal("people")) == 1
			status, ok := r.status()
			return told || ok && status.Guard != nil && status.Guard.Removes == uint64(150+gone)
		})
	}
	if status, _ = r.status(); status.Cookie != cookie {
		t.Errorf("the cookie has moved on from %s to %s", cookie, status.Cookie)
	}
	if out := s.command("release", "-c", "listenerd.yaml"); out.code != 0 || !strings.Contains(out.stdout, fmt.Sprint(149+gone)) {
		t.Fatalf("%+v", out)
	}
	r.until("the removes are made", func() bool {
		status, ok := r.status()
		return ok && status.Guard == nil && removes(s.journal("people")) == 150+gone
	})
	r.caughtUp(d)
	r.stop()
}

// A filter with a mistake does not empty a module.
func TestGuardOfModule(t *testing.T) {
	t.Parallel()
	server := slapdtest.Start(t, slapdtest.WithLDIF(slapdtest.People(300, 1)))
	d := newDirectory(t, server)
	s := newSite(t)
	configure := func(filter string) {
		s.configure(server, instance("people", "jsonl", "ldap_filter: "+filter, "quiet_period: 0s"))
	}
	configure("(objectClass=inetOrgPerson)")
	s.mustOnce()
	known := len(s.journal("people"))
	configure("(objectClass=inetOrgPersn)")
	d.modify(fmt.Sprint(d.search(base, 2, "(objectClass=inetOrgPerson)")[0].dn), []string{"sn", "Changed"})
	if code, output := s.once(); code != 4 {
		t.Fatalf("exit code %d: %s", code, output)
	}
	docs := s.journal("people")[known:]
	if n := removes(docs); n > 0 || len(docs) != 3 || docs[1].Call != listener.KindModify {
		t.Errorf("%d removes in %q", n, describeAll(docs))
	}
	configure("(objectClass=inetOrgPerson)")
	s.mustOnce() // as if nothing had been
	if more := s.journal("people")[known+len(docs):]; len(more) > 0 {
		t.Errorf("%q", describeAll(more))
	}
	configure("(uid=nobody)")
	r := s.start()
	r.until("the module is held", func() bool {
		status, ok := r.status()
		return ok && len(status.Modules) == 1 && status.Modules[0].State == "held" && status.Modules[0].HeldRemoves == 300
	})
	status, _ := r.status()
	examples := status.Modules[0].HeldExamples
	out := s.command("status", "-c", "listenerd.yaml").stdout
	if len(examples) != 10 || !strings.Contains(out, "300 removes of module people") || !strings.Contains(out, examples[9]) || !strings.Contains(out, "listenerd release") {
		t.Errorf("of %q status prints %s", examples, out)
	}
	if out := s.command("release", "-c", "listenerd.yaml"); out.code != 0 || !strings.Contains(out.stdout, "up to 300 removes of module people") {
		t.Fatalf("%+v", out)
	}
	r.until("all are gone", func() bool { return removes(s.journal("people")) == 300 })
	r.caughtUp(d)
	r.stop()
}
