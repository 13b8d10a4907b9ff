package daemon_test

import (
	"fmt"
	"testing"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// A refresh takes its time, and the directory is changed meanwhile: names change their
// owners, containers and what is below them move. A slapd reports some of it within the
// refresh and the rest behind it; the modules hear of it in an order that makes sense.
func TestScenario21WritesDuringRefresh(t *testing.T) {
	t.Parallel()
	for _, server := range []struct {
		name    string
		options []slapdtest.Option
	}{{"NoSessionLog", nil}, {"SessionLog", []slapdtest.Option{slapdtest.SessionLog(10_000)}}} {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			const groups = 12
			slapd := slapdtest.Start(t, append(server.options, slapdtest.WithLDIF(slapdtest.People(800, 3)))...)
			d := newDirectory(t, slapd)
			proxy := slapdtest.NewProxy(t, slapd.Addr())
			for i := range groups {
				at := d.unit(fmt.Sprint("g", i), base).dn
				d.person("a", at)
				d.person("b", at)
				d.unit("sub", at)
				d.person("c", "ou=sub,"+at)
			}
			s := newSite(t)
			s.configure(slapd, instances()...)
			s.mustOnce()

			// Everybody has changed: the refresh takes as long as it is throttled.
			everybody := d.search(base, 2, "(objectClass=inetOrgPerson)")
			for _, e := range everybody {
				d.modify(e.dn, []string{"title", "Changed"})
			}
			proxy.Throttle(1 << 17)
			s.configureURI(proxy.URI(), instances()...)
			r := s.start()
			r.until("a part has come", func() bool {
				status, ok := r.status()
				return ok && status.Phase == "refresh"
			})
			for i := range groups {
				at := fmt.Sprintf("ou=g%d,%s", i, base)
				d.rename("uid=a,"+at, "uid=z", "") // the next one takes its name
				d.rename("uid=b,"+at, "uid=a", "")
				d.person("b", at)
				d.rename("ou=sub,"+at, "ou=former", "")
				d.unit("sub", at)
				d.person("c", "ou=sub,"+at)
				d.unit("inner", d.unit("new", at).dn)
				d.rename("uid=z,"+at, "uid=z", "ou=inner,ou=new,"+at)
				if i%3 == 0 {
					d.delete("uid=c,ou=former," + at)
					d.delete("ou=former," + at)
				}
			}
			proxy.Throttle(0)
			r.caughtUp(d)
			r.stop()
			checkReplicas(t, s, d)
			if n := len(s.journal("all")); n < len(everybody)+groups*8 {
				t.Errorf("%d calls", n)
			}
		})
	}
}
