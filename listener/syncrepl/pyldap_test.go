package syncrepl

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// The scenarios that python-ldap tests its SyncreplConsumer with, and those that its
// tests name as missing.

// fooTree is their content below the base.
const fooTree = `
dn: cn=Foo1,dc=example,dc=com
objectClass: organizationalRole
cn: Foo1

dn: cn=Foo2,dc=example,dc=com
objectClass: organizationalRole
cn: Foo2

dn: cn=Foo3,dc=example,dc=com
objectClass: organizationalRole
cn: Foo3

dn: ou=Container,dc=example,dc=com
objectClass: organizationalUnit
ou: Container

dn: cn=Foo4,ou=Container,dc=example,dc=com
objectClass: organizationalRole
cn: Foo4
`

// fooContent is what a consumer of it has to have.
func fooContent() map[string]string {
	content := map[string]string{
		slapdtest.BaseDN:     "objectClass: [\"dcObject\" \"organization\"]\ndc: [\"example\"]\no: [\"Example\"]",
		slapdtest.ListenerDN: "objectClass: [\"organizationalRole\" \"simpleSecurityObject\"]\ncn: [\"listener\"]\nuserPassword: [\"" + slapdtest.ListenerPassword + "\"]",

		"ou=Container," + slapdtest.BaseDN: "objectClass: [\"organizationalUnit\"]\nou: [\"Container\"]",
	}
	for rdn, cn := range map[string]string{"cn=Foo1": "Foo1", "cn=Foo2": "Foo2", "cn=Foo3": "Foo3", "cn=Foo4,ou=Container": "Foo4"} {
		content[rdn+","+slapdtest.BaseDN] = fmt.Sprintf("objectClass: [\"organizationalRole\"]\ncn: [%q]", cn)
	}
	return content
}

func fooServer(t *testing.T) (*slapdtest.Server, Config) {
	s := slapdtest.Start(t, slapdtest.WithLDIF(io.MultiReader(slapdtest.Base(), strings.NewReader(fooTree))),
		slapdtest.SessionLog(100), slapdtest.Checkpoint(100, 10))
	cfg := slapdConfig(s)
	cfg.Attributes = []string{"*"}
	return s, cfg
}

// holds checks the mirror's content.
func (m *mirror) holds(want map[string]string) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	have := map[string]string{}
	for _, s := range m.entries {
		dn, attributes, _ := strings.Cut(s, "\n")
		have[dn] = attributes
	}
	if !maps.Equal(have, want) {
		m.t.Errorf("the mirror has\n%q\nwant\n%q", have, want)
	}
}

// shelf is a file that keeps a mirror.
type shelf string

type shelved struct {
	Entries map[UUID]string
	Cookie  []byte
}

func newShelf(t testing.TB) shelf { return shelf(filepath.Join(t.TempDir(), "shelf")) }

func (s shelf) save(m *mirror) {
	m.t.Helper()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(shelved{m.entries, m.cookie}); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(string(s), b.Bytes(), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func (s shelf) open(t testing.TB) *mirror {
	t.Helper()
	b, err := os.ReadFile(string(s))
	if err != nil {
		t.Fatal(err)
	}
	var kept shelved
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&kept); err != nil {
		t.Fatal(err)
	}
	m := newMirror(t)
	m.entries, m.cookie = kept.Entries, kept.Cookie
	return m
}

// eachMode runs a test in both modes of synchronization, with a server each. sync
// brings the mirror up to date and leaves the server.
func eachMode(t *testing.T, run func(t *testing.T, s *slapdtest.Server, sync func(*mirror))) {
	for mode, name := range map[Mode]string{RefreshOnly: "refreshOnly", RefreshAndPersist: "refreshAndPersist"} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			s, cfg := fooServer(t)
			run(t, s, func(m *mirror) {
				t.Helper()
				if mode == RefreshOnly {
					synchronize(t, cfg, m)
					return
				}
				refreshed := m.refreshed
				stop := start(t, cfg, m)
				m.waitRefreshed(refreshed + 1)
				stop()
			})
		})
	}
}

