package daemon_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/daemon"
	"github.com/listenerd/listenerd/listener/internal/admin"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
	"github.com/listenerd/listenerd/modules/event"
)

var killFor = flag.Duration("killfor", 3*time.Second, "how long TestWorkersAreKilled kills worker processes")

// killEvery is how often it does.
const killEvery = 50 * time.Millisecond

// pacer is a module that journals the beginning and the end of each call, whatever
// process makes it.
var pacer = listener.Define(
	listener.Spec{Name: "pacer", LDAPFilter: "(objectClass=*)"}, probeConfig{},
	func(_ context.Context, env listener.Env, c probeConfig) (listener.Handler, error) {
		return &pacerHandler{c.Path}, nil
	})

type pacerHandler struct{ path string }

func (h *pacerHandler) Create(ctx context.Context, _ *listener.Entry) error    { return h.call(ctx) }
func (h *pacerHandler) Modify(ctx context.Context, _, _ *listener.Entry) error { return h.call(ctx) }
func (h *pacerHandler) Remove(ctx context.Context, _ *listener.Entry) error    { return h.call(ctx) }

const end = "end"

func (h *pacerHandler) call(ctx context.Context) error {
	info := listener.CallInfo(ctx)
	if err := h.write(&info); err != nil {
		return err
	}
	<-time.After(time.Millisecond) // the work
	info.Kind = end
	return h.write(&info)
}

// write begins with an end of line: a process that is killed may leave half of one.
func (h *pacerHandler) write(info *listener.Call) error {
	return appendLine(h.path, event.Encoder{}.Append([]byte{'\n'}, time.Now(), info))
}

