package syncrepl

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
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

func TestScenario35StateControls(t *testing.T) {
	op := add(3, "cn=3")[0]
	controls := tlv(0xa0, state(3, 1)[2:], state(3, 1)[2:])
	refused(t, [][][]byte{{op}, done(true, "c2")}, "Sync State")
	refused(t, [][][]byte{{op, controls}, done(true, "c2")}, "two Sync State controls")
	refused(t, [][][]byte{{op, state(3, 9)}, done(true, "c2")}, "unknown state 9")

	t.Run("PresentInPersist", func(t *testing.T) {
		m := loaded(t)
		cfg, _ := play(t, live(refreshDelete(true), bare(1, 0, "cn=1"), idSet(false, []int{1}), newCookie("c2")))
		stop := start(t, cfg, m)
		m.wait("the cookie", func() bool { return string(m.cookie) == "c2" })
		stop()
		m.expect("begin", "refreshed", "cookie c2")
		same(t, m, "cn=1", "cn=2")
	})
	t.Run("RefreshPresentInPersist", func(t *testing.T) {
		m := loaded(t)
		cfg, _ := play(t, live(refreshDelete(true, "c2"), refreshPresent(true)), live(refreshDelete(true)))
		stop := start(t, cfg, m)
		m.waitRefreshed(2)
		stop()
		m.expect("begin", "refreshed", "cookie c2", "begin", "refreshed")
	})
}

func TestScenario36SyncInfo(t *testing.T) {
	short := tlv(0x04, make([]byte, 15))
	refused(t, [][][]byte{info(tlv(0xa3, tlv(0x31, short))), done(true, "c2")}, "15 octets")
	refused(t, [][][]byte{{add(3, "cn=3")[0], control("1.3.6.1.4.1.4203.1.9.1.2", tlv(0x30, num(0x0a, 1), short))}}, "15 octets")
	refused(t, [][][]byte{info(tlv(0xa4)), done(true, "c2")}, "unknown choice")
	refused(t, [][][]byte{info(nil), done(true, "c2")}, "empty")

	m := loaded(t)
	refresh(t, m, [][][]byte{
		{tlv(0x79)}, {tlv(0x79, tlv(0x80, []byte("1.2.3.4")), tlv(0x81, []byte("?")))}, done(true)}, "refreshed")
	same(t, m, "cn=1", "cn=2")
}

func TestScenario37ResultCodes(t *testing.T) {
	for _, code := range []int{1, 2, 51, 52, 80, 118, 65536, 1<<31 - 1} {
		err := refused(t, [][][]byte{result(code)}, fmt.Sprintf("result %d", code))
		if r, ok := errors.AsType[*ResultError](err); !ok || r.Code != code {
			t.Errorf("%d: %v", code, err)
		}
	}
	// A Sync Done control makes no success of an error.
	refused(t, [][][]byte{append(result(80), done(false, "c2")[1])}, "result 80")
	long := tlv(0x65, tlv(0x0a, []byte("\x01\x00\x00\x00\x00\x00\x00\x00\x00")), text(""), text(""))
	refused(t, [][][]byte{{long, done(false, "c2")[1]}}, "9 octets")
	if err := refused(t, [][][]byte{result(32)}, "dc=x"); !errors.Is(err, ErrBaseMissing) {
		t.Error(err)
	}
	if err := refused(t, [][][]byte{result(4)}, "anonymous", "limit"); !errors.Is(err, ErrSizeLimit) {
		t.Error(err)
	}
	if err := refused(t, [][][]byte{result(12)}, "syncprov"); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
	if err := refused(t, [][][]byte{result(53)}); !errors.Is(err, ErrProviderBehind) {
		t.Error(err)
	}
}

// raw makes a session that sends octets of its own after the search.
func raw(octets []byte) func(*peer) {
	return func(p *peer) {
		if p.search() {
			p.write(octets)
		}
	}
}

// refusedRaw is refused for octets.
func refusedRaw(t *testing.T, octets []byte, is error, words ...string) {
	t.Helper()
	noLeaks(t)
	m := loaded(t)
	cfg, _ := play(t, raw(octets))
	err := once(t, cfg, m)
	if !errors.Is(err, is) {
		t.Fatalf("error %v, want %v", err, is)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
	m.expect("begin")
}

func TestScenario38MessageIDs(t *testing.T) {
	notice := tlv(0x30, num(0x02, 0), tlv(0x78, num(0x0a, 52), text(""), text("maintenance at noon"), tlv(0x8a, []byte("1.3.6.1.4.1.1466.20036"))))
	refusedRaw(t, notice, ErrDisconnected, "maintenance at noon")
	e := add(3, "cn=3")
	refusedRaw(t, tlv(0x30, num(0x02, 4711), e[0], e[1]), ErrProtocol, "messageID")
	refusedRaw(t, tlv(0x30, text("1"), e[0], e[1]), ErrProtocol, "messageID")
	refusedRaw(t, tlv(0x30, tlv(0x02, []byte{0xff}), e[0], e[1]), ErrProtocol, "negative")
}

func TestScenario39Lengths(t *testing.T) {
	refusedRaw(t, []byte{0x30, 0x84, 0x80, 0, 0, 0}, ErrProtocol, "limit")
	refusedRaw(t, []byte{0x30, 0x80, 0x02, 0x01, 0x01}, ErrProtocol, "indefinite")
	refusedRaw(t, []byte("HTTP/1.1 400 Bad Request\r\n"), ErrProtocol, "LDAP server")
	deep := text("x")
	for range 1000 {
		deep = tlv(0x30, deep)
	}
	e := add(3, "cn=3")
	refusedRaw(t, tlv(0x30, num(0x02, 1), e[0], tlv(0xa0, tlv(0x30, text("1.2"), deep))), ErrProtocol, "nested")

	t.Run("ByteByByte", func(t *testing.T) {
		m := loaded(t)
		cfg, _ := play(t, func(p *peer) {
			if !p.search() {
				return
			}
			for _, r := range [][][]byte{add(3, "cn=3"), idSet(true, []int{1}), done(true, "c2")} {
				for _, b := range tlv(0x30, append([][]byte{num(0x02, int(p.searchID))}, r...)...) {
					p.write([]byte{b})
				}
			}
		})
		if err := once(t, cfg, m); err != nil {
			t.Error(err)
		}
		same(t, m, "cn=2", "cn=3")
	})
	t.Run("MaxMessageSize", func(t *testing.T) {
		m := loaded(t)
		cfg, _ := play(t, ending(entry(3, 1, "cn=3", strings.Repeat("x", 10_000))))
		cfg.MaxMessageSize = 9_000
		if err := once(t, cfg, m); !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), "limit of 9000") {
			t.Error(err)
		}
	})
}

