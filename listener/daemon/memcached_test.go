package daemon_test

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener/internal/process"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// While memcached is down a module that needs it has its calls repeated, status says so,
// and when it is there again nothing has to be restarted. A daemon that requires it does
// not start.
func TestMemcachedDown(t *testing.T) {
	t.Parallel()
	programs, err := slapdtest.Locate()
	if err != nil {
		t.Fatal(err)
	}
	slapd := slapdtest.Start(t)
	d := newDirectory(t, slapd)
	d.person("a", base)
	for _, isolation := range []string{"none", "process"} {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "mc") // short enough for a socket
			d.must(err)
			t.Cleanup(func() { d.must(os.RemoveAll(dir)) })
			socket := filepath.Join(dir, "sock")
			s := newSite(t)
			configure := func(required string) {
				s.configure(slapd, instance("w", "witness", "isolation: "+isolation, "run_asynchronously: true", "parallelism: 2", "retry: {min: 10ms, max: 100ms}"))
				s.addConfig("shared: {memcached: [" + socket + "], required: " + required + ", timeout: 1m}")
			}
			configure("true")
			code, output := s.once()
			says(t, "required", code, 1, output, socket, "start memcached, or set shared.required to false")

			configure("false")
			r := s.start()
			r.until("a call fails and the status says why", func() bool {
				status, ok := r.status()
				return ok && status.Modules[0].Failures > 1 && strings.Contains(status.Modules[0].LastError, "shared state unavailable") &&
					status.Shared.Kind == "memcached" && status.Shared.Unavailable[socket] != ""
			})
			if n := strings.Count(r.output(), "memcached does not answer: what modules share there is unavailable until it does"); n != 1 {
				t.Errorf("the log says %d times that memcached does not answer: %s", n, r.output())
			}
			says(t, "status", 0, 0, s.command("status", "-c", "listenerd.yaml").stdout, socket+" does not answer")

			args := []string{"-s", socket, "-t", "2"}
			if u, err := user.Current(); err == nil && u.Uid == "0" {
				args = append(args, "-u", u.Username)
			}
			cache, err := process.Start(exec.Command(programs.Memcached, args...), filepath.Join(dir, "log"))
			d.must(err)
			t.Cleanup(cache.Kill)
			r.caughtUp(d)
			r.until("the status is clean", func() bool { status, ok := r.status(); return ok && len(status.Shared.Unavailable) == 0 })
			r.stop()
			if told := s.testimonies("w.jsonl"); len(told) != 1 || told[0].Attempt < 2 || told[0].Count != 1 {
				t.Errorf("calls told %+v", told)
			}
		})
	}
}
