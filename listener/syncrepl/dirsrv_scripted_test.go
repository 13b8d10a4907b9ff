package syncrepl

import (
	"errors"
	"slices"
	"strings"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// What 389 DS does in the scenarios of this file is left to a script.

// cookie389 returns the cookie of a change.
func cookie389(n string) string { return "h:389#cn=x:dc=x:(objectClass=*)#" + n }

// loaded389 returns a mirror as after a refresh from a scripted 389 DS, and such a
// provider.
func loaded389(t testing.TB, sessions ...func(*peer)) (*mirror, Config, *script) {
	noLeaks(t)
	m := loaded(t)
	m.cookie = []byte(cookie389("5"))
	cfg, s := play(t, sessions...)
	s.vendorName, s.vendorVersion = "389 Project", "389-Directory/2.3.1 B2023.001.0000"
	return m, cfg, s
}

// reading makes a session that answers one search for an entry.
func reading(responses ...[][]byte) func(*peer) { return live(responses...) }

// with returns an entry without a state, with an attribute of one value for each pair.
func with(dn string, pairs ...string) [][]byte {
	var attributes []byte
	for p := range slices.Chunk(pairs, 2) {
		attributes = append(attributes, tlv(0x30, text(p[0]), tlv(0x31, text(p[1])))...)
	}
	return [][]byte{tlv(0x64, text(dn), tlv(0x30, attributes))}
}

func TestDirsrvResumeReadsEntriesAgain(t *testing.T) {
	const uniqueID = "00000000-00000000-00000000-00000001"
	refreshed := ending(modify(1, "cn=1", "as sent"), done(false, cookie389("6")))
	for _, c := range []struct {
		name       string
		attributes []string
		answer     [][][]byte
		want       string
	}{
		{"AsAskedFor", nil, [][][]byte{with("cn=1", "sn", "read", "nsUniqueId", uniqueID), result(0)}, "cn=1\nsn: [\"read\"]\nnsUniqueId: [\"" + uniqueID + "\"]"},
		{"WithoutUniqueID", []string{"*"}, [][][]byte{with("cn=1", "sn", "read", "NSUNIQUEID", uniqueID), result(0)}, "cn=1\nsn: [\"read\"]"},
		{"Long", nil, [][][]byte{with("cn=1", "sn", strings.Repeat("x", 70000)), result(0)}, "cn=1\nsn: [\"" + strings.Repeat("x", 70000) + "\"]"},
		{"Nothing", []string{"1.1"}, [][][]byte{with("cn=1", "nsUniqueId", uniqueID), result(0)}, "cn=1"},
		{"Elsewhere", nil, [][][]byte{result(32)}, "cn=1\nsn: [\"as sent\"]"},
		{"Invisible", nil, [][][]byte{result(0)}, "cn=1\nsn: [\"as sent\"]"},
		{"Another", nil, [][][]byte{with("cn=1", "sn", "of another", "nsUniqueId", strings.Replace(uniqueID, "1", "2", 1)), result(0)}, "cn=1\nsn: [\"as sent\"]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, cfg, _ := loaded389(t, refreshed, reading(c.answer...))
			cfg.Attributes = c.attributes
			if err := once(t, cfg, m); err != nil {
				t.Fatal(err)
			}
			if got := m.entries[id(1)]; got != c.want {
				t.Errorf("the mirror has %.200q, want %.200q", got, c.want)
			}
			m.expect("begin", "refreshed", "cookie "+cookie389("6"))
		})
	}
	for name, answer := range map[string]func(*peer){
		"Unreachable": nil,
		"Busy":        reading(result(51)),
		"Gone":        ending(),
	} {
		t.Run(name, func(t *testing.T) {
			m, cfg, _ := loaded389(t, refreshed, answer)
			if err := once(t, cfg, m); err == nil || !strings.Contains(err.Error(), "ldap://script") {
				t.Errorf("error %v", err)
			}
			m.expect("begin")
			if m.entered != 0 {
				t.Error("the entry was handed over")
			}
		})
	}
}

