package daemon_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// The example that gives numbers gives each person one of its own, with eight workers in
// goroutines and in processes, on a real memcached.
func TestUIDNumbers(t *testing.T) {
	t.Parallel()
	const people = 300
	slapd := slapdtest.Start(t, slapdtest.WithLDIF(slapdtest.People(people, 3)))
	d := newDirectory(t, slapd)
	for _, isolation := range []string{"none", "process"} {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			ctx, cancel := context.WithTimeout(context.Background(), 2*deadline)
			defer cancel()
			build := exec.CommandContext(ctx, "go", "build", "-o", s.path("example"), ".")
			build.Dir = filepath.Join(repository, "examples", "uid_numbers")
			if output, err := build.CombinedOutput(); err != nil {
				t.Fatalf("go build: %v: %s", err, output)
			}
			s.program = s.path("example")
			s.configure(slapd, "  - {name: uid-numbers, isolation: "+isolation+", quiet_period: 1h, retry: {min: 10ms, max: 100ms}, config: {first: 5000}}\n")
			s.addConfig("shared: {memcached: [\"" + slapdtest.Memcached(t) + "\"], required: true, timeout: 1m}")
			r := s.start()
			r.caughtUp(d)
			r.stop()

			at := filepath.Join(s.state(), "modules", "uid-numbers")
			persons, err := os.ReadDir(filepath.Join(at, "people"))
			d.must(err)
			numbers, err := os.ReadDir(filepath.Join(at, "numbers"))
			d.must(err)
			given := map[int]bool{}
			for _, p := range persons {
				text, err := os.ReadFile(filepath.Join(at, "people", p.Name()))
				d.must(err)
				n, err := strconv.Atoi(strings.TrimSpace(string(text)))
				d.must(err)
				if n < 5000 || n >= 5000+people || given[n] {
					t.Errorf("%s has the number %d", p.Name(), n)
				}
				given[n] = true
			}
			if len(persons) != people || len(numbers) != people {
				t.Errorf("%d people with numbers, %d numbers given, want %d", len(persons), len(numbers), people)
			}
			says(t, "log", 0, 0, r.output(), `"numbers_given":`+strconv.Itoa(people))
		})
	}
}
