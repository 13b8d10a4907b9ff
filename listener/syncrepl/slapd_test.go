package syncrepl

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// The scenarios of this file run against a real OpenLDAP server.

func slapdConfig(s *slapdtest.Server) Config {
	return Config{
		URIs:     []string{s.URI()},
		Base:     slapdtest.BaseDN,
		BindDN:   slapdtest.ListenerDN,
		Password: slapdtest.ListenerPassword,
	}
}

func TestScenario1EmptyStore(t *testing.T) {
	noLeaks(t)
	s := slapdtest.Start(t, slapdtest.WithLDIF(slapdtest.People(1000, 1)))
	found, err := s.Client(t).Search(ldap.NewSearchRequest(slapdtest.BaseDN, ldap.ScopeWholeSubtree, 0, 0, 0, false,
		"(objectClass=*)", []string{"*", "+"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	check := func(m *mirror) {
		t.Helper()
		if len(m.entries) != len(found.Entries) {
			t.Errorf("%d entries, want %d", len(m.entries), len(found.Entries))
		}
		for _, e := range found.Entries {
			m.has(e.DN, fmt.Sprintf("entryCSN: [%q]", e.GetAttributeValue("entryCSN")))
			if t.Failed() {
				return
			}
		}
		for id, s := range m.entries {
			if !strings.Contains(s, "entryUUID: [\""+id.String()) {
				t.Errorf("%s has not the UUID %v", s, id)
			}
		}
		if cookie := m.savedCookie(); !strings.HasPrefix(cookie, "rid=000,csn=") {
			t.Errorf("cookie %q", cookie)
		}
	}
	t.Run("RefreshOnly", func(t *testing.T) {
		m := newMirror(t)
		if err := once(t, slapdConfig(s), m); err != nil {
			t.Fatal(err)
		}
		check(m)
		m.expect("begin", "sweep 0", "refreshed", "cookie "+m.savedCookie())
		if v := m.sessions[0].Vendor; v != VendorOpenLDAP {
			t.Errorf("vendor %v", v)
		}
	})
	t.Run("RefreshAndPersist", func(t *testing.T) {
		m := newMirror(t)
		stop := start(t, slapdConfig(s), m)
		m.waitRefreshed(1)
		stop()
		check(m)
		m.expect("begin", "sweep 0", "refreshed", "cookie "+m.savedCookie())
	})
}

func TestScenario2NoChangeResume(t *testing.T) {
	noLeaks(t)
	s := slapdtest.Start(t)
	m := newMirror(t)
	if err := once(t, slapdConfig(s), m); err != nil {
		t.Fatal(err)
	}
	entries, cookie := len(m.entries), m.savedCookie()
	m.calls()
	m.entered = 0
	if err := once(t, slapdConfig(s), m); err != nil {
		t.Fatal(err)
	}
	m.expect("begin", "refreshed")
	stop := start(t, slapdConfig(s), m)
	m.waitRefreshed(3)
	stop()
	m.expect("begin", "refreshed")
	if m.entered != 0 || len(m.entries) != entries || m.savedCookie() != cookie {
		t.Errorf("entered %d, %d entries, cookie %q was %q", m.entered, len(m.entries), m.savedCookie(), cookie)
	}
}

func TestScenario3LiveChanges(t *testing.T) {
	noLeaks(t)
	s := slapdtest.Start(t)
	m := newMirror(t)
	stop := start(t, slapdConfig(s), m)
	m.waitRefreshed(1)
	e := newEdit(t, s)

	dn := e.add("cn=a")
	m.has(dn, `sn: ["Sample"]`)
	e.set(dn, "sn", "Other", "Third")
	m.has(dn, `sn: ["Other" "Third"]`)
	moved := e.rename(dn, "cn=b")
	m.has(moved, `cn: ["b"]`)
	m.none(dn)
	e.del(moved)
	m.none(moved)
	again := e.add("cn=b")
	m.has(again)
	m.waitCookie(e.contextCSN()...)
	stop()

	// What was live is not sent again.
	m.calls()
	m.entered = 0
	if err := once(t, slapdConfig(s), m); err != nil {
		t.Fatal(err)
	}
	m.expect("begin", "refreshed")
	if m.entered != 0 {
		t.Errorf("%d entries were sent again", m.entered)
	}
}

func TestScenario3OfflineChanges(t *testing.T) {
	for _, c := range []struct {
		name    string
		opts    []slapdtest.Option
		restart bool
	}{
		{"WithoutSessionLog", nil, false},
		{"WithSessionLog", []slapdtest.Option{slapdtest.SessionLog(1000)}, false},
		{"SessionLogLostByRestart", []slapdtest.Option{slapdtest.SessionLog(1000)}, true},
	} {
		for _, mode := range []Mode{RefreshOnly, RefreshAndPersist} {
			t.Run(fmt.Sprintf("%s/%d", c.name, mode), func(t *testing.T) {
				noLeaks(t)
				s := slapdtest.Start(t, c.opts...)
				e := newEdit(t, s)
				deleted, changed, renamed := e.add("cn=deleted"), e.add("cn=changed"), e.add("cn=renamed")
				m := newMirror(t)
				if err := once(t, slapdConfig(s), m); err != nil {
					t.Fatal(err)
				}
				m.has(deleted)
				added := e.add("cn=added")
				e.set(changed, "sn", "Changed")
				moved := e.rename(renamed, "cn=moved")
				e.del(deleted)
				brief := e.add("cn=brief") // neither of us ever had it
				e.del(brief)
				if c.restart {
					s.Restart(t)
				}
				m.calls()
				m.entered = 0
				cfg := slapdConfig(s)
				if mode == RefreshOnly {
					if err := once(t, cfg, m); err != nil {
						t.Fatal(err)
					}
				} else {
					stop := start(t, cfg, m)
					m.waitRefreshed(2)
					stop()
				}
				t.Log(strings.Join(m.calls(), "\n"))
				m.has(added)
				m.has(changed, `sn: ["Changed"]`)
				m.has(moved)
				m.none(renamed)
				m.none(deleted)
				m.none(brief)
				if m.entered != 3 {
					t.Errorf("%d entries were sent, want the 3 that changed", m.entered)
				}
				if err := once(t, cfg, m); err != nil {
					t.Fatal(err)
				}
				m.expect("begin", "refreshed")
			})
		}
	}
}

// A delete is all that happened: the refresh has no entries.
func TestScenario4OfflineDelete(t *testing.T) {
	for name, opts := range map[string][]slapdtest.Option{
		"WithoutSessionLog":       nil,
		"WithSessionLog":          {slapdtest.SessionLog(1000)},
		"SessionLogLostByRestart": {slapdtest.SessionLog(1000)},
	} {
		t.Run(name, func(t *testing.T) {
			s := slapdtest.Start(t, opts...)
			e := newEdit(t, s)
			dn := e.add("cn=deleted")
			m := newMirror(t)
			if err := once(t, slapdConfig(s), m); err != nil {
				t.Fatal(err)
			}
			e.del(dn)
			if name == "SessionLogLostByRestart" {
				s.Restart(t)
			}
			m.calls()
			if err := once(t, slapdConfig(s), m); err != nil {
				t.Fatal(err)
			}
			m.none(dn)
			t.Log(strings.Join(m.calls(), "\n"))
			if err := once(t, slapdConfig(s), m); err != nil {
				t.Fatal(err)
			}
			m.expect("begin", "refreshed")
		})
	}
}

func TestScenario11LostCookie(t *testing.T) {
	s := slapdtest.Start(t)
	e := newEdit(t, s)
	gone := e.add("cn=gone")
	m := newMirror(t)
	if err := once(t, slapdConfig(s), m); err != nil {
		t.Fatal(err)
	}
	e.del(gone)
	m.cookie = nil
	m.calls()
	if err := once(t, slapdConfig(s), m); err != nil {
		t.Fatal(err)
	}
	m.expect("begin", "sweep 1", "refreshed", "cookie "+m.savedCookie())
}

func TestScenario12GarbageAndForeignCookie(t *testing.T) {
	for name, cookie := range map[string]string{
		"Garbage": "not a cookie\x00\xff",
		"Foreign": "rid=000,csn=20200101000000.000000Z#000000#fff#000000",
		"389":     "ldap.example.com:389#cn=x:dc=example,dc=com:(objectClass=*)#17",
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			s := slapdtest.Start(t)
			e := newEdit(t, s)
			gone := e.add("cn=gone")
			m := newMirror(t)
			if err := once(t, slapdConfig(s), m); err != nil {
				t.Fatal(err)
			}
			e.del(gone)
			e.add("cn=added")
			m.cookie = []byte(cookie)
			m.calls()
			if err := once(t, slapdConfig(s), m); err != nil {
				t.Fatal(err)
			}
			m.none(gone)
			t.Log(strings.Join(m.calls(), "\n"))
			if err := once(t, slapdConfig(s), m); err != nil {
				t.Fatal(err)
			}
			m.expect("begin", "refreshed")
		})
	}
}

func TestScenario13CookieNewerThanProvider(t *testing.T) {
	s := slapdtest.Start(t)
	m := newMirror(t)
	if err := once(t, slapdConfig(s), m); err != nil {
		t.Fatal(err)
	}
	m.cookie = []byte(strings.Replace(m.savedCookie(), "csn=20", "csn=29", 1))
	err := once(t, slapdConfig(s), m)
	if !errors.Is(err, ErrProviderBehind) {
		t.Errorf("error %v", err)
	}
	t.Log(err)
}

func TestSlapdErrorsForPeople(t *testing.T) {
	s := slapdtest.Start(t, slapdtest.WithLDIF(slapdtest.People(100, 1)), slapdtest.SizeLimit(20))
	check := func(name string, change func(*Config), is error, words ...string) {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			cfg := slapdConfig(s)
			change(&cfg)
			m := newMirror(t)
			err := once(t, cfg, m)
			if !errors.Is(err, is) {
				t.Fatalf("error %v, want %v", err, is)
			}
			t.Log(err)
			for _, w := range words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if strings.Contains(err.Error(), cfg.Password) {
				t.Errorf("%q tells the password", err)
			}
			for _, call := range m.calls() {
				if call != "begin" {
					t.Errorf("the sink was told %q", call)
				}
			}
		})
	}
	check("14_SizeLimit", func(*Config) {}, ErrSizeLimit, s.URI(), "20 entries", slapdtest.ListenerDN)
	check("22_WrongPassword", func(c *Config) { c.Password = "wrong-secret" }, ErrInvalidCredentials, s.URI(), slapdtest.ListenerDN)
	check("10_BaseMissing", func(c *Config) { c.Base = "ou=nowhere," + c.Base }, ErrBaseMissing, s.URI(), "ou=nowhere,")
	check("Unreachable", func(c *Config) { c.URIs = []string{"ldap://127.0.0.1:1"} }, ErrUnreachable, "ldap://127.0.0.1:1")

	t.Run("WrongPasswordAtStart", func(t *testing.T) {
		cfg := slapdConfig(s)
		cfg.Password = "wrong-secret"
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Run(t.Context(), newMirror(t)); !errors.Is(err, ErrInvalidCredentials) {
			t.Errorf("error %v", err)
		}
	})
}

