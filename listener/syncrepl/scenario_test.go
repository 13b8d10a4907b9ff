package syncrepl

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// The scenarios of this file, numbered as in the list of them, run against scripted
// providers. The mirror has entries 1 and 2 and the cookie "c1" before, unless a
// scenario is about a full load.

func loaded(t testing.TB) *mirror {
	m := newMirror(t)
	m.entries[id(1)], m.entries[id(2)] = "cn=1", "cn=2"
	m.cookie = []byte("c1")
	return m
}

// refresh runs one RefreshOnly session with the responses and checks the calls.
func refresh(t *testing.T, m *mirror, responses [][][]byte, want ...string) {
	t.Helper()
	noLeaks(t)
	cfg, _ := play(t, ending(responses...))
	if err := once(t, cfg, m); err != nil {
		t.Error(err)
	}
	m.expect(append([]string{"begin"}, want...)...)
}

// refused runs one RefreshOnly session that must fail, without any effect on what the
// mirror has.
func refused(t *testing.T, responses [][][]byte, words ...string) error {
	t.Helper()
	noLeaks(t)
	m := loaded(t)
	cfg, _ := play(t, ending(responses...))
	err := once(t, cfg, m)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, w := range append(words, "ldap://script") {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
	for _, call := range m.calls() {
		if call != "begin" && !strings.HasPrefix(call, "present") {
			t.Errorf("call %q", call)
		}
	}
	if m.savedCookie() != "c1" || m.entries[id(1)] == "" || m.entries[id(2)] == "" {
		t.Errorf("cookie %q, entries %v", m.savedCookie(), m.dns())
	}
	return err
}

func same(t *testing.T, m *mirror, dns ...string) {
	t.Helper()
	if got := m.dns(); !slices.Equal(got, dns) {
		t.Errorf("the mirror has %q, want %q", got, dns)
	}
}

func TestFullLoadSweepsWhateverTheProviderSays(t *testing.T) {
	for _, refreshDeletes := range []bool{true, false} {
		m := loaded(t)
		m.cookie = nil
		refresh(t, m, [][][]byte{add(1, "cn=1"), add(3, "cn=3"), done(refreshDeletes, "c2")},
			"sweep 1", "refreshed", "cookie c2")
		same(t, m, "cn=1", "cn=3")

		m = loaded(t)
		m.cookie = nil
		end := refreshPresent(true, "c2")
		if refreshDeletes {
			end = refreshDelete(true, "c2")
		}
		cfg, _ := play(t, live(add(1, "cn=1"), add(3, "cn=3"), end))
		stop := start(t, cfg, m)
		m.waitRefreshed(1)
		stop()
		m.expect("begin", "sweep 1", "refreshed", "cookie c2")
	}
}

func TestScenario26PresentPhaseThenDeletePhase(t *testing.T) {
	responses := [][][]byte{
		idSet(false, []int{1}), refreshPresent(false, "ignored until the end"),
		idSet(true, []int{1}), add(3, "cn=3"),
	}
	t.Run("RefreshOnly", func(t *testing.T) {
		for _, refreshDeletes := range []bool{true, false} {
			m := loaded(t)
			refresh(t, m, append(responses, done(refreshDeletes, "c2")),
				"present 1", "sweep 1", "delete 1", "refreshed", "cookie c2")
			same(t, m, "cn=3")
		}
	})
	t.Run("RefreshAndPersist", func(t *testing.T) {
		m := loaded(t)
		cfg, _ := play(t, live(append(responses, refreshDelete(true, "c2"))...))
		stop := start(t, cfg, m)
		m.waitRefreshed(1)
		stop()
		m.expect("begin", "present 1", "sweep 1", "delete 1", "refreshed", "cookie c2")
	})
	t.Run("FullLoad", func(t *testing.T) { // compared at its end, with both phases
		m := loaded(t)
		m.cookie = nil
		refresh(t, m, [][][]byte{add(1, "cn=1"), refreshPresent(false), add(3, "cn=3"), done(true, "c2")},
			"sweep 1", "refreshed", "cookie c2")
		same(t, m, "cn=1", "cn=3")
	})
	t.Run("TwoPresentPhases", func(t *testing.T) {
		m := loaded(t)
		cfg, _ := play(t, ending(idSet(false, []int{1, 2}), refreshPresent(false), idSet(false, nil), refreshPresent(true)))
		if err := once(t, cfg, m); !errors.Is(err, ErrProtocol) {
			t.Error(err)
		}
		same(t, m, "cn=1", "cn=2")
		m.expect("begin", "present 2", "sweep 0")
	})
}

func TestScenario27Present(t *testing.T) {
	t.Run("ByIDSet", func(t *testing.T) {
		m := loaded(t)
		refresh(t, m, [][][]byte{idSet(false, []int{1, 77}), done(false, "c2")},
			"present 2", "sweep 1", "refreshed", "cookie c2")
		same(t, m, "cn=1")
	})
	t.Run("ByEntry", func(t *testing.T) {
		m := loaded(t)
		refresh(t, m, [][][]byte{bare(2, 0, "cn=2"), bare(1, 0, ""), done(false)},
			"present 1", "present 1", "sweep 0", "refreshed")
		same(t, m, "cn=1", "cn=2")
		if m.savedCookie() != "c1" {
			t.Errorf("cookie %q", m.savedCookie())
		}
	})
	t.Run("EmptyIDSet", func(t *testing.T) {
		m := loaded(t)
		refresh(t, m, [][][]byte{idSet(false, nil), idSet(true, nil), done(true)}, "refreshed")
		same(t, m, "cn=1", "cn=2")
	})
}

func TestScenario28RefreshDeleteWithDefaults(t *testing.T) {
	m := loaded(t)
	cfg, _ := play(t, live(info(tlv(0xa1))))
	stop := start(t, cfg, m)
	m.waitRefreshed(1)
	stop()
	m.expect("begin", "refreshed")
	same(t, m, "cn=1", "cn=2")
	if m.savedCookie() != "c1" {
		t.Errorf("cookie %q", m.savedCookie())
	}
}

func TestScenario29NewCookie(t *testing.T) {
	m := loaded(t)
	cfg, _ := play(t, live(newCookie("early"), refreshDelete(true), newCookie("late"), newCookie(""), newCookie("late")))
	stop := start(t, cfg, m)
	m.wait("the cookie", func() bool { return string(m.cookie) == "late" })
	stop()
	m.expect("begin", "refreshed", "cookie early", "cookie late")
}

func TestScenario30RefreshRequired(t *testing.T) {
	for _, c := range []struct {
		name  string
		first func(*peer)
		calls []string
		asked []string
	}{
		{"Early", live(refreshRequired()), []string{"begin", "reset ", "begin", "sweep 1", "refreshed", "cookie c9"}, []string{"c1", "-"}},
		{"EarlyWithoutControl", live(result(4096)), []string{"begin", "reset ", "begin", "sweep 1", "refreshed", "cookie c9"}, []string{"c1", "-"}},
		{"EarlyWithCookie", live(refreshRequired("c2")), []string{"begin", "reset c2", "begin", "refreshed", "cookie c9"}, []string{"c1", "c2"}},
		{"MidRefresh", live(add(3, "cn=3"), idSet(false, []int{1}), refreshRequired()),
			[]string{"begin", "present 1", "reset ", "begin", "sweep 2", "refreshed", "cookie c9"}, []string{"c1", "-"}},
		{"MidRefreshWithCookie", live(add(3, "cn=3"), refreshRequired("c2")),
			[]string{"begin", "reset c2", "begin", "refreshed", "cookie c9"}, []string{"c1", "c2"}},
		{"InPersist", live(refreshDelete(true), add(3, "cn=3", "c2"), refreshRequired()),
			[]string{"begin", "refreshed", "cookie c2", "reset ", "begin", "sweep 2", "refreshed", "cookie c9"}, []string{"c1", "-"}},
		{"InPersistWithCookie", live(refreshDelete(true), add(3, "cn=3", "c2"), refreshRequired("c3")),
			[]string{"begin", "refreshed", "cookie c2", "reset c3", "begin", "refreshed", "cookie c9"}, []string{"c1", "c3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeaks(t)
			m := loaded(t)
			cfg, s := play(t, c.first, live(add(1, "cn=1"), refreshDelete(true, "c9")))
			stop := start(t, cfg, m)
			m.wait("the last cookie", func() bool { return string(m.cookie) == "c9" })
			stop()
			m.expect(c.calls...)
			if got := s.cookies(); !slices.Equal(got, c.asked) {
				t.Errorf("asked with %q, want %q", got, c.asked)
			}
		})
	}
	t.Run("WithoutEnd", func(t *testing.T) { // no endless loop in RefreshOnly
		m := loaded(t)
		again := ending(refreshRequired("again"))
		cfg, s := play(t, again, again, again, again)
		if err := once(t, cfg, m); !errors.Is(err, ErrRefreshRequired) {
			t.Error(err)
		}
		if n := len(s.cookies()); n != 2 {
			t.Errorf("%d sessions", n)
		}
	})
}

func TestScenario31DoneInPersist(t *testing.T) {
	m := loaded(t)
	cfg, s := play(t, live(refreshDelete(true), modify(1, "cn=1", "B", "c2"), done(false, "c3")), live(refreshDelete(true)))
	stop := start(t, cfg, m)
	m.waitRefreshed(2)
	stop()
	m.expect("begin", "refreshed", "cookie c2", "cookie c3", "begin", "refreshed")
	same(t, m, "cn=1", "cn=2")
	if got := s.cookies(); !slices.Equal(got, []string{"c1", "c3"}) {
		t.Errorf("asked with %q", got)
	}
}

func TestScenario32NoSyncDone(t *testing.T) {
	t.Run("DoneWithoutControl", func(t *testing.T) {
		err := refused(t, [][][]byte{idSet(false, []int{1}), result(0)}, "without a Sync Done control")
		if !errors.Is(err, ErrProtocol) {
			t.Error(err)
		}
	})
	t.Run("EOFMidRefresh", func(t *testing.T) {
		if err := refused(t, [][][]byte{idSet(false, []int{1})}); !errors.Is(err, ErrDisconnected) {
			t.Error(err)
		}
	})
	t.Run("EOFInPersist", func(t *testing.T) {
		m := loaded(t)
		cfg, s := play(t, ending(refreshDelete(true), add(3, "cn=3"), bare(2, 3, "")), live(refreshDelete(true)))
		stop := start(t, cfg, m)
		m.waitRefreshed(2)
		stop()
		m.expect("begin", "refreshed", "delete 1", "begin", "refreshed")
		if got := s.cookies(); !slices.Equal(got, []string{"c1", "c1"}) {
			t.Errorf("asked with %q", got)
		}
	})
}

// The consumer passes an empty present list on; it is the sink that guards.
func TestScenario33EmptyPresentList(t *testing.T) {
	refresh(t, loaded(t), [][][]byte{done(false, "c2")}, "sweep 2", "refreshed", "cookie c2")
}

func TestScenario34Deletes(t *testing.T) {
	m := loaded(t)
	refresh(t, m, [][][]byte{
		bare(77, 3, "cn=unknown"), bare(1, 3, ""), bare(1, 3, "cn=new,dc=elsewhere"), idSet(true, []int{1, 78}), done(true, "c2")},
		"delete 1", "delete 1", "delete 1", "delete 2", "refreshed", "cookie c2")
	same(t, m, "cn=2")
}

func TestCookieUnknownToTheProvider(t *testing.T) {
	noLeaks(t)
	for _, mode := range []Mode{RefreshOnly, RefreshAndPersist} {
		m := loaded(t)
		end, end2 := done(true), done(true, "c2")
		if mode == RefreshAndPersist {
			end, end2 = refreshDelete(true), refreshDelete(true, "c2")
		}
		cfg, s := play(t, live(add(2, "cn=2"), end), live(add(2, "cn=2"), end2))
		if mode == RefreshOnly {
			if err := once(t, cfg, m); err != nil {
				t.Fatal(err)
			}
		} else {
			stop := start(t, cfg, m)
			m.wait("the cookie", func() bool { return string(m.cookie) == "c2" })
			stop()
		}
		m.expect("begin", "reset ", "begin", "sweep 1", "refreshed", "cookie c2")
		same(t, m, "cn=2")
		if got := s.cookies(); !slices.Equal(got, []string{"c1", "-"}) {
			t.Errorf("asked with %q", got)
		}
	}
}

// 389 DS ends a refreshOnly session as if it had listed what is present.
func TestScenario24RefreshOnlyTwiceScripted(t *testing.T) {
	noLeaks(t)
	m := newMirror(t)
	cfg, s := play(t,
		ending(add(1, "cn=1"), add(2, "cn=2"), done(false, "h:389#cn=x:dc=x:(objectClass=*)#5")),
		ending(add(3, "cn=3"), done(false, "h:389#cn=x:dc=x:(objectClass=*)#6")),
		reading(with("cn=3"), result(0)),
		ending(idSet(true, []int{3}), refreshPresent(false), done(false, "h:389#cn=x:dc=x:(objectClass=*)#7")))
	s.vendorName, s.vendorVersion = "389 Project", "389-Directory/2.3.1 B2023.001.0000"
	for range 3 {
		if err := once(t, cfg, m); err != nil {
			t.Fatal(err)
		}
	}
	same(t, m, "cn=1", "cn=2")
	m.expect("begin", "sweep 0", "refreshed", "cookie h:389#cn=x:dc=x:(objectClass=*)#5",
		"begin", "refreshed", "cookie h:389#cn=x:dc=x:(objectClass=*)#6",
		"begin", "delete 1", "refreshed", "cookie h:389#cn=x:dc=x:(objectClass=*)#7")
	if v := m.sessions[0]; v.Vendor != Vendor389 || v.Version != s.vendorVersion {
		t.Errorf("%+v", v)
	}
}

// In the persist stage a provider's cookie has one CSN; together they make the state.
func TestCookiesOfSeveralProviders(t *testing.T) {
	const (
		a1 = "20240101000000.000000Z#000000#001#000000"
		a2 = "20240102000000.000000Z#000000#001#000000"
		b1 = "20240101000000.000000Z#000000#002#000000"
		b2 = "20240103000000.000000Z#000000#002#000000"
	)
	m := newMirror(t)
	cfg, s := play(t,
		ending(add(1, "cn=1"), refreshDelete(true, "rid=001,sid=001,csn="+a1+";"+b1), modify(1, "cn=1", "B", "rid=001,sid=001,csn="+a2),
			newCookie("rid=001,sid=002,csn="+b2), newCookie("rid=001,sid=002,csn="+b1)),
		live(refreshDelete(true)))
	stop := start(t, cfg, m)
	m.waitRefreshed(2)
	stop()
	m.expect("begin", "sweep 0", "refreshed", "cookie rid=001,csn="+a1+";"+b1, "cookie rid=001,csn="+a2+";"+b1,
		"cookie rid=001,csn="+a2+";"+b2, "begin", "refreshed")
	if got := s.cookies(); !slices.Equal(got, []string{"-", "rid=001,csn=" + a2 + ";" + b2}) {
		t.Errorf("asked with %q", got)
	}
}

func TestScenario18ReferralIsReportedOnce(t *testing.T) {
	m := loaded(t)
	var events []Event
	ref := tlv(0x73, text("ldap://other/ou=x"), text("ldap://more"))
	cfg, _ := play(t, ending([][]byte{ref}, [][]byte{ref, state(9, 1)}, done(true)))
	cfg.Notify = func(e Event) { events = append(events, e) }
	if err := once(t, cfg, m); err != nil {
		t.Fatal(err)
	}
	if len(events) != 2 || events[1].Kind != EventReferral || !strings.Contains(events[1].String(), "ldap://other/ou=x") {
		t.Errorf("%v", events)
	}
	m.expect("begin", "refreshed")
}
