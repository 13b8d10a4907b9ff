package daemon_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// scenario is something that happens while no daemon runs, below a container of its
// own. Its name says which of the list in PROVIDERS it is.
type scenario struct {
	name    string
	prepare func(d *directory, at string)
	change  func(d *directory, at string) calls
	// first and then name calls, as beginnings of what describe writes with DNs relative
	// to the container, of which the first must come before the second.
	before [][2]string
}

var scenarios = []scenario{
	{
		name: "2_NoChange", prepare: func(d *directory, at string) { d.person("a", at) },
		change: func(*directory, string) calls { return calls{} },
	}, {
		name: "3_Add", prepare: func(*directory, string) {},
		change: func(d *directory, at string) calls {
			unit, a := d.unit("u", at), d.person("a", "ou=u,"+at)
			return calls{
				all:    []string{create(unit, listener.CauseLive), create(a, listener.CauseLive)},
				narrow: []string{create(a, listener.CauseLive)},
			}
		},
		before: [][2]string{{"create ou=u", "create uid=a,ou=u"}},
	}, {
		name: "3_Modify", prepare: func(d *directory, at string) {
			d.person("a", at, "description", "x", "mail", "b@example.com")
			d.person("b", at)
		},
		change: func(d *directory, at string) calls {
			before, _ := d.modify("uid=a,"+at, []string{"sn", "not seen"}) // two changes, one call
			_, after := d.modify("uid=a,"+at, []string{"sn", "One"}, []string{"description"}, []string{"mail", "b@example.com", "c@example.com"})
			one := modify(before, after, "description", "mail", "sn")
			before, after = d.modify("uid=b,"+at, []string{"title", "not listed"})
			return calls{[]string{one, modify(before, after, "title")}, []string{one}}
		},
	}, {
		name: "3_ModifyAndBack", prepare: func(d *directory, at string) { d.person("a", at, "mail", "b@example.com") },
		change: func(d *directory, at string) calls {
			d.modify("uid=a,"+at, []string{"sn", "Other"})
			d.modify("uid=a,"+at, []string{"sn", "Sn of a"})
			d.modify("uid=a,"+at, []string{"mail", "b@example.com", "a@example.com"}) // in another order
			return calls{}
		},
	}, {
		name: "3_Delete", prepare: func(d *directory, at string) {
			d.unit("u", at)
			d.person("a", "ou=u,"+at)
			d.person("b", at)
		},
		change: func(d *directory, at string) calls {
			a := remove(d.delete("uid=a,ou=u,"+at), listener.CauseLive)
			unit := remove(d.delete("ou=u,"+at), listener.CauseLive)
			return calls{[]string{a, unit}, []string{a}}
		},
		before: [][2]string{{"remove uid=a,ou=u", "remove ou=u"}},
	}, {
		name: "3_Rename", prepare: func(d *directory, at string) { d.person("a", at) },
		change: func(d *directory, at string) calls {
			before, after := d.rename("uid=a,"+at, "uid=b", "")
			return both(modify(before, after, "uid"))
		},
	}, {
		name: "3_MoveAndModify", prepare: func(d *directory, at string) {
			d.unit("u", at)
			d.unit("v", at)
			d.person("a", "ou=u,"+at)
		},
		change: func(d *directory, at string) calls {
			before, _ := d.rename("uid=a,ou=u,"+at, "uid=a", "ou=v,"+at)
			_, after := d.modify("uid=a,ou=v,"+at, []string{"mail", "new@example.com"})
			return both(modify(before, after, "mail"))
		},
	}, {
		name: "3_MoveIntoNewContainer", prepare: func(d *directory, at string) { d.person("a", at) },
		change: func(d *directory, at string) calls {
			unit := create(d.unit("new", at), listener.CauseLive)
			before, after := d.rename("uid=a,"+at, "uid=a", "ou=new,"+at)
			return calls{[]string{unit, modify(before, after)}, []string{modify(before, after)}}
		},
		before: [][2]string{{"create ou=new", "modify uid=a,ou=new"}},
	}, {
		name: "4b_ChildrenMovedOutOfDeletedContainer", prepare: func(d *directory, at string) {
			d.unit("u", at)
			d.unit("v", at)
			d.person("a", "ou=u,"+at)
			d.unit("w", "ou=u,"+at)
			d.person("b", "ou=w,ou=u,"+at)
		},
		change: func(d *directory, at string) calls {
			before, after := d.rename("uid=a,ou=u,"+at, "uid=a", "ou=v,"+at)
			want := both(modify(before, after))
			old := d.below("ou=w,ou=u," + at)
			d.rename("ou=w,ou=u,"+at, "ou=w", "ou=v,"+at)
			moved := movedSubtree(old, d.below("ou=w,ou=v,"+at))
			return calls{
				all:    slices.Concat(want.all, moved.all, []string{remove(d.delete("ou=u,"+at), listener.CauseLive)}),
				narrow: slices.Concat(want.narrow, moved.narrow),
			}
		},
		before: [][2]string{{"modify uid=b,ou=w,ou=v", "remove ou=u"}, {"modify uid=a,ou=v", "remove ou=u"}},
	}, {
		name: "4b_ChildMovedToNameOfDeletedEntry", prepare: func(d *directory, at string) {
			d.unit("u", at)
			d.person("a", "ou=u,"+at)
			d.person("b", at)
		},
		change: func(d *directory, at string) calls {
			gone := remove(d.delete("uid=b,"+at), listener.CauseLive)
			before, after := d.rename("uid=a,ou=u,"+at, "uid=b", at)
			moved := modify(before, after, "uid")
			return calls{[]string{gone, moved, remove(d.delete("ou=u,"+at), listener.CauseLive)}, []string{gone, moved}}
		},
		before: [][2]string{{"remove uid=b", "modify uid=b"}, {"modify uid=b", "remove ou=u"}},
	}, {
		name: "5_DeleteAndAddAgain", prepare: func(d *directory, at string) { d.person("a", at) },
		change: func(d *directory, at string) calls {
			old := d.delete("uid=a," + at)
			return both(remove(old, listener.CauseLive), create(d.person("a", at, "title", "new"), listener.CauseLive))
		},
		before: [][2]string{{"remove uid=a", "create uid=a"}},
	}, {
		name: "5_DeleteAndAddContainerAgain", prepare: func(d *directory, at string) {
			d.unit("u", at)
			d.person("a", "ou=u,"+at)
			d.person("b", "ou=u,"+at)
		},
		change: func(d *directory, at string) calls {
			var want calls
			for _, name := range []string{"a", "b"} {
				call := remove(d.delete("uid="+name+",ou=u,"+at), listener.CauseLive)
				want.all, want.narrow = append(want.all, call), append(want.narrow, call)
			}
			want.all = append(want.all, remove(d.delete("ou=u,"+at), listener.CauseLive), create(d.unit("u", at), listener.CauseLive))
			call := create(d.person("a", "ou=u,"+at), listener.CauseLive)
			want.all, want.narrow = append(want.all, call), append(want.narrow, call)
			return want
		},
		before: [][2]string{{"remove uid=a,ou=u", "create uid=a,ou=u"}, {"remove ou=u", "create ou=u"}, {"create ou=u", "create uid=a,ou=u"}},
	}, {
		name: "5_NameTakenByAnother", prepare: func(d *directory, at string) {
			d.person("a", at)
			d.person("b", at)
			d.person("c", at)
		},
		change: func(d *directory, at string) calls { // c is gone, b is c now, a is b
			gone := remove(d.delete("uid=c,"+at), listener.CauseLive)
			b, c := d.rename("uid=b,"+at, "uid=c", "")
			a, nb := d.rename("uid=a,"+at, "uid=b", "")
			return both(gone, modify(b, c, "uid"), modify(a, nb, "uid"))
		},
		before: [][2]string{{"remove uid=c", "modify uid=c"}, {"modify uid=c", "modify uid=b"}},
	}, {
		name: "6_Swap", prepare: func(d *directory, at string) {
			d.person("a", at)
			d.person("b", at)
		},
		change: func(d *directory, at string) calls {
			a, _ := d.rename("uid=a,"+at, "uid=c", "")
			b, na := d.rename("uid=b,"+at, "uid=a", "")
			_, nb := d.rename("uid=c,"+at, "uid=b", "")
			return both(modify(a, nb, "uid"), modify(b, na, "uid"))
		},
	}, {
		name: "6_SwapOfContainers", prepare: func(d *directory, at string) {
			for _, u := range []string{"u", "v"} {
				d.unit(u, at)
				d.person("a", "ou="+u+","+at)
				d.person("of-"+u, "ou="+u+","+at)
			}
		},
		change: func(d *directory, at string) calls {
			u, v := d.below("ou=u,"+at), d.below("ou=v,"+at)
			d.rename("ou=u,"+at, "ou=w", "")
			d.rename("ou=v,"+at, "ou=u", "")
			d.rename("ou=w,"+at, "ou=v", "")
			first, second := movedSubtree(u, d.below("ou=v,"+at), "ou"), movedSubtree(v, d.below("ou=u,"+at), "ou")
			return calls{slices.Concat(first.all, second.all), slices.Concat(first.narrow, second.narrow)}
		},
	}, {
		name: "7_ContainerRename", prepare: func(d *directory, at string) {
			d.unit("u", at)
			d.unit("inner", "ou=u,"+at)
			d.person("a", "ou=inner,ou=u,"+at)
			d.person("b", "ou=u,"+at)
		},
		change: func(d *directory, at string) calls {
			before := d.below("ou=u," + at)
			d.rename("ou=u,"+at, "ou=renamed", "")
			return movedSubtree(before, d.below("ou=renamed,"+at), "ou")
		},
		before: [][2]string{{"modify ou=renamed", "modify ou=inner"}, {"modify ou=inner", "modify uid=a"}, {"modify ou=renamed", "modify uid=b"}},
	}, {
		name: "7_ContainerTakesNameOfDeletedOne", prepare: func(d *directory, at string) {
			d.unit("u", at)
			d.unit("v", at)
			d.unit("inner", "ou=u,"+at)
			d.person("a", "ou=inner,ou=u,"+at)
		},
		change: func(d *directory, at string) calls {
			gone := remove(d.delete("ou=v,"+at), listener.CauseLive)
			old := d.below("ou=u," + at)
			d.rename("ou=u,"+at, "ou=v", "")
			d.modify("uid=a,ou=inner,ou=v,"+at, []string{"sn", "Changed"})
			added := create(d.person("b", "ou=inner,ou=v,"+at), listener.CauseLive)
			new := d.below("ou=v," + at)
			a := modify(old[2], new[2], "sn")
			return calls{
				all:    []string{gone, modify(old[0], new[0], "ou"), modify(old[1], new[1]), a, added},
				narrow: []string{a, added},
			}
		},
		before: [][2]string{{"remove ou=v", "modify ou=v"}, {"modify ou=v", "modify ou=inner,ou=v"}, {"modify ou=inner,ou=v", "create uid=b,ou=inner,ou=v"},
			{"modify ou=inner,ou=v", "modify uid=a,ou=inner,ou=v"}},
	}, {
		name: "7_ContainerTakesNameOfItsParent", prepare: func(d *directory, at string) {
			d.unit("u", at)
			d.person("x", "ou=u,"+at)
			d.unit("v", "ou=u,"+at)
			for _, name := range []string{"a", "b", "same"} {
				d.person(name, "ou=v,ou=u,"+at)
			}
		},
		change: func(d *directory, at string) calls {
			u, v := d.below("ou=u,"+at), d.below("ou=v,ou=u,"+at)
			d.rename("ou=u,"+at, "ou=w", "")
			d.rename("ou=v,ou=w,"+at, "ou=u", at)
			for _, name := range []string{"a", "b"} {
				d.modify("uid="+name+",ou=u,"+at, []string{"sn", "Changed"})
			}
			nu, nv := d.below("ou=w,"+at), d.below("ou=u,"+at)
			narrow := []string{
				modify(u[len(u)-1], nu[1]), modify(v[1], nv[1], "sn"), modify(v[2], nv[2], "sn"), modify(v[3], nv[3]),
			}
			return calls{append([]string{modify(u[0], nu[0], "ou"), modify(v[0], nv[0], "ou")}, narrow...), narrow}
		},
		before: [][2]string{{"modify ou=w", "modify ou=u"}, {"modify ou=w", "modify uid=x,ou=w"}, {"modify ou=u", "modify uid=a,ou=u"},
			{"modify ou=u", "modify uid=b,ou=u"}, {"modify ou=u", "modify uid=same,ou=u"}},
	}, {
		name: "7_ChildMovesToNextOwnerOfName", prepare: func(d *directory, at string) {
			d.unit("u", at)
			d.unit("v", at)
			d.person("moves", "ou=u,"+at)
			d.person("same", "ou=u,"+at) // moves too, to the name that it had
			d.person("stays", "ou=u,"+at)
		},
		change: func(d *directory, at string) calls {
			u, v, moves, stays := d.read("ou=u,"+at), d.read("ou=v,"+at), d.read("uid=moves,ou=u,"+at), d.read("uid=stays,ou=u,"+at)
			_, w := d.rename("ou=u,"+at, "ou=w", "")
			_, next := d.rename("ou=v,"+at, "ou=u", "")
			_, moved := d.rename("uid=moves,ou=w,"+at, "uid=moved", next.dn)
			d.rename("uid=same,ou=w,"+at, "uid=same", next.dn)
			narrow := []string{modify(moves, moved, "uid"), modify(stays, d.read("uid=stays,ou=w,"+at))}
			return calls{append([]string{modify(u, w, "ou"), modify(v, next, "ou")}, narrow...), narrow}
		},
		before: [][2]string{{"modify ou=w", "modify ou=u"}, {"modify ou=w", "modify uid=stays,ou=w"}, {"modify ou=u", "modify uid=moved,ou=u"}},
	}, {
		name: "7_ContainerRenameAndChangesBelow", prepare: func(d *directory, at string) {
			d.unit("u", at)
			d.person("changed", "ou=u,"+at)
			d.person("deleted", "ou=u,"+at)
			d.person("left", "ou=u,"+at)
			d.person("same", "ou=u,"+at)
		},
		change: func(d *directory, at string) calls {
			old := map[string]entry{}
			for _, e := range d.below("ou=u," + at) {
				rdn, _, _ := strings.Cut(e.dn, ",")
				old[rdn] = e
			}
			d.rename("ou=u,"+at, "ou=renamed", "")
			d.modify("uid=changed,ou=renamed,"+at, []string{"sn", "Changed"})
			d.delete("uid=deleted,ou=renamed," + at)
			_, left := d.rename("uid=left,ou=renamed,"+at, "uid=left", at)
			added := d.person("deleted", "ou=renamed,"+at)
			narrow := []string{
				modify(old["uid=changed"], d.read("uid=changed,ou=renamed,"+at), "sn"),
				modify(old["uid=same"], d.read("uid=same,ou=renamed,"+at)),
				modify(old["uid=left"], left),
				create(added, listener.CauseLive),
			}
			narrow = append(narrow, remove(old["uid=deleted"], listener.CauseLive))
			unit := modify(old["ou=u"], d.read("ou=renamed,"+at), "ou")
			return calls{append([]string{unit}, narrow...), narrow}
		},
		before: [][2]string{{"modify ou=renamed", "modify uid=same"}},
	}, {
		name: "9_EntersAndLeavesFilter", prepare: func(d *directory, at string) {
			d.person("enters", at, "employeeType", "retired")
			d.person("leaves", at)
		},
		change: func(d *directory, at string) calls {
			was, enters := d.modify("uid=enters,"+at, []string{"employeeType"})
			leaves, is := d.modify("uid=leaves,"+at, []string{"employeeType", "retired"})
			return calls{
				all:    []string{modify(was, enters, "employeeType"), modify(leaves, is, "employeeType")},
				narrow: []string{create(enters, listener.CauseLive), remove(leaves, listener.CauseLive)},
			}
		},
	},
}

