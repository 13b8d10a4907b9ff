package archtest

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// The modules that the table names by a short word.
const (
	asn1     = "github.com/go-asn1-ber/asn1-ber"
	bbolt    = "go.etcd.io/bbolt"
	cobra    = "github.com/spf13/cobra"
	krb5     = "github.com/jcmturner/gokrb5/v8"
	memcache = "github.com/bradfitz/gomemcache"
	ldap     = "github.com/go-ldap/ldap/v3"
	terminal = "golang.org/x/term"
	unicode  = "golang.org/x/text"
	yaml     = "gopkg.in/yaml.v3"
	zap      = "go.uber.org/zap"
)

// table says what each package may import besides the standard library. Packages of
// this module are named by their directory; * stands for one element of a path. A
// module of others stands for all its packages. Files of tests may import anything.
var table = map[string][]string{
	"listener":              {ldap, zap},
	"listener/syncrepl":     {"listener/internal/wire", krb5, ldap},
	"listener/listenertest": {"listener", "listener/internal/shared", zap},
	"listener/daemon": {
		"listener", "listener/syncrepl", "listener/internal/admin", "listener/internal/config",
		"listener/internal/dispatch", "listener/internal/filter", "listener/internal/route",
		"listener/internal/schema", "listener/internal/shared", "listener/internal/store", "listener/internal/worker", "modules/event", cobra, ldap, terminal, zap,
	},

	"listener/internal/wire":     {asn1},
	"listener/internal/schema":   {unicode},
	"listener/internal/filter":   {"listener", "listener/internal/schema"},
	"listener/internal/store":    {"listener", "listener/internal/fault", "listener/internal/schema", bbolt},
	"listener/internal/route":    {"listener", "listener/internal/filter", "listener/internal/schema", "listener/internal/store", "listener/syncrepl"},
	"listener/internal/fault":    {},
	"listener/internal/keyqueue": {},
	"listener/internal/dispatch": {"listener", "listener/internal/keyqueue", zap},
	"listener/internal/worker":   {"listener", "listener/internal/dispatch", zap},
	"listener/internal/config":   {"listener", ldap, yaml},
	"listener/internal/shared":   {"listener", memcache},
	"listener/internal/admin":    {},

	"modules":       {"listener", "modules/*"},
	"modules/event": {"listener"},
	"modules/*":     {"listener", "modules/event"},
	"cmd/*":         {"listener/daemon", "modules"},
	"examples/*":    {"listener", "listener/daemon", "modules", zap},

	// What runs real servers, for tests, the demo and the benchmarks.
	"listener/internal/process":    {},
	"listener/internal/slapdtest":  {"listener/internal/process", ldap},
	"listener/internal/dirsrvtest": {"listener/internal/process", "listener/internal/slapdtest", ldap},
	"listener/internal/demo":       {"listener", "listener/internal/process", "listener/internal/slapdtest", "modules/event", ldap, terminal},
	"listener/internal/bench":      {"listener", "listener/daemon", "listener/internal/dispatch", "listener/internal/worker", "listener/internal/process", "listener/internal/slapdtest", ldap, zap},
	"listener/internal/archtest":   {},
}

const root = "../../.."

func TestImports(t *testing.T) {
	tree := readTree(t, os.DirFS(root))
	for _, problem := range tree.imports(table) {
		t.Error(problem)
	}
}

func TestPackageComments(t *testing.T) {
	tree := readTree(t, os.DirFS(root))
	for _, problem := range tree.comments() {
		t.Error(problem)
	}
}

