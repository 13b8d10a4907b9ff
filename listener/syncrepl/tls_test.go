package syncrepl

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// secured returns a server with a certificate for localhost and 127.0.0.1.
func secured(t testing.TB, opts ...slapdtest.Option) (*slapdtest.Server, *slapdtest.Authority) {
	t.Helper()
	a := slapdtest.NewAuthority(t, "Example Authority")
	return slapdtest.Start(t, append(opts, slapdtest.TLS(a, a.Server("localhost", "127.0.0.1")))...), a
}

// overTLS makes a configuration one that trusts the authority; by StartTLS unless uri
// is that for ldaps.
func overTLS(cfg Config, a *slapdtest.Authority, uri string) Config {
	cfg.URIs = []string{uri}
	cfg.TLS = TLS{StartTLS: strings.HasPrefix(uri, "ldap:"), CAFile: a.CAFile}
	return cfg
}

// whoAmI returns the identity of a connection to the provider.
func whoAmI(t testing.TB, cfg Config) string {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := c.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	who, err := conn.WhoAmI(nil)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ToLower(strings.TrimPrefix(who.AuthzID, "dn:"))
}

// Scenario 22: StartTLS and ldaps, from the first load to live changes.
func TestScenario22StartTLSAndLDAPS(t *testing.T) {
	noLeaks(t)
	s, a := secured(t, slapdtest.WithLDIF(slapdtest.People(1000, 1)), slapdtest.GlobalConfig("security simple_bind=128"),
		slapdtest.DatabaseConfig("security ssf=128"))
	plain := newMirror(t)
	if err := once(t, slapdConfig(s), plain); err == nil {
		t.Error("the server takes connections without TLS, so that this test proves nothing")
	}
	e := newEditOverTLS(t, s, a)
	for name, uri := range map[string]string{"StartTLS": s.URI(), "LDAPS": s.LDAPS()} {
		t.Run(name, func(t *testing.T) {
			m := newMirror(t)
			cfg := overTLS(slapdConfig(s), a, uri)
			stop := start(t, cfg, m)
			m.waitRefreshed(1)
			if n := len(m.dns()); n < 1000 {
				t.Errorf("%d entries", n)
			}
			dn := e.add("cn=" + name)
			m.has(dn)
			e.del(dn)
			m.none(dn)
			stop()
			if who := whoAmI(t, cfg); who != slapdtest.ListenerDN {
				t.Errorf("Connect is bound as %q", who)
			}
		})
	}
}

// Scenario 22: SASL EXTERNAL with the identity of the process, and of a certificate.
func TestScenario22External(t *testing.T) {
	noLeaks(t)
	s, a := secured(t)
	certified := a.Client("listener")
	for name, uri := range map[string]string{"UnixSocket": s.LDAPI(), "StartTLS": s.URI(), "LDAPS": s.LDAPS()} {
		t.Run(name, func(t *testing.T) {
			cfg := overTLS(Config{Base: slapdtest.BaseDN, Bind: External}, a, uri)
			cfg.TLS.CertFile, cfg.TLS.KeyFile = certified.CertFile, certified.KeyFile
			m := newMirror(t)
			if err := once(t, cfg, m); err != nil {
				t.Fatal(err)
			}
			m.has(slapdtest.ListenerDN, "userPassword")
			if who := whoAmI(t, cfg); who != slapdtest.ListenerDN {
				t.Errorf("Connect is bound as %q", who)
			}
		})
	}
	t.Run("WithoutCertificate", func(t *testing.T) {
		cfg := overTLS(Config{Base: slapdtest.BaseDN, Bind: External}, a, s.LDAPS())
		err := once(t, cfg, newMirror(t))
		if err == nil || !strings.Contains(err.Error(), "EXTERNAL needs") {
			t.Errorf("error %v", err)
		}
	})
}

