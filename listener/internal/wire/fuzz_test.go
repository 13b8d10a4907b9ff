package wire

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func seed(f *testing.F) {
	for _, frame := range wellFormed() {
		f.Add(frame)
	}
	for _, frame := range malformed() {
		f.Add(frame)
	}
}

// inside fails the test unless view lies within frame.
func inside(t *testing.T, frame, view []byte) {
	if len(view) > 0 && !bytes.Contains(frame, view) {
		t.Errorf("%x is not in %x", view, frame)
	}
}

// FuzzMessage decodes one message. What is accepted holds what the decoder promises.
func FuzzMessage(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := decodeFrame(frame)
		if err != nil {
			return
		}
		inside(t, frame, m.DN)
		inside(t, frame, m.Cookie)
		inside(t, frame, m.Attributes)
		switch m.Kind {
		case KindEntry:
			if !m.HasState || m.State > StateDelete {
				t.Errorf("%+v", m)
			}
			size := 0
			for name, set := range Attributes(m.Attributes) {
				if len(name) == 0 {
					t.Error("an attribute without a name")
				}
				size += len(name) + len(set)
				for range Values(set) {
				}
			}
			if size > len(m.Attributes) {
				t.Error("more attributes than octets")
			}
		case KindInfo:
			n := 0
			for range m.Info.All() {
				n++
			}
			if n != m.Info.Count {
				t.Errorf("%d UUIDs of %d", n, m.Info.Count)
			}
		case KindDone:
			if m.Done.Code < 0 {
				t.Errorf("code %d", m.Done.Code)
			}
		case KindReference, KindOther:
		default:
			t.Errorf("kind %d", m.Kind)
		}
	})
}

// FuzzControl decodes the controls of an entry and a result.
func FuzzControl(f *testing.F) {
	f.Add(syncState(1, uuid16, "c"))
	f.Add(syncDone(str("c"), boolean(true)))
	f.Add(element(tagControls, oneControl("1.2.3", str("x")), syncState(1, uuid16, "")[2:]))
	f.Fuzz(func(t *testing.T, controls []byte) {
		for _, op := range [][]byte{searchEntry("cn=a", attributes("cn", "a")), searchDone(0), element(tagSearchReference, str("ldap://a"))} {
			if m, err := decodeFrame(message(searchID, op, controls)); err == nil {
				inside(t, controls, m.Cookie)
			} else if !errors.Is(err, ErrProtocol) {
				t.Error(err)
			}
		}
	})
}

// FuzzControlValue decodes the values of the Sync State and Sync Done controls.
func FuzzControlValue(f *testing.F) {
	for state := range 5 {
		f.Add(element(tagSequence, enum(state), str(uuid16)))
	}
	f.Add(element(tagSequence, enum(1), str(uuid16), str("c")))
	f.Add(element(tagSequence, enum(1), str(uuid16[1:])))
	f.Add(element(tagSequence))
	f.Add(element(tagSequence, str("c"), boolean(true)))
	f.Add(element(tagSequence, boolean(true), str("c")))
	f.Fuzz(func(t *testing.T, value []byte) {
		m, err := decodeFrame(message(searchID, searchEntry("cn=a", attributes("cn", "a")), control(oidSyncState, value)))
		switch {
		case err != nil && !errors.Is(err, ErrProtocol):
			t.Error(err)
		case err == nil:
			inside(t, value, m.Cookie)
			inside(t, value, m.UUID[:])
			if !m.HasState || m.State > StateDelete {
				t.Errorf("%+v", m)
			}
		}
		m, err = decodeFrame(message(searchID, searchDone(0), control(oidSyncDone, value)))
		switch {
		case err != nil && !errors.Is(err, ErrProtocol):
			t.Error(err)
		case err == nil:
			inside(t, value, m.Cookie)
			if !m.Done.SyncDone {
				t.Errorf("%+v", m)
			}
		}
	})
}

// FuzzFrame reads the header of a message: the length is that of a whole message within
// the limit, and does not change when more of it is there.
func FuzzFrame(f *testing.F) {
	f.Add([]byte{0x30, 0x05, 0x02, 0x01, 0x01})
	f.Add([]byte{0x30, 0x84, 0, 0, 0, 0x10})
	f.Add([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff})
	f.Add([]byte{0x30, 0x80})
	f.Add([]byte{0x30, 0x85, 0, 0, 0, 0, 1})
	f.Add([]byte("HTTP/1.1 400 Bad Request"))
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 20
		known := 0
		for end := range len(b) + 1 {
			n, err := frameLength(b[:end], limit)
			switch {
			case err != nil:
				if n != 0 || known != 0 || !errors.Is(err, ErrProtocol) {
					t.Fatalf("after %d octets: %d, %v", end, n, err)
				}
				return
			case known != 0 && n != known:
				t.Fatalf("%d octets, then %d", known, n)
			case n < 0 || n > limit || n > 0 && end < 2:
				t.Fatalf("after %d octets: %d", end, n)
			}
			known = n
		}
	})
}

// FuzzInfo decodes the value of a Sync Info message.
func FuzzInfo(f *testing.F) {
	f.Add(element(tagNewCookie, []byte("n")))
	f.Add(element(tagRefreshDelete, str("n"), boolean(false)))
	f.Add(element(tagRefreshPresent))
	f.Add(element(tagSyncIDSet, str("n"), boolean(true), element(tagSet, str(uuid16))))
	f.Fuzz(func(t *testing.T, value []byte) {
		if m, err := decodeFrame(message(searchID, syncInfo(value))); err == nil {
			inside(t, value, m.Cookie)
		} else if !errors.Is(err, ErrProtocol) {
			t.Error(err)
		}
	})
}

// FuzzConn reads a stream in pieces: the messages are the same in pieces of any size.
func FuzzConn(f *testing.F) {
	f.Add(bytes.Join(wellFormed(), nil), uint16(1))
	for _, frame := range malformed() {
		f.Add(bytes.Join([][]byte{person(1), frame, person(2)}, nil), uint16(7))
	}
	f.Add([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, uint16(100))
	f.Fuzz(func(t *testing.T, stream []byte, burst uint16) {
		read := func(burst int) ([]Message, error) {
			c := &Conn{Conn: &recording{stream: stream, rounds: 1, burst: burst}}
			c.searching.Store(true)
			c.lastID.Store(5)
			c.start(Options{MaxMessageSize: 1 << 20})
			go io.Copy(io.Discard, c)
			defer c.Close()
			return collect(t, c)
		}
		whole, err := read(0)
		if err == nil {
			t.Fatal("no end")
		}
		pieces, err2 := read(int(burst) + 1)
		if len(whole) != len(pieces) || err.Error() != err2.Error() {
			t.Fatalf("%d messages, %v; in pieces %d, %v", len(whole), err, len(pieces), err2)
		}
		for i := range whole {
			if !bytes.Equal(whole[i].DN, pieces[i].DN) || !bytes.Equal(whole[i].Attributes, pieces[i].Attributes) || whole[i].UUID != pieces[i].UUID {
				t.Errorf("message %d differs", i)
			}
		}
	})
}
