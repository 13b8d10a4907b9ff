package daemon_test

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// configureSession writes a configuration with these lines of the section ldap.
func (s *site) configureSession(lines string) {
	s.t.Helper()
	s.write("listenerd.yaml", "ldap:\n  base: "+slapdtest.BaseDN+"\n"+lines+
		"state_dir: state\nmodules:\n"+instance("people", "jsonl", "ldap_filter: (objectClass=inetOrgPerson)"))
}

// followOf returns the lines for configureSession that follow the server, and more.
func followOf(server *slapdtest.Server, lines ...string) string {
	return fmt.Sprintf("  uri: %s\n  bind: {dn: %q, password_file: ldap.secret}\n  %s\n",
		server.URI(), slapdtest.ListenerDN, strings.Join(lines, "\n  "))
}

// Each way to the provider and each identity leads to the content. Who we are is part
// of the search: with another identity the directory is loaded again, which tells the
// modules nothing if that one may read the same.
func TestSessions(t *testing.T) {
	t.Parallel()
	realm := slapdtest.NewRealm(t)
	a := slapdtest.NewAuthority(t, "Example Authority")
	server := slapdtest.Start(t, slapdtest.TLS(a, a.Server("localhost")), slapdtest.Kerberos(realm))
	d := newDirectory(t, server)
	d.person("ada", base)
	own := a.Client("listener")
	host := func(uri string) string { return strings.Replace(uri, "127.0.0.1", "localhost", 1) }
	simple := fmt.Sprintf("  bind: {dn: %q, password_file: ldap.secret}\n", slapdtest.ListenerDN)
	certified := fmt.Sprintf("ca_file: %s, cert_file: %s, key_file: %s}\n", a.CAFile, own.CertFile, own.KeyFile)
	s := newSite(t)
	calls := 4 // initialize, pre_run, create, post_run
	for _, session := range []struct{ name, lines string }{
		{"StartTLS", "  uri: " + host(server.URI()) + "\n  tls: {starttls: true, ca_file: " + a.CAFile + "}\n" + simple},
		{"LDAPS", "  uri: " + host(server.LDAPS()) + "\n  tls: {ca_file: " + a.CAFile + "}\n" + simple},
		{"LDAPIExternal", "  uri: " + server.LDAPI() + "\n  bind: {method: external}\n"},
		{"StartTLSExternal", "  uri: " + host(server.URI()) + "\n  tls: {starttls: true, " + certified + "  bind: {method: external}\n"},
		{"LDAPSExternal", "  uri: " + host(server.LDAPS()) + "\n  tls: {" + certified + "  bind: {method: external}\n"},
		{"Keytab", fmt.Sprintf("  uri: %s\n  bind: {method: gssapi, principal: listener, keytab: %s, krb5_conf: %s}\n", host(server.URI()), realm.Keytab, realm.Krb5Conf)},
		{"CredentialCache", fmt.Sprintf("  uri: %s\n  bind: {method: gssapi, ccache: %s, krb5_conf: %s}\n", host(server.URI()), realm.CCache(), realm.Krb5Conf)},
	} {
		s.configureSession(session.lines)
		if r := s.command("check", "-c", "listenerd.yaml"); r.code != 0 || r.stderr != "" {
			t.Errorf("%s: check: %d, %s%s", session.name, r.code, r.stdout, r.stderr)
		}
		s.mustOnce()
		if docs := s.journal("people"); len(docs) != calls {
			t.Errorf("%s: %q", session.name, kindsOf(docs))
			calls = len(docs)
		}
	}
}

// A certificate that is not trusted is named where an operator looks, and the password
// stays here.
func TestUntrustedProvider(t *testing.T) {
	t.Parallel()
	a, other := slapdtest.NewAuthority(t, "Example Authority"), slapdtest.NewAuthority(t, "Other Authority")
	server := slapdtest.Start(t, slapdtest.TLS(a, a.Server("127.0.0.1")))
	s := newSite(t)
	s.configureSession("  uri: " + server.LDAPS() + "\n  tls: {ca_file: " + other.CAFile + "}\n" +
		fmt.Sprintf("  bind: {dn: %q, password_file: ldap.secret}\n", slapdtest.ListenerDN))
	r := s.start()
	r.until("status has the error", func() bool {
		status, ok := r.status()
		return ok && status.Phase == "connecting" && strings.Contains(status.LastError, "the certificate of CN=127.0.0.1") &&
			strings.Contains(status.LastError, "tls.ca_file ("+other.CAFile+")")
	})
	// The certificate is added where the error says: no restart is needed.
	data, err := os.ReadFile(a.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other.CAFile, data, 0o600); err != nil {
		t.Fatal(err)
	}
	r.until("it is connected", func() bool {
		status, ok := r.status()
		return ok && status.Phase == "persist"
	})
	r.stop()
}

