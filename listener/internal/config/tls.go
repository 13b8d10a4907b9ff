package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// TLS says how the connection to the provider is secured. The paths are absolute.
type TLS struct {
	// StartTLS secures the connections to ldap:// providers. Default false.
	StartTLS bool
	// CAFile has the certificates of the authorities to trust. Default: empty, for
	// those of the system.
	CAFile string
	// CertFile and KeyFile are our own certificate and its key. Default: empty, for
	// none.
	CertFile, KeyFile string
	// ServerName is what the provider's certificate has to be for. Default: empty, for
	// the host of its URI.
	ServerName string
	// Subject is that of our certificate, for who that makes us; empty without one.
	Subject string
}

// tls checks the section ldap.tls.
func (l *loader) tls(section given[tlsSection], uris []string) TLS {
	if notDecoded(section) {
		return TLS{}
	}
	s := section.Value
	t := TLS{StartTLS: s.StartTLS.or(false), ServerName: s.ServerName.or("")}
	l.notEmpty("ldap.tls.server_name", s.ServerName)
	for _, key := range []struct {
		name string
		key  given[string]
		to   *string
	}{{"ca_file", s.CAFile, &t.CAFile}, {"cert_file", s.CertFile, &t.CertFile}, {"key_file", s.KeyFile, &t.KeyFile}} {
		l.notEmpty("ldap.tls."+key.name, key.key)
		if key.key.or("") != "" {
			*key.to = l.path(key.key.Value)
		}
	}
	if t.CAFile != "" {
		l.authorities(s.CAFile)
	}
	switch {
	case t.CertFile != "" && t.KeyFile != "":
		t.Subject = l.ownCertificate(s)
	case t.CertFile != "" && s.KeyFile.Line == 0:
		l.problems.add(s.CertFile.Line, "ldap.tls.key_file is missing; the certificate in cert_file needs its private key")
	case t.KeyFile != "" && s.CertFile.Line == 0:
		l.problems.add(s.KeyFile.Line, "ldap.tls.cert_file is missing; the key in key_file needs its certificate")
	}
	scheme := func(scheme string) bool {
		return slices.ContainsFunc(uris, func(uri string) bool { return strings.HasPrefix(uri, scheme+"://") })
	}
	switch {
	case len(uris) == 0 || section.Line == 0:
	case t.StartTLS && !scheme("ldap"):
		l.problems.add(s.StartTLS.Line, "ldap.tls.starttls is for ldap:// providers, and ldap.uri has none; ldaps:// needs no StartTLS, ldapi:// has none")
	case !t.StartTLS && !scheme("ldaps"):
		l.problems.add(section.Line, "ldap.tls has no effect: no connection uses TLS; set starttls: true, or write ldaps:// in ldap.uri")
	}
	return t
}

// authorities checks ca_file.
func (l *loader) authorities(key given[string]) {
	const name = "ldap.tls.ca_file"
	data, ok := l.file(name, key, 16<<20)
	if !ok {
		return
	}
	found := false
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue // as package x509 does with a pool
		}
		found = true
		l.expiry(name, key, cert)
	}
	if !found {
		l.problems.add(key.Line, "%s: %s has no certificate in PEM (-----BEGIN CERTIFICATE-----)", name, l.path(key.Value))
	}
}

// ownCertificate checks cert_file and key_file, and returns the certificate's subject.
func (l *loader) ownCertificate(s tlsSection) (subject string) {
	certData, certOK := l.file("ldap.tls.cert_file", s.CertFile, maxFileSize)
	keyData, keyOK := l.file("ldap.tls.key_file", s.KeyFile, maxFileSize)
	if !certOK || !keyOK {
		return ""
	}
	l.ownerOnly("ldap.tls.key_file", s.KeyFile)
	certPath, keyPath := l.path(s.CertFile.Value), l.path(s.KeyFile.Value)
	pair, err := tls.X509KeyPair(certData, keyData)
	switch {
	case err == nil:
	case !strings.Contains(string(certData), "-----BEGIN CERTIFICATE-----"):
		l.problems.add(s.CertFile.Line, "ldap.tls.cert_file: %s has no certificate in PEM (-----BEGIN CERTIFICATE-----)", certPath)
		return ""
	case strings.Contains(string(keyData), "ENCRYPTED"):
		l.problems.add(s.KeyFile.Line, "ldap.tls.key_file: the key in %s is encrypted, and nobody is there to type its password; store it without one, readable by the daemon's user only", keyPath)
		return ""
	case !strings.Contains(string(keyData), "PRIVATE KEY-----"):
		l.problems.add(s.KeyFile.Line, "ldap.tls.key_file: %s has no private key in PEM (-----BEGIN PRIVATE KEY-----)", keyPath)
		return ""
	default:
		l.problems.add(s.KeyFile.Line, "ldap.tls.key_file: %s is not the key of the certificate in %s: %s", keyPath, certPath, strings.TrimPrefix(err.Error(), "tls: "))
		return ""
	}
	l.expiry("ldap.tls.cert_file", s.CertFile, pair.Leaf)
	return pair.Leaf.Subject.String()
}

// expiry warns of a certificate that is not valid now.
func (l *loader) expiry(name string, key given[string], cert *x509.Certificate) {
	const minute = "2006-01-02 15:04 UTC"
	switch now := time.Now(); {
	case now.After(cert.NotAfter):
		l.warnings.add(key.Line, "%s: the certificate of %s has expired on %s; renew it", name, cert.Subject, cert.NotAfter.UTC().Format(minute))
	case now.Before(cert.NotBefore):
		l.warnings.add(key.Line, "%s: the certificate of %s is valid from %s on; is the clock right?", name, cert.Subject, cert.NotBefore.UTC().Format(minute))
	}
}

// bindAndTLS checks what bind and TLS ask of each other.
func (l *loader) bindAndTLS(section given[ldapSection], c LDAP) {
	s := section.Value
	line := s.Bind.Value.Method.Line
	for i, uri := range c.URIs {
		u, err := ParseLDAPURL(uri)
		if err != nil || u.Scheme == "ldapi" {
			continue
		}
		secured := u.Scheme == "ldaps" || c.TLS.StartTLS
		switch {
		case c.Bind.Method == BindExternal && !secured:
			l.problems.add(line, "ldap.bind.method: external has no identity at %s; it needs ldapi://, or TLS with a certificate (ldap.tls)", uri)
		case c.Bind.Method == BindExternal && s.TLS.Value.CertFile.Line == 0:
			l.problems.add(line, "ldap.bind.method: external has no identity at %s; name a certificate with ldap.tls.cert_file and ldap.tls.key_file", uri)
		case c.Bind.Method == BindSimple && !secured && !loopback(u.Host):
			at := s.URI.Line
			if i < len(s.URI.Value) && s.URI.Value[i].Line > 0 {
				at = s.URI.Value[i].Line
			}
			l.warnings.add(at, "ldap.uri: the password goes to %s unencrypted; set ldap.tls.starttls: true, or write ldaps://", uri)
		}
	}
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
