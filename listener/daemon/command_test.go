package daemon_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/listenerd/listenerd/listener/internal/admin"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// says checks an exit code, and that the text has all the words.
func says(t testing.TB, what string, code, wantCode int, text string, words ...string) {
	t.Helper()
	if code != wantCode {
		t.Errorf("%s: exit code %d, want %d: %s", what, code, wantCode, text)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s: %q does not say %q", what, text, w)
		}
	}
}

func TestCheckReportsAllMistakes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("listenerd.yaml", `ldap:
  uri: ldap://127.0.0.1:1
  base: dc=example,dc=com
  bind: {dn: "cn=listener,dc=example,dc=com", password_file: not-there}
state_dir: state
modules:
  - name: one
    module: jsonl
    ldap_filter: (&(objectClass=person)(uid=a)
    config: {path: one.jsonl, pahth: x}
  - name: one
    module: jsnol
  - name: two
    module: jsonl
    parallelism: many
    quiet: 3s
    config: {path: two.jsonl}
`)
	r := s.command("check", "-c", "listenerd.yaml")
	says(t, "check", r.code, 2, r.stderr,
		"listenerd.yaml:4: ldap.bind.password_file: there is no file",
		"listenerd.yaml:9: modules.ldap_filter: ",
		"listenerd.yaml:10: ", "pahth",
		"listenerd.yaml:11: modules.name: ",
		"listenerd.yaml:12: ", "jsnol",
		"listenerd.yaml:15: ",
		"listenerd.yaml:16: ", "quiet")
	if lines := strings.Count(r.stderr, "\n"); lines != 7 || r.stdout != "" {
		t.Errorf("%d lines: %s%s", lines, r.stderr, r.stdout)
	}
	code, output := s.start().wait()
	says(t, "run", code, 2, output, r.stderr)
	if _, err := os.Stat(s.state()); !os.IsNotExist(err) {
		t.Errorf("a wrong configuration left a state directory: %v", err)
	}
	r = s.command("check", "-c", "nowhere.yaml")
	says(t, "no file", r.code, 2, r.stderr, "nowhere.yaml: ")
}

func TestBadFilterShowsItsPosition(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const filter = "(&(objectClass=person)(uid=a)"
	s.write("listenerd.yaml", "ldap: {uri: ldap://127.0.0.1:1, base: \"dc=example,dc=com\"}\nstate_dir: state\nmodules:\n"+
		instance("one", "jsonl", "ldap_filter: "+filter)+
		"  - {name: two, module: jsonl, ldap_filter: (uid=a)(uid=b), config: {path: two.jsonl}}\n")
	r := s.command("check", "-c", "listenerd.yaml")
	says(t, "check", r.code, 2, r.stderr, "listenerd.yaml:6: ")
	if !regexp.MustCompile(`listenerd\.yaml:6: modules\.ldap_filter: .*\b(29|30)\b`).MatchString(r.stderr) {
		t.Errorf("the position, %d, is missing: %s", len(filter), r.stderr)
	}
	if !regexp.MustCompile(`modules\.ldap_filter: .*\b[78]\b`).MatchString(r.stderr) {
		t.Errorf("the position of the second filter, 7, is missing: %s", r.stderr)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, args := range [][]string{{"follow"}, {"run", "--twice"}, {"status", "now"}, {"--verbose"}, {"run", "-c"}} {
		r := s.command(args...)
		says(t, strings.Join(args, " "), r.code, 2, r.stderr, "listenerd: wrong usage: ", "--help")
		if r.stdout != "" {
			t.Errorf("%q prints %q", args, r.stdout)
		}
	}
	r := s.command("version")
	says(t, "version", r.code, 0, r.stdout, "listenerd ")
	for _, args := range [][]string{{}, {"--help"}, {"help"}, {"run", "--help"}} {
		r = s.command(args...)
		says(t, strings.Join(args, " "), r.code, 0, r.stdout, "Usage:", "--config")
	}
	r = s.command("modules")
	says(t, "modules", r.code, 0, r.stdout, "REGISTERED", "jsonl ", "probe ", "Misbehaves.")
	if strings.Contains(r.stdout, "INSTANCE") {
		t.Errorf("instances without a configuration: %s", r.stdout)
	}
	s.write("listenerd.yaml", "ldap: {uri: ldap://127.0.0.1:1, base: \"dc=example,dc=com\"}\nstate_dir: state\nmodules:\n"+
		instance("first", "jsonl")+instance("second", "probe", "run_asynchronously: true", "parallelism: 3", "attributes: [cn, sn]"))
	r = s.command("modules", "-c", "listenerd.yaml")
	says(t, "modules -c", r.code, 0, r.stdout, "INSTANCE", "first ", "second ", "asynchronously, 3 at a time", "cn,sn", "(objectClass=inetOrgPerson)")
	r = s.command("check", "-c", "listenerd.yaml")
	says(t, "check", r.code, 0, r.stdout, "ok, 2 modules")
	for _, args := range [][]string{{"status"}, {"status", "--json"}} {
		r = s.command(append(args, "-c", "listenerd.yaml")...)
		says(t, "status when not running", r.code, 3, r.stderr, "not running", "admin.sock")
	}
	// The same when a killed daemon left its socket.
	if err := os.Mkdir(s.state(), 0o700); err != nil {
		t.Fatal(err)
	}
	dead(t, filepath.Join(s.state(), admin.SocketName))
	r = s.command("status", "-c", "listenerd.yaml")
	says(t, "status when killed", r.code, 3, r.stderr, "not running")
}

// dead makes a socket that nobody listens on.
func dead(t testing.TB, path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "dead") // socket addresses are short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "socket")})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(l.Close(), os.Rename(filepath.Join(dir, "socket"), path)); err != nil {
		t.Fatal(err)
	}
}