func TestSlapdWithoutSyncprov(t *testing.T) {
	s := slapdtest.Start(t, slapdtest.WithoutSyncprov())
	err := once(t, slapdConfig(s), newMirror(t))
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "syncprov") {
		t.Errorf("error %v", err)
	}
}

func TestScenario22UnixSocketExternal(t *testing.T) {
	s := slapdtest.Start(t)
	cfg := slapdConfig(s)
	cfg.URIs = []string{s.LDAPI()}
	m := newMirror(t)
	if err := once(t, cfg, m); err != nil {
		t.Fatal(err)
	}
	m.has(slapdtest.BaseDN)

	cfg.BindDN, cfg.Password = "", ""
	cfg.Bind = External
	m = newMirror(t)
	if err := once(t, cfg, m); err != nil {
		t.Fatal(err)
	}
	m.has(slapdtest.ListenerDN)
}

func TestSlapdAnonymous(t *testing.T) {
	s := slapdtest.Start(t, slapdtest.GlobalConfig("access to * by * read"))
	cfg := slapdConfig(s)
	cfg.BindDN, cfg.Password = "", ""
	m := newMirror(t)
	if err := once(t, cfg, m); err != nil {
		t.Fatal(err)
	}
	if len(m.entries) == 0 {
		t.Error("no entries")
	}
}