// All entries of a refresh are read on one connection, which ends with the refresh.
func TestDirsrvReadsOnOneConnection(t *testing.T) {
	closed := make(chan struct{})
	reader := func(p *peer) {
		defer close(p.gone)
		defer close(closed)
		for n := 1; ; n++ {
			packet, err := ber.ReadPacket(p.conn)
			if err != nil || packet.Children[1].Tag != 3 {
				return
			}
			p.searchID = packet.Children[0].Value.(int64)
			base := packet.Children[1].Children[0].Value.(string)
			p.send(with(base, "sn", "read "+base), result(0))
		}
	}
	m, cfg, _ := loaded389(t, func(p *peer) {
		if p.search() {
			p.send(add(3, "cn=3"), add(4, "cn=4"), refreshDelete(true, cookie389("7")))
			select {
			case <-closed:
			case <-p.gone:
			}
			p.send(add(5, "cn=5", cookie389("8")))
			p.stay()
		}
	}, reader)
	stop := start(t, cfg, m)
	m.has("cn=5", `sn: ["Sample"]`) // of the persist stage: complete as it is
	m.has("cn=3", `sn: ["read cn=3"]`)
	m.has("cn=4", `sn: ["read cn=4"]`)
	stop()
}

func TestDirsrvLosesDeletes(t *testing.T) {
	fifty := make([]int, 50)
	for i := range fifty {
		fifty[i] = 100 + i
	}
	m, cfg, s := loaded389(t,
		ending(idSet(true, fifty, cookie389("60")), done(false, cookie389("60"))),
		ending(add(2, "cn=2"), done(false, cookie389("60"))))
	var reset error
	cfg.Notify = func(e Event) {
		if e.Kind == EventCookieReset {
			reset = e.Err
		}
	}
	if err := once(t, cfg, m); err != nil {
		t.Fatal(err)
	}
	m.expect("begin", "delete 50", "reset ", "begin", "sweep 1", "refreshed", "cookie "+cookie389("60"))
	same(t, m, "cn=2")
	if !errors.Is(reset, ErrRefreshIncomplete) {
		t.Errorf("the cookie was dropped because of %v", reset)
	}
	if got, want := s.cookies(), []string{cookie389("5"), "-"}; !slices.Equal(got, want) {
		t.Errorf("cookies sent: %q, want %q", got, want)
	}

	t.Run("NotInPersist", func(t *testing.T) {
		m, cfg, s := loaded389(t, live(refreshDelete(true, cookie389("6")), idSet(true, fifty, cookie389("60"))))
		stop := start(t, cfg, m)
		m.wait("cookie", func() bool { return string(m.cookie) == cookie389("60") })
		stop()
		if n := len(s.cookies()); n != 1 {
			t.Errorf("%d sessions", n)
		}
	})
	t.Run("NotOfOthers", func(t *testing.T) {
		m := loaded(t)
		refresh(t, m, [][][]byte{idSet(true, fifty), done(true, "c2")}, "delete 50", "refreshed", "cookie c2")
	})
}

func TestDirsrvCookieIsNotSent(t *testing.T) {
	for name, narrow := range map[string]func(*Config){
		"NarrowFilter": func(c *Config) { c.Filter = "(sn=*)" },
		"NarrowScope":  func(c *Config) { c.Scope = ScopeOne },
	} {
		t.Run(name, func(t *testing.T) {
			m, cfg, s := loaded389(t, ending(add(1, "cn=1"), done(false, cookie389("5"))))
			narrow(&cfg)
			if err := once(t, cfg, m); err != nil {
				t.Fatal(err)
			}
			m.expect("begin", "sweep 1", "refreshed")
			if got := s.cookies(); !slices.Equal(got, []string{"-"}) {
				t.Errorf("cookies sent: %q", got)
			}
		})
	}
	// The server would not answer to one that it cannot read.
	t.Run("Unreadable", func(t *testing.T) {
		for _, cookie := range []string{"\x00", "a\x00#5"} {
			m, cfg, s := loaded389(t, live(), ending(add(1, "cn=1"), done(false, cookie389("5"))))
			m.cookie = []byte(cookie)
			if err := once(t, cfg, m); err != nil {
				t.Fatal(err)
			}
			m.expect("begin", "reset ", "begin", "sweep 1", "refreshed", "cookie "+cookie389("5"))
			if got := s.cookies(); !slices.Equal(got, []string{"-"}) {
				t.Errorf("cookies sent: %q", got)
			}
		}
	})
}