func TestPythonLDAPSearch(t *testing.T) {
	noLeaks(t)
	_, cfg := fooServer(t)
	for _, mode := range []Mode{RefreshOnly, RefreshAndPersist} {
		cfg.Mode = mode
		m := newMirror(t)
		stop := start(t, cfg, m)
		m.wait("a session", func() bool { return len(m.sessions) == 1 })
		stop()
	}
}

func TestPythonLDAPRefreshOnlyPoll(t *testing.T) {
	noLeaks(t)
	_, cfg := fooServer(t)
	m := newMirror(t)
	synchronize(t, cfg, m)
	m.holds(fooContent())
}

// refreshSink ends the run at the end of the refresh.
type refreshSink struct{ *mirror }

var errRefreshed = errors.New("refreshed")

func (s refreshSink) RefreshDone(ctx context.Context) error {
	if err := s.mirror.RefreshDone(ctx); err != nil {
		return err
	}
	return errRefreshed
}

func TestPythonLDAPRefreshAndPersistPoll(t *testing.T) {
	noLeaks(t)
	_, cfg := fooServer(t)
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m := newMirror(t)
	if err := c.Run(t.Context(), refreshSink{m}); err != errRefreshed {
		t.Errorf("Run: %v", err)
	}
	m.holds(fooContent())
	m.expect("begin", "sweep 0", "refreshed")
}

func TestPythonLDAPRefreshAndPersistTimeout(t *testing.T) {
	noLeaks(t)
	_, cfg := fooServer(t)
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m := newMirror(t)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, m) }()
	m.waitRefreshed(1)
	m.wait("cookie", func() bool { return m.cookie != nil })
	m.calls()
	time.AfterFunc(200*time.Millisecond, cancel)
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if ctx.Err() == nil {
		t.Error("Run did not wait")
	}
	m.expect()
	m.holds(fooContent())
}

func TestPythonLDAPRefreshAndPersistCancelled(t *testing.T) {
	noLeaks(t)
	_, cfg := fooServer(t)
	m := newMirror(t)
	stop := start(t, cfg, m)
	m.waitRefreshed(1)
	m.holds(fooContent())
	stop()
	m.holds(fooContent())
	if m.savedCookie() == "" {
		t.Error("no cookie")
	}
}

// The cookies of two consumers, each with a provider of its own, become the same.
func TestPythonLDAPMultiProviderCookie(t *testing.T) {
	noLeaks(t)
	a, b, _ := twoProviders(t)
	replicated(t, b, slapdtest.BaseDN, slapdtest.ListenerDN)
	var mirrors []*mirror
	for _, s := range []*slapdtest.Server{a, b} {
		m := newMirror(t)
		start(t, slapdConfig(s), m)
		m.waitRefreshed(1)
		mirrors = append(mirrors, m)
	}
	one, two := newEdit(t, a).add("cn=server1"), newEdit(t, b).add("cn=server2")
	var csns []string
	for _, m := range mirrors {
		m.has(one)
		m.has(two)
	}
	mirrors[0].mu.Lock()
	for _, s := range mirrors[0].entries {
		if dn, _, _ := strings.Cut(s, "\n"); dn == one || dn == two {
			_, csn, _ := strings.Cut(s, "entryCSN: [\"")
			csns = append(csns, csn[:csnLength])
		}
	}
	mirrors[0].mu.Unlock()
	for _, m := range mirrors {
		m.wait(fmt.Sprintf("a cookie with %q", csns), func() bool {
			return !slices.ContainsFunc(csns, func(csn string) bool { return !strings.Contains(string(m.cookie), csn) })
		})
	}
	if x, y := mirrors[0].savedCookie(), mirrors[1].savedCookie(); x != y {
		t.Errorf("cookies %s and %s", x, y)
	}
	if x, y := mirrors[0].dns(), mirrors[1].dns(); !slices.Equal(x, y) {
		t.Errorf("contents\n%q and\n%q", x, y)
	}
}

const wireCookie = "ldapkdc.example.com:38901#cn=directory manager:dc=example,dc=com:(objectClass=*)#3"

