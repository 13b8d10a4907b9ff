package daemon_test

import (
	"slices"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
	"github.com/listenerd/listenerd/modules/event"
)

const (
	people = slapdtest.PeopleDN
	berlin = "ou=berlin," + people
)

// calls is what a change has to lead to: for the modules that listen to everything,
// and for those with a filter and a list of attributes.
type calls struct{ all, narrow []string }

func both(list ...string) calls { return calls{list, list} }

func (c calls) of(f follower) []string {
	if f.all() {
		return c.all
	}
	return c.narrow
}

// progress is how much of each journal has been looked at.
type progress map[string]int

// expect waits until each module has got as many calls as it has to, and compares
// them. Too many calls show up in the next expect.
func (p progress) expect(t testing.TB, r *run, want calls) {
	t.Helper()
	r.until("the calls have come", func() bool {
		for _, f := range followers {
			if len(p.news(r.site, f)) < len(want.of(f)) {
				return false
			}
		}
		return true
	})
	p.check(t, r.site, want)
}

func (p progress) news(s *site, f follower) []event.Document { return s.journal(f.name)[p[f.name]:] }

// check compares what has come, all of it.
func (p progress) check(t testing.TB, s *site, want calls) {
	t.Helper()
	for _, f := range followers {
		news := p.news(s, f)
		p[f.name] += len(news)
		got := describeAll(news)
		if f.parallel {
			compareParallel(t, f.name, got, want.of(f))
		} else {
			compareCalls(t, f.name, got, want.of(f))
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// skip passes over what has come.
func (p progress) skip(s *site) {
	for _, f := range followers {
		p[f.name] = len(s.journal(f.name))
	}
}

func TestThousandPeople(t *testing.T) {
	t.Parallel()
	server := slapdtest.Start(t, slapdtest.WithLDIF(slapdtest.People(1000, 1)))
	d := newDirectory(t, server)
	s := newSite(t)
	s.configure(server, instances()...)
	r := s.start()
	r.caughtUp(d)

	for _, f := range followers {
		docs := s.journal(f.name)
		if len(docs) < 2 || docs[0].Call != listener.KindInitialize || docs[1].Call != listener.KindPreRun {
			t.Fatalf("%s: does not begin with initialize and pre_run: %q", f.name, describeAll(docs[:min(len(docs), 3)]))
		}
		replica := f.replay(docs) // which objects to a create without its parent
		replica.compare(d)
		report(t, append(replica.problems, replica.disorder...))
		persons := 0
		for _, doc := range docs[2:] {
			if doc.Call != listener.KindCreate || doc.Cause != listener.CauseInitialize || doc.Attempt != 1 {
				t.Errorf("%s: %s, attempt %d", f.name, short(describe(doc)), doc.Attempt)
			}
			if slices.Contains(doc.New["objectClass"], "inetOrgPerson") {
				persons++
			}
		}
		if persons != 1000 {
			t.Errorf("%s: %d creates of people", f.name, persons)
		}
	}
	seen := progress{}
	seen.skip(s)
	for _, step := range []struct {
		name   string
		change func(*testing.T, *directory) calls
	}{
		{"Add", func(_ *testing.T, d *directory) calls {
			return both(create(d.person("ada", berlin, "description", "first"), listener.CauseLive))
		}},
		{"ModifyOneValue", func(_ *testing.T, d *directory) calls {
			before, after := d.modify("uid=ada,"+berlin, []string{"sn", "Lovelace"})
			return both(modify(before, after, "sn"))
		}},
		{"ModifySeveralValues", func(_ *testing.T, d *directory) calls {
			before, after := d.modify("uid=ada,"+berlin, []string{"mail", "a@example.com", "b@example.com", "c@example.com"},
				[]string{"telephoneNumber", "+49 30 1"}, []string{"description"})
			return both(modify(before, after, "description", "mail", "telephoneNumber"))
		}},
		{"AttributeNotListed", func(_ *testing.T, d *directory) calls {
			before, after := d.modify("uid=ada,"+berlin, []string{"title", "Countess"})
			return calls{all: []string{modify(before, after, "title")}}
		}},
		{"ValuesReordered", func(_ *testing.T, d *directory) calls {
			d.modify("uid=ada,"+berlin, []string{"mail", "b@example.com", "c@example.com", "a@example.com"})
			return calls{}
		}},
		{"NotText", func(_ *testing.T, d *directory) calls {
			before, after := d.modify("uid=ada,"+berlin, []string{"jpegPhoto", "\xff\xd8\x00\n\xff"}, []string{"description;lang-de", "Gräfin"})
			return calls{all: []string{modify(before, after, "description;lang-de", "jpegPhoto")}}
		}},
		{"Password", func(_ *testing.T, d *directory) calls {
			before, after := d.modify("uid=ada,"+berlin, []string{"userPassword", "{SSHA}other"})
			return calls{all: []string{modify(before, after)}} // jsonl leaves it out
		}},
		{"Rename", func(_ *testing.T, d *directory) calls {
			before, after := d.rename("uid=ada,"+berlin, "uid=Ada.Lovelace", "")
			return both(modify(before, after, "uid"))
		}},
		{"MoveBetweenUnits", func(_ *testing.T, d *directory) calls {
			before, after := d.rename("uid=Ada.Lovelace,"+berlin, "uid=Ada.Lovelace", "ou=köln,"+people)
			return both(modify(before, after))
		}},
		{"ContainerWithDescendants", func(_ *testing.T, d *directory) calls {
			var want calls
			for _, e := range []entry{d.unit("lab", people), d.unit("inner", "ou=lab,"+people)} {
				want.all = append(want.all, create(e, listener.CauseLive))
			}
			for _, e := range []entry{d.person("x", "ou=inner,ou=lab,"+people), d.person("y", "ou=lab,"+people)} {
				want.all = append(want.all, create(e, listener.CauseLive))
				want.narrow = append(want.narrow, create(e, listener.CauseLive))
			}
			return want
		}},
		{"ContainerRename", func(_ *testing.T, d *directory) calls {
			before := d.below("ou=lab," + people)
			d.rename("ou=lab,"+people, "ou=workshop", "")
			return movedSubtree(before, d.below("ou=workshop,"+people), "ou")
		}},
		{"ContainerMove", func(_ *testing.T, d *directory) calls {
			before := d.below("ou=workshop," + people)
			d.rename("ou=workshop,"+people, "ou=workshop", berlin)
			return movedSubtree(before, d.below("ou=workshop,"+berlin))
		}},
		{"LeavesFilter", func(_ *testing.T, d *directory) calls {
			before, after := d.modify("uid=y,ou=workshop,"+berlin, []string{"employeeType", "retired"})
			return calls{[]string{modify(before, after, "employeeType")}, []string{remove(before, listener.CauseLive)}}
		}},
		{"ChangeOutsideFilter", func(_ *testing.T, d *directory) calls {
			before, after := d.modify("uid=y,ou=workshop,"+berlin, []string{"sn", "Changed"})
			return calls{all: []string{modify(before, after, "sn")}}
		}},
		{"EntersFilter", func(_ *testing.T, d *directory) calls {
			before, after := d.modify("uid=y,ou=workshop,"+berlin, []string{"employeeType"})
			return calls{[]string{modify(before, after, "employeeType")}, []string{create(after, listener.CauseLive)}}
		}},
		{"Delete", func(_ *testing.T, d *directory) calls {
			return both(remove(d.delete("uid=y,ou=workshop,"+berlin), listener.CauseLive))
		}},
		{"DeleteAndAddAgain", func(t *testing.T, d *directory) calls {
			before := d.delete("uid=x,ou=inner,ou=workshop," + berlin)
			after := d.person("x", "ou=inner,ou=workshop,"+berlin)
			if before.uuid == after.uuid {
				t.Fatal("the same entry")
			}
			return both(remove(before, listener.CauseLive), create(after, listener.CauseLive))
		}},
		{"NamesSwapped", func(_ *testing.T, d *directory) calls {
			a, b, at := d.person("a", berlin), d.person("b", berlin), ","+berlin
			var moves []string
			for _, names := range [][2]string{{"uid=a", "uid=c"}, {"uid=b", "uid=a"}, {"uid=c", "uid=b"}} {
				before, after := d.rename(names[0]+at, names[1], "")
				moves = append(moves, modify(before, after, "uid"))
			}
			return both(append([]string{create(a, listener.CauseLive), create(b, listener.CauseLive)}, moves...)...)
		}},
	} {
		t.Run(step.name, func(t *testing.T) {
			seen.expect(t, r, step.change(t, newDirectory(t, server)))
		})
		if t.Failed() {
			return
		}
	}
	r.caughtUp(d)
	r.stop()
	seen.check(t, s, both("post_run"))
	s.mustOnce() // which finds nothing to do
	seen.check(t, s, calls{})
	checkReplicas(t, s, d)
}

// movedSubtree is the calls for a container that has got another name, the root's
// first.
func movedSubtree(before, after []entry, changed ...string) calls {
	var want calls
	for i := range before {
		if i > 0 {
			changed = nil
		}
		at := slices.IndexFunc(after, func(e entry) bool { return e.uuid == before[i].uuid })
		call := modify(before[i], after[at], changed...)
		want.all = append(want.all, call)
		if slices.Contains(after[at].attrs["objectClass"], "inetOrgPerson") {
			want.narrow = append(want.narrow, call)
		}
	}
	return want
}

// The steps around the calls: a run of calls ends after the quiet period, and the
// next call begins a new one.
func TestQuietPeriod(t *testing.T) {
	t.Parallel()
	server := slapdtest.Start(t)
	d := newDirectory(t, server)
	s := newSite(t)
	s.configure(server,
		instance("order", "jsonl", "ldap_filter: (objectClass=inetOrgPerson)", "quiet_period: 20ms"),
		instance("parallel", "jsonl", "ldap_filter: (objectClass=inetOrgPerson)", "quiet_period: 20ms", "run_asynchronously: true", "parallelism: 4"),
		instance("idle", "jsonl", "ldap_filter: (uid=nobody)", "quiet_period: 20ms"))
	r := s.start()
	r.caughtUp(d)
	var want []string
	called := func(calls ...string) {
		want = append(want, calls...)
		for _, name := range []string{"order", "parallel"} {
			r.until("post_run has come", func() bool { return len(s.journal(name)) >= len(want) })
		}
	}
	d.person("one", base)
	called("initialize", "pre_run", "create", "post_run")
	d.modify("uid=one,"+base, []string{"sn", "Changed"})
	called("pre_run", "modify", "post_run")
	r.stop()
	for _, name := range []string{"order", "parallel"} {
		var got []string
		for _, doc := range s.journal(name) {
			got = append(got, string(doc.Call))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := s.journal("idle"); len(got) > 0 {
		t.Errorf("a module without work was called: %q", describeAll(got))
	}
}
