package daemon_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener/internal/admin"
	"github.com/listenerd/listenerd/listener/internal/process"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/modules/event"
)

// deadline for anything that is waited for: far beyond what it takes, also on a machine
// with few processors and much to do.
const deadline = 3 * time.Minute

// wrongPassword is given to daemons that must not get in.
const wrongPassword = "wr0ng-pAssw0rd-4711"

// site is a place where daemons run, one after the other: configuration, state and
// what they wrote. At the end of the test it looks for secrets in all of it, and
// checks the state file.
type site struct {
	t       testing.TB
	dir     string
	program string
	running *run
	read    map[string]*journal // by instance
	follow  []follower          // the instances, where the checks need to know them
	fault   string              // where the next programs die; see package fault

	mu      sync.Mutex // guards what follows
	outputs []string
	logs    int
}

func newSite(t testing.TB) *site {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: t.TempDir(), program: program, read: map[string]*journal{}, follow: followers}
	s.write("ldap.secret", slapdtest.ListenerPassword+"\n")
	t.Cleanup(s.close)
	return s
}

func (s *site) close() {
	if s.running != nil {
		s.running.process.Kill()
	}
	s.checkSecrets()
	if _, err := os.Stat(filepath.Join(s.state(), store.FileName)); err == nil && !s.t.Failed() {
		s.inspect(func(*store.Tx) error { return nil })
	}
	if s.t.Failed() && s.running != nil {
		s.t.Logf("the end of the last log: %s", s.running.process.Output())
	}
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }
func (s *site) state() string           { return s.path("state") }

func (s *site) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// configure writes a configuration that follows the server, with the modules that
// [instance] returned.
func (s *site) configure(server *slapdtest.Server, modules ...string) {
	s.t.Helper()
	s.configureURI(server.URI(), modules...)
}

// configureURI is configure for a server behind that URI.
func (s *site) configureURI(uri string, modules ...string) {
	s.t.Helper()
	s.write("listenerd.yaml", "ldap:\n"+
		"  uri: "+uri+"\n"+
		"  base: "+slapdtest.BaseDN+"\n"+
		"  bind: {dn: \""+slapdtest.ListenerDN+"\", password_file: ldap.secret}\n"+
		"state_dir: state\n"+
		"modules:\n"+strings.Join(modules, ""))
}

// addConfig adds a line to the configuration.
func (s *site) addConfig(line string) {
	s.t.Helper()
	text, err := os.ReadFile(s.path("listenerd.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("listenerd.yaml", string(text)+line+"\n")
}

// instance returns a module for the configuration. It journals to NAME.jsonl. keys
// are lines of its section; those with config.KEY go into config.
func instance(name, module string, keys ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - name: %s\n    module: %s\n", name, module)
	config := "    config: {path: " + name + ".jsonl"
	quiet := "    quiet_period: 1h\n" // runs end when the daemon does
	for _, k := range keys {
		if rest, ok := strings.CutPrefix(k, "config."); ok {
			config += ", " + rest
			continue
		}
		if strings.HasPrefix(k, "quiet_period:") {
			quiet = ""
		}
		b.WriteString("    " + k + "\n")
	}
	return b.String() + quiet + config + "}\n"
}

// journal returns what an instance has written: whole lines.
func (s *site) journal(name string) []event.Document {
	s.t.Helper()
	return s.journalFile(name + ".jsonl")
}

func (s *site) journalFile(name string) []event.Document {
	s.t.Helper()
	if s.read[name] == nil {
		s.read[name] = &journal{path: s.path(name)}
	}
	return s.read[name].next(s.t)
}

// run is a started listenerd.
type run struct {
	site    *site
	process *process.Process
	log     string
	done    bool
}

// start starts "listenerd run" with the site's configuration.
func (s *site) start(flags ...string) *run {
	s.t.Helper()
	return s.startWith("listenerd.yaml", flags...)
}

func (s *site) startWith(config string, flags ...string) *run {
	s.t.Helper()
	s.mu.Lock()
	s.logs++
	log := s.path(fmt.Sprintf("run-%d.log", s.logs))
	s.mu.Unlock()
	cmd := exec.Command(s.program, append([]string{"run", "-c", config}, flags...)...)
	cmd.Dir, cmd.Env = s.dir, s.environment()
	p, err := process.Start(cmd, log)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Kill)
	r := &run{site: s, process: p, log: log}
	s.running = r
	return r
}

// once runs "listenerd run --once" and returns its exit code and output.
func (s *site) once() (code int, output string) {
	s.t.Helper()
	return s.start("--once").wait()
}

// environment is that of the site's programs.
func (s *site) environment() []string {
	if s.fault != "" {
		return append(environment(), "LISTENERD_FAULT="+s.fault)
	}
	return environment()
}

// environment is that of a listenerd. With the race detector it does not sleep for a
// second before it exits, as it would by default.
func environment() []string {
	return append(os.Environ(), asDaemon+"=1", "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
}

// mustOnce is once that has to succeed.
func (s *site) mustOnce() {
	s.t.Helper()
	if code, output := s.once(); code != 0 {
		s.t.Fatalf("run --once: exit code %d: %s", code, output)
	}
}

// wait waits for the end and returns the exit code, -1 for a signal, and all output.
func (r *run) wait() (code int, output string) {
	r.site.t.Helper()
	limit := time.NewTimer(deadline)
	defer limit.Stop()
	select {
	case <-r.process.Done():
	case <-limit.C:
		r.process.Kill()
		r.site.t.Fatalf("listenerd still runs after %v: %s", deadline, r.output())
	}
	if err := r.process.Err(); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			r.site.t.Fatal(err)
		}
		code = exit.ExitCode()
	}
	r.done = true
	return code, r.output()
}

