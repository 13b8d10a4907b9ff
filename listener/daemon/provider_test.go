package daemon_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// A slapd that is killed forgets the contextCSN it has not written, and trusts a
// session log that it has just begun (seen on 2.5.13): deletes before the kill are
// never told then. With a checkpoint after each write it is all right, as far as the
// last write is no delete; see load.allowDeletes.
var survivesKill = slapdtest.Checkpoint(1, 1)

// The daemon outlives its server: it waits while there is none, and catches up.
func TestScenario16ProviderRestarts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		options []slapdtest.Option
		end     func(*slapdtest.Server) error
	}{
		{"Stopped", []slapdtest.Option{slapdtest.SessionLog(1000)}, (*slapdtest.Server).Stop},
		{"Killed", []slapdtest.Option{slapdtest.SessionLog(1000), survivesKill}, (*slapdtest.Server).Kill},
		{"KilledWithoutSessionLog", []slapdtest.Option{survivesKill}, (*slapdtest.Server).Kill},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			slapd := slapdtest.Start(t, c.options...)
			s := newSite(t)
			s.configure(slapd, instances()...)
			rng := newRandom(t)
			r := s.start()
			r.until("it follows", func() bool { status, ok := r.status(); return ok && status.Phase == "persist" })
			load := startLoad(t, slapd, 2, rng)
			for i := range 2 {
				lines := len(s.journal("all"))
				r.until("it follows the load", func() bool { return len(s.journal("all")) > lines+100 })
				load.allowDeletes(false)
				newDirectory(t, slapd).unit(fmt.Sprintf("before-%d", i), base)
				if err := c.end(slapd); err != nil {
					t.Fatal(err)
				}
				load.allowDeletes(true)
				r.until("it notices", func() bool {
					status, ok := r.status()
					return ok && status.Phase == "connecting" && strings.Contains(status.LastError, slapd.URI())
				})
				r.signal(syscall.SIGSTOP) // it is not to be back while the tree changes
				if err := slapd.Start(); err != nil {
					t.Fatal(err)
				}
				<-time.After(randomTime(rng, 300*time.Millisecond))
				load.allowTreeChanges(false)
				r.signal(syscall.SIGCONT)
				r.until("it is back", func() bool { status, ok := r.status(); return ok && status.Phase == "persist" })
				load.allowTreeChanges(true)
			}
			lines := len(s.journal("all"))
			r.until("it follows again", func() bool { return len(s.journal("all")) > lines+100 })
			load.stop()
			d := newDirectory(t, slapd)
			r.caughtUp(d)
			r.stop()
			s.mustOnce()
			checkCrashes(t, s, d, nil, true)
		})
	}
}

// The server is killed at random moments of refreshes: first while the empty mirror is
// filled, then while everything is loaded again. The daemon waits for it, starts the
// refresh anew, and nothing is lost or taken for deleted.
func TestScenario16SlapdKilledInRefresh(t *testing.T) {
	t.Parallel()
	slapd := slapdtest.Start(t, slapdtest.WithLDIF(slapdtest.People(3000, 3)), survivesKill)
	s := newSite(t)
	s.configure(slapd, instances()...)
	text, err := os.ReadFile(s.path("listenerd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("listenerd.yaml", strings.Replace(string(text), "state_dir:", "  full_reload_interval: 1h\nstate_dir:", 1))
	rng := newRandom(t)
	d := newDirectory(t, slapd)
	inRefresh := 0
	for i := range 8 {
		if i > 0 {
			s.age(2 * time.Hour)
		}
		d.modify(slapdtest.ListenerDN, []string{"description", fmt.Sprint("round ", i)})
		r := s.start()
		r.until("it is connected", func() bool { status, ok := r.status(); return ok && status.Phase != "connecting" })
		<-time.After(randomTime(rng, 100*time.Millisecond))
		status, _ := r.status()
		if err := slapd.Kill(); err != nil {
			t.Fatal(err)
		}
		if status.Phase == "refresh" {
			inRefresh++
		}
		r.until("it notices", func() bool { status, ok := r.status(); return ok && status.LastError != "" })
		if err := slapd.Start(); err != nil {
			t.Fatal(err)
		}
		d = newDirectory(t, slapd)
		d.unit(fmt.Sprint("after-", i), base)
		r.caughtUp(d)
		r.stop()
	}
	t.Logf("%d of the kills were in a refresh", inRefresh)
	s.mustOnce()
	checkReplicas(t, s, d)
	for _, doc := range s.journal("all") {
		if doc.Call == listener.KindRemove {
			t.Errorf("%s was removed", doc.DN)
		}
	}
}

// Both at once: the server and the daemon are killed, in either order.
func TestScenario16ProviderAndDaemonKilled(t *testing.T) {
	t.Parallel()
	slapd := slapdtest.Start(t, slapdtest.SessionLog(1000), survivesKill)
	s := newSite(t)
	s.configure(slapd, instances()...)
	rng := newRandom(t)
	load := startLoad(t, slapd, 2, rng)
	var crashes []crashed
	for i := range 6 {
		load.allowTreeChanges(false)
		r := s.start()
		r.until("it follows", func() bool { status, ok := r.status(); return ok && status.Phase == "persist" })
		load.allowTreeChanges(true)
		lines := len(s.journal("all"))
		r.until("it makes calls", func() bool { return len(s.journal("all")) > lines+50 })
		load.allowDeletes(false)
		newDirectory(t, slapd).unit(fmt.Sprintf("before-%d", i), base)
		if i%2 == 0 {
			r.killedWithin(rng, 50*time.Millisecond)
		}
		if err := slapd.Kill(); err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			r.killedWithin(rng, 50*time.Millisecond)
		}
		load.allowDeletes(true)
		crashes = append(crashes, s.crashed())
		if err := slapd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	load.stop()
	d := newDirectory(t, slapd)
	s.mustOnce()
	checkCrashes(t, s, d, crashes, true)
}
