package syncrepl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/listenerd/listenerd/listener/internal/dirsrvtest"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// subtree reads what is at and below the name, as "DN UUID", sorted.
func subtree(t testing.TB, p Provider, base string) []string {
	t.Helper()
	var got []string
	err := p.Subtree(t.Context(), base, func(entries []Entry) error {
		for _, e := range entries {
			got = append(got, fmt.Sprintf("%s %s", e.DN, e.UUID))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	return got
}

// mirrored returns the entry of the mirror with the name.
func (m *mirror) mirrored(dn string) Name {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, e := range m.entries {
		if len(e) > len(dn) && e[:len(dn)] == dn && e[len(dn)] == '\n' {
			return Name{UUID: id, DN: dn}
		}
	}
	m.t.Fatalf("no %s in the mirror", dn)
	return Name{}
}

func checkThere(t *testing.T, p Provider, entries []Name, want ...bool) {
	t.Helper()
	if got, err := p.There(t.Context(), entries); err != nil || !slices.Equal(got, want) {
		t.Errorf("there: %v %v, want %v", got, err, want)
	}
}

// A sink can ask the provider for a subtree, with the UUIDs that it syncs by, and
// whether entries are there.
func TestSlapdProvider(t *testing.T) {
	noLeaks(t)
	s := slapdtest.Start(t)
	e := newEdit(t, s)
	unit := e.add("ou=u")
	a, b := e.add("cn=a,ou=u"), e.add("cn=b,ou=u")
	m := newMirror(t)
	if err := once(t, slapdConfig(s), m); err != nil {
		t.Fatal(err)
	}
	p := m.sessions[0].Provider
	names := []Name{m.mirrored(unit), m.mirrored(a), m.mirrored(b)}
	var want []string
	for _, n := range names {
		want = append(want, fmt.Sprintf("%s %s", n.DN, n.UUID))
	}
	slices.Sort(want)
	if got := subtree(t, p, unit); !slices.Equal(got, want) {
		t.Errorf("subtree %q, want %q", got, want)
	}
	if got := subtree(t, p, "ou=none,"+slapdtest.BaseDN); got != nil {
		t.Errorf("subtree of nothing: %q", got)
	}
	failed := errors.New("the sink's")
	if err := p.Subtree(t.Context(), unit, func([]Entry) error { return failed }); err != failed {
		t.Errorf("error %v", err)
	}
	checkThere(t, p, names, true, true, true)
	e.del(a)
	e.add("cn=a,ou=u") // another entry by that name
	e.rename(b, "cn=c")
	checkThere(t, p, append(names, Name{names[0].UUID, "not a name"}), true, false, false, false)

	// What is not part of the searched content is not there.
	cfg := slapdConfig(s)
	cfg.Filter, cfg.Scope = "(cn=*)", ScopeOne
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	narrow := &provider{c, s.URI(), VendorOpenLDAP}
	checkThere(t, narrow, names[:1], false)
	if got := subtree(t, narrow, unit); got != nil {
		t.Errorf("beyond the scope: %q", got)
	}

	// A provider that does not answer has failed, not the sink.
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	_, err = p.There(t.Context(), names)
	subtreeErr := p.Subtree(t.Context(), unit, func([]Entry) error { return nil })
	for _, err := range []error{err, subtreeErr, fmt.Errorf("in the sink: %w", err)} {
		if !errors.Is(err, ErrUnreachable) || isSinkError(sinkError(err)) {
			t.Errorf("error %v", err)
		}
	}
}

// 389 DS reports the root of a subtree that moves in, with numSubordinates; the rest can
// be read.
func dirsrvSubtrees(t *testing.T, s *dirsrvtest.Server, b branch) {
	inside := b.add("ou=inside")
	b.add("ou=outside")
	unit := b.edit.add("ou=u,ou=outside," + b.rdn)
	b.edit.add("cn=a,ou=u,ou=outside," + b.rdn)
	cfg := b.config(s)
	cfg.Base = inside
	m := newMirror(t)
	stop := start(t, cfg, m)
	m.waitRefreshed(1)
	moved := b.move(unit, inside)
	m.has(moved, `numSubordinates: ["1"]`)
	m.none("cn=a," + moved)
	if got := subtree(t, m.sessions[0].Provider, moved); len(got) != 2 {
		t.Errorf("subtree %q", got)
	}
	checkThere(t, m.sessions[0].Provider, []Name{m.mirrored(moved), {m.mirrored(moved).UUID, unit}}, true, false)
	stop()
}

// again is a mirror that wants the first refreshes once more.
type again struct {
	*mirror
	times int
}

func (a *again) RefreshDone(ctx context.Context) error {
	if a.times--; a.times >= 0 {
		return fmt.Errorf("%w: it was not to be", ErrRepeat)
	}
	return a.mirror.RefreshDone(ctx)
}

// A sink may have a refresh made once more: the next session begins at once, from the
// cookie that the sink has, and that is no failure of the provider.
func TestRepeat(t *testing.T) {
	for _, mode := range []Mode{RefreshOnly, RefreshAndPersist} {
		noLeaks(t)
		m := loaded(t)
		var events []EventKind
		session := func(cookie string) func(*peer) {
			return live(refreshPresent(false), add(3, "cn=3"), refreshDelete(true, cookie))
		}
		if mode == RefreshOnly {
			session = func(cookie string) func(*peer) { return ending(add(3, "cn=3"), done(true, cookie)) }
		}
		cfg, s := play(t, session("c2"), session("c3"), session("c4"))
		cfg.Mode = mode
		cfg.Notify = func(e Event) { events = append(events, e.Kind) }
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx, &again{m, 2}) }()
		m.wait("cookie", func() bool { return string(m.cookie) == "c4" })
		if mode == RefreshAndPersist {
			cancel()
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		cancel()
		if got := s.cookies(); !slices.Equal(got, []string{"c1", "c1", "c1"}) {
			t.Errorf("from the cookies %q", got)
		}
		want := []EventKind{EventBound, EventRepeat, EventBound, EventRepeat, EventBound}
		if !slices.Equal(events, want) {
			t.Errorf("events %v", events)
		}
	}
}