func TestProviderErrors(t *testing.T) {
	t.Parallel()
	server := slapdtest.Start(t, slapdtest.SizeLimit(3), slapdtest.WithLDIF(slapdtest.People(10, 1)))
	t.Run("22_WrongPassword", func(t *testing.T) {
		s := newSite(t)
		s.configure(server)
		s.write("ldap.secret", wrongPassword)
		for _, flags := range [][]string{{"--once"}, nil} {
			code, output := s.start(flags...).wait()
			says(t, strings.Join(flags, ""), code, 1, output, "invalid credentials", slapdtest.ListenerDN, server.URI())
		}
	})
	t.Run("14_SizeLimit", func(t *testing.T) {
		s := newSite(t)
		s.configure(server, instance("all", "jsonl"))
		code, output := s.once()
		says(t, "once", code, 1, output, "size limit exceeded after 3 entries", slapdtest.ListenerDN, "limits")
		if calls := s.journal("all"); len(calls) > 0 {
			t.Errorf("calls with a third of a mirror: %q", kindsOf(calls))
		}
		s.inspect(func(tx *store.Tx) error {
			sync, err := tx.Sync()
			if sync.Filled || len(sync.Cookie) > 0 {
				t.Errorf("%+v", sync)
			}
			return err
		})
	})
	t.Run("Unreachable", func(t *testing.T) {
		gone := slapdtest.Start(t)
		newDirectory(t, gone) // slapd that is stopped before it accepts connections ends with 1
		s := newSite(t)
		s.configure(gone, instance("all", "jsonl"))
		if err := gone.Stop(); err != nil {
			t.Fatal(err)
		}
		code, output := s.once()
		says(t, "once", code, 1, output, "server unreachable", gone.URI())
		// Without --once it goes on trying, and status says why.
		r := s.start()
		var status admin.Status
		r.until("status tells the error", func() bool {
			var ok bool
			status, ok = r.status()
			return ok && status.LastError != ""
		})
		if status.Phase != "connecting" || !strings.Contains(status.LastError, gone.URI()) {
			t.Errorf("%+v", status)
		}
		if err := gone.Start(); err != nil {
			t.Fatal(err)
		}
		r.caughtUp(newDirectory(t, gone))
		r.stop()
	})
	t.Run("10_BaseMissing", func(t *testing.T) {
		s := newSite(t)
		s.write("listenerd.yaml", "ldap: {uri: "+server.URI()+", base: \"ou=nowhere,"+base+"\"}\nstate_dir: state\nmodules:\n"+instance("all", "jsonl"))
		code, output := s.once()
		says(t, "once", code, 1, output, "search base not found", "ou=nowhere,"+base)
		// Without --once it waits for it.
		r := s.start()
		r.until("status tells", func() bool {
			status, ok := r.status()
			return ok && strings.Contains(status.LastError, "search base not found")
		})
		newDirectory(t, server).unit("nowhere", base)
		r.until("it is there", func() bool { return len(s.journal("all")) == 3 })
		r.stop()
	})
	t.Run("NoSyncprov", func(t *testing.T) {
		s := newSite(t)
		s.configure(slapdtest.Start(t, slapdtest.WithoutSyncprov()), instance("all", "jsonl"))
		code, output := s.once()
		says(t, "once", code, 1, output, "content synchronization not available", "syncprov")
	})
}