// appendLine writes a line as one piece, also among processes.
func appendLine(path string, line []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// However often worker processes are killed while the directory changes, no change is
// lost, and the calls of an entry neither overlap nor change their order.
func TestWorkersAreKilled(t *testing.T) {
	t.Parallel()
	slapd := slapdtest.Start(t)
	d := newDirectory(t, slapd)
	s := newSite(t)
	s.configure(slapd, instance("pacer", "pacer", "isolation: process", "run_asynchronously: true", "parallelism: 4", "retry: {min: 10ms, max: 100ms}"))
	s.read["pacer.jsonl"] = &journal{path: s.path("pacer.jsonl"), torn: true}
	rng := newRandom(t)
	r := s.start()
	r.until("it follows", func() bool { status, ok := r.status(); return ok && status.Phase == "persist" })
	load := startLoad(t, slapd, 2, rng)
	kills := killWorkers(t, r, rng, *killFor)
	load.stop()
	r.caughtUp(d)
	var restarts int
	r.until("others have taken their places", func() bool {
		restarts = 0
		for _, w := range r.module("pacer").Workers {
			restarts += w.Restarts
			if w.LastExit == "" && w.Restarts > 0 || w.PID == 0 && w.State != "starting" && w.State != "waiting" {
				t.Errorf("worker %+v", w)
			}
		}
		return restarts >= kills
	})
	r.stop()
	unique, repeated := checkPaces(t, s.journal("pacer"))
	t.Logf("%d kills, %d restarts, %d calls, %d repetitions", kills, restarts, len(unique), repeated)
	f := follower{name: "pacer", filter: "(objectClass=*)", parallel: true}
	replica := f.replay(unique)
	replica.compare(d)
	report(t, replica.problems)
}

// killWorkers kills a worker process every 50 ms, for as long as it is told and some in
// any case, and returns how many.
func killWorkers(t *testing.T, r *run, rng *rand.Rand, for_ time.Duration) int {
	killed := map[int]bool{} // by PID: one may be shown for a while when it is dead
	tick := time.NewTicker(killEvery)
	defer tick.Stop()
	enough := time.After(for_)
	for {
		select {
		case <-enough:
			enough = nil
		case <-tick.C:
		}
		if enough == nil && len(killed) >= 5 {
			return len(killed)
		}
		status, ok := r.status()
		if !ok {
			t.Fatal("the daemon does not answer")
		}
		pid := status.Modules[0].Workers[rng.IntN(len(status.Modules[0].Workers))].PID
		if pid == 0 {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
		killed[pid] = true
	}
}

// checkPaces checks that calls of an entry did not overlap, and returns the documents
// without repetitions. A call may be repeated, with the same content, until the next one
// of its entry.
func checkPaces(t *testing.T, docs []event.Document) (unique []event.Document, repeated int) {
	t.Helper()
	last := map[string]event.Document{} // by entry, the call that began last
	ended := map[string]bool{}          // by entry, whether that one has ended
	for _, d := range docs {
		before, known := last[d.UUID]
		if d.Call == end {
			if before.Seq != d.Seq {
				t.Errorf("seq %d of %s ended after seq %d had begun", d.Seq, before.DN, before.Seq)
			}
			ended[d.UUID] = true
			continue
		}
		if known && before.Seq == d.Seq {
			repeated++
			if describe(before) != describe(d) {
				t.Errorf("repeated as %s, it was %s", describe(d), describe(before))
			}
			continue // what ends later may have been the first one
		}
		if known && (d.Seq < before.Seq || !ended[d.UUID]) {
			t.Errorf("seq %d of %s began after seq %d, which has ended: %v", d.Seq, d.DN, before.Seq, ended[d.UUID])
		}
		last[d.UUID], ended[d.UUID] = d, false
		unique = append(unique, d)
	}
	return unique, repeated
}

// witness is a module that tells what a worker process is like.
var witness = listener.Define(
	listener.Spec{Name: "witness", LDAPFilter: "(objectClass=inetOrgPerson)"}, witnessConfig{},
	func(_ context.Context, env listener.Env, c witnessConfig) (listener.Handler, error) {
		return &witnessHandler{env: env, config: c}, nil
	})

type witnessConfig struct {
	Path   string   `yaml:"path"`
	Secret string   `yaml:"secret"`
	Lists  []string `yaml:"lists"`
	Same   []string `yaml:"same"`
}

type witnessHandler struct {
	listener.Base
	env    listener.Env
	config witnessConfig
}

// testimony is what a call of the witness writes.
type testimony struct {
	UID, PID, Parent, User int
	Attempt                int
	Count                  uint64
	Found, Colour, Surname string
	Config                 witnessConfig
	State                  []string
}

var _ listener.PostRunner = (*witnessHandler)(nil)

func (h *witnessHandler) PostRun(context.Context) error {
	h.env.Log.Info("that was all", zap.Int("pid", os.Getpid()))
	return nil
}

func (h *witnessHandler) Create(ctx context.Context, new *listener.Entry) error {
	call := listener.CallInfo(ctx)
	tell := testimony{PID: os.Getpid(), Parent: os.Getppid(), User: os.Getuid(), Config: h.config, Colour: os.Getenv("COLOUR"), Attempt: call.Attempt, Surname: new.Get("surname")}
	var err error
	if tell.Count, err = h.env.Shared.Incr(ctx, "count", 1); err != nil {
		return err
	}
	if call.Attempt == 1 && new.Get("title") == "crash" {
		fmt.Println("about to crash")
		os.Exit(9)
	}
	conn, err := h.env.LDAP(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	found, err := conn.Search(ldap.NewSearchRequest(new.DN(), ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"mail"}, nil))
	if err != nil {
		return err
	}
	tell.Found = found.Entries[0].GetAttributeValue("mail")
	if err := os.WriteFile(filepath.Join(h.env.StateDir, new.Get("uid")), nil, 0o600); err != nil {
		return err
	}
	entries, err := os.ReadDir(h.env.StateDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		tell.State = append(tell.State, e.Name())
	}
	line, err := json.Marshal(tell)
	if err != nil {
		return err
	}
	return appendLine(h.config.Path, line)
}

func (s *site) testimonies(name string) (out []testimony) {
	s.t.Helper()
	text, err := os.ReadFile(s.path(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var tell testimony
		if err := json.Unmarshal([]byte(line), &tell); err != nil {
			s.t.Fatal(err)
		}
		out = append(out, tell)
	}
	return out
}

const moduleSecret = "m0dule-s3cret-0815"

// A module has in a worker process what it has in the daemon's: its configuration,
// look-ups, shared variables, log and state directory; and none of the secrets shows
// outside.
func TestIsolatedModule(t *testing.T) {
	t.Parallel()
	cache := slapdtest.Memcached(t)
	for name, shared := range map[string]string{"InProcess": "", "Memcached": "shared: {memcached: [\"" + cache + "\"], timeout: 1m}"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slapd := slapdtest.Start(t)
			d := newDirectory(t, slapd)
			s := newSite(t)
			s.configure(slapd, `  - name: w
    module: witness
    isolation: process
    run_asynchronously: true
    parallelism: 3
    env: {COLOUR: red}
    nice: 3
    memory_limit: 1GiB
    quiet_period: 1h
    retry: {min: 10ms, max: 100ms}
    config: {path: w.jsonl, secret: `+moduleSecret+`, lists: &l [a, "1"], same: *l}
`)
			s.addConfig(shared)
			r := s.start()
			r.caughtUp(d)
			for i := range 20 {
				d.person(fmt.Sprintf("p%d", i), base)
			}
			r.caughtUp(d) // so that no other call waits for a process
			d.person("bad", base, "title", "crash")
			r.caughtUp(d)
			told := s.testimonies("w.jsonl")
			if len(told) != 21 {
				t.Fatalf("%d calls succeeded", len(told))
			}
			var module admin.ModuleStatus
			var pids []int
			var restarts int
			var last string
			r.until("another process is in the place of the one that crashed", func() bool {
				module, pids, restarts, last = r.module("w"), nil, 0, ""
				for _, w := range module.Workers {
					if w.State == "idle" {
						pids = append(pids, w.PID)
					}
					restarts += w.Restarts
					last += w.LastExit
				}
				return len(pids) == 3 && restarts > 0
			})
			if restarts != 1 || last != "exit status 9" || module.Failures != 1 {
				t.Errorf("status %+v", module)
			}
			counted := map[uint64]bool{}
			for _, tell := range told {
				counted[tell.Count] = true
				if tell.Parent != r.process.PID() || tell.PID == tell.Parent || !strings.HasSuffix(tell.Found, "@example.com") || tell.Colour != "red" || !strings.HasPrefix(tell.Surname, "Sn of ") ||
					tell.Config.Secret != moduleSecret || !slices.Equal(tell.Config.Same, []string{"a", "1"}) || len(tell.State) == 0 {
					t.Errorf("a call told %+v", tell)
				}
			}
			if len(counted) != 21 {
				t.Errorf("%d numbers for 21 calls", len(counted))
			}
			text := s.command("status", "-c", "listenerd.yaml")
			says(t, "status", text.code, 0, text.stdout, "WORKER OF", fmt.Sprint(pids[0]), "idle", "exit status 9")
			says(t, "modules", 0, 0, s.command("modules", "-c", "listenerd.yaml").stdout, "asynchronously, in 3 processes")
			for _, pid := range append(pids, r.process.PID()) {
				for _, file := range []string{"cmdline", "environ"} {
					shown, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
					if err != nil {
						t.Fatal(err)
					}
					for _, secret := range []string{moduleSecret, slapdtest.ListenerPassword} {
						if bytes.Contains(shown, []byte(secret)) {
							t.Errorf("the secret %q is in %s of process %d", secret, file, pid)
						}
					}
				}
			}
			for range 2 { // as a service manager, which signals all; the daemon decides
				for _, pid := range pids {
					d.must(syscall.Kill(pid, syscall.SIGTERM))
				}
			}
			r.stop()
			says(t, "log", 0, 0, r.output(), `"module":"w","msg":"that was all","pid":`, `"msg":"about to crash","stream":"stdout"`)
			if strings.Contains(r.output(), moduleSecret) || strings.Count(r.output(), "a worker process has ended") != 1 {
				t.Errorf("log: %s", r.output())
			}
			for _, pid := range pids {
				if err := syscall.Kill(pid, 0); err == nil {
					t.Errorf("the worker process %d is still there", pid)
				}
			}
		})
	}
}

// Workers of a daemon that is killed end with it, and the next daemon goes on.
func TestKilledDaemonLeavesNoWorkers(t *testing.T) {
	t.Parallel()
	slapd := slapdtest.Start(t)
	d := newDirectory(t, slapd)
	s := newSite(t)
	s.configure(slapd, instance("w", "witness", "isolation: process", "run_asynchronously: true", "parallelism: 2"))
	r := s.start()
	r.caughtUp(d)
	status, _ := r.status()
	r.process.Kill()
	eventually(t, "no worker is left", func() bool {
		for _, w := range status.Modules[0].Workers {
			if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", w.PID)); err == nil && bytes.Contains(text, []byte("worker")) {
				return false
			}
		}
		return true
	})
	d.person("later", base)
	r = s.start()
	r.caughtUp(d)
	if told := s.testimonies("w.jsonl"); len(told) == 0 {
		t.Error("no call was made")
	}
	r.stop()
}