// A message of 389 DS as it was on the wire: a syncIdSet is none of the choices that
// consist of defaults.
func TestPythonLDAPSyncIDSetMessage(t *testing.T) {
	message, err := hex.DecodeString("a36b" + // syncIdSet
		"0452" + hex.EncodeToString([]byte(wireCookie)) + // cookie
		"0101ff" + // refreshDeletes
		"31120410" + "8dc44601a93611ea8aaff248c5fa5780") // syncUUIDs
	if err != nil {
		t.Fatal(err)
	}
	gone := UUID{0x8d, 0xc4, 0x46, 0x01, 0xa9, 0x36, 0x11, 0xea, 0x8a, 0xaf, 0xf2, 0x48, 0xc5, 0xfa, 0x57, 0x80}
	for _, c := range []struct {
		name  string
		calls []string
		play  [][][]byte
	}{
		{"InRefresh", []string{"begin", "delete 1", "refreshed", "cookie " + wireCookie}, [][][]byte{info(message), refreshDelete(true, wireCookie)}},
		{"InPersist", []string{"begin", "refreshed", "delete 1", "cookie " + wireCookie}, [][][]byte{refreshDelete(true), info(message)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, cfg, _ := loaded389(t, live(c.play...))
			m.entries[gone] = "cn=gone"
			stop := start(t, cfg, m)
			m.wait("cookie", func() bool { return string(m.cookie) == wireCookie })
			stop()
			m.expect(c.calls...)
			same(t, m, "cn=1", "cn=2")
		})
	}
}

func TestPythonLDAPReopenedStore(t *testing.T) {
	eachMode(t, func(t *testing.T, _ *slapdtest.Server, sync func(*mirror)) {
		m, file := newMirror(t), newShelf(t)
		sync(m)
		file.save(m)

		m = file.open(t)
		m.holds(fooContent())
		sync(m)
		m.expect("begin", "refreshed")
		if m.entered != 0 {
			t.Errorf("%d entries were sent", m.entered)
		}
		m.holds(fooContent())
	})
}

func TestPythonLDAPReopenedStoreWithoutEntryAndCookie(t *testing.T) {
	eachMode(t, func(t *testing.T, _ *slapdtest.Server, sync func(*mirror)) {
		m, file := newMirror(t), newShelf(t)
		sync(m)
		m.cookie = nil
		maps.DeleteFunc(m.entries, func(_ UUID, s string) bool { return strings.HasPrefix(s, "cn=Foo2,") })
		file.save(m)

		m = file.open(t)
		sync(m)
		m.expect("begin", "sweep 0", "refreshed", "cookie "+m.savedCookie())
		m.holds(fooContent())
	})
}

func TestPythonLDAPOfflineChange(t *testing.T) {
	eachMode(t, func(t *testing.T, s *slapdtest.Server, sync func(*mirror)) {
		m, file := newMirror(t), newShelf(t)
		sync(m)
		file.save(m)

		m = file.open(t)
		e, want := newEdit(t, s), fooContent()
		e.set("cn=Foo1,"+slapdtest.BaseDN, "description", "changed")
		want["cn=Foo1,"+slapdtest.BaseDN] += "\ndescription: [\"changed\"]"
		e.del("cn=Foo3," + slapdtest.BaseDN)
		delete(want, "cn=Foo3,"+slapdtest.BaseDN)
		sync(m)
		m.holds(want)
		if m.entered != 1 {
			t.Errorf("%d entries were sent, want the one that changed", m.entered)
		}
	})
}

func TestPythonLDAPChangeInPersist(t *testing.T) {
	noLeaks(t)
	s, cfg := fooServer(t)
	file := newShelf(t)
	m := newMirror(t)
	synchronize(t, cfg, m)
	file.save(m)

	m = file.open(t)
	stop := start(t, cfg, m)
	m.waitRefreshed(1)
	e, want := newEdit(t, s), fooContent()
	e.set("cn=Foo1,"+slapdtest.BaseDN, "description", "changed")
	want["cn=Foo1,"+slapdtest.BaseDN] += "\ndescription: [\"changed\"]"
	m.has("cn=Foo1,"+slapdtest.BaseDN, "changed")
	e.del("cn=Foo3," + slapdtest.BaseDN)
	delete(want, "cn=Foo3,"+slapdtest.BaseDN)
	m.none("cn=Foo3," + slapdtest.BaseDN)
	stop()
	m.holds(want)
	if m.entered != 1 {
		t.Errorf("%d entries were sent, want the one that changed", m.entered)
	}
}
