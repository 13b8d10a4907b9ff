package syncrepl

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/dirsrvtest"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// The scenarios of this file run against a real 389 Directory Server.

// The ones of this test share a server, in which each has a tree of its own.
func TestDirsrv(t *testing.T) {
	s := dirsrvtest.Start(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *dirsrvtest.Server, branch)
	}{
		{"Scenario23LiveChanges", dirsrvLiveChanges},
		{"Scenario24RefreshOnlyTwice", dirsrvRefreshOnlyTwice},
		{"Scenario25ManyOfflineDeletes", dirsrvManyOfflineDeletes},
		{"OfflineChanges", dirsrvOfflineChanges},
		{"Containers", dirsrvContainers},
		{"8_Subtrees", dirsrvSubtrees},
		{"12_ForeignCookie", dirsrvForeignCookie},
		{"NarrowFilter", dirsrvNarrowFilter},
		{"NarrowScope", dirsrvNarrowScope},
		{"NarrowAttributes", dirsrvNarrowAttributes},
		{"ErrorsForPeople", dirsrvErrorsForPeople},
		{"TooManySessions", dirsrvTooManySessions}, // last: it leaves the server busy
	} {
		t.Run(test.name, func(t *testing.T) {
			noLeaks(t)
			b := branch{edit: edit{t, s.Client(t)}, rdn: "ou=" + test.name}
			b.base = b.edit.add(b.rdn)
			test.run(t, s, b)
		})
	}
}

// branch makes writes below an organizational unit.
type branch struct {
	edit
	rdn, base string
}

func (b branch) add(rdn string) string {
	b.t.Helper()
	return b.edit.add(rdn + "," + b.rdn)
}

func (b branch) move(dn, parent string) string {
	b.t.Helper()
	rdn, _, _ := strings.Cut(dn, ",")
	b.must(b.conn.ModifyDN(ldap.NewModifyDNRequest(dn, rdn, true, parent)))
	return rdn + "," + parent
}

func (b branch) config(s *dirsrvtest.Server) Config {
	return Config{URIs: []string{s.URI()}, Base: b.base, BindDN: slapdtest.ListenerDN, Password: slapdtest.ListenerPassword, Timeout: patience}
}

func synchronize(t testing.TB, cfg Config, m *mirror) {
	t.Helper()
	if err := once(t, cfg, m); err != nil {
		t.Fatal(err)
	}
}

func dirsrvLiveChanges(t *testing.T, s *dirsrvtest.Server, b branch) {
	m := newMirror(t)
	stop := start(t, b.config(s), m)
	m.waitRefreshed(1)
	same(t, m, b.base)
	if v := m.sessions[0]; v.Vendor != Vendor389 || !strings.HasPrefix(v.Version, "389-Directory/") {
		t.Errorf("vendor %v, version %q", v.Vendor, v.Version)
	}
	before := m.savedCookie()

	dn := b.add("cn=a")
	m.has(dn, `sn: ["Sample"]`, "entryUUID: ", "nsUniqueId: ")
	b.set(dn, "sn", "Other", "Third")
	m.has(dn, `sn: ["Other" "Third"]`, "entryUUID: ")
	moved := b.rename(dn, "cn=b")
	m.has(moved, `cn: ["b"]`)
	m.none(dn)
	b.del(moved)
	m.none(moved)
	again := b.add("cn=b")
	m.has(again)
	m.wait("cookie", func() bool { return string(m.cookie) != before && m.views == nil })
	stop()

	// What was live is not sent again.
	m.calls()
	m.entered = 0
	synchronize(t, b.config(s), m)
	m.expect("begin", "refreshed")
	if m.entered != 0 {
		t.Errorf("%d entries were sent again", m.entered)
	}
	same(t, m, again, b.base)
}

func dirsrvRefreshOnlyTwice(t *testing.T, s *dirsrvtest.Server, b branch) {
	want := []string{b.add("cn=a"), b.add("cn=b"), b.base}
	m := newMirror(t)
	for range 3 {
		synchronize(t, b.config(s), m)
		same(t, m, want...)
	}
	m.expect("begin", "sweep 0", "refreshed", "cookie "+m.savedCookie(), "begin", "refreshed", "begin", "refreshed")

	// A change of one entry wipes the others as little.
	b.set(want[0], "sn", "Other")
	synchronize(t, b.config(s), m)
	same(t, m, want...)
	m.has(want[0], `sn: ["Other"]`)

	// Without the cookie, everything is compared.
	b.del(want[1])
	m.cookie = nil
	m.calls()
	synchronize(t, b.config(s), m)
	m.expect("begin", "sweep 1", "refreshed", "cookie "+m.savedCookie())
	same(t, m, want[0], b.base)
}

