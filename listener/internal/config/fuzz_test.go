package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/config"
)

// FuzzLoad: Load does not panic, and every problem has a line of the file or none,
// and is one line of text.
func FuzzLoad(f *testing.F) {
	example, err := os.ReadFile("../../../configs/listenerd.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	for _, seed := range []string{
		minimal,
		"ldap: {uri: 'ldap://h/dc=x?cn,sn?one?(cn=a%2Cb)?!bindname=cn=a%2Cdc=x', bind: {password_file: secret}}",
		minimal + "modules:\n  - &a\n    name: every\n    config: {text: x, limit: {low: 1}}\n  - <<: *a\n    name: b\n    module: every\n",
		minimal + "modules: &a [*a]\nlog: &b {<<: *b}\n",
		"---\n...\n---\n",
		"a: b: c\n\td: e\n",
		"{? [a] : b, !!int x: !!float y}",
		"\xff\xfea\x00",
	} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	path := filepath.Join(dir, "listenerd.yaml")
	writeFile(f, filepath.Join(dir, "secret"), "s3cret-word\n", 0o644)
	modules := append(registered(), define(listener.Spec{Name: "every", LDAPFilter: "(uid=*)"}, everything{}))
	f.Fuzz(func(t *testing.T, text []byte) {
		writeFile(t, path, string(text), 0o600)
		c, err := config.Load(path, modules, checkFilter)
		if err == nil {
			if len(c.LDAP.URIs) == 0 || c.LDAP.Base == "" || c.StateDir == "" {
				t.Errorf("not checked: %+v", c)
			}
			for _, m := range c.Modules {
				if err := m.Spec.Validate(); err != nil || m.Instance.Open == nil {
					t.Errorf("not checked: %v, %+v", err, m)
				}
			}
			return
		}
		lines := strings.Count(string(text), "\n") + 1
		for _, p := range err.(config.Problems) {
			if p.Line < 0 || p.Line > lines || p.Message == "" || strings.Contains(p.Message, "\n") || p.File != path {
				t.Errorf("problem %+v of a file with %d lines", p, lines)
			}
		}
	})
}
