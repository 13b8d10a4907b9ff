package daemon_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/daemon"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// page is a writer that can be read meanwhile.
type page struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

// lines returns what was written, without the cookies, and their number.
func (p *page) lines() (lines []string, cookies int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range strings.Lines(p.text.String()) {
		if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, "cookie ") {
			cookies++
		} else {
			lines = append(lines, line)
		}
	}
	return lines, cookies
}

// embedded runs a daemon in the test's process. stop ends it; it must return nil.
func embedded(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func embeddedConfig(t *testing.T, server *slapdtest.Server) string {
	t.Helper()
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(slapdtest.ListenerPassword), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("ldap: {uri: %q, base: %q, bind: {dn: %q, password_file: %s}}\nstate_dir: %s\nlog: {level: error}\nmodules: [{name: people}]\n",
		server.URI(), base, slapdtest.ListenerDN, secret, filepath.Join(dir, "state"))
}

// The program of Example_embedded hears of each of the six.
func TestExampleEmbedded(t *testing.T) {
	t.Parallel()
	server := slapdtest.Start(t)
	d := newDirectory(t, server)
	ada := d.person("ada", base)
	config := embeddedConfig(t, server)
	var out page
	stop := embedded(t, func(ctx context.Context) error { return follow(ctx, config, &out) })
	told := []string{}
	expect := func(what string, want ...string) {
		t.Helper()
		told = append(told, want...)
		eventually(t, what, func() bool { lines, _ := out.lines(); return len(lines) >= len(told) },
			func() string { return fmt.Sprint(out.lines()) })
		if lines, _ := out.lines(); !slices.Equal(lines, told) {
			t.Fatalf("%s: told %q, want %q", what, lines, told)
		}
	}
	// Calls do not wait for what the program does with the entries.
	eventually(t, "the refresh and a call", func() bool { lines, _ := out.lines(); return len(lines) == 4 })
	told, _ = out.lines()
	want := []string{"added " + ada.dn, "there is " + slapdtest.ListenerDN, "there is " + base, "there is " + ada.dn}
	if !slices.Equal(slices.Sorted(slices.Values(told)), slices.Sorted(slices.Values(want))) {
		t.Fatalf("told %q, want %q", told, want)
	}
	d.modify(ada.dn, []string{"sn", "King"})
	expect("a change", fmt.Sprintf(`changed %s: sn is not ["Sn of ada"] but ["King"]`, ada.dn))
	moved := "uid=lovelace," + base
	d.rename(ada.dn, "uid=lovelace", "")
	expect("a rename", "renamed "+ada.dn+" to "+moved, fmt.Sprintf(`changed %s: uid is not ["ada"] but ["lovelace"]`, moved))
	d.delete(moved)
	expect("a delete", "deleted "+moved)
	stop()
	if _, cookies := out.lines(); cookies < 2 || cookies > 4 {
		t.Errorf("%d cookies", cookies)
	}

	// The next run knows all that: there is nothing to tell but that it is up to date.
	stop = embedded(t, func(ctx context.Context) error { return follow(ctx, config, &out) })
	expect("the second run", "there is "+base, "there is "+slapdtest.ListenerDN)
	stop()
}

// Entries hands out the whole mirror in tree order, while changes are made, and
// nothing while no daemon runs.
func TestEntries(t *testing.T) {
	t.Parallel()
	const people = 2000
	server := slapdtest.Start(t, slapdtest.WithLDIF(slapdtest.People(people, 1)))
	dir := newDirectory(t, server)
	module := listener.Define(listener.Spec{Name: "people", LDAPFilter: "(uid=nobody)"}, struct{}{},
		func(context.Context, listener.Env, struct{}) (listener.Handler, error) { return listener.Base{}, nil })
	var d *daemon.Daemon
	refreshed := make(chan int, 10)
	d, err := daemon.New(daemon.Options{
		Config: []byte(embeddedConfig(t, server)), Log: zap.NewNop(),
		RefreshDone: func(entries iter.Seq2[*listener.Entry, error]) {
			n := 0
			for _, err := range entries {
				if err != nil {
					t.Error(err)
				}
				n++
			}
			refreshed <- n
		},
	}, module)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(when string) {
		t.Helper()
		n := 0
		for e, err := range d.Entries() {
			if n++; e != nil || !errors.Is(err, daemon.ErrNotRunning) {
				t.Errorf("%s: %v, %v", when, e, err)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d results", when, n)
		}
	}
	refused("before Run")
	stop := embedded(t, d.Run)
	eventually(t, "the refresh", func() bool { return len(refreshed) > 0 })
	total := <-refreshed
	if want := len(dir.below(base)); total != want || total < people {
		t.Errorf("%d entries after the refresh, want %d", total, want)
	}

	seen := map[string]bool{"": true}
	added := 0
	for e, err := range d.Entries() {
		if err != nil {
			t.Fatal(err)
		}
		_, parent, _ := strings.Cut(e.DN(), ",")
		if e.DN() != base && !seen[parent] {
			t.Errorf("%s comes before its parent", e.DN())
		}
		if e.Get("objectClass") == "" || e.Get("entryUUID") != e.UUID().String() {
			t.Errorf("%s has not all its attributes", e.DN())
		}
		seen[e.DN()] = true
		if len(seen)%100 == 0 {
			dir.person(fmt.Sprint("zz", added), base)
			added++
		}
	}
	if n := len(seen) - 1; n < total || n > total+added {
		t.Errorf("%d entries, want %d to %d", n, total, total+added)
	}
	for range d.Entries() {
		break // as early as it likes
	}
	stop()
	refused("after Run")
}

// Mistakes in a configuration without a file name the lines all the same.
func TestConfigWithoutFile(t *testing.T) {
	t.Parallel()
	_, err := daemon.New(daemon.Options{Config: []byte("ldap:\n  uri: ldap://h\n  bases: dc=x\n")})
	if err == nil || !strings.Contains(err.Error(), `configuration:3: unknown key "bases"; did you mean "base"?`) {
		t.Errorf("error %v", err)
	}
	if _, err = daemon.New(daemon.Options{Config: []byte{}, ConfigFile: "/etc/a.yaml"}); err == nil || !strings.Contains(err.Error(), "/etc/a.yaml: the file is empty") {
		t.Errorf("error %v", err)
	}
}
