package slapdtest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener/internal/process"
)

// Realm is a Kerberos realm with a running KDC. It has the principals listener and
// ldap/localhost, both with a keytab.
type Realm struct {
	// Name of the realm.
	Name string
	// Krb5Conf is the path of the configuration for its clients.
	Krb5Conf string
	// Keytab is the path of the file with the key of listener.
	Keytab string

	t        testing.TB
	dir      string
	programs Programs
}

// NewRealm starts a KDC that ends with the test.
func NewRealm(t testing.TB) *Realm {
	t.Helper()
	programs, err := Locate()
	if err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"krb5kdc": programs.KRB5KDC, "kdb5_util": programs.KDB5Util, "kadmin.local": programs.KadminLocal, "kinit": programs.Kinit,
	} {
		if path == "" {
			t.Fatal(missing(name))
		}
	}
	r := &Realm{Name: "EXAMPLE.COM", t: t, dir: tempDir(t), programs: programs}
	r.Krb5Conf, r.Keytab = r.path("krb5.conf"), r.path("listener.keytab")
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	r.write("krb5.conf", `[libdefaults]
  default_realm = %[1]s
  dns_lookup_kdc = false
  dns_lookup_realm = false
  rdns = false
[realms]
  %[1]s = {
    kdc = %[2]s
  }
`, r.Name, Loopback(port))
	modules := ""
	if programs.KDBPath != "" {
		modules = "[dbmodules]\n  db_module_dir = " + programs.KDBPath + "\n"
	}
	r.write("kdc.conf", `[kdcdefaults]
  kdc_listen = %[2]s
  kdc_tcp_listen = %[2]s
[realms]
  %[1]s = {
    database_name = %[3]s
    key_stash_file = %[4]s
    supported_enctypes = aes256-cts-hmac-sha1-96:normal
    default_principal_flags = +preauth
  }
%[5]s`, r.Name, Loopback(port), r.path("principal"), r.path("stash"), modules)
	r.run(programs.KDB5Util, "create", "-s", "-r", r.Name, "-P", "master-secret")
	for principal, keytab := range map[string]string{"listener": r.Keytab, "ldap/localhost": r.path("ldap.keytab")} {
		r.run(programs.KadminLocal, "-r", r.Name, "addprinc", "-randkey", principal)
		r.run(programs.KadminLocal, "-r", r.Name, "ktadd", "-k", keytab, "-norandkey", principal)
	}
	kdc := exec.Command(programs.KRB5KDC, "-n", "-r", r.Name, "-P", r.path("kdc.pid"))
	kdc.Env = r.env()
	proc, err := process.Start(kdc, r.path("kdc.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proc.Kill)
	if err := proc.WaitReady(func() error {
		conn, err := net.DialTimeout("tcp", Loopback(port), time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	}, startDeadline); err != nil {
		t.Fatalf("start krb5kdc: %v", err)
	}
	return r
}

// CCache logs in as listener and returns the path of the credential cache.
func (r *Realm) CCache() string {
	r.t.Helper()
	path := r.path("ccache")
	r.run(r.programs.Kinit, "-c", path, "-k", "-t", r.Keytab, "listener@"+r.Name)
	return path
}

// ChangeKey gives listener a new key, which makes its keytab worthless.
func (r *Realm) ChangeKey() {
	r.t.Helper()
	r.run(r.programs.KadminLocal, "-r", r.Name, "change_password", "-randkey", "listener")
}

func (r *Realm) path(name string) string { return filepath.Join(r.dir, name) }

func (r *Realm) write(name, format string, args ...any) {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), fmt.Appendf(nil, format, args...), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *Realm) env() []string {
	return append(os.Environ(), "KRB5_CONFIG="+r.Krb5Conf, "KRB5_KDC_PROFILE="+r.path("kdc.conf"))
}

// serverEnv is the environment for a slapd with the key of ldap/localhost.
func (r *Realm) serverEnv(p Programs) []string {
	env := append(r.env(), "KRB5_KTNAME="+r.path("ldap.keytab"))
	if p.SASLPath == "" {
		return env
	}
	// The plugin was unpacked together with the libraries that the machine lacks.
	libraries := []string{filepath.Dir(p.SASLPath)}
	if have := os.Getenv("LD_LIBRARY_PATH"); have != "" {
		libraries = append(libraries, have)
	}
	return append(env, "SASL_PATH="+p.SASLPath, "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
}

func (r *Realm) run(program string, args ...string) {
	r.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = r.env()
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		err = missing(filepath.Base(program))
	}
	if err != nil {
		r.t.Fatalf("%s %s: %v: %s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
}