func (r *run) output() string {
	r.site.t.Helper()
	b, err := os.ReadFile(r.log)
	if err != nil {
		r.site.t.Fatal(err)
	}
	return string(b)
}

func (r *run) signal(sig syscall.Signal) {
	r.site.t.Helper()
	if err := syscall.Kill(r.process.PID(), sig); err != nil {
		r.site.t.Fatal(err)
	}
}

// stop ends the daemon with SIGTERM; it must exit with 0.
func (r *run) stop() {
	r.site.t.Helper()
	r.signal(syscall.SIGTERM)
	if code, output := r.wait(); code != 0 {
		r.site.t.Fatalf("after SIGTERM: exit code %d: %s", code, output)
	}
}

// until waits for the condition, and fails the test if the daemon ends before.
func (r *run) until(what string, holds func() bool) {
	r.site.t.Helper()
	eventually(r.site.t, what, func() bool {
		if holds() {
			return true
		}
		select {
		case <-r.process.Done():
			r.site.t.Fatalf("listenerd has ended before %s: %s", what, r.output())
		default:
		}
		return false
	}, func() string { return fmt.Sprintf("status %+v\nlog: %s", r.lastStatus(), r.process.Output()) })
}

func (r *run) lastStatus() any {
	s, err := admin.NewClient(r.site.state()).Status(context.Background())
	if err != nil {
		return err
	}
	return s
}

// status asks the daemon on its socket; ok is false while it does not answer.
func (r *run) status() (s admin.Status, ok bool) {
	s, err := admin.NewClient(r.site.state()).Status(context.Background())
	return s, err == nil && s.PID == r.process.PID()
}

// caughtUp waits until the daemon follows live, has what the server has, and every
// module has been told.
func (r *run) caughtUp(d *directory) {
	r.site.t.Helper()
	csn := d.contextCSN()
	r.until("it has caught up", func() bool {
		s, ok := r.status()
		if !ok || s.Phase != "persist" || s.Subtrees > 0 || !strings.Contains(s.Cookie, csn) {
			return false
		}
		for _, m := range s.Modules {
			if m.State != "idle" || m.Queued > 0 {
				return false
			}
		}
		return true
	})
}

// eventually waits until the condition holds. details may tell what there was
// instead.
func eventually(t testing.TB, what string, holds func() bool, details ...func() string) {
	t.Helper()
	limit := time.NewTimer(deadline)
	defer limit.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for !holds() {
		select {
		case <-poll.C:
		case <-limit.C:
			text := ""
			for _, d := range details {
				text += "\n" + d()
			}
			t.Fatalf("after %v: not yet %s%s", deadline, what, text)
		}
	}
}

// result is what a command printed.
type result struct {
	code           int
	stdout, stderr string
}

// command runs a command that ends by itself.
func (s *site) command(args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.Dir, cmd.Env = s.dir, s.environment()
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	r := result{stdout: stdout.String(), stderr: stderr.String()}
	s.mu.Lock()
	s.outputs = append(s.outputs, r.stdout, r.stderr)
	s.mu.Unlock()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && ctx.Err() == nil {
		r.code = exit.ExitCode()
	} else if err != nil {
		s.t.Fatalf("listenerd %q: %v", args, err)
	}
	return r
}

// checkSecrets looks for passwords in everything that was printed, logged and
// journalled.
func (s *site) checkSecrets() {
	files, err := filepath.Glob(s.path("*.log"))
	if err != nil {
		s.t.Error(err)
	}
	journals, err := filepath.Glob(s.path("*.jsonl"))
	if err != nil {
		s.t.Error(err)
	}
	texts := map[string]string{"the output of a command": strings.Join(s.outputs, "\n")}
	for _, name := range append(files, journals...) {
		b, err := os.ReadFile(name)
		if err != nil {
			s.t.Error(err)
		}
		texts[filepath.Base(name)] = string(b)
	}
	for where, text := range texts {
		for _, secret := range []string{slapdtest.ListenerPassword, slapdtest.RootPassword, wrongPassword, "{SSHA}"} {
			if strings.Contains(text, secret) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(secret))) {
				s.t.Errorf("the secret %q is in %s", secret, where)
			}
		}
	}
}

// inspect opens the state file, which no daemon may use, checks its structure and
// reads from it.
func (s *site) inspect(read func(*store.Tx) error) {
	s.t.Helper()
	st, err := store.Open(s.state())
	if err != nil {
		s.t.Fatal(err)
	}
	if err := errors.Join(st.Check(), st.View(read), st.Close()); err != nil {
		s.t.Fatal(err)
	}
}