func readTree(t *testing.T, files fs.FS) *tree {
	t.Helper()
	tree, err := read(files)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// imports returns what contradicts the table, one sentence each.
func (t *tree) imports(table map[string][]string) []string {
	var problems []string
	used := map[string]bool{}
	for _, p := range t.packages {
		row, ok := rowOf(table, p.dir)
		if !ok {
			problems = append(problems, fmt.Sprintf("package %s is not in the table; add it with what DESIGN section 3 lets it import", p.dir))
			continue
		}
		used[row] = true
		for _, imported := range slices.Sorted(maps.Keys(p.imports)) {
			name, own := t.short(imported)
			if !own && !strings.Contains(strings.Split(imported, "/")[0], ".") {
				continue // the standard library
			}
			if !slices.ContainsFunc(table[row], func(may string) bool { return covers(may, name) }) {
				problems = append(problems, fmt.Sprintf("%s imports %s, which %s may not; it may import: %s",
					p.imports[imported], name, row, orNothing(table[row])))
			}
		}
	}
	for _, row := range slices.Sorted(maps.Keys(table)) {
		if !used[row] {
			problems = append(problems, fmt.Sprintf("the table has %s, and there is no such package", row))
		}
	}
	return problems
}

// rowOf returns the key of the package's row: its own, or one with a *.
func rowOf(table map[string][]string, dir string) (string, bool) {
	if _, ok := table[dir]; ok {
		return dir, true
	}
	for row := range table {
		if ok, _ := path.Match(row, dir); ok {
			return row, true
		}
	}
	return "", false
}

// covers tells whether the permission to import may extends to name.
func covers(may, name string) bool {
	if ok, _ := path.Match(may, name); ok {
		return true
	}
	foreign := strings.Contains(strings.Split(may, "/")[0], ".")
	return foreign && strings.HasPrefix(name, may+"/")
}

func orNothing(names []string) string {
	if len(names) == 0 {
		return "the standard library"
	}
	return strings.Join(names, ", ")
}

// comments names the packages without a comment that says what they are.
func (t *tree) comments() []string {
	var problems []string
	for _, p := range t.packages {
		want := "Package " + p.name + " "
		if p.name == "main" {
			want = "Command " + path.Base(p.dir) + " "
		}
		if !strings.HasPrefix(p.comment, want) {
			problems = append(problems, fmt.Sprintf("%s has no comment that begins with %q", p.dir, want))
		}
	}
	return problems
}

func TestWrongTreeIsReported(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	tree := readTree(t, fstest.MapFS{
		"go.mod": file("module example.com/house\n\ngo 1.26\n"),
		"listener/doc.go": file("// Package listener is fine.\npackage listener\n\n" +
			"import (\n\"fmt\"\n\"go.uber.org/zap/zapcore\"\n)\n"),
		"listener/listener_test.go": file("package listener_test\n\nimport \"example.com/house/modules/nosy\"\n"),
		"modules/nosy/nosy.go": file("package nosy\n\nimport (\n\"example.com/house/listener\"\n" +
			"\"example.com/house/listener/internal/store\"\n\"gopkg.in/yaml.v3\"\n)\n"),
		"modules/nosy/other_windows.go": file("package nosy\n\nimport \"golang.org/x/sys/windows\"\n"),
		"attic/attic.go":                file("// Package attic has no row.\npackage attic\n"),
		"cmd/tool/main.go":              file("// Does things.\npackage main\n"),
		"only/only_test.go":             file("// Package only has tests alone.\npackage only\n\nimport \"example.com/house/attic\"\n"),
		".cache/x/x.go":                 file("package x\n"),
		"nosy/testdata/x.go":            file("this is not Go"),
	})
	got := append(tree.imports(map[string][]string{
		"listener": {zap}, "modules/*": {"listener", "modules/event"}, "cmd/*": {}, "only": {}, "gone": {},
	}), tree.comments()...)
	want := []string{
		"package attic is not in the table; add it with what DESIGN section 3 lets it import",
		"modules/nosy/nosy.go imports listener/internal/store, which modules/* may not; it may import: listener, modules/event",
		"modules/nosy/other_windows.go imports golang.org/x/sys/windows, which modules/* may not; it may import: listener, modules/event",
		"modules/nosy/nosy.go imports gopkg.in/yaml.v3, which modules/* may not; it may import: listener, modules/event",
		"the table has gone, and there is no such package",
		`cmd/tool has no comment that begins with "Command tool "`,
		`modules/nosy has no comment that begins with "Package nosy "`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("reported\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