func TestStatus(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.configure(server,
		instance("people", "jsonl", "ldap_filter: (objectClass=inetOrgPerson)"),
		instance("bad", "probe", "config.uid: bob", "config.do: fail", "run_asynchronously: true", "retry: {min: 1h, max: 1h, once_attempts: 1}"),
		instance("leaves", "jsonl"))
	code, output := s.once()
	says(t, "once", code, 1, output, "calls are left: 1 not acknowledged")
	s.configure(server,
		instance("people", "jsonl", "ldap_filter: (objectClass=inetOrgPerson)"),
		instance("bad", "probe", "config.uid: bob", "config.do: fail", "run_asynchronously: true", "retry: {min: 1h, max: 1h, once_attempts: 1}"))
	r := s.start()
	d.modify("uid=ada,ou=people,"+base, []string{"sn", "Changed"})
	r.until("the change is delivered and bob has failed", func() bool {
		return len(s.journal("people")) == 8 && len(s.journal("bad")) == 8
	})
	csn := d.contextCSN()
	var status admin.Status
	r.until("status shows it", func() bool {
		status = admin.Status{}
		printed := s.command("status", "-c", "listenerd.yaml", "--json")
		says(t, "status", printed.code, 0, printed.stderr)
		decoder := json.NewDecoder(strings.NewReader(printed.stdout))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&status); err != nil {
			t.Fatalf("%v: %s", err, printed.stdout)
		}
		return status.Phase == "persist" && strings.Contains(status.Cookie, csn) && len(status.Modules) == 3 &&
			status.Modules[1].State == "idle" && status.Modules[1].Queued == 0 &&
			status.Modules[0].State == "failing" && status.Modules[0].Queued == 1
	})
	if status.Entries != 6 || status.Provider != server.URI() || status.Base != base ||
		!status.Filled || status.PID != r.process.PID() || status.LastError != "" || status.Started.IsZero() {
		t.Errorf("%+v", status)
	}
	bad, people, left := status.Modules[0], status.Modules[1], status.Modules[2]
	if bad.Name != "bad" || bad.Module != "probe" || bad.Queued != 1 || bad.Failing != 1 || bad.Failures != 1 || !strings.Contains(bad.LastError, "the probe fails") {
		t.Errorf("%+v", bad)
	}
	if people.Name != "people" || people.Module != "jsonl" || people.Queued != 0 || people.Calls != 1 || people.LastError != "" {
		t.Errorf("%+v", people)
	}
	if left.Name != "leaves" || left.State != "orphaned" {
		t.Errorf("%+v", left)
	}
	printed := s.command("status", "-c", "listenerd.yaml")
	says(t, "status", printed.code, 0, printed.stdout, "phase", "persist", server.URI(), "6 entries", csn, "people", "failing", "the probe fails", "orphaned")

	// A second daemon with the same state is refused and disturbs nothing.
	code, output = s.start().wait()
	says(t, "second daemon", code, 1, output, "in use by another listenerd", s.state())
	if again, ok := r.status(); !ok || again.Phase != "persist" {
		t.Errorf("after a second daemon: %+v, %v", again, ok)
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, store.FileName: 0o600, admin.SocketName: 0o600} {
		if info, err := os.Stat(filepath.Join(s.state(), name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("state/%s: %v, %v", name, info.Mode(), err)
		}
	}
	r.stop()
	printed = s.command("status", "-c", "listenerd.yaml")
	says(t, "status after the end", printed.code, 3, printed.stderr, "not running")
}

func TestUnusableStateIsRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	server, _, s := newCompany(t)
	s.configure(server, instance("people", "jsonl"))
	s.mustOnce()
	file := filepath.Join(s.state(), store.FileName)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	calls := len(s.journal("people"))
	damaged := bytes.Clone(good)
	clear(damaged[:2*16<<10]) // both meta pages
	for what, content := range map[string][]byte{
		"text": []byte("this is not a database\n"), "damaged": damaged, "cut off": good[:5000],
	} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		code, output := s.once()
		says(t, what, code, 1, output, "state file is unusable", file)
		if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, content) {
			t.Errorf("%s: the file was changed, %v", what, err)
		}
	}
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	s.mustOnce()
	if n := len(s.journal("people")); n != calls {
		t.Errorf("%d calls after the file was restored", n-calls)
	}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.configure(server, instance("people", "jsonl", "ldap_filter: (objectClass=inetOrgPerson)"))
	var want []string
	for i, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		r := s.start()
		if i > 0 {
			d.modify("uid=ada,ou=people,"+base, []string{"sn", "Changed"})
			want = append(want, "pre_run", "modify uid=ada")
		} else {
			want = append(want, "initialize", "pre_run", "create uid=ada", "create uid=bob", "create uid=eve")
		}
		r.until("the calls have come", func() bool { return len(s.journal("people")) >= len(want) })
		r.signal(sig)
		code, output := r.wait()
		says(t, sig.String(), code, 0, output, `"stopped"`)
		want = append(want, "post_run")
		expectKinds(t, sig.String(), s.journal("people"), want...)
		if _, err := os.Stat(filepath.Join(s.state(), admin.SocketName)); !os.IsNotExist(err) {
			t.Errorf("the socket is left: %v", err)
		}
	}
	s.mustOnce()
	expectKinds(t, "afterwards", s.journal("people"), want...)

	// An interrupted --once has not delivered everything.
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	r := s.start()
	r.until("it tries to connect", func() bool { status, ok := r.status(); return ok && status.LastError != "" })
	r.stop() // at once, in the middle of the wait for the next attempt
	expectKinds(t, "afterwards", s.journal("people"), want...)
}

