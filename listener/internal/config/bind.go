package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Bind methods.
const (
	// BindAnonymous sends no bind request.
	BindAnonymous = "anonymous"
	// BindSimple binds with a DN and a password.
	BindSimple = "simple"
	// BindExternal takes the identity that the connection has: that of the process over
	// a Unix socket, else that of the client certificate.
	BindExternal = "external"
	// BindGSSAPI binds with a Kerberos ticket.
	BindGSSAPI = "gssapi"
)

// Bind says who the daemon is to the provider.
type Bind struct {
	// Method is [BindSimple], [BindAnonymous], [BindExternal] or [BindGSSAPI]. Default:
	// simple where a DN is given, else anonymous.
	Method string
	// DN is the name to bind with; empty with other methods than [BindSimple].
	DN string
	// Password is what password_file held, less one newline at its end; never
	// empty with [BindSimple].
	Password Secret `json:"-"`
	// Principal is the Kerberos principal; empty for that of the credential cache.
	Principal string
	// Keytab is the absolute path of the file with the principal's key; empty: the
	// credential cache is used.
	Keytab string
	// CCache is the absolute path of the credential cache; empty: Kerberos's own.
	CCache string
	// Krb5Conf is the absolute path of Kerberos's configuration; empty: its own.
	Krb5Conf string
	// ServicePrincipal is the provider's. Default: empty, for ldap/ and its host.
	ServicePrincipal string
}

// Identity says in words who the daemon is to the provider; empty if it is anonymous.
// What another one may read differs.
func (c *LDAP) Identity() string {
	switch c.Bind.Method {
	case BindExternal:
		var who []string
		if slices.ContainsFunc(c.URIs, func(uri string) bool { return strings.HasPrefix(uri, "ldapi://") }) {
			who = append(who, fmt.Sprintf("user ID %d", os.Getuid()))
		}
		if c.TLS.Subject != "" {
			who = append(who, c.TLS.Subject)
		}
		return strings.Join(who, " or ") + " (EXTERNAL)"
	case BindGSSAPI:
		switch {
		case c.Bind.Principal != "":
			return c.Bind.Principal + " (GSSAPI)"
		case c.Bind.CCache != "":
			return "the owner of " + c.Bind.CCache + " (GSSAPI)"
		}
		return "the owner of the credential cache (GSSAPI)"
	}
	return c.Bind.DN
}

// maxSecretSize bounds a password file.
const maxSecretSize = 64 << 10

// bind checks the section ldap.bind; names are the DNs from URLs.
func (l *loader) bind(section given[bindSection], names []part[string]) Bind {
	if notDecoded(section) {
		return Bind{}
	}
	s := section.Value
	l.notEmpty("ldap.bind.dn", s.DN)
	l.notEmpty("ldap.bind.password_file", s.PasswordFile)
	addText(&names, s.DN.or(""), "ldap.bind.dn", s.DN.Line)
	for _, p := range names {
		l.dn(p)
	}
	b := Bind{DN: agreed(l, names, "", sameDN), Method: BindAnonymous}
	if b.DN != "" {
		b.Method = BindSimple
	}
	if s.PasswordFile.or("") != "" {
		b.Password = l.secret("ldap.bind.password_file", s.PasswordFile)
	}
	if s.DN.Line > 0 && b.DN == "" || s.Method.Line > 0 && !s.Method.OK {
		return b // reported, and what follows depends on it
	}
	if s.Method.OK && l.oneOf("ldap.bind.method", s.Method, BindSimple, BindAnonymous, BindExternal, BindGSSAPI) {
		b.Method = s.Method.Value
	}
	l.kerberos(&b, s)
	switch {
	case b.Method == BindAnonymous && b.DN != "":
		l.problems.add(s.Method.Line, "ldap.bind.method: an anonymous bind has no DN, but %s is %q; remove one of them", names[0].where, b.DN)
	case b.Method == BindAnonymous && s.PasswordFile.Line > 0:
		l.problems.add(s.PasswordFile.Line, "ldap.bind.password_file: a password needs ldap.bind.dn, the DN to bind with")
	case b.Method == BindSimple && b.DN == "":
		l.problems.add(s.Method.Line, "ldap.bind.dn is missing; a simple bind needs the DN to bind with")
	case b.Method == BindSimple && s.PasswordFile.Line == 0:
		line := section.Line
		if line == 0 {
			line = names[0].line
		}
		l.problems.add(line, "ldap.bind.password_file is missing; a simple bind needs a password")
	case b.Method == BindExternal || b.Method == BindGSSAPI:
		if b.DN != "" {
			l.problems.add(s.Method.Line, "ldap.bind.method: %s takes no DN, but %s is %q; remove one of them", b.Method, names[0].where, b.DN)
		}
		if s.PasswordFile.Line > 0 {
			l.problems.add(s.PasswordFile.Line, "ldap.bind.password_file: the method %s takes no password; remove one of them", b.Method)
		}
	}
	return b
}

