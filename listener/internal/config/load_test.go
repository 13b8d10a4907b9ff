package config_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/config"
)

// journalConfig has the keys of the built-in module jsonl.
type journalConfig struct {
	Path    string `yaml:"path"`
	Fsync   bool   `yaml:"fsync"`
	Secrets bool   `yaml:"secrets"`
}

func (c journalConfig) Validate() error {
	if c.Path == "" {
		return errors.New("path is empty: name the file to append to")
	}
	return nil
}

// scriptConfig decides on the spec of its module.
type scriptConfig struct {
	Filter string `yaml:"filter"`
	Lines  []int  `yaml:"lines"`
}

func (c scriptConfig) Validate() error {
	var problems []error
	for _, n := range c.Lines {
		if n < 0 {
			problems = append(problems, fmt.Errorf("line %d is negative", n))
		}
	}
	return errors.Join(problems...)
}

func (c scriptConfig) Spec(base listener.Spec) (listener.Spec, error) {
	if c.Filter == "none" {
		return base, errors.New("the script has no filter")
	}
	if c.Filter != "" {
		base.LDAPFilter = c.Filter
	}
	base.Name = "renamed"
	return base, nil
}

func define[C any](spec listener.Spec, defaults C) listener.Module {
	return listener.Define(spec, defaults, func(context.Context, listener.Env, C) (listener.Handler, error) {
		return handler[C]{}, nil
	})
}

type handler[C any] struct{ listener.Base }

func registered() []listener.Module {
	return []listener.Module{
		define(listener.Spec{Name: "jsonl", LDAPFilter: "(objectClass=*)"}, journalConfig{}),
		define(listener.Spec{Name: "plain", LDAPFilter: "(objectClass=*)"}, struct{}{}),
		define(listener.Spec{Name: "pool", LDAPFilter: "(uid=*)", RunAsynchronously: true, Parallelism: 8, Attributes: []string{"uid"}}, struct{}{}),
		define(listener.Spec{Name: "script", LDAPFilter: "(own"}, scriptConfig{}),
		define(listener.Spec{Name: "unfiltered"}, struct{}{}),
	}
}

// checkFilter knows one way for a filter to be wrong.
func checkFilter(filter string) error {
	if strings.Count(filter, "(") != strings.Count(filter, ")") {
		return fmt.Errorf("%q: unbalanced parentheses", filter)
	}
	return nil
}

// write makes the file listenerd.yaml in a directory that also has a password in
// the file secret.
func write(t testing.TB, text string) string {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "secret"), "s3cret-word\n", 0o600)
	path := filepath.Join(dir, "listenerd.yaml")
	writeFile(t, path, text, 0o600)
	return path
}

