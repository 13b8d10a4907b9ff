package syncrepl

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-ldap/ldap/v3"
)

// External is a [Config.Bind] that takes the identity the connection has already (SASL
// EXTERNAL, RFC 4422, appendix A): over a Unix socket that of our process, else that of
// the certificate in [TLS].
func External(_ context.Context, _ string, conn *ldap.Conn) error { return conn.ExternalBind() }

// bind authenticates the connection client, which conn closes.
func (c *Consumer) bind(ctx context.Context, uri string, client *ldap.Conn, conn io.Closer) error {
	if c.cfg.BindDN == "" && c.cfg.Bind == nil {
		return nil
	}
	err := c.within(ctx, conn, "bind", func(ctx context.Context) error {
		if c.cfg.Bind != nil {
			return c.cfg.Bind(ctx, uri, client)
		}
		return client.Bind(c.cfg.BindDN, c.cfg.Password)
	})
	if err == nil {
		return nil
	}
	if result, ok := resultOf(err); ok {
		err = result
		switch result.Code {
		case ldap.LDAPResultInvalidCredentials:
			text := fmt.Sprintf("bind as %s: %v", c.bindName(), ErrInvalidCredentials)
			if result.Diagnostic != "" {
				text += ": " + result.Diagnostic
			}
			return &described{uri + ": " + text, []error{ErrInvalidCredentials, result}}
		case ldap.LDAPResultAuthMethodNotSupported:
			err = fmt.Errorf("%w: the provider does not offer this bind method here; EXTERNAL needs a Unix socket or a client certificate, GSSAPI a keytab at the provider", result)
		}
	}
	return fmt.Errorf("%s: bind as %s: %w", uri, c.bindName(), c.first(uri, err))
}

// first explains the error of the first request on a connection. Providers that wanted
// another certificate of us may say nothing and hang up, and in TLS 1.3 that is after
// the handshake.
func (c *Consumer) first(uri string, err error) error {
	t, terr := parseTarget(uri)
	if terr != nil || t.network == "unix" || !t.ldaps && !c.cfg.TLS.StartTLS ||
		!errors.Is(err, ErrDisconnected) || errors.Is(err, errNoAnswer) || errors.Is(err, ErrTLS) {
		return err
	}
	hint := "it may want to see a certificate of ours, to be named with tls.cert_file and tls.key_file"
	if c.cfg.TLS.CertFile != "" {
		hint = fmt.Sprintf("it may not accept our certificate, the one in tls.cert_file (%s)", c.cfg.TLS.CertFile)
	}
	return fmt.Errorf("%w: right after the TLS handshake, %w; %s", ErrTLS, err, hint)
}

// bindName returns the bind identity for messages.
func (c *Consumer) bindName() string {
	switch {
	case c.cfg.BindDN != "":
		return c.cfg.BindDN
	case c.cfg.Bind != nil:
		return "the configured identity"
	}
	return "anonymous"
}