// kerberos checks the keys of the method gssapi.
func (l *loader) kerberos(b *Bind, s bindSection) {
	for _, key := range []struct {
		name string
		key  given[string]
		to   *string
		path bool
	}{
		{"principal", s.Principal, &b.Principal, false},
		{"keytab", s.Keytab, &b.Keytab, true},
		{"ccache", s.CCache, &b.CCache, true},
		{"krb5_conf", s.Krb5Conf, &b.Krb5Conf, true},
		{"service_principal", s.ServicePrincipal, &b.ServicePrincipal, false},
	} {
		name := "ldap.bind." + key.name
		l.notEmpty(name, key.key)
		value := key.key.or("")
		if value == "" {
			continue
		}
		if b.Method != BindGSSAPI {
			l.problems.add(key.key.Line, "%s is for the method gssapi, and the method is %s; set ldap.bind.method or remove the key", name, b.Method)
			continue
		}
		if key.path {
			value = l.path(value)
		}
		*key.to = value
	}
	if b.Keytab != "" {
		l.readable("ldap.bind.keytab", s.Keytab)
		l.ownerOnly("ldap.bind.keytab", s.Keytab)
		if s.Principal.Line == 0 {
			l.problems.add(s.Keytab.Line, "ldap.bind.principal is missing; a keytab may have keys of several, as in listenerd@EXAMPLE.COM")
		}
	}
	if b.Keytab != "" && b.CCache != "" {
		l.problems.add(s.CCache.Line, "ldap.bind.ccache: a keytab makes its own tickets; remove one of them")
	} else if b.CCache != "" {
		// It comes and goes, as those who renew it like.
		if _, err := os.Stat(b.CCache); err != nil {
			l.warnings.add(s.CCache.Line, "ldap.bind.ccache: cannot read %s: %v; somebody has to log in there (kinit -c)", b.CCache, plainPathError(err))
		}
	}
	if b.Krb5Conf != "" {
		l.readable("ldap.bind.krb5_conf", s.Krb5Conf)
	}
}

// secret reads a file that holds a secret and nothing else.
func (l *loader) secret(name string, key given[string]) Secret {
	data, ok := l.file(name, key, maxSecretSize)
	if !ok {
		return Secret{}
	}
	l.ownerOnly(name, key)
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" {
		l.problems.add(key.Line, "%s: %s is empty; write the password into it", name, l.path(key.Value))
		return Secret{}
	}
	return NewSecret(text)
}

// file reads a file that a key names, or reports why it can't.
func (l *loader) file(name string, key given[string], limit int64) ([]byte, bool) {
	path := l.path(key.Value)
	data, _, err := readFile(path, limit)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.problems.add(key.Line, "%s: there is no file %s", name, path)
	case err != nil:
		l.problems.add(key.Line, "%s: cannot read %s: %v", name, path, err)
	}
	return data, err == nil
}

// readable reports a file that can't be read.
func (l *loader) readable(name string, key given[string]) bool {
	_, ok := l.file(name, key, maxFileSize)
	return ok
}

// ownerOnly warns of a secret that everybody can get at.
func (l *loader) ownerOnly(name string, key given[string]) {
	path := l.path(key.Value)
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o007 != 0 {
		l.warnings.add(key.Line, "%s: every user of this machine can get at %s (mode %04o); chmod o= it", name, path, info.Mode().Perm())
	}
}
