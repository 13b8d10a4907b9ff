package slapdtest

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrMissing matches the error for a server program that isn't there; its text
// names the command that gets it.
var ErrMissing = errors.New("not found")

func missing(name string) error {
	return fmt.Errorf("%s: %w; 'make servers' gets it", name, ErrMissing)
}

// Programs are the paths of the server and client programs; empty: not found.
type Programs struct {
	Slapd      string // LISTENERD_SLAPD
	ModulePath string // LISTENERD_SLAPD_MODULE_PATH: back_mdb, syncprov, ...
	SchemaDir  string // LISTENERD_SLAPD_SCHEMA_DIR: core.schema, ...
	LDAPSearch string // LISTENERD_LDAPSEARCH
	LDAPModify string // LISTENERD_LDAPMODIFY
	Memcached  string // LISTENERD_MEMCACHED

	KRB5KDC     string // LISTENERD_KRB5KDC
	KDB5Util    string // LISTENERD_KDB5_UTIL
	KadminLocal string // LISTENERD_KADMIN_LOCAL
	Kinit       string // LISTENERD_KINIT
	KDBPath     string // LISTENERD_KDB_PATH: the KDC's database plugins; empty: it knows
	SASLPath    string // LISTENERD_SASL_PATH: the SASL plugin for GSSAPI; empty: slapd knows
}

// Locate finds the programs: each is the environment variable named at its field,
// else what scripts/servers.sh wrote to servers/env in the cache folder
// (LISTENERD_CACHE, or .cache at the root of the repository around the working
// directory), else what PATH and the system's usual places have.
func Locate() (Programs, error) {
	known, err := readEnvFile()
	if err != nil {
		return Programs{}, err
	}
	value := func(name string, fallback func() string) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		if v := known[name]; v != "" {
			return v
		}
		return fallback()
	}
	program := func(name string) string {
		return value("LISTENERD_"+strings.ToUpper(strings.ReplaceAll(name, ".", "_")), func() string { return lookPath(name) })
	}
	return Programs{
		Slapd:      program("slapd"),
		LDAPSearch: program("ldapsearch"),
		LDAPModify: program("ldapmodify"),
		Memcached:  program("memcached"),

		KRB5KDC:     program("krb5kdc"),
		KDB5Util:    program("kdb5_util"),
		KadminLocal: program("kadmin.local"),
		Kinit:       program("kinit"),
		KDBPath:     value("LISTENERD_KDB_PATH", none),
		SASLPath:    value("LISTENERD_SASL_PATH", none),

		ModulePath: value("LISTENERD_SLAPD_MODULE_PATH", func() string {
			return firstDir("/usr/lib/ldap", "/usr/lib64/openldap", "/usr/lib/openldap", "/usr/libexec/openldap")
		}),
		SchemaDir: value("LISTENERD_SLAPD_SCHEMA_DIR", func() string { return firstDir("/etc/ldap/schema", "/etc/openldap/schema") }),
	}, nil
}

func none() string { return "" }

func readEnvFile() (map[string]string, error) {
	cache := os.Getenv("LISTENERD_CACHE")
	if cache == "" {
		root := repositoryRoot()
		if root == "" {
			return nil, nil
		}
		cache = filepath.Join(root, ".cache")
	}
	f, err := os.Open(filepath.Join(cache, "servers", "env"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	known := make(map[string]string)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if name, v, ok := strings.Cut(lines.Text(), "="); ok {
			known[name] = v
		}
	}
	return known, lines.Err()
}

// repositoryRoot returns the nearest directory upwards that has a go.mod.
func repositoryRoot() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// lookPath looks in PATH, then where servers are installed but users don't look.
func lookPath(name string) string {
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name, "/usr/libexec/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	return ""
}

func firstDir(candidates ...string) string {
	for _, dir := range candidates {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
	}
	return ""
}
