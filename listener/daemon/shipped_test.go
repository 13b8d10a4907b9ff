package daemon_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

const repository = "../.."

// The configuration that documents every key is one that check accepts.
func TestShippedConfiguration(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(repository, "configs", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		s := newSite(t)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		adapted := strings.NewReplacer("/etc/listenerd/", "", "/var/lib/listenerd", "state", "/var/log/listenerd/", "").Replace(string(text))
		s.write("listenerd.yaml", adapted)
		r := s.command("check", "-c", "listenerd.yaml")
		says(t, file, r.code, 0, r.stdout+r.stderr, "ok, 2 modules")
		if r.stderr != "" {
			t.Errorf("%s: %s", file, r.stderr)
		}
		r = s.command("modules", "-c", "listenerd.yaml")
		says(t, file, r.code, 0, r.stdout, "people-journal", "asynchronously, 4 at a time")
	}
}

// examples says what each of them tells.
var examples = map[string]struct{ modules, log []string }{
	"listener_module_template": {[]string{"jsonl", "template"}, []string{`"created"`, "uid=example," + base, "no more changes for now"}},
	"uid_numbers":              {[]string{"asynchronously, in 8 processes"}, []string{`"number given","uid":"example","number":10000`, `"numbers_given":1`}},
}

// Each example is a daemon whose own configuration works: it is built, checks it, and
// runs it with a real server.
func TestExamples(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob(filepath.Join(repository, "examples", "*", "main.go"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("%d examples, %v", len(dirs), err)
	}
	server := slapdtest.Start(t)
	d := newDirectory(t, server)
	d.person("example", base)
	cache := slapdtest.Memcached(t)
	for _, file := range dirs {
		dir := filepath.Dir(file)
		expected := examples[filepath.Base(dir)]
		t.Run(filepath.Base(dir), func(t *testing.T) {
			s := newSite(t)
			ctx, cancel := context.WithTimeout(context.Background(), 2*deadline)
			defer cancel()
			build := exec.CommandContext(ctx, "go", "build", "-o", s.path("example"), ".")
			build.Dir = dir
			if output, err := build.CombinedOutput(); err != nil {
				t.Fatalf("go build: %v: %s", err, output)
			}
			s.program = s.path("example")
			text, err := os.ReadFile(filepath.Join(dir, "listenerd.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			s.write("listenerd.yaml", string(text))
			r := s.command("check", "-c", "listenerd.yaml")
			says(t, "check", r.code, 0, r.stdout+r.stderr, "ok")
			r = s.command("modules", "-c", "listenerd.yaml")
			says(t, "modules", r.code, 0, r.stdout, expected.modules...)

			adapted := strings.NewReplacer("ldap://localhost:389", server.URI(), "127.0.0.1:11211", cache).Replace(string(text))
			if adapted == string(text) {
				t.Fatal("the configuration names another server")
			}
			s.write("listenerd.yaml", adapted)
			code, output := s.once()
			says(t, "run", code, 0, output, expected.log...)
		})
	}
}