// What happened while the daemon was away is told when it is back, that and nothing
// else: scenarios 1 to 9, each with every way a server has to tell it.
func TestOfflineChanges(t *testing.T) {
	t.Parallel()
	for _, server := range []struct {
		name    string
		options []slapdtest.Option
		restart bool
	}{
		{"NoSessionLog", nil, false},
		{"SessionLog", []slapdtest.Option{slapdtest.SessionLog(1000)}, false},
		{"SessionLogLostByRestart", []slapdtest.Option{slapdtest.SessionLog(1000)}, true},
	} {
		for _, mode := range []string{"Once", "Persist"} {
			t.Run(server.name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				slapd := slapdtest.Start(t, server.options...)
				s := newSite(t)
				s.configure(slapd, instances()...)
				o := &offline{slapd: slapd, site: s, seen: progress{}, restart: server.restart, once: mode == "Once"}
				for _, sc := range scenarios {
					t.Run(sc.name, func(t *testing.T) { o.play(t, sc) })
				}
				o.catchUp(t)
				if !t.Failed() {
					checkReplicas(t, s, newDirectory(t, slapd))
				}
			})
		}
	}
}

type offline struct {
	slapd         *slapdtest.Server
	site          *site
	seen          progress
	restart, once bool
}

// catchUp runs a daemon until it has told everything.
func (o *offline) catchUp(t *testing.T) {
	t.Helper()
	if o.once {
		o.site.mustOnce()
		return
	}
	r := o.site.start()
	r.caughtUp(newDirectory(t, o.slapd))
	r.stop()
}