// The server loses the 51st delete and the 102nd; so a refresh with that many is
// followed by a full load.
func dirsrvManyOfflineDeletes(t *testing.T, s *dirsrvtest.Server, b branch) {
	for _, n := range []int{49, 50, 51, 110} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			var dns []string
			for i := range n {
				dns = append(dns, b.add(fmt.Sprintf("cn=%d", i)))
			}
			m := newMirror(t)
			synchronize(t, b.config(s), m)
			for _, dn := range dns {
				b.del(dn)
			}
			m.calls()
			var events []Event
			cfg := b.config(s)
			cfg.Notify = func(e Event) { events = append(events, e) }
			synchronize(t, cfg, m)
			same(t, m, b.base)
			again := slices.ContainsFunc(events, func(e Event) bool {
				return e.Kind == EventCookieReset && errors.Is(e.Err, ErrRefreshIncomplete)
			})
			if want := n >= 50; again != want {
				t.Errorf("a full load followed: %v, want %v; calls %q", again, want, m.calls())
			}
		})
	}
}

func dirsrvOfflineChanges(t *testing.T, s *dirsrvtest.Server, b branch) {
	for _, mode := range []Mode{RefreshOnly, RefreshAndPersist} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			name := func(s string) string { return fmt.Sprintf("cn=%s%d", s, mode) }
			deleted, changed, renamed := b.add(name("deleted")), b.add(name("changed")), b.add(name("renamed"))
			m := newMirror(t)
			synchronize(t, b.config(s), m)
			m.has(deleted)
			added := b.add(name("added"))
			b.set(changed, "sn", "Changed")
			moved := b.rename(renamed, name("moved"))
			b.del(deleted)
			b.del(b.add(name("brief"))) // neither of us ever had it
			m.calls()
			m.entered = 0
			if mode == RefreshOnly {
				synchronize(t, b.config(s), m)
			} else {
				stop := start(t, b.config(s), m)
				m.waitRefreshed(2)
				stop()
			}
			m.expect("begin", "delete 1", "refreshed", "cookie "+m.savedCookie())
			if m.entered != 3 {
				t.Errorf("%d entries were sent, want the 3 that changed", m.entered)
			}
			for _, dn := range []string{deleted, renamed} {
				m.none(dn)
			}
			full := newMirror(t)
			synchronize(t, b.config(s), full)
			for _, dn := range []string{added, changed, moved} {
				m.has(dn, "entryUUID: ", "modifyTimestamp: ")
			}
			for id, want := range full.entries {
				if got := m.entries[id]; sorted(got) != sorted(want) {
					t.Errorf("after the resume %s\nafter a full load %s", got, want)
				}
			}
		})
	}
}

