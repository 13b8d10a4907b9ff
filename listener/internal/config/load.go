package config

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/listenerd/listenerd/listener"
)

// Load reads and checks the configuration file at path. Its instances are made of
// the registered modules.
//
// checkFilter says what is wrong with a search filter, an RFC 4515 string; it is
// called with ldap.filter and with the effective filter of each module. With nil,
// filters are not checked.
//
// The error is always a [Problems] with everything that is wrong. Load reads the
// password file and looks at whether state_dir is a directory; it writes nothing
// and opens no connection.
func Load(path string, modules []listener.Module, checkFilter func(string) error) (*Config, error) {
	return load(path, modules, checkFilter, func(l *loader) []byte {
		data, _, err := readFile(path, maxFileSize)
		if err != nil {
			l.problems.add(0, "cannot read the configuration: %v", err)
		}
		return data
	})
}

// Parse is [Load] for a configuration that is at hand. path is where it comes from: it
// stands in messages, and relative paths are relative to its directory. The file need
// not exist.
func Parse(data []byte, path string, modules []listener.Module, checkFilter func(string) error) (*Config, error) {
	return load(path, modules, checkFilter, func(l *loader) []byte {
		if len(data) > maxFileSize {
			l.problems.add(0, "cannot read the configuration: it is too large")
			return nil
		}
		return append([]byte{}, data...)
	})
}

// load checks what read returns; nil says that it has reported why there is nothing.
func load(path string, modules []listener.Module, checkFilter func(string) error, read func(*loader) []byte) (*Config, error) {
	l := &loader{
		problems:    collector{file: path},
		warnings:    collector{file: path},
		registered:  make(map[string]listener.Module, len(modules)),
		instances:   make(map[string]int),
		checkFilter: checkFilter,
	}
	l.decoder = decoder{problems: &l.problems, refused: refused}
	for _, m := range modules {
		name := m.Spec().Name
		if _, twice := l.registered[name]; twice {
			l.problems.add(0, "two registered modules have the name %q; a program registers each name once", name)
		}
		l.registered[name] = m
	}
	config := l.load(path, read)
	if problems := l.problems.sorted(); len(problems) > 0 {
		return nil, problems
	}
	config.Warnings = l.warnings.sorted()
	return config, nil
}

// loader is one run of Load.
type loader struct {
	dir         string // of the file, absolute
	registered  map[string]listener.Module
	instances   map[string]int // the lines of the instance names so far
	checkFilter func(string) error
	decoder     decoder
	problems    collector
	warnings    collector
}

func (l *loader) load(path string, read func(*loader) []byte) *Config {
	absolute, err := filepath.Abs(path)
	if err != nil {
		l.problems.add(0, "find the working directory, which the path is relative to: %v", err)
		return nil
	}
	l.dir = filepath.Dir(absolute)
	data := read(l)
	if data == nil {
		return nil
	}
	l.problems.lines = bytes.Count(data, []byte("\n")) + 1
	l.warnings.lines = l.problems.lines
	root := parse(data, &l.problems)
	if root == nil {
		return nil
	}
	var doc document
	l.decoder.decode(root, reflect.ValueOf(&doc).Elem(), place{})
	if root.Kind != yaml.MappingNode {
		return nil // nothing but that to report
	}
	log := doc.Log.Value
	l.oneOf("log.level", log.Level, "debug", "info", "warn", "error")
	l.oneOf("log.format", log.Format, "json", "console")
	c := &Config{
		Path:            absolute,
		LDAP:            l.ldap(doc.LDAP),
		StateDir:        l.stateDir(doc.StateDir),
		ShutdownTimeout: l.positive("shutdown_timeout", doc.ShutdownTimeout, DefaultShutdownTimeout),
		Guard:           l.guard(doc.Guard.Value),
		Shared:          l.shared(doc.Shared),
		Log:             Log{Level: log.Level.or(DefaultLogLevel), Format: log.Format.or(DefaultLogFormat)},
		Modules:         l.modules(doc.Modules.Value),
	}
	if c.Shared.Namespace == "" {
		c.Shared.Namespace = defaultNamespace(c.StateDir)
	}
	return c
}

func (l *loader) guard(s guardSection) Guard {
	const name = "guard.max_delete_percent"
	g := Guard{
		MaxDeletePercent: l.atLeast(0, name, s.MaxDeletePercent, DefaultMaxDeletePercent),
		MinDeletes:       l.atLeast(0, "guard.min_deletes", s.MinDeletes, DefaultMinDeletes),
	}
	if g.MaxDeletePercent > 100 {
		l.problems.add(s.MaxDeletePercent.Line, "%s: want a percentage up to 100, have %d", name, g.MaxDeletePercent)
	}
	return g
}

func (l *loader) stateDir(key given[string]) string {
	if key.OK && key.Value == "" {
		l.problems.add(key.Line, "state_dir is empty; name a directory, or leave the key out for %s", DefaultStateDir)
		return ""
	}
	dir := l.path(key.or(DefaultStateDir))
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		l.problems.add(key.Line, "state_dir: %s is not a directory", dir)
	}
	return dir
}

// path resolves a path in the file.
func (l *loader) path(p string) string {
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(l.dir, p)
}

// oneOf reports a value that is none of those allowed.
func (l *loader) oneOf(name string, key given[string], allowed ...string) bool {
	if key.OK && !slices.Contains(allowed, key.Value) {
		l.problems.add(key.Line, "%s: %q is not one of %s", name, key.Value, list(allowed))
		return false
	}
	return true
}

func (l *loader) positive(name string, key given[time.Duration], def time.Duration) time.Duration {
	value := key.or(def)
	if value <= 0 {
		l.problems.add(key.Line, "%s: want more than 0, have %s", name, key.Value)
	}
	return value
}

func (l *loader) notNegative(name string, key given[time.Duration], def time.Duration) time.Duration {
	value := key.or(def)
	if value < 0 {
		l.problems.add(key.Line, "%s: want 0 or more, have %s", name, key.Value)
	}
	return value
}

func (l *loader) atLeast(least int, name string, key given[int], def int) int {
	value := key.or(def)
	if value < least {
		l.problems.add(key.Line, "%s: want %d or more, have %d", name, least, value)
	}
	return value
}

// filter checks a filter that stands in line; what says whose it is.
func (l *loader) filter(line int, what, filter string) {
	if l.checkFilter == nil {
		return
	}
	if err := l.checkFilter(filter); err != nil {
		l.problems.add(line, "%s: %v", what, err)
	}
}