func TestScenario40ManyValuesAndSlowSink(t *testing.T) {
	t.Run("ManyValues", func(t *testing.T) {
		var set []byte
		for i := range 100_000 {
			set = append(set, text(fmt.Sprint("uid=", i))...)
		}
		big := [][]byte{tlv(0x64, text("cn=big"), tlv(0x30, tlv(0x30, text("member"), tlv(0x31, set)))), state(3, 1)}
		m := loaded(t)
		refresh(t, m, [][][]byte{big, done(true, "c2")}, "refreshed", "cookie c2")
		if n := strings.Count(m.entries[id(3)], `"uid=`); n != 100_000 {
			t.Errorf("%d values", n)
		}
	})
	t.Run("SlowSink", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const n = 5000 // of 10 KB: more than may wait
			m := newMirror(t)
			sent, release := 0, make(chan struct{})
			m.onEntry = func(*Entry) error { <-release; return nil }
			cfg, _ := play(t, func(p *peer) {
				if !p.search() {
					return
				}
				for i := range n {
					p.send(entry(i, 1, fmt.Sprint("cn=", i), strings.Repeat("x", 10_000)))
					sent++
				}
				p.send(done(true, "c2"))
			})
			result := make(chan error, 1)
			go func() { result <- once(t, cfg, m) }()
			synctest.Wait() // nothing moves any more
			if sent == 0 || sent > 1500 {
				t.Errorf("%d entries of 10 KB were read while the sink was busy", sent)
			}
			close(release)
			if err := <-result; err != nil {
				t.Fatal(err)
			}
			if len(m.entries) != n || m.entered != n {
				t.Errorf("%d entries, %d calls", len(m.entries), m.entered)
			}
			if m.flushes < n*10_000/(flushBytes+bufferSlack) {
				t.Errorf("%d flushes", m.flushes)
			}
		})
	})
}

// bufferSlack is what a chunk may have beyond the bound of a flush.
const bufferSlack = 512 << 10

func TestScenario41Cookies(t *testing.T) {
	for name, cookie := range map[string]string{
		"64KB":   strings.Repeat("x", 64<<10),
		"NUL":    "a\x00b",
		"Binary": "\x00\xff\xfe\x80,rid=001",
	} {
		t.Run(name, func(t *testing.T) {
			m := loaded(t)
			cfg, s := play(t, ending(done(true, cookie)), ending(done(true)))
			for range 2 {
				if err := once(t, cfg, m); err != nil {
					t.Fatal(err)
				}
			}
			if m.savedCookie() != cookie {
				t.Errorf("cookie %q", m.savedCookie())
			}
			if got := s.cookies(); !slices.Equal(got, []string{"c1", cookie}) {
				t.Errorf("asked with %q", got)
			}
		})
	}
}

func TestScenario42OctetsInDNAndValues(t *testing.T) {
	const dn, sn = "cn=a\x00b\nc\xff\xfe,dc=x", "v\x00\n\xff\xfe\r\n"
	m := loaded(t)
	refresh(t, m, [][][]byte{entry(3, 1, dn, sn), done(true, "c2")}, "refreshed", "cookie c2")
	if got, want := m.entries[id(3)], dn+fmt.Sprintf("\nsn: [%q]", sn); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestScenario43OneUUIDTwice(t *testing.T) {
	m := loaded(t)
	refresh(t, m, [][][]byte{
		add(3, "cn=3"), modify(3, "cn=three", "B"), // twice
		bare(4, 3, ""), add(4, "cn=4"), // deleted, then added
		add(5, "cn=5"), idSet(true, []int{5}), // added, then deleted
		done(true, "c2")},
		"delete 1", "delete 1", "refreshed", "cookie c2")
	same(t, m, "cn=1", "cn=2", "cn=4", "cn=three")
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
func Test389RefreshOnlyTwice(t *testing.T) {
	noLeaks(t)
	m := newMirror(t)
	cfg, s := play(t,
		ending(add(1, "cn=1"), add(2, "cn=2"), done(false, "h:389#cn=x:dc=x:(objectClass=*)#5")),
		ending(add(3, "cn=3"), done(false, "h:389#cn=x:dc=x:(objectClass=*)#6")),
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

func TestReferralIsReportedOnce(t *testing.T) {
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
