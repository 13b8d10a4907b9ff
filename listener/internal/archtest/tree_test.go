// Package archtest asserts the architecture: which package may import which, and
// that each says what it is. It consists of tests.
package archtest

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// tree is the packages of a Go module as their files say, whatever system they are
// built for.
type tree struct {
	module   string
	packages []*goPackage // by directory
}

type goPackage struct {
	dir     string // relative to the module's root
	name    string
	comment string
	imports map[string]string // by the files that are no tests: the first one's name
}

// short returns the directory of one of the module's own packages, or the path of
// another one as it is.
func (t *tree) short(imported string) (name string, own bool) {
	if imported == t.module {
		return ".", true
	}
	if dir, ok := strings.CutPrefix(imported, t.module+"/"); ok {
		return dir, true
	}
	return imported, false
}

func read(files fs.FS) (*tree, error) {
	mod, err := fs.ReadFile(files, "go.mod")
	if err != nil {
		return nil, err
	}
	line, _, _ := strings.Cut(string(mod), "\n")
	t := &tree{module: strings.TrimSpace(strings.TrimPrefix(line, "module "))}
	byDir := map[string]*goPackage{}
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return skip(files, name)
		case path.Ext(name) != ".go":
			return nil
		}
		dir := path.Dir(name)
		if byDir[dir] == nil {
			byDir[dir] = &goPackage{dir: dir, imports: map[string]string{}}
			t.packages = append(t.packages, byDir[dir])
		}
		return byDir[dir].add(files, name)
	})
	if err != nil {
		return nil, err
	}
	// Without a name there are only tests of another package.
	t.packages = slices.DeleteFunc(t.packages, func(p *goPackage) bool { return p.name == "" })
	slices.SortFunc(t.packages, func(a, b *goPackage) int { return strings.Compare(a.dir, b.dir) })
	return t, nil
}

// skip leaves out directories that are not of the module, as the go command does.
func skip(files fs.FS, dir string) error {
	base := path.Base(dir)
	if dir == "." {
		return nil
	}
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "vendor" {
		return fs.SkipDir
	}
	switch _, err := fs.Stat(files, path.Join(dir, "go.mod")); {
	case err == nil:
		return fs.SkipDir
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

func (p *goPackage) add(files fs.FS, name string) error {
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return err
	}
	test := strings.HasSuffix(name, "_test.go")
	if test && strings.HasSuffix(file.Name.Name, "_test") {
		return nil
	}
	p.name = file.Name.Name
	if comment := file.Doc.Text(); comment != "" && (!test || p.comment == "") {
		p.comment = comment
	}
	if test {
		return nil
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if p.imports[imported] == "" {
			p.imports[imported] = name
		}
	}
	return nil
}
