package syncrepl

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// The scenarios of this file are about messages that are wrong, unusual or large.

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