func (o *offline) play(t *testing.T, sc scenario) {
	defer func(parent testing.TB) { o.site.t = parent }(o.site.t)
	o.site.t = t
	d := newDirectory(t, o.slapd)
	at := d.unit(strings.ToLower(sc.name), base).dn
	sc.prepare(d, at)
	o.catchUp(t)
	o.seen.skip(o.site)
	cookie := o.cookie(t)

	want := sc.change(d, at)
	if o.restart {
		o.slapd.Restart(t)
	}
	o.catchUp(t)
	if len(want.all) == 0 && sc.name == "2_NoChange" && o.cookie(t) != cookie {
		t.Errorf("cookie %q, before %q", o.cookie(t), cookie)
	}
	for _, f := range followers {
		news := o.seen.news(o.site, f)
		o.seen[f.name] += len(news)
		got := describeAll(news)
		if len(want.of(f)) == 0 {
			compareCalls(t, f.name, got, nil)
			continue
		}
		if len(got) < 2 || got[0] != "pre_run" || got[len(got)-1] != "post_run" {
			t.Fatalf("%s: not between pre_run and post_run: %q", f.name, got)
		}
		got = got[1 : len(got)-1]
		o.order(t, sc, f, at, got)
		compareCalls(t, f.name, sorted(got), sorted(want.of(f)))
	}
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func (o *offline) order(t *testing.T, sc scenario, f follower, at string, got []string) {
	t.Helper()
	index := func(beginning string) int {
		return slices.IndexFunc(got, func(g string) bool {
			return strings.HasPrefix(g, beginning+","+at)
		})
	}
	for _, pair := range sc.before {
		first, then := index(pair[0]), index(pair[1])
		if first < 0 || then < 0 {
			continue // not this module's, or missing, which compareCalls tells
		}
		if f.parallel && relativeName(pair[0]) != relativeName(pair[1]) {
			continue // only what touches one name has an order
		}
		if first > then {
			t.Errorf("%s: %s came after %s", f.name, pair[0], pair[1])
		}
	}
}

func relativeName(beginning string) string {
	_, name, _ := strings.Cut(beginning, " ")
	return name
}

func (o *offline) cookie(t *testing.T) (cookie string) {
	t.Helper()
	o.site.inspect(func(tx *store.Tx) error {
		sync, err := tx.Sync()
		cookie = string(sync.Cookie)
		return err
	})
	return cookie
}
