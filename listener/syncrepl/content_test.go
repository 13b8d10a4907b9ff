package syncrepl

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// What a real slapd says of content that is not there, not all of it, or elsewhere.

// The base is deleted, while we follow and while we are away. That it is missing drops
// nothing but what slapd says is gone, which it can with a session log; when there is
// a base again, the old content is gone.
func TestScenario10BaseDeleted(t *testing.T) {
	for _, c := range []struct {
		name string
		opts []slapdtest.Option
		live bool
		err  error // of the next refresh
		want []string
	}{
		{"Offline", nil, false, ErrBaseMissing, []string{"begin"}},
		{"OfflineWithSessionLog", []slapdtest.Option{slapdtest.SessionLog(100)}, false, ErrBaseMissing, []string{"begin", "delete 1", "delete 1"}},
		{"Live", nil, true, nil, []string{"begin", "refreshed"}}, // to a cookie that is up to date, slapd says nothing
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeaks(t)
			s := slapdtest.Start(t, c.opts...)
			e := newEdit(t, s)
			unit, child := e.add("ou=u"), e.add("cn=a,ou=u")
			cfg := slapdConfig(s)
			cfg.Base = unit
			m := newMirror(t)
			remove := func() {
				e.del(child)
				e.del(unit)
			}
			if c.live {
				stop := start(t, cfg, m)
				m.waitRefreshed(1)
				same(t, m, child, unit)
				remove()
				m.none(unit)
				stop()
				same(t, m)
			} else {
				synchronize(t, cfg, m)
				same(t, m, child, unit)
				remove()
			}
			before, cookie := m.dns(), m.savedCookie()
			if slices.Contains(c.want, "delete 1") {
				before = nil
			}
			m.calls()
			if err := once(t, cfg, m); !errors.Is(err, c.err) {
				t.Errorf("error %v", err)
			}
			m.expect(c.want...)
			if same(t, m, before...); m.savedCookie() != cookie {
				t.Errorf("cookie %q, was %q", m.savedCookie(), cookie)
			}
			e.add("ou=u")
			again := e.add("cn=b,ou=u")
			synchronize(t, cfg, m)
			same(t, m, again, unit)
			if len(m.entries) != 2 {
				t.Errorf("%d entries", len(m.entries))
			}
		})
	}
}

// A size limit that is met in the middle of a refresh leaves the content as it is.
func TestScenario14SizeLimitMidRefresh(t *testing.T) {
	s := slapdtest.Start(t, slapdtest.WithLDIF(slapdtest.People(100, 1)), slapdtest.SizeLimit(20))
	cfg := slapdConfig(s)
	cfg.BindDN, cfg.Password = slapdtest.RootDN, slapdtest.RootPassword
	m := newMirror(t)
	synchronize(t, cfg, m)
	dns, cookie := m.dns(), m.savedCookie()
	e := newEdit(t, s)
	for i := range 30 {
		e.add(fmt.Sprint("cn=", i))
	}
	for _, begin := range []string{cookie, ""} {
		m.cookie = []byte(begin)
		m.calls()
		if err := once(t, slapdConfig(s), m); !errors.Is(err, ErrSizeLimit) {
			t.Errorf("from the cookie %q: error %v", begin, err)
		}
		for _, call := range m.calls() {
			if !strings.HasPrefix(call, "begin") && !strings.HasPrefix(call, "present") {
				t.Errorf("from the cookie %q: the sink was told %q", begin, call)
			}
		}
		if m.savedCookie() != begin {
			t.Errorf("cookie %q, was %q", m.savedCookie(), begin)
		}
		for _, dn := range dns {
			m.has(dn)
		}
	}
}

// Referral objects come as entries, live and in a refresh, and are not followed.
func TestScenario18ReferralObjects(t *testing.T) {
	noLeaks(t)
	s := slapdtest.Start(t)
	e := newEdit(t, s)
	cfg := slapdConfig(s)
	cfg.Notify = func(e Event) {
		if e.Kind == EventReferral {
			t.Errorf("event %v", e)
		}
	}
	m := newMirror(t)
	stop := start(t, cfg, m)
	m.waitRefreshed(1)
	dn := "ou=elsewhere," + slapdtest.BaseDN
	r := ldap.NewAddRequest(dn, []ldap.Control{ldap.NewControlManageDsaIT(true)})
	r.Attribute("objectClass", []string{"referral", "extensibleObject"})
	r.Attribute("ou", []string{"elsewhere"})
	r.Attribute("ref", []string{"ldap://one.example.com/dc=x", "ldap://two.example.com/dc=x"})
	e.must(e.conn.Add(r))
	want := `ref: ["ldap://one.example.com/dc=x" "ldap://two.example.com/dc=x"]`
	m.has(dn, want)
	stop()
	full := newMirror(t)
	synchronize(t, cfg, full)
	full.has(dn, want)
}
