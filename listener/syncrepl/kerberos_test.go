package syncrepl

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// localhost returns the provider's URI with the name that its tickets are for.
func localhost(s *slapdtest.Server) string {
	return strings.Replace(s.URI(), "127.0.0.1", "localhost", 1)
}

func kerberosConfig(s *slapdtest.Server, k *Kerberos) Config {
	return Config{URIs: []string{localhost(s)}, Base: slapdtest.BaseDN, Bind: k.Bind, BindDN: k.Principal}
}

// Scenario 22: SASL GSSAPI with a keytab and with a credential cache, against a real
// KDC.
func TestScenario22GSSAPI(t *testing.T) {
	noLeaks(t)
	realm := slapdtest.NewRealm(t)
	a := slapdtest.NewAuthority(t, "Example Authority")
	s := slapdtest.Start(t, slapdtest.Kerberos(realm), slapdtest.TLS(a, a.Server("localhost")))
	byKeytab := &Kerberos{Principal: "listener", Keytab: realm.Keytab, Krb5Conf: realm.Krb5Conf}
	byCache := &Kerberos{CCache: "FILE:" + realm.CCache(), Krb5Conf: realm.Krb5Conf}

	follows := func(name string, k *Kerberos, change func(*Config)) {
		t.Run(name, func(t *testing.T) {
			cfg := kerberosConfig(s, k)
			if change != nil {
				change(&cfg)
			}
			m := newMirror(t)
			stop := start(t, cfg, m)
			m.waitRefreshed(1)
			m.has(slapdtest.ListenerDN, "userPassword")
			dn := newEdit(t, s).add("cn=" + name)
			m.has(dn)
			stop()
			if who := whoAmI(t, cfg); who != slapdtest.ListenerDN {
				t.Errorf("Connect is bound as %q", who)
			}
		})
	}
	follows("Keytab", byKeytab, nil)
	follows("KeytabWithRealm", &Kerberos{Principal: "listener@EXAMPLE.COM", Keytab: realm.Keytab, Krb5Conf: realm.Krb5Conf}, nil)
	follows("CredentialCache", byCache, nil)
	follows("StartTLS", byKeytab, func(c *Config) { c.TLS = TLS{StartTLS: true, CAFile: a.CAFile} })
	follows("UnixSocket", &Kerberos{CCache: byCache.CCache, Krb5Conf: realm.Krb5Conf, ServicePrincipal: "ldap/localhost"},
		func(c *Config) { c.URIs = []string{s.LDAPI()} })
	t.Run("Environment", func(t *testing.T) {
		t.Setenv("KRB5_CONFIG", realm.Krb5Conf)
		t.Setenv("KRB5CCNAME", byCache.CCache)
		if who := whoAmI(t, kerberosConfig(s, &Kerberos{Principal: "listener@EXAMPLE.COM"})); who != slapdtest.ListenerDN {
			t.Errorf("bound as %q", who)
		}
	})

	fails := func(name string, k *Kerberos, is error, words ...string) {
		t.Run(name, func(t *testing.T) {
			err := once(t, kerberosConfig(s, k), newMirror(t))
			if err == nil || is != nil && !errors.Is(err, is) {
				t.Fatalf("error %v, want %v", err, is)
			}
			t.Log(err)
			for _, w := range append(words, localhost(s)) {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
	damaged := filepath.Join(t.TempDir(), "damaged")
	if err := os.WriteFile(damaged, []byte("\x05\x04\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\xff\xff"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(t.TempDir(), "none")
	fails("NoKeytab", &Kerberos{Principal: "listener", Keytab: none, Krb5Conf: realm.Krb5Conf}, nil, none)
	fails("NoConfiguration", &Kerberos{Principal: "listener", Keytab: realm.Keytab, Krb5Conf: none}, nil, none)
	fails("NoCache", &Kerberos{CCache: none, Krb5Conf: realm.Krb5Conf}, nil, none)
	fails("DamagedCache", &Kerberos{CCache: damaged, Krb5Conf: realm.Krb5Conf}, nil, damaged)
	fails("CacheOfAnother", &Kerberos{Principal: "other", CCache: byCache.CCache, Krb5Conf: realm.Krb5Conf}, nil, "that of listener@EXAMPLE.COM, not of other")
	fails("CacheInTheKernel", &Kerberos{CCache: "KEYRING:persistent:0", Krb5Conf: realm.Krb5Conf}, nil, "only files")
	fails("PrincipalNotInKeytab", &Kerberos{Principal: "other", Keytab: realm.Keytab, Krb5Conf: realm.Krb5Conf}, nil, "other")
	fails("NoSuchService", &Kerberos{Principal: "listener", Keytab: realm.Keytab, Krb5Conf: realm.Krb5Conf, ServicePrincipal: "ldap/elsewhere"}, nil, "ldap/elsewhere")
	realm.ChangeKey()
	fails("KeyChanged", byKeytab, ErrInvalidCredentials)
}

// A provider that knows no GSSAPI says so.
func TestGSSAPINotOffered(t *testing.T) {
	realm := slapdtest.NewRealm(t)
	cfg, s := play(t, func(p *peer) { p.search() })
	s.bindResult.Store(7)
	cfg.URIs = []string{"ldap://localhost"}
	cfg.Bind = (&Kerberos{Principal: "listener", Keytab: realm.Keytab, Krb5Conf: realm.Krb5Conf}).Bind
	err := once(t, cfg, newMirror(t))
	if result, ok := errors.AsType[*ResultError](err); !ok || result.Code != 7 || !strings.Contains(err.Error(), "GSSAPI a keytab at the provider") {
		t.Errorf("error %v", err)
	}
}

// A KDC that does not answer does not hold up the end.
func TestSilentKDC(t *testing.T) {
	kdc, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kdc.Close() })
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	text := "[libdefaults]\n default_realm = EXAMPLE.COM\n udp_preference_limit = 1\n[realms]\n EXAMPLE.COM = {\n  kdc = " + kdc.Addr().String() + "\n }\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	realm := slapdtest.NewRealm(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		conn, err := kdc.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		cancel(errTest)
		conn.Close()
	}()
	begun := time.Now()
	k := &Kerberos{Principal: "listener", Keytab: realm.Keytab, Krb5Conf: conf}
	if err := k.Bind(ctx, "ldap://localhost", nil); err != errTest {
		t.Errorf("error %v", err)
	}
	if d := time.Since(begun); d > 4*time.Second {
		t.Errorf("it took %v", d)
	}
}