func TestModuleThatDoesNotOpen(t *testing.T) {
	t.Parallel()
	server, _, s := newCompany(t)
	s.configure(server, instance("first", "jsonl"), instance("second", "probe", "config.do: refuse"))
	code, output := s.once()
	says(t, "refuse", code, 1, output, "open module second: the probe does not open")
	if calls := s.journal("first"); len(calls) > 0 {
		t.Errorf("called: %q", kindsOf(calls))
	}
	s.configure(server, instance("first", "jsonl"))
	s.mustOnce()
}

// The ways to say where the directory is.
func TestConnections(t *testing.T) {
	t.Parallel()
	server, _, _ := newCompany(t)
	down := "ldap://127.0.0.1:1"
	socket := filepath.Join(server.Dir(), "ldapi")
	for name, ldap := range map[string]string{
		"Anonymous": "uri: " + server.URI() + "\n  base: " + base,
		"LDAPI":     "uri: ldapi://" + url.PathEscape(socket) + "\n  base: " + base + "\n  bind: {dn: \"" + slapdtest.ListenerDN + "\", password_file: ldap.secret}",
		"URL": "uri: " + server.URI() + "/" + base + "??sub?(objectClass=*)?bindname=" + url.PathEscape(slapdtest.ListenerDN) +
			"\n  bind: {password_file: ldap.secret}",
		"SecondOfTwo": "uri: [" + down + ", " + server.URI() + "]\n  base: " + base,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.write("listenerd.yaml", "ldap:\n  "+ldap+"\nstate_dir: state\nmodules:\n"+instance("people", "jsonl", "ldap_filter: (objectClass=inetOrgPerson)", "config.secrets: true"))
			s.mustOnce()
			calls := s.journal("people")
			expectKinds(t, name, calls, "initialize", "pre_run", "create uid=ada", "create uid=bob", "create uid=eve", "post_run")
			// Only who is bound may read passwords.
			_, sees := calls[2].New["userPassword"]
			if bound := strings.Contains(ldap, "password_file"); sees != bound {
				t.Errorf("it sees passwords: %v", sees)
			}
			if err := os.Remove(s.path("people.jsonl")); err != nil { // with them, as it was told to
				t.Fatal(err)
			}
		})
	}
}

// Without modules there is the mirror alone.
func TestNoModules(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.configure(server)
	s.mustOnce()
	r := s.start()
	r.caughtUp(d)
	r.stop()
	s.inspect(func(tx *store.Tx) error {
		if n := tx.Counters().Entries; n != 6 {
			t.Errorf("%d entries", n)
		}
		return nil
	})
}

// loadTakes is what is logged of a first load every few seconds, on a machine that needs
// them for it.
var loadTakes = regexp.MustCompile(`^(loading the directory|walking the modules through the mirror): \d`)

// The log is one JSON object a line, and quiet when all is well.
func TestLog(t *testing.T) {
	t.Parallel()
	server, _, s := newCompany(t)
	s.configure(server, instance("people", "jsonl"))
	r := s.start()
	r.until("all is delivered", func() bool { return len(s.journal("people")) == 8 })
	r.stop()
	var messages []string
	for line := range strings.Lines(r.output()) {
		var entry struct{ Level, Time, Msg, Provider string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if loadTakes.MatchString(entry.Msg) {
			continue
		}
		messages = append(messages, entry.Level+" "+entry.Msg)
	}
	if !slices.Equal(messages, []string{"info connected", "info the provider's schema is stored", "info stopped"}) {
		t.Errorf("logged %q", messages)
	}
}
