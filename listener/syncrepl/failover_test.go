package syncrepl

import (
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// twoProviders starts two servers that take writes and replicate to each other. What b
// tells a goes through the proxy.
func twoProviders(t *testing.T) (a, b *slapdtest.Server, toA *slapdtest.Proxy) {
	t.Helper()
	var ports [2]int
	for i := range ports {
		var err error
		if ports[i], err = slapdtest.FreePort(); err != nil {
			t.Fatal(err)
		}
	}
	addrA, addrB := slapdtest.Loopback(ports[0]), slapdtest.Loopback(ports[1])
	toA = slapdtest.NewProxy(t, addrB)
	a = slapdtest.Start(t, slapdtest.OnPort(ports[0]), slapdtest.MultiProvider(1, toA.Addr()), slapdtest.Checkpoint(1, 1))
	b = slapdtest.Start(t, slapdtest.OnPort(ports[1]), slapdtest.MultiProvider(2, addrA), slapdtest.Checkpoint(1, 1), slapdtest.Empty())
	return a, b, toA
}

// replicated waits until the server has the entries, by following it.
func replicated(t *testing.T, s *slapdtest.Server, dns ...string) {
	t.Helper()
	m := newMirror(t)
	stop := start(t, rootConfig(s), m)
	defer stop()
	for _, dn := range dns {
		m.has(dn)
	}
}

// sameAs waits until one server has all that the other has.
func sameAs(t *testing.T, s, other *slapdtest.Server) {
	t.Helper()
	e, all := newEdit(t, s), newEdit(t, other).contextCSN()
	limit := time.Now().Add(patience)
	for {
		have := e.contextCSN()
		if !slices.ContainsFunc(all, func(csn string) bool { return !slices.Contains(have, csn) }) {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("the server has %q of %q", have, all)
		}
		runtime.Gosched()
	}
}

// rootConfig follows a server that may not have the listener's entry yet.
func rootConfig(s *slapdtest.Server) Config {
	cfg := slapdConfig(s)
	cfg.BindDN, cfg.Password = slapdtest.RootDN, slapdtest.RootPassword
	return cfg
}

// Scenario 15: while we follow a, changes are made on both servers, and those of b do
// not get to a. When a is gone, b knows what we have, and has what we lack. And back.
func TestScenario15FailoverLosesNothing(t *testing.T) {
	noLeaks(t)
	a, b, toA := twoProviders(t)
	replicated(t, b, slapdtest.BaseDN, slapdtest.ListenerDN)

	m := newMirror(t)
	cfg := slapdConfig(a)
	cfg.URIs = []string{a.URI(), b.URI()}
	stop := start(t, cfg, m)
	m.waitRefreshed(1)
	onA, onB := newEdit(t, a), newEdit(t, b)

	// Both servers' changes arrive through a, and the cookie speaks for both.
	kept, goes := onA.add("cn=kept"), onB.add("cn=goes")
	m.has(kept)
	m.has(goes)
	m.waitCookie("#001#", "#002#")
	replicated(t, b, kept)

	// The servers part, in one direction.
	toA.Stall()
	missed := onB.add("cn=missed-by-a")
	onB.set(kept, "description", "changed on b")
	onB.del(goes)
	later := onA.add("cn=later-on-a")
	m.has(later)
	replicated(t, b, later)
	if dns := m.dns(); slices.Contains(dns, missed) || !slices.Contains(dns, goes) {
		t.Fatal("a knows what happened on b, so that this test proves nothing")
	}
	before := m.savedCookie()
	if err := a.Kill(); err != nil {
		t.Fatal(err)
	}
	m.has(missed)
	m.has(kept, "changed on b")
	m.none(goes)
	m.has(onB.add("cn=live-on-b"))
	if got := m.lastSession().URI; got != b.URI() {
		t.Errorf("the session is with %s", got)
	}
	t.Logf("cookie %s, then %s", before, m.savedCookie())

	// And back, with b's changes that a gets to know by now.
	toA.Resume()
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	sameAs(t, a, b) // the ends of entries, too, which come last
	whole := m.refreshes()
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	m.waitRefreshed(whole + 1)
	m.has(newEdit(t, a).add("cn=back-on-a"))
	stop()

	for _, call := range m.calls() {
		if strings.HasPrefix(call, "reset") {
			t.Errorf("the cookie was not good for the other server: %s", call)
		}
	}
	full := newMirror(t)
	if err := once(t, slapdConfig(a), full); err != nil {
		t.Fatal(err)
	}
	if got, want := m.dns(), full.dns(); !slices.Equal(got, want) {
		t.Errorf("entries\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if strings.Contains(m.savedCookie(), "sid=") {
		t.Errorf("cookie %s", m.savedCookie())
	}
}

// waitCookie waits for a cookie with all of the texts.
func (m *mirror) waitCookie(texts ...string) {
	m.t.Helper()
	m.wait("a cookie with "+strings.Join(texts, " and "), func() bool {
		return !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(string(m.cookie), text) })
	})
}

func (m *mirror) lastSession() Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sessions[len(m.sessions)-1]
}

func (m *mirror) refreshes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refreshed
}
