package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/process"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// benchmark is one way to read the whole directory.
type benchmark struct {
	name string
	once bool // too slow to repeat
	// What the project promises; 0: nothing.
	maxRatio float64 // of the time of the first benchmark
	maxAnon  int64   // bytes
	// absent says why the benchmark cannot run here; empty if it can.
	absent func(*provider) string
	run    func(context.Context, *provider) (result, error)
}

// result is one run of a benchmark.
type result struct {
	took time.Duration
	anon int64 // peak of the process's anonymous memory in bytes; 0: not measured
}

// benchmarks are what bench runs. The first is what the others are compared to.
var benchmarks = []benchmark{
	{name: "ldapsearch sync=ro", absent: present, run: ldapsearch},
	{name: "listenerd mirror fill", maxRatio: 1, maxAnon: 200 << 20, absent: withoutDaemon, run: mirrorFill},
	{name: "listenerd resume, all present", maxAnon: 200 << 20, absent: withoutDaemon, run: mirrorResume},
	{name: "go-ldap Syncrepl, counting", once: true, absent: present, run: goLDAP},
	{name: "python-ldap, counting", once: true, absent: withoutPythonLDAP, run: pythonLDAP},
}

func present(*provider) string { return "" }

func ldapsearch(ctx context.Context, p *provider) (result, error) {
	cmd := exec.CommandContext(ctx, p.programs.LDAPSearch, "-x", "-H", p.server.URI(), "-D", slapdtest.ListenerDN, "-y", p.secret,
		"-b", slapdtest.BaseDN, "-E", "!sync=ro", "(objectClass=*)", "*", "+")
	var messages strings.Builder
	cmd.Stderr = &messages // a nil Stdout is the null device
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return result{}, fmt.Errorf("%w: %s", err, messages.String())
	}
	return result{took: time.Since(began)}, nil
}

var program = filepath.Join("bin", "listenerd")

func withoutDaemon(*provider) string {
	if _, err := os.Stat(program); err != nil {
		return "'make build' builds " + program
	}
	return ""
}

// mirrorFill runs the daemon without modules until its empty mirror is filled and
// durable, from its start to its exit.
func mirrorFill(ctx context.Context, p *provider) (r result, err error) {
	dir, err := os.MkdirTemp(p.dir, "mirror")
	if err != nil {
		return r, err
	}
	defer func() {
		if removeErr := os.RemoveAll(dir); err == nil {
			err = removeErr
		}
	}()
	return p.follow(ctx, dir)
}

// mirrorResume runs the daemon on a filled mirror when one entry has changed. Without
// a session log slapd names every entry that is still there.
func mirrorResume(ctx context.Context, p *provider) (r result, err error) {
	dir := filepath.Join(p.dir, "filled")
	if err := os.Mkdir(dir, 0o700); err == nil {
		if _, err := p.follow(ctx, dir); err != nil {
			return r, err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return r, err
	}
	if err := p.change(); err != nil {
		return r, err
	}
	return p.follow(ctx, dir)
}

// follow runs the daemon once with its state in dir, without modules.
func (p *provider) follow(ctx context.Context, dir string) (r result, err error) {
	config := filepath.Join(dir, "listenerd.yaml")
	yaml := fmt.Sprintf(`ldap:
  uri: [%q]
  base: %q
  bind: {method: simple, dn: %q, password_file: %q}
state_dir: %q
modules: []
`, p.server.URI(), slapdtest.BaseDN, slapdtest.ListenerDN, p.secret, dir)
	if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
		return r, err
	}
	began := time.Now()
	proc, err := process.Start(exec.Command(program, "run", "--once", "-c", config), filepath.Join(dir, "log"))
	if err != nil {
		return r, err
	}
	sample := time.NewTicker(10 * time.Millisecond)
	defer sample.Stop()
	for {
		select {
		case <-proc.Done():
			r.took = time.Since(began)
			return r, proc.Err()
		case <-sample.C:
			r.anon = max(r.anon, anonymousMemory(proc.PID()))
		case <-ctx.Done():
			proc.Kill()
			return r, ctx.Err()
		}
	}
}

// change modifies one entry.
func (p *provider) change() error {
	conn, err := p.server.Dial(slapdtest.RootDN, slapdtest.RootPassword)
	if err != nil {
		return err
	}
	defer conn.Close()
	request := ldap.NewModifyRequest(slapdtest.BaseDN, nil)
	request.Replace("description", []string{time.Now().Format(time.RFC3339Nano)})
	return conn.Modify(request)
}

// anonymousMemory returns RssAnon of a process, 0 if it has ended.
func anonymousMemory(pid int) int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseInt(fields[0], 10, 64)
	return kib << 10
}

func goLDAP(ctx context.Context, p *provider) (result, error) {
	conn, err := p.server.Dial(slapdtest.ListenerDN, slapdtest.ListenerPassword)
	if err != nil {
		return result{}, err
	}
	defer conn.Close()
	request := ldap.NewSearchRequest(slapdtest.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"*", "+"}, nil)
	began := time.Now()
	response := conn.Syncrepl(ctx, request, 1000, ldap.SyncRequestModeRefreshOnly, nil, false)
	entries := 0
	for response.Next() {
		if response.Entry() != nil {
			entries++
		}
	}
	if err := response.Err(); err != nil {
		return result{}, err
	}
	return result{took: time.Since(began)}, p.complete(entries)
}

//go:embed python_ldap.py
var pythonProgram string

func withoutPythonLDAP(*provider) string {
	if err := exec.Command("python3", "-c", "import ldap.syncrepl").Run(); err != nil {
		return "python3 has no module ldap"
	}
	return ""
}

func pythonLDAP(ctx context.Context, p *provider) (result, error) {
	cmd := exec.CommandContext(ctx, "python3", "-c", pythonProgram,
		p.server.URI(), slapdtest.ListenerDN, slapdtest.ListenerPassword, slapdtest.BaseDN)
	var messages strings.Builder
	cmd.Stderr = &messages
	began := time.Now()
	out, err := cmd.Output()
	if err != nil {
		return result{}, fmt.Errorf("%w: %s", err, messages.String())
	}
	took := time.Since(began)
	entries, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		return result{}, err
	}
	return result{took: took}, p.complete(entries)
}

// complete reports whether a reader got every entry.
func (p *provider) complete(entries int) error {
	if entries != p.entries {
		return fmt.Errorf("got %d entries, the directory has %d", entries, p.entries)
	}
	return nil
}