func writeFile(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

func mustLoad(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Load(write(t, text), registered(), checkFilter)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const minimal = "ldap: {uri: ldap://localhost, base: dc=x}\n"

func TestDefaults(t *testing.T) {
	path := write(t, minimal+"modules: [{name: plain}]\n")
	c, err := config.Load(path, registered(), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &c.Modules[0]
	if m.Instance.Open == nil {
		t.Error("the instance cannot be opened")
	}
	m.Instance = listener.Instance{}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		Path:   path,
		Shared: config.Shared{Timeout: time.Second, Namespace: host + ":/var/lib/listenerd"},
		LDAP: config.LDAP{
			URIs:       []string{"ldap://localhost:389"},
			Base:       "dc=x",
			Scope:      "sub",
			Filter:     "(objectClass=*)",
			Attributes: []string{"*", "+"},
			Bind:       config.Bind{Method: config.BindAnonymous},

			NetworkTimeout: 10 * time.Second,
			ProbeInterval:  time.Minute,
			MaxMessageSize: 64 << 20,
			StaleGrace:     10 * time.Minute,
		},
		StateDir:        "/var/lib/listenerd",
		ShutdownTimeout: 30 * time.Second,
		Guard:           config.Guard{MaxDeletePercent: 20, MinDeletes: 100},
		Log:             config.Log{Level: "info", Format: "json"},
		Modules: []config.Module{{
			Name:            "plain",
			Registered:      "plain",
			Spec:            listener.Spec{Name: "plain", LDAPFilter: "(objectClass=*)"},
			QuietPeriod:     15 * time.Second,
			PostRunMaxDelay: 5 * time.Minute,
			Retry:           config.Retry{Min: time.Second, Max: 5 * time.Minute, OnceAttempts: 3},
			MaxTasks:        1_000_000,
			Line:            2,
		}},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestEverythingGiven(t *testing.T) {
	c := mustLoad(t, `
ldap:
  uri: [ldap://one.example.com:1389, "ldap://[::1]", ldapi://%2Frun%2Fslapd.sock]
  base: ou=people,dc=x
  scope: one
  filter: (uid=*)
  attributes: [uid, entryUUID]
  bind: {method: simple, dn: "cn=a,dc=x", password_file: secret}
state_dir: state
shutdown_timeout: 1m30s
log: {level: debug, format: console}
modules:
  - name: people
    module: pool
    ldap_filter: (cn=*)
    attributes: [cn, sn]
    parallelism: -2
    priority: -50
    quiet_period: 0s
    post_run_max_delay: 1h
    timeout: 10s
    retry: {min: 2s, max: 2s, max_attempts: 5, once_attempts: 1}
  - name: quiet
    module: pool
    run_asynchronously: false
    parallelism: 1
    attributes: []
  - {name: pool, parallelism: auto, timeout: 0}
  - {name: script, config: {filter: (sn=*)}}
`)
	dir := filepath.Dir(c.Path)
	wantLDAP := config.LDAP{
		URIs:       []string{"ldap://one.example.com:1389", "ldap://[::1]:389", "ldapi://%2Frun%2Fslapd.sock"},
		Base:       "ou=people,dc=x",
		Scope:      "one",
		Filter:     "(uid=*)",
		Attributes: []string{"uid", "entryUUID"},
		Bind:       config.Bind{Method: config.BindSimple, DN: "cn=a,dc=x", Password: config.NewSecret("s3cret-word")},

		NetworkTimeout: 10 * time.Second,
		ProbeInterval:  time.Minute,
		MaxMessageSize: 64 << 20,
		StaleGrace:     10 * time.Minute,
	}
	if !reflect.DeepEqual(c.LDAP, wantLDAP) {
		t.Errorf("got  %+v\nwant %+v", c.LDAP, wantLDAP)
	}
	if c.StateDir != filepath.Join(dir, "state") || c.ShutdownTimeout != 90*time.Second || c.Log != (config.Log{Level: "debug", Format: "console"}) {
		t.Errorf("got %s, %s, %+v", c.StateDir, c.ShutdownTimeout, c.Log)
	}
	want := []config.Module{{
		Name: "people", Registered: "pool", Line: 13,
		Spec:        listener.Spec{Name: "pool", LDAPFilter: "(cn=*)", Attributes: []string{"cn", "sn"}, Priority: -50, RunAsynchronously: true, Parallelism: -2},
		QuietPeriod: 0, PostRunMaxDelay: time.Hour, Timeout: 10 * time.Second,
		Retry: config.Retry{Min: 2 * time.Second, Max: 2 * time.Second, MaxAttempts: 5, OnceAttempts: 1}, MaxTasks: 1_000_000,
	}, {
		Name: "quiet", Registered: "pool", Line: 23,
		Spec: listener.Spec{Name: "pool", LDAPFilter: "(uid=*)", Parallelism: 1},
	}, {
		Name: "pool", Registered: "pool", Line: 28,
		Spec: listener.Spec{Name: "pool", LDAPFilter: "(uid=*)", Attributes: []string{"uid"}, RunAsynchronously: true, Parallelism: listener.PerCPU},
	}, {
		Name: "script", Registered: "script", Line: 29,
		Spec: listener.Spec{Name: "script", LDAPFilter: "(sn=*)"},
	}}
	for i := range want[1:] {
		want[i+1].QuietPeriod, want[i+1].PostRunMaxDelay = 15*time.Second, 5*time.Minute
		want[i+1].Retry = config.Retry{Min: time.Second, Max: 5 * time.Minute, OnceAttempts: 3}
		want[i+1].MaxTasks = 1_000_000
	}
	for i := range c.Modules {
		c.Modules[i].Instance = listener.Instance{}
	}
	if !reflect.DeepEqual(c.Modules, want) {
		t.Errorf("got  %+v\nwant %+v", c.Modules, want)
	}
}

func TestLDAPURL(t *testing.T) {
	whole := config.LDAP{
		URIs:       []string{"ldap://h:389"},
		Base:       "dc=x",
		Scope:      "one",
		Filter:     "(cn=a,b)",
		Attributes: []string{"cn", "sn"},
		Bind:       config.Bind{Method: config.BindSimple, DN: "cn=a,dc=x", Password: config.NewSecret("s3cret-word")},

		NetworkTimeout: 10 * time.Second,
		ProbeInterval:  time.Minute,
		MaxMessageSize: 64 << 20,
		StaleGrace:     10 * time.Minute,
	}
	two := whole
	two.URIs = []string{"ldap://h:389", "ldap://i:1389"}
	for _, test := range []struct {
		name, yaml string
		want       config.LDAP
	}{{
		"all parts",
		"{uri: 'ldap://h/dc=x?cn,sn?one?(cn=a%2Cb)?bindname=cn=a%2Cdc=x', bind: {password_file: secret}}",
		whole,
	}, {
		"keys that say the same",
		"{uri: 'ldap://h/dc=x?cn,sn?one?(cn=a%2Cb)?bindname=cn=a%2Cdc=x', base: 'DC=X', scope: one, filter: '(cn=a,b)', attributes: [SN, cn], bind: {dn: 'cn=A, dc=x', password_file: secret}}",
		whole,
	}, {
		"some parts in keys",
		"{uri: 'ldap://h/??one', base: dc=x, filter: '(cn=a,b)', attributes: [cn, sn], bind: {dn: 'cn=a,dc=x', password_file: secret}}",
		whole,
	}, {
		"the first of several URLs has them",
		"{uri: ['ldap://h/dc=x?cn,sn?one?(cn=a%2Cb)?bindname=cn=a%2Cdc=x', 'ldap://i:1389'], bind: {password_file: secret}}",
		two,
	}, {
		"several URLs that agree",
		"{uri: ['ldap://h/dc=x?cn,sn?one?(cn=a%2Cb)', 'ldap://i:1389/dc=X?sn,cn'], bind: {dn: 'cn=a,dc=x', password_file: secret}}",
		two,
	}} {
		t.Run(test.name, func(t *testing.T) {
			got := mustLoad(t, "ldap: "+test.yaml).LDAP
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

func TestPasswordFile(t *testing.T) {
	for content, want := range map[string]string{
		"word":          "word",
		"word\n":        "word",
		"word\r\n":      "word",
		"word\n\n":      "word\n",
		" two words \n": " two words ",
	} {
		path := write(t, "ldap: {uri: ldaps://h, base: dc=x, bind: {dn: cn=a, password_file: secret}}")
		writeFile(t, filepath.Join(filepath.Dir(path), "secret"), content, 0o640)
		c, err := config.Load(path, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.LDAP.Bind.Password.Reveal(); got != want || len(c.Warnings) > 0 {
			t.Errorf("file %q: password %q, want %q; warnings %v", content, got, want, c.Warnings)
		}
	}
}

func TestWarning(t *testing.T) {
	path := write(t, "ldap:\n  uri: ldaps://h\n  base: dc=x\n  bind: {dn: cn=a,\n    password_file: secret}\n")
	secret := filepath.Join(filepath.Dir(path), "secret")
	writeFile(t, secret, "word", 0o644)
	c, err := config.Load(path, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := path + ":5: ldap.bind.password_file: every user of this machine can get at " + secret + " (mode 0644); chmod o= it"
	if len(c.Warnings) != 1 || c.Warnings[0].String() != want {
		t.Errorf("got  %v\nwant %s", c.Warnings, want)
	}
}

// TestExample loads the commented example with the files it names in a directory
// of the test's.
func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../../configs/listenerd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const secret = "/etc/listenerd/ldap.secret"
	if strings.Count(string(text), secret) != 1 {
		t.Fatalf("the example does not name %s once", secret)
	}
	c := mustLoad(t, strings.Replace(string(text), secret, "secret", 1))
	if len(c.Warnings) > 0 {
		t.Errorf("warnings: %v", c.Warnings)
	}
	// Its first module gives every default that does not depend on the module.
	if plain := mustLoad(t, minimal+"modules: [{name: plain}]").Modules[0]; c.Modules[0].Retry != plain.Retry ||
		c.Modules[0].QuietPeriod != plain.QuietPeriod || c.Modules[0].PostRunMaxDelay != plain.PostRunMaxDelay ||
		c.Modules[0].Timeout != plain.Timeout {
		t.Errorf("the example's values are not the defaults: %+v", c.Modules[0])
	}
	if c.LDAP.NetworkTimeout != config.DefaultNetworkTimeout || c.LDAP.ProbeInterval != config.DefaultProbeInterval {
		t.Errorf("the example's values are not the defaults: %+v", c.LDAP)
	}
	if c.StateDir != config.DefaultStateDir || c.ShutdownTimeout != config.DefaultShutdownTimeout {
		t.Errorf("the example's values are not the defaults: %s, %s", c.StateDir, c.ShutdownTimeout)
	}
	if len(c.Modules) != 2 || c.Modules[0].Registered != "jsonl" || c.Modules[1].Name != "jsonl" {
		t.Errorf("modules: %+v", c.Modules)
	}
}

func TestShared(t *testing.T) {
	c, err := config.Load(write(t, minimal+"shared: {memcached: ['127.0.0.1:11211', /run/memcached.sock], required: true, timeout: 2s, namespace: x}\n"), registered(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Shared{Memcached: []string{"127.0.0.1:11211", "/run/memcached.sock"}, Timeout: 2 * time.Second, Required: true, Namespace: "x"}
	if !reflect.DeepEqual(c.Shared, want) {
		t.Errorf("got %+v, want %+v", c.Shared, want)
	}
	_, err = config.Load(write(t, minimal+"shared:\n  required: true\n"), registered(), nil)
	if err == nil || !strings.HasSuffix(err.Error(), ":3: shared.required needs shared.memcached") {
		t.Errorf("required alone: %v", err)
	}
	_, err = config.Load(write(t, minimal+"shared:\n  memcached: [localhost, '::1:1', 'h:1', 'h:1']\n"), registered(), nil)
	if err == nil || strings.Count(err.Error(), "write host:port") != 2 || !strings.Contains(err.Error(), "h:1 is listed twice") {
		t.Errorf("servers: %v", err)
	}
}

func TestWhatAFailureAndAFullQueueDo(t *testing.T) {
	c, err := config.Load(write(t, minimal+"modules:\n  - {name: pool, on_error: stop, delivery: latest, on_full: stall, max_tasks: 7, bootstrap: none}\n"), registered(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if m := c.Modules[0]; !m.StopOnError || !m.Latest || !m.Stall || m.MaxTasks != 7 || !m.Known {
		t.Errorf("module %+v", m)
	}
	_, err = config.Load(write(t, minimal+"modules:\n  - name: pool\n    on_error: skip\n    delivery: some\n    on_full: drop\n    max_tasks: 0\n    bootstrap: some\n"), registered(), nil)
	for _, want := range []string{"modules.on_error: \"skip\" is", "modules.delivery: \"some\" is", "modules.on_full: \"drop\" is", "modules.max_tasks: want 1 or more, have 0", "modules.bootstrap: \"some\" is"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
}
