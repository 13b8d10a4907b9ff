package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener/internal/config"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// sessionFiles are what the texts of these tests name: CA, CERT, KEY, OTHERKEY,
// EXPIRED, EXPIREDKEY, TEXT and KEYTAB stand for paths.
func sessionFiles(t *testing.T) *strings.Replacer {
	t.Helper()
	a := slapdtest.NewAuthority(t, "Example Authority")
	own, other := a.Client("listener"), a.Client("other")
	expired := a.ServerUntil(time.Now().Add(-time.Hour), "listener.example.com")
	dir := t.TempDir()
	text, keytab, encrypted := filepath.Join(dir, "text"), filepath.Join(dir, "keytab"), filepath.Join(dir, "encrypted")
	writeFile(t, text, "hello\n", 0o600)
	writeFile(t, keytab, "\x05\x02", 0o600)
	writeFile(t, encrypted, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", 0o600)
	return strings.NewReplacer("CERTIFICATE", "CERTIFICATE", "PRIVATE KEY", "PRIVATE KEY", "OTHERKEY", other.KeyFile, "EXPIREDKEY", expired.KeyFile, "EXPIRED", expired.CertFile,
		"ENCRYPTED", encrypted, "CERT", own.CertFile, "KEYTAB", keytab, "KEY", own.KeyFile, "CA", a.CAFile, "TEXT", text)
}

func TestSession(t *testing.T) {
	files := sessionFiles(t)
	load := func(text string) *config.Config { return mustLoad(t, files.Replace("ldap:\n  base: dc=x\n"+text)) }

	c := load("  uri: [ldap://a, ldaps://b]\n  tls: {starttls: true, ca_file: CA, cert_file: CERT, key_file: KEY, server_name: c}\n  bind: {method: external}\n" +
		"  network_timeout: 3s\n  probe_interval: 0s\n  max_message_size: 1MiB\n  stale_grace: 90s\n  full_reload_interval: 168h\n")
	want := config.TLS{
		StartTLS: true, CAFile: files.Replace("CA"), CertFile: files.Replace("CERT"), KeyFile: files.Replace("KEY"),
		ServerName: "c", Subject: "CN=listener",
	}
	if c.LDAP.TLS != want || c.LDAP.Bind != (config.Bind{Method: config.BindExternal}) || c.LDAP.Identity() != "CN=listener (EXTERNAL)" ||
		c.LDAP.NetworkTimeout != 3*time.Second || c.LDAP.ProbeInterval != 0 ||
		c.LDAP.MaxMessageSize != 1<<20 || c.LDAP.StaleGrace != 90*time.Second || c.LDAP.FullReloadInterval != 168*time.Hour || len(c.Warnings) > 0 {
		t.Errorf("got %+v, %v", c.LDAP, c.Warnings)
	}

	c = load("  uri: ldap://a\n")
	if c.LDAP.NetworkTimeout != 10*time.Second || c.LDAP.ProbeInterval != time.Minute ||
		c.LDAP.MaxMessageSize != 64<<20 || c.LDAP.StaleGrace != 10*time.Minute || c.LDAP.FullReloadInterval != 0 {
		t.Errorf("the defaults are %+v", c.LDAP)
	}

	c = load("  uri: ldapi://%2Fsocket\n  bind: {method: external}\n")
	if want := fmt.Sprintf("user ID %d (EXTERNAL)", os.Getuid()); c.LDAP.Identity() != want {
		t.Errorf("identity %q", c.LDAP.Identity())
	}

	c = load("  uri: ldap://a\n  bind: {method: gssapi, principal: p@R, keytab: KEYTAB, krb5_conf: TEXT, service_principal: ldap/b}\n")
	if c.LDAP.Bind != (config.Bind{
		Method: config.BindGSSAPI, Principal: "p@R", Keytab: files.Replace("KEYTAB"), Krb5Conf: files.Replace("TEXT"), ServicePrincipal: "ldap/b",
	}) || c.LDAP.Identity() != "p@R (GSSAPI)" || len(c.Warnings) > 0 {
		t.Errorf("got %+v, %v", c.LDAP.Bind, c.Warnings)
	}
	for text, want := range map[string]string{
		"": "the owner of the credential cache (GSSAPI)", ", ccache: TEXT": files.Replace("the owner of TEXT (GSSAPI)"), ", principal: p": "p (GSSAPI)",
	} {
		if got := load("  uri: ldap://a\n  bind: {method: gssapi" + text + "}\n").LDAP.Identity(); got != want {
			t.Errorf("%s: identity %q", text, got)
		}
	}
}

func TestSessionProblems(t *testing.T) {
	files := sessionFiles(t)
	const external, kerberos = "  uri: ldaps://h\n  bind: {method: external}\n", "  uri: ldap://h\n  bind:\n    method: gssapi\n"
	for text, want := range map[string]string{
		"  uri: ldaps://h\n  tls:\n    ca_file: nowhere\n":                         "5: ldap.tls.ca_file: there is no file nowhere",
		"  uri: ldaps://h\n  tls:\n    ca_file: /\n":                               "5: ldap.tls.ca_file: cannot read /: it is a directory, not a file",
		"  uri: ldaps://h\n  tls:\n    ca_file: TEXT\n":                            "5: ldap.tls.ca_file: TEXT has no certificate in PEM (-----BEGIN CERTIFICATE-----)",
		"  uri: ldaps://h\n  tls:\n    ca_file: ''\n":                              "5: ldap.tls.ca_file is empty; give it a value or leave the key out",
		"  uri: ldaps://h\n  tls:\n    cert_file: CERT\n":                          "5: ldap.tls.key_file is missing; the certificate in cert_file needs its private key",
		"  uri: ldaps://h\n  tls:\n    key_file: KEY\n":                            "5: ldap.tls.cert_file is missing; the key in key_file needs its certificate",
		"  uri: ldaps://h\n  tls:\n    cert_file: CERT\n    key_file: nowhere\n":   "6: ldap.tls.key_file: there is no file nowhere",
		"  uri: ldaps://h\n  tls:\n    cert_file: TEXT\n    key_file: KEY\n":       "5: ldap.tls.cert_file: TEXT has no certificate in PEM (-----BEGIN CERTIFICATE-----)",
		"  uri: ldaps://h\n  tls:\n    cert_file: CERT\n    key_file: TEXT\n":      "6: ldap.tls.key_file: TEXT has no private key in PEM (-----BEGIN PRIVATE KEY-----)",
		"  uri: ldaps://h\n  tls:\n    cert_file: CERT\n    key_file: OTHERKEY\n":  "6: ldap.tls.key_file: OTHERKEY is not the key of the certificate in CERT: private key does not match public key",
		"  uri: ldaps://h\n  tls:\n    cert_file: CERT\n    key_file: ENCRYPTED\n": "6: ldap.tls.key_file: the key in ENCRYPTED is encrypted, and nobody is there to type its password; store it without one, readable by the daemon's user only",
		"  uri: ldaps://h\n  tls:\n    starttls: true\n":                           "5: ldap.tls.starttls is for ldap:// providers, and ldap.uri has none; ldaps:// needs no StartTLS, ldapi:// has none",
		"  uri: ldap://h\n  tls:\n    ca_file: CA\n":                               "4: ldap.tls has no effect: no connection uses TLS; set starttls: true, or write ldaps:// in ldap.uri",
		"  uri: ldap://h\n  network_timeout: 0s\n":                                 "4: ldap.network_timeout: want more than 0, have 0s",
		"  uri: ldap://h\n  probe_interval: -1s\n":                                 "4: ldap.probe_interval: want 0 or more, have -1s",
		"  uri: ldap://h\n  full_reload_interval: -1h\n":                           "4: ldap.full_reload_interval: want 0 or more, have -1h0m0s",
		"  uri: ldap://h\n  stale_grace: 0s\n":                                     "4: ldap.stale_grace: want more than 0, have 0s",
		"  uri: ldap://h\n  max_message_size: 63KiB\n":                             "4: ldap.max_message_size: want 64KiB to 1GiB, have 63KiB",
		"  uri: ldap://h\n  max_message_size: 0\n":                                 "4: ldap.max_message_size: want 64KiB to 1GiB, have 0B",
		"  uri: ldap://h\n  max_message_size: 1073741825\n":                        "4: ldap.max_message_size: want 64KiB to 1GiB, have 1073741825B",
		"  uri: ldap://h\n  max_message_size: 64MB\n":                              "4: ldap.max_message_size: want a size below 2GiB such as 64MiB, have \"64MB\"",
		"  uri: ldap://h\n  max_message_size: 1.5MiB\n":                            "4: ldap.max_message_size: want a size below 2GiB such as 64MiB, have \"1.5MiB\"",
		"  uri: ldap://h\n  max_message_size: 9999999999GiB\n":                     "4: ldap.max_message_size: want a size below 2GiB such as 64MiB, have \"9999999999GiB\"",
		external: "4: ldap.bind.method: external has no identity at ldaps://h:636; name a certificate with ldap.tls.cert_file and ldap.tls.key_file",
		"  uri: ldap://h\n  bind: {method: external}\n":                        "4: ldap.bind.method: external has no identity at ldap://h:389; it needs ldapi://, or TLS with a certificate (ldap.tls)",
		"  uri: ldapi://\n  bind: {method: external, dn: cn=a}\n":              `4: ldap.bind.method: external takes no DN, but ldap.bind.dn is "cn=a"; remove one of them`,
		"  uri: ldapi://\n  bind: {method: external, password_file: secret}\n": "4: ldap.bind.password_file: the method external takes no password; remove one of them",
		kerberos + "    keytab: nowhere\n    principal: p\n":                   "6: ldap.bind.keytab: there is no file nowhere",
		kerberos + "    keytab: KEYTAB\n":                                      "6: ldap.bind.principal is missing; a keytab may have keys of several, as in listenerd@EXAMPLE.COM",
		kerberos + "    keytab: KEYTAB\n    principal: p\n    ccache: TEXT\n":  "8: ldap.bind.ccache: a keytab makes its own tickets; remove one of them",
		kerberos + "    krb5_conf: nowhere\n":                                  "6: ldap.bind.krb5_conf: there is no file nowhere",
		"  uri: ldap://h\n  bind:\n    keytab: KEYTAB\n":                       "5: ldap.bind.keytab is for the method gssapi, and the method is anonymous; set ldap.bind.method or remove the key",
	} {
		got := problems(t, files.Replace("ldap:\n  base: dc=x\n"+text), nil)
		if want := files.Replace("listenerd.yaml:" + want); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

func TestSessionWarnings(t *testing.T) {
	files := sessionFiles(t)
	const bind = "  bind: {dn: cn=a, password_file: secret}\n"
	for text, want := range map[string]string{
		"  uri: ldap://h\n" + bind:                                              "3: ldap.uri: the password goes to ldap://h:389 unencrypted; set ldap.tls.starttls: true, or write ldaps://",
		"  uri:\n    - ldaps://h\n    - ldap://i\n" + bind:                      "5: ldap.uri: the password goes to ldap://i:389 unencrypted; set ldap.tls.starttls: true, or write ldaps://",
		"  uri: ldap://h\n  tls: {starttls: true}\n" + bind:                     "",
		"  uri: ldaps://h\n" + bind:                                             "",
		"  uri: ldap://localhost\n" + bind:                                      "",
		"  uri: ldap://127.0.0.2\n" + bind:                                      "",
		"  uri: 'ldap://[::1]'\n" + bind:                                        "",
		"  uri: ldapi://\n" + bind:                                              "",
		"  uri: ldap://h\n":                                                     "",
		"  uri: ldaps://h\n  tls:\n    ca_file: EXPIRED\n":                      "5: ldap.tls.ca_file: the certificate of CN=listener.example.com has expired on ",
		"  uri: ldap://h\n  bind: {method: gssapi, ccache: nowhere}\n":          "4: ldap.bind.ccache: cannot read nowhere: no such file or directory; somebody has to log in there (kinit -c)",
		"  uri: ldaps://h\n  tls: {cert_file: EXPIRED, key_file: EXPIREDKEY}\n": "4: ldap.tls.cert_file: the certificate of CN=listener.example.com has expired on ",
	} {
		c := mustLoad(t, files.Replace("ldap:\n  base: dc=x\n"+text))
		var got []string
		for _, w := range c.Warnings {
			got = append(got, strings.ReplaceAll(w.String(), filepath.Dir(c.Path)+"/", ""))
		}
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], "listenerd.yaml:"+want)) {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}