// A wrong path is a mistake in the configuration, with its line.
func TestSessionMistakes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.configureSession("  uri: ldapi://" + url.PathEscape(s.path("socket")) + "\n  tls:\n    ca_file: nowhere.pem\n  bind: {method: external}\n")
	r := s.command("check", "-c", "listenerd.yaml")
	says(t, "check", r.code, 2, r.stdout+r.stderr, "listenerd.yaml:5: ldap.tls.ca_file: there is no file "+s.path("nowhere.pem"))
}

// A provider that was restored from a backup is older than the mirror. For the time of
// grace it is refused, since it may just lag behind; then its content is what counts,
// and the modules are told of what was undone.
func TestScenario13RestoredBackup(t *testing.T) {
	t.Parallel()
	server := slapdtest.Start(t)
	d := newDirectory(t, server)
	ada := d.person("ada", base)
	backup := server.Export(t)
	s := newSite(t)
	s.configureSession(followOf(server, "stale_grace: 1h"))
	r := s.start()
	r.caughtUp(d)
	before, after := d.modify(ada.dn, []string{"sn", "Lost"})
	bob := d.person("bob", base)
	r.until("bob is known", func() bool { return len(s.journal("people")) == 5 })

	server.Restore(t, backup)
	const refused = "lags behind or was restored from a backup"
	r.until("the provider is refused", func() bool {
		status, ok := r.status()
		return ok && strings.Contains(status.LastError, refused)
	})
	r.stop()
	expectKinds(t, "before the time is over", s.journal("people"),
		"initialize", "pre_run", "create uid=ada", "modify uid=ada", "create uid=bob", "post_run")

	s.configureSession(followOf(server, "stale_grace: 1s"))
	r = s.start()
	r.until("the backup counts", func() bool { return len(s.journal("people")) == 9 })
	r.caughtUp(newDirectory(t, server))
	r.stop()
	says(t, "the time of grace", 0, 0, r.output(), refused)
	compareParallel(t, "what was undone", describeAll(s.journal("people"))[6:9], []string{
		"pre_run", modify(after, before, "sn"), remove(bob, "live"),
	})
}

// An entry that is larger than max_message_size ends the session with an error that
// names the key; with a larger limit it arrives.
func TestMaxMessageSize(t *testing.T) {
	t.Parallel()
	server := slapdtest.Start(t)
	d := newDirectory(t, server)
	d.person("large", base, "description", strings.Repeat("x", 100<<10))
	s := newSite(t)
	s.configureSession(followOf(server, "max_message_size: 64KiB"))
	code, output := s.once()
	says(t, "once", code, 1, output, "more than the limit of 65536 (max_message_size)", server.URI())
	expectKinds(t, "without the entry", s.journal("people"))

	s.configureSession(followOf(server, "max_message_size: 128KiB"))
	s.mustOnce()
	expectKinds(t, "with it", s.journal("people"), "initialize", "pre_run", "create uid=large", "post_run")
}

// Another search means that everything is loaded again and compared: modules are told
// what it brings and what it leaves out, and nothing else.
func TestScenario19SearchChanged(t *testing.T) {
	t.Parallel()
	server := slapdtest.Start(t, slapdtest.SessionLog(100))
	d := newDirectory(t, server)
	one, two := d.unit("one", base).dn, d.unit("two", base).dn
	d.person("ada", one)
	d.person("bob", two)
	s := newSite(t)
	told := 0
	run := func(what, search string, want ...string) {
		t.Helper()
		s.write("listenerd.yaml", "ldap:\n"+search+followOf(server)+"state_dir: state\nmodules:\n"+
			instance("people", "jsonl", "ldap_filter: (objectClass=inetOrgPerson)"))
		for range 2 { // the second time, nothing has changed
			s.mustOnce()
			docs := s.journal("people")
			expectKinds(t, what, docs[told:], want...)
			told, want = len(docs), nil
		}
	}
	run("at first", "  base: "+base+"\n", "initialize", "pre_run", "create uid=ada", "create uid=bob", "post_run")
	run("another base", "  base: "+one+"\n", "pre_run", "remove uid=bob", "post_run")
	run("another filter", "  base: "+base+"\n  filter: (|(!(objectClass=inetOrgPerson))(uid=bob))\n",
		"pre_run", "create uid=bob", "remove uid=ada", "post_run")
	run("another scope", "  base: "+one+"\n  scope: one\n", "pre_run", "create uid=ada", "remove uid=bob", "post_run")
	run("other attributes", "  base: "+one+"\n  scope: one\n  attributes: ['*']\n")
	run("fewer attributes", "  base: "+one+"\n  scope: one\n  attributes: [objectClass, cn, sn]\n", "pre_run", "modify uid=ada", "post_run")
}
