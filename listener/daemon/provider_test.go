package daemon_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// A slapd that is killed forgets the contextCSN it has not written, and trusts a
// session log that it has just begun (seen on 2.5.13): deletes before the kill are
// never told then. With a checkpoint after each write it is all right, as far as the
// last write is no delete; see load.allowDeletes.
var survivesKill = slapdtest.Checkpoint(1, 1)

// The daemon outlives its server: it waits while there is none, and catches up.
func TestProviderRestarts(t *testing.T) {
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

// Both at once: the server and the daemon are killed, in either order.
func TestProviderAndDaemonKilled(t *testing.T) {
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