// sorted returns the lines in an order that does not depend on the server's.
func sorted(entry string) string {
	lines := strings.Split(entry, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// As with OpenLDAP, the move of a container is reported for the container alone.
func dirsrvContainers(t *testing.T, s *dirsrvtest.Server, b branch) {
	inside, outside := b.add("ou=in"), b.add("ou=out")
	container, child := b.add("ou=c,ou=in"), b.add("cn=child,ou=c,ou=in")
	leaf := b.add("cn=leaf,ou=in")
	cfg := b.config(s)
	cfg.Base = inside
	m := newMirror(t)
	synchronize(t, cfg, m)
	content := func(dns ...string) {
		t.Helper()
		slices.Sort(dns)
		same(t, m, dns...)
	}
	content(leaf, child, container, inside)

	check := func(t *testing.T, settle func()) {
		renamed := b.rename(container, "ou=d")
		settle()
		content(leaf, child, renamed, inside)

		moved := b.move(renamed, outside)
		left := b.move(leaf, outside)
		settle()
		content(child, inside)

		b.move(moved, inside)
		b.move(left, inside)
		settle()
		content(leaf, child, renamed, inside)

		b.rename(renamed, "ou=c")
		settle()
		content(leaf, child, container, inside)
	}
	t.Run("Offline", func(t *testing.T) {
		check(t, func() { synchronize(t, cfg, m) })
	})
	t.Run("Live", func(t *testing.T) {
		refreshed := m.refreshed
		stop := start(t, cfg, m)
		defer stop()
		m.waitRefreshed(refreshed + 1)
		check(t, func() {
			last := b.add("cn=last,ou=in")
			m.has(last)
			b.del(last)
			m.none(last)
		})
	})
}

func dirsrvForeignCookie(t *testing.T, s *dirsrvtest.Server, b branch) {
	m := newMirror(t)
	synchronize(t, b.config(s), m)
	good := m.savedCookie()
	for name, cookie := range map[string]string{
		"Garbage":       "not a cookie\x00\xff",
		"OtherServer":   strings.Replace(good, "localhost", "elsewhere", 1),
		"OtherIdentity": strings.Replace(good, slapdtest.ListenerDN, slapdtest.RootDN, 1),
		"OtherBase":     strings.Replace(good, b.base, slapdtest.BaseDN, 1),
		"Newer":         good + "000",
		"OpenLDAP":      "rid=000,csn=20240101000000.000000Z#000000#001#000000",
	} {
		t.Run(name, func(t *testing.T) {
			m := newMirror(t)
			synchronize(t, b.config(s), m)
			m.entries[id(1)] = "cn=gone," + b.base
			m.cookie = []byte(cookie)
			m.calls()
			synchronize(t, b.config(s), m)
			m.expect("begin", "reset ", "begin", "sweep 1", "refreshed", "cookie "+good)
			same(t, m, b.base)
		})
	}
}

// An entry that was changed offline and left the filter is not reported by the server.
func dirsrvNarrowFilter(t *testing.T, s *dirsrvtest.Server, b branch) {
	leaves, stays := b.add("cn=leaves"), b.add("cn=stays")
	cfg := b.config(s)
	cfg.Filter = "(sn=Sample)"
	m := newMirror(t)
	synchronize(t, cfg, m)
	same(t, m, leaves, stays)
	b.set(leaves, "sn", "Other")
	synchronize(t, cfg, m)
	same(t, m, stays)

	stop := start(t, cfg, m)
	m.waitRefreshed(3)
	b.set(leaves, "sn", "Sample")
	m.has(leaves)
	b.set(stays, "sn", "Other")
	m.none(stays)
	stop()
}

// Nor is one that was moved from the first level to one below.
func dirsrvNarrowScope(t *testing.T, s *dirsrvtest.Server, b branch) {
	leaves, stays, below := b.add("cn=leaves"), b.add("cn=stays"), b.add("ou=below")
	cfg := b.config(s)
	cfg.Scope = ScopeOne
	m := newMirror(t)
	synchronize(t, cfg, m)
	same(t, m, leaves, stays, below)
	b.move(leaves, below)
	synchronize(t, cfg, m)
	same(t, m, stays, below)
}

// A resume brings all user attributes and no operational ones, whatever was asked for.
func dirsrvNarrowAttributes(t *testing.T, s *dirsrvtest.Server, b branch) {
	for i, attributes := range [][]string{{"sn", "entryUUID"}, {"*"}, {"1.1"}, {"cn", "nsuniqueid"}} {
		t.Run(strings.Join(attributes, " "), func(t *testing.T) {
			dn := b.add(fmt.Sprintf("cn=%d", i))
			cfg := b.config(s)
			cfg.Attributes = attributes
			m := newMirror(t)
			synchronize(t, cfg, m)
			b.set(dn, "description", "Text")
			synchronize(t, cfg, m)
			full := newMirror(t)
			synchronize(t, cfg, full)
			for id, want := range full.entries {
				if got := m.entries[id]; sorted(got) != sorted(want) {
					t.Errorf("after the resume %s\nafter a full load %s", got, want)
				}
			}
		})
	}
}

func dirsrvErrorsForPeople(t *testing.T, s *dirsrvtest.Server, b branch) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		is     error
	}{
		{"BaseMissing", func(c *Config) { c.Base = "ou=nowhere," + c.Base }, ErrBaseMissing},
		{"WrongPassword", func(c *Config) { c.Password = "wrong-secret" }, ErrInvalidCredentials},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := b.config(s)
			c.change(&cfg)
			m := newMirror(t)
			if err := once(t, cfg, m); !errors.Is(err, c.is) || !strings.Contains(err.Error(), s.URI()) {
				t.Errorf("error %v, want %v", err, c.is)
			}
			if m.entered != 0 || m.refreshed != 0 {
				t.Errorf("calls %q", m.calls())
			}
		})
	}
}

