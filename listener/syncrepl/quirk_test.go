package syncrepl

import (
	"errors"
	"slices"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// What docs/providers.md says of slapd and no scenario plays.

// Without syncprov-checkpoint, a slapd that is killed has forgotten how far it was: it
// refuses a newer cookie until the next write. With a session log, which begins anew
// then, that write also makes it tell nothing of what was deleted before.
func TestSlapdKilledWithoutCheckpoint(t *testing.T) {
	for _, c := range []struct {
		name   string
		opts   []slapdtest.Option
		behind bool // it refuses the cookie after the kill
		lost   bool // the delete before the kill is never told
	}{
		{"NoSessionLog", nil, true, false},
		{"SessionLog", []slapdtest.Option{slapdtest.SessionLog(100)}, true, true},
		{"SessionLogAndCheckpoint", []slapdtest.Option{slapdtest.SessionLog(100), slapdtest.Checkpoint(1, 1)}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := slapdtest.Start(t, c.opts...)
			e := newEdit(t, s)
			deleted := e.add("cn=deleted")
			m := newMirror(t)
			synchronize(t, slapdConfig(s), m)
			m.has(deleted)
			e.del(deleted)
			last := e.add("cn=last")
			if err := s.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			if err := once(t, slapdConfig(s), m); errors.Is(err, ErrProviderBehind) != c.behind || !c.behind && err != nil {
				t.Errorf("after the kill: error %v", err)
			}
			added := newEdit(t, s).add("cn=added")
			synchronize(t, slapdConfig(s), m)
			want := []string{added, slapdtest.ListenerDN, slapdtest.BaseDN, last}
			if c.lost {
				want = append(want, deleted)
			}
			slices.Sort(want)
			same(t, m, want...)

			// A full load finds it.
			m.cookie = nil
			synchronize(t, slapdConfig(s), m)
			m.none(deleted)
		})
	}
}

// A slapd whose database is empty ends a refresh with success, and without a cookie. It
// is not taken at its word: nothing is dropped, and there is nothing to go on from.
func TestSlapdEmptyDatabase(t *testing.T) {
	s := slapdtest.Start(t, slapdtest.Empty())
	cfg := slapdConfig(s)
	cfg.BindDN, cfg.Password = slapdtest.RootDN, slapdtest.RootPassword
	for cookie, want := range map[string]error{
		"": ErrBaseMissing,
		"rid=000,csn=20240101000000.000000Z#000000#000#000000": ErrProviderBehind,
	} {
		m := loaded(t)
		m.cookie = []byte(cookie)
		if err := once(t, cfg, m); !errors.Is(err, want) {
			t.Errorf("with the cookie %q: error %v, want %v", cookie, err, want)
		}
		m.expect("begin")
		same(t, m, "cn=1", "cn=2")
		if m.savedCookie() != cookie {
			t.Errorf("cookie %q, was %q", m.savedCookie(), cookie)
		}
	}
	// It is followed as soon as it has content.
	m := newMirror(t)
	stop := start(t, cfg, m)
	m.wait("a first try", func() bool { return len(m.sessions) > 0 })
	conn := s.Client(t)
	r := ldap.NewAddRequest(slapdtest.BaseDN, nil)
	r.Attribute("objectClass", []string{"dcObject", "organization"})
	r.Attribute("dc", []string{"example"})
	r.Attribute("o", []string{"Example"})
	if err := conn.Add(r); err != nil {
		t.Fatal(err)
	}
	m.has(slapdtest.BaseDN)
	stop()
}