func TestSlapdConnect(t *testing.T) {
	noLeaks(t)
	s := slapdtest.Start(t)
	cfg := slapdConfig(s)
	cfg.URIs = []string{"ldap://127.0.0.1:1", s.URI()}
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
	if err != nil || !strings.EqualFold(who.AuthzID, "dn:"+slapdtest.ListenerDN) {
		t.Errorf("%v, %v", who, err)
	}
}

func TestSlapdRestart(t *testing.T) {
	noLeaks(t)
	s := slapdtest.Start(t, slapdtest.Checkpoint(1, 1))
	m := newMirror(t)
	events := make(chan Event, 100)
	cfg := slapdConfig(s)
	cfg.Notify = func(e Event) { events <- e }
	stop := start(t, cfg, m)
	m.waitRefreshed(1)
	e := newEdit(t, s)
	dn := e.add("cn=before")
	m.has(dn)
	s.Restart(t)
	m.waitRefreshed(2)
	after := newEdit(t, s).add("cn=after")
	m.has(after)
	stop()
	close(events)
	failed := false
	for e := range events {
		failed = failed || e.Kind == EventFailed && errors.Is(e.Err, ErrDisconnected)
		t.Log(e)
	}
	if !failed {
		t.Error("no event says that the connection ended")
	}
}