// The server takes ten sessions that persist. An eleventh waits for its turn.
func dirsrvTooManySessions(t *testing.T, s *dirsrvtest.Server, b branch) {
	var stops []func()
	for range 10 {
		m := newMirror(t)
		stops = append(stops, start(t, b.config(s), m))
		m.waitRefreshed(1)
	}
	events := make(chan Event, 1000)
	cfg := b.config(s)
	cfg.Notify = func(e Event) { events <- e }
	m := newMirror(t)
	start(t, cfg, m)
	deadline := time.After(patience)
	for refused := false; !refused; {
		select {
		case e := <-events:
			result, ok := errors.AsType[*ResultError](e.Err)
			refused = ok && result.Code == ldap.LDAPResultUnwillingToPerform && !errors.Is(e.Err, ErrProviderBehind)
		case <-deadline:
			t.Fatal("the eleventh session was not refused")
		}
	}
	stops[0]()
	m.waitRefreshed(1)
}

func TestDirsrvRestart(t *testing.T) {
	noLeaks(t)
	s := dirsrvtest.Start(t)
	e := edit{t, s.Client(t)}
	m := newMirror(t)
	lost := map[int]bool{} // connections that ended, by the number of refreshes before
	cfg := branch{base: slapdtest.BaseDN}.config(s)
	cfg.Notify = func(e Event) {
		if e.Kind == EventFailed && errors.Is(e.Err, ErrDisconnected) {
			lost[m.refreshes()] = true
		}
	}
	stop := start(t, cfg, m)
	m.waitRefreshed(1)
	deleted := e.add("cn=deleted")
	m.has(deleted)
	m.wait("cookie", func() bool { return strings.HasSuffix(string(m.cookie), "#3") })
	m.calls()

	s.Restart(t)
	m.waitRefreshed(2)
	// It is from the cookie. A server that is about to end, or has just begun, may hang up.
	if calls := slices.Compact(m.calls()); !slices.Equal(calls, []string{"begin", "refreshed"}) {
		t.Errorf("calls %q", calls)
	}
	e = edit{t, s.Client(t)}
	added := e.add("cn=added")
	m.has(added)
	e.del(deleted)
	m.none(deleted)

	s.Kill()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	m.waitRefreshed(3)
	again := edit{t, s.Client(t)}.add("cn=again")
	m.has(again)
	stop()
	same(t, m, added, again, slapdtest.ListenerDN, slapdtest.BaseDN)
	if !lost[1] || !lost[2] || len(lost) != 2 {
		t.Errorf("events say that the connection ended after the refreshes %v, want the first two", slices.Sorted(maps.Keys(lost)))
	}
}

// The server resumes from any cookie, whether its changelog reaches back that far or
// not.
func TestDirsrvTrimmedChangelog(t *testing.T) {
	noLeaks(t)
	s := dirsrvtest.Start(t, dirsrvtest.TrimmedChangelog())
	e := edit{t, s.Client(t)}
	cfg := branch{base: slapdtest.BaseDN}.config(s)
	m := newMirror(t)
	deleted := e.add("cn=deleted")
	synchronize(t, cfg, m)
	m.has(deleted)

	e.del(deleted)
	added := e.add("cn=added")
	deadline := time.Now().Add(patience)
	for first := "1"; first != "5"; { // all but the last
		if time.Now().After(deadline) {
			t.Fatalf("the changelog still begins with change %s", first)
		}
		found, err := e.conn.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, 0, 0, 0, false,
			"(objectClass=*)", []string{"firstChangeNumber"}, nil))
		e.must(err)
		first = found.Entries[0].GetEqualFoldAttributeValue("firstChangeNumber")
	}
	var reset error
	cfg.Notify = func(e Event) {
		if e.Kind == EventCookieReset {
			reset = e.Err
		}
	}
	m.calls()
	synchronize(t, cfg, m)
	m.expect("begin", "reset ", "begin", "sweep 1", "refreshed", "cookie "+m.savedCookie())
	same(t, m, added, slapdtest.ListenerDN, slapdtest.BaseDN)
	if !errors.Is(reset, ErrRefreshIncomplete) || !strings.Contains(reset.Error(), "begins with change 5, the cookie is of change 3") {
		t.Errorf("the cookie was dropped because of %v", reset)
	}

	// This one is not too old.
	synchronize(t, cfg, m)
	m.expect("begin", "refreshed")
}

func TestDirsrvWithoutSyncPlugin(t *testing.T) {
	s := dirsrvtest.Start(t, dirsrvtest.WithoutSync())
	err := once(t, branch{base: slapdtest.BaseDN}.config(s), newMirror(t))
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "Content Synchronization") {
		t.Errorf("error %v", err)
	}
}