// A module of another user has its state directory, and reads nothing of the daemon's.
func TestModuleOfAnotherUser(t *testing.T) {
	t.Parallel()
	slapd := slapdtest.Start(t)
	d := newDirectory(t, slapd)
	s := newSite(t)
	s.configure(slapd, instance("w", "witness", "isolation: process", "user: nobody"))
	d.person("a", base)
	if os.Getuid() != 0 {
		code, output := s.once()
		says(t, "run", code, 1, output, "as user nobody", "only a daemon that runs as root")
		return
	}
	for dir := s.dir; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		d.must(os.Chmod(dir, 0o711))
	}
	d.must(os.WriteFile(s.path("w.jsonl"), nil, 0o666))
	d.must(os.Chmod(s.path("w.jsonl"), 0o666))
	program, err := os.ReadFile(s.program) // where nobody else may go
	d.must(err)
	s.program = s.path("program")
	d.must(os.WriteFile(s.program, program, 0o755))
	d.must(os.Chmod(s.program, 0o755))
	s.mustOnce()
	told := s.testimonies("w.jsonl")
	if len(told) != 1 || told[0].User == 0 || !slices.Equal(told[0].State, []string{"a"}) {
		t.Errorf("calls told %+v", told)
	}
	for path, want := range map[string]os.FileMode{"state": 0o711, "state/modules": 0o711, "state/modules/w": 0o700, "state/listenerd.db": 0o600} {
		info, err := os.Stat(s.path(path))
		d.must(err)
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), want)
		}
	}
}

// What cannot be is refused at the start, with a reason.
func TestIsolationRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	slapd := slapdtest.Start(t)
	s.configure(slapd, instance("refusing", "probe", "isolation: process", "config.do: refuse"))
	code, output := s.once()
	says(t, "run", code, 1, output, "open module refusing: worker process: the probe does not open")
	r := s.command("worker")
	says(t, "worker", r.code, 1, r.stderr, "this command is for the daemon itself")
	says(t, "help", 0, 0, s.command("--help").stdout, "Available Commands")
	if strings.Contains(s.command("--help").stdout, "worker") {
		t.Error("the command worker is shown")
	}

	// A program that embeds the engine and does not say how its workers are started.
	_, err := daemon.New(daemon.Options{Config: []byte("ldap: {uri: ldap://h, base: dc=x}\nmodules:\n- {name: probe, isolation: process, config: {path: p}}\n")}, probe)
	if err == nil || err.Error() != "configuration:3: modules.isolation: this program cannot start worker processes of its own; its author has to set Options.Worker" {
		t.Errorf("error %v", err)
	}
}
