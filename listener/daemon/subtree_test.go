package daemon_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

const (
	inside  = "ou=inside," + base
	outside = "ou=outside," + base
)

// creates returns the creates of the entries.
func creates(entries []entry) calls {
	var c calls
	for _, e := range entries {
		call := create(e, listener.CauseLive)
		c.all = append(c.all, call)
		if e.attrs["sn"] != nil {
			c.narrow = append(c.narrow, call)
		}
	}
	return c
}

// removesOf returns the removes of the entries.
func removesOf(entries []entry) calls {
	var c calls
	for _, e := range entries {
		call := remove(e, listener.CauseLive)
		c.all = append(c.all, call)
		if e.attrs["sn"] != nil {
			c.narrow = append(c.narrow, call)
		}
	}
	return c
}

// Of a subtree that moves into the searched content or out of it, providers report the
// root. The modules hear of all its entries.
func TestSubtreeMoves(t *testing.T) {
	t.Parallel()
	steps := []struct {
		name    string
		prepare func(d *directory)
		change  func(d *directory) calls
	}{
		{"8_MovesIn", func(d *directory) {
			d.unit("u", outside)
			d.unit("w", "ou=u,"+outside)
			d.person("a", "ou=u,"+outside)
			d.person("b", "ou=w,ou=u,"+outside)
		}, func(d *directory) calls {
			d.rename("ou=u,"+outside, "ou=u", inside)
			return creates(d.below("ou=u," + inside))
		}},
		{"8_MovesInAndChanges", func(d *directory) {
			d.unit("v", outside)
			d.person("c", "ou=v,"+outside)
			d.person("d", "ou=v,"+outside)
			d.person("e", "ou=v,"+outside)
		}, func(d *directory) calls {
			d.rename("ou=v,"+outside, "ou=v", inside)
			d.rename("ou=v,"+inside, "ou=x", "")
			d.delete("uid=d,ou=x," + inside)
			d.rename("uid=e,ou=x,"+inside, "uid=e", outside)
			d.person("new", "ou=x,"+inside)
			return calls{} // how many steps of it are told depends on the moment
		}},
		{"8_MovesOut", func(*directory) {}, func(d *directory) calls {
			gone := removesOf(d.below("ou=w,ou=u," + inside))
			d.rename("ou=w,ou=u,"+inside, "ou=w", outside)
			return gone
		}},
		{"8_ComesBackWithMore", func(d *directory) {
			d.person("more", "ou=w,"+outside)
		}, func(d *directory) calls {
			d.rename("ou=w,"+outside, "ou=w", inside)
			return creates(d.below("ou=w," + inside))
		}},
	}
	for _, server := range []struct {
		name    string
		options []slapdtest.Option
	}{{"NoSessionLog", nil}, {"SessionLog", []slapdtest.Option{slapdtest.SessionLog(1000)}}} {
		for _, mode := range []string{"Offline", "Live"} {
			t.Run(server.name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				slapd := slapdtest.Start(t, server.options...)
				d := newDirectory(t, slapd)
				d.unit("inside", base)
				d.unit("outside", base)
				s := newSite(t)
				s.write("listenerd.yaml", "ldap:\n  base: "+inside+"\n"+followOf(slapd)+"state_dir: state\nmodules:\n"+strings.Join(instances(), ""))
				var r *run
				settled := func() {
					if mode == "Offline" {
						s.mustOnce()
						return
					}
					if r == nil {
						r = s.start()
					}
					r.caughtUp(d)
				}
				for _, step := range steps {
					step.prepare(d)
					settled()
					seen := progress{}
					seen.skip(s)
					want := step.change(d)
					settled()
					if want.all == nil {
						continue
					}
					for _, f := range followers {
						got := slices.DeleteFunc(describeAll(seen.news(s, f)), func(call string) bool { return !strings.Contains(call, " ") })
						compareCalls(t, step.name+": "+f.name, sorted(got), sorted(want.of(f))) // checkReplicas knows the order
					}
				}
				if r != nil {
					r.stop()
				}
				if !t.Failed() {
					d.base = inside
					checkReplicas(t, s, d)
				}
			})
		}
	}
}
