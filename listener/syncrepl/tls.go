package syncrepl

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/listenerd/listenerd/listener/internal/wire"
)

// TLS says how connections are secured. Those to ldaps:// are in any case, with the
// zero TLS too; those over a Unix socket never. No version below TLS 1.2 is spoken, and
// the provider's certificate is always verified.
//
// The files are read for each connection, so that renewed certificates count from the
// next one on.
type TLS struct {
	// StartTLS secures the connections to ldap:// providers (RFC 4511, section 4.14).
	// One that refuses is not used.
	StartTLS bool
	// CAFile has the certificates, in PEM, of the authorities to trust. Default: those
	// that the system trusts.
	CAFile string
	// CertFile has our certificate, in PEM, followed by those of intermediate
	// authorities, and KeyFile its private key. Default: no certificate is shown.
	CertFile, KeyFile string
	// ServerName is what the provider's certificate has to be for. Default: the host in
	// the URI.
	ServerName string
}

// config reads the files.
func (t *TLS) config(host string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if t.ServerName != "" {
		cfg.ServerName = t.ServerName
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls.ca_file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca_file: %s has no certificate in PEM", t.CAFile)
		}
	}
	if t.CertFile != "" || t.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls.cert_file, tls.key_file: %w", err)
		}
		// Shown whatever authorities the provider names: it says more about a wrong
		// certificate than about a missing one.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return cfg, nil
}

// secure makes a TLS connection of raw, which is read through under.
func (c *Consumer) secure(ctx context.Context, t target, raw, under net.Conn) (net.Conn, error) {
	cfg, err := c.cfg.TLS.config(t.host)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTLS, err)
	}
	if !t.ldaps {
		err := c.within(ctx, raw, "StartTLS request", func(context.Context) error {
			result, err := wire.StartTLS(raw)
			if err != nil {
				return connectionError(err)
			}
			if result.Code != 0 {
				refused := &ResultError{Code: result.Code, MatchedDN: result.MatchedDN, Diagnostic: result.Diagnostic}
				return fmt.Errorf("%w: StartTLS was refused with %w; it needs a certificate at the provider, or try ldaps://", ErrTLS, refused)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	secured := tls.Client(under, cfg)
	err = c.within(ctx, raw, "TLS handshake", secured.HandshakeContext)
	if err == nil {
		return secured, nil
	}
	if errors.Is(err, ErrDisconnected) || ctx.Err() != nil {
		return nil, err // of within
	}
	return nil, c.cfg.TLS.failure(cfg.ServerName, err)
}

// failure describes a handshake that failed, with what to do about it.
func (t *TLS) failure(name string, err error) error {
	describe := func(matches []error, format string, args ...any) error {
		return &described{fmt.Sprintf("%v: ", ErrTLS) + fmt.Sprintf(format, args...), append(matches, ErrTLS, err)}
	}
	if invalid, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(invalid.UnverifiedCertificates) > 0 {
		return describe(nil, "%s", t.complaint(name, invalid))
	}
	if text := alert(err); text != "" {
		return describe(nil, "the provider ended the handshake: %s", t.refusal(text))
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return describe(nil, "the provider does not speak TLS on this port; should this be ldap:// with tls.starttls?")
	}
	if strings.HasPrefix(err.Error(), "tls: ") {
		return describe(nil, "%v", err)
	}
	return describe([]error{ErrDisconnected}, "the connection ended within the handshake: %v; does the provider have a certificate?", err)
}

// complaint says what is wrong with the provider's certificate.
func (t *TLS) complaint(name string, err *tls.CertificateVerificationError) string {
	leaf := err.UnverifiedCertificates[0]
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("%s is for %s, not for %s: put one of these names into the URI, or into tls.server_name if that is the right provider",
			certificate(leaf), names(leaf), name)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Cert != nil {
		what := certificate(invalid.Cert)
		switch {
		case invalid.Reason != x509.Expired:
			return fmt.Sprintf("%s is not acceptable: %v", what, invalid)
		case time.Now().Before(invalid.Cert.NotBefore):
			return what + " is not valid yet: is the clock of this machine right?"
		}
		return what + " has expired: renew it at the provider (there is no key to accept it)"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		issuer := fmt.Sprintf("was issued by %s", leaf.Issuer)
		if leaf.Issuer.String() == leaf.Subject.String() {
			issuer = "was issued by itself"
		}
		if t.CAFile == "" {
			return fmt.Sprintf("%s %s, which this system does not trust: put the certificate of that authority into a file and name it with tls.ca_file",
				certificate(leaf), issuer)
		}
		return fmt.Sprintf("%s %s, which is not among the authorities in tls.ca_file (%s): add its certificate there",
			certificate(leaf), issuer, t.CAFile)
	}
	return fmt.Sprintf("%s is not acceptable: %v", certificate(leaf), err.Err)
}

// alert returns the text of a TLS alert that the provider sent; empty for other errors.
func alert(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return strings.TrimPrefix(op.Err.Error(), "tls: ")
	}
	return ""
}

// refusal says what the alert means for us.
func (t *TLS) refusal(alert string) string {
	switch {
	case strings.Contains(alert, "protocol version"):
		return alert + "; it offers nothing newer than TLS 1.1, and TLS 1.2 is the least that is spoken here"
	case t.CertFile != "" && (strings.Contains(alert, "certificate") || strings.Contains(alert, "handshake")):
		return fmt.Sprintf("%s; it may not accept our certificate, the one in tls.cert_file (%s)", alert, t.CertFile)
	case strings.Contains(alert, "certificate") || strings.Contains(alert, "handshake"):
		return alert + "; if it wants to see a certificate of ours, name one with tls.cert_file and tls.key_file"
	}
	return alert
}

// certificate names one and says when it is valid.
func certificate(c *x509.Certificate) string {
	const minute = "2006-01-02 15:04"
	subject := c.Subject.String()
	if subject == "" {
		subject = names(c)
	}
	return fmt.Sprintf("the certificate of %s (valid from %s to %s UTC)",
		subject, c.NotBefore.UTC().Format(minute), c.NotAfter.UTC().Format(minute))
}

// names returns what a certificate is for.
func names(c *x509.Certificate) string {
	all := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	const most = 10
	switch {
	case len(all) == 0:
		return "no host at all (it has no subjectAltName)"
	case len(all) > most:
		return strings.Join(all[:most], ", ") + " and others"
	}
	return strings.Join(all, ", ")
}