// Scenario 22: what goes wrong is named, with the certificate and what to do.
func TestScenario22Refusals(t *testing.T) {
	a := slapdtest.NewAuthority(t, "Example Authority")
	other := slapdtest.NewAuthority(t, "Other Authority")
	yesterday := time.Now().Add(-24 * time.Hour)
	good := slapdtest.Start(t, slapdtest.TLS(a, a.Server("localhost", "127.0.0.1")))
	expired := slapdtest.Start(t, slapdtest.TLS(a, a.ServerUntil(yesterday, "127.0.0.1")))
	elsewhere := slapdtest.Start(t, slapdtest.TLS(a, a.Server("ldap.example.com", "192.0.2.1")))
	demanding := slapdtest.Start(t, slapdtest.TLS(a, a.Server("127.0.0.1")), slapdtest.GlobalConfig("TLSVerifyClient demand"))
	plain := slapdtest.Start(t)
	stranger := other.Client("listener")

	for _, test := range []struct {
		name   string
		server *slapdtest.Server
		change func(*Config)
		is     error
		words  []string
	}{
		{"UnknownAuthority", good, func(c *Config) { c.TLS.CAFile = "" }, ErrTLS,
			[]string{"CN=localhost", "CN=Example Authority", "this system does not trust", "tls.ca_file"}},
		{"WrongAuthority", good, func(c *Config) { c.TLS.CAFile = other.CAFile }, ErrTLS,
			[]string{"CN=localhost", "CN=Example Authority", other.CAFile, "tls.ca_file"}},
		{"Expired", expired, nil, ErrTLS,
			[]string{"CN=127.0.0.1", "to " + yesterday.UTC().Format("2006-01-02 15:04") + " UTC", "has expired"}},
		{"WrongName", elsewhere, nil, ErrTLS,
			[]string{"is for ldap.example.com, 192.0.2.1, not for 127.0.0.1", "tls.server_name"}},
		{"WrongServerName", good, func(c *Config) { c.TLS.ServerName = "ldap.example.com" }, ErrTLS,
			[]string{"is for localhost, 127.0.0.1, not for ldap.example.com"}},
		{"WrongPassword", good, func(c *Config) { c.Password = "wrong-secret" }, ErrInvalidCredentials,
			[]string{slapdtest.ListenerDN}},
		{"CertificateWanted", demanding, nil, ErrTLS, []string{"tls.cert_file"}},
		{"CertificateRefused", demanding, func(c *Config) {
			c.TLS.CertFile, c.TLS.KeyFile = stranger.CertFile, stranger.KeyFile
		}, ErrTLS, []string{"tls.cert_file", stranger.CertFile}},
		{"StartTLSRefused", plain, func(c *Config) { c.TLS.StartTLS = true }, ErrTLS, []string{"StartTLS was refused"}},
		{"NoTLSOnThePort", plain, func(c *Config) { c.URIs[0] = strings.Replace(c.URIs[0], "ldap:", "ldaps:", 1) }, ErrTLS, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			noLeaks(t)
			uris := []string{test.server.URI(), test.server.LDAPS()}
			if test.server == plain {
				uris = uris[:1]
			}
			for _, uri := range uris {
				cfg := overTLS(slapdConfig(test.server), a, uri)
				if test.change != nil {
					test.change(&cfg)
				}
				err := once(t, cfg, newMirror(t))
				if !errors.Is(err, test.is) {
					t.Errorf("%s: error %v, want %v", uri, err, test.is)
					continue
				}
				t.Log(err)
				for _, w := range append(test.words, cfg.URIs[0]) {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("%q does not say %q", err, w)
					}
				}
				if strings.Contains(err.Error(), cfg.Password) {
					t.Errorf("%q tells the password", err)
				}
			}
		})
	}
	t.Run("AnotherProviderIsUsed", func(t *testing.T) {
		cfg := overTLS(slapdConfig(good), a, expired.LDAPS())
		cfg.URIs = append(cfg.URIs, good.LDAPS())
		m := newMirror(t)
		if err := once(t, cfg, m); err != nil {
			t.Fatal(err)
		}
		m.has(slapdtest.BaseDN)
	})
	t.Run("NameGiven", func(t *testing.T) {
		cfg := overTLS(slapdConfig(elsewhere), a, elsewhere.URI())
		cfg.TLS.ServerName = "ldap.example.com"
		if err := once(t, cfg, newMirror(t)); err != nil {
			t.Error(err)
		}
	})
}

// A certificate that is renewed on the disk counts from the next connection on.
func TestTLSFilesAreReadAgain(t *testing.T) {
	s, a := secured(t)
	other := slapdtest.NewAuthority(t, "Other Authority")
	cfg := overTLS(slapdConfig(s), other, s.LDAPS())
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Connect(t.Context()); !errors.Is(err, ErrTLS) {
		t.Errorf("error %v", err)
	}
	copyFile(t, other.CAFile, a.CAFile)
	conn, err := c.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// What comes behind the answer to StartTLS without its protection is not believed.
func TestStartTLSInjection(t *testing.T) {
	noLeaks(t)
	a := slapdtest.NewAuthority(t, "Example Authority")
	cfg, _ := play(t, func(p *peer) {
		buf := make([]byte, 100)
		if _, err := p.conn.Read(buf); err != nil {
			t.Error(err)
			return
		}
		response := tlv(0x30, num(0x02, 1), tlv(0x78, num(0x0a, 0), text(""), text("")))
		bind := tlv(0x30, num(0x02, 1), tlv(0x61, num(0x0a, 0), text(""), text("")))
		go p.write(append(response, bind...)) // the end of it may never be read
		p.drain()
	})
	cfg.TLS = TLS{StartTLS: true, CAFile: a.CAFile}
	cfg.BindDN, cfg.Password = "cn=x", "secret"
	if err := once(t, cfg, newMirror(t)); !errors.Is(err, ErrTLS) {
		t.Errorf("error %v", err)
	}
}

// Each step on the way to a session has its own time.
func TestTLSTimeouts(t *testing.T) {
	noLeaks(t)
	a := slapdtest.NewAuthority(t, "Example Authority")
	silent := func(p *peer) { p.drain() }
	for uri, step := range map[string]string{"ldap://script": "StartTLS request", "ldaps://script": "TLS handshake"} {
		cfg, _ := play(t, silent)
		cfg.URIs, cfg.Timeout = []string{uri}, time.Millisecond
		cfg.TLS = TLS{StartTLS: true, CAFile: a.CAFile}
		err := once(t, cfg, newMirror(t))
		if !errors.Is(err, ErrDisconnected) || !strings.Contains(err.Error(), "no answer to the "+step+" within 1ms") {
			t.Errorf("%s: %v", uri, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cfg, _ := play(t, func(p *peer) { cancel(errTest); p.drain() })
	cfg.URIs = []string{"ldaps://script"}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Connect(ctx); err != errTest {
		t.Errorf("Connect: %v", err)
	}
}

// newEditOverTLS is newEdit for a server that insists on TLS.
func newEditOverTLS(t testing.TB, s *slapdtest.Server, a *slapdtest.Authority) edit {
	t.Helper()
	cfg := overTLS(slapdConfig(s), a, s.LDAPS())
	cfg.BindDN, cfg.Password = slapdtest.RootDN, slapdtest.RootPassword
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := c.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return edit{t, conn}
}

func copyFile(t testing.TB, to, from string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

var errTest = errors.New("enough")
