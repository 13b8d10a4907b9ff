package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

const uuid16 = "0123456789abcdef"

// decodeFrame decodes one message of the sync search.
func decodeFrame(frame []byte) (m Message, err error) {
	if n, err := frameLength(frame, defaultMaxMessageSize); err != nil || n != len(frame) {
		return m, fmt.Errorf("frame length %d of %d: %w", n, len(frame), err)
	}
	_, body, err := messageID(frame)
	if err != nil {
		return m, err
	}
	return m, decode(body, &m)
}

func TestDecodeEntry(t *testing.T) {
	attrs := attributes("cn", "a\x00\n\xff", "sn", "")
	m, err := decodeFrame(message(searchID, searchEntry("cn=a\x00\xff\n", attrs), syncState(2, uuid16, "c\x00")))
	if err != nil {
		t.Fatal(err)
	}
	if m.Kind != KindEntry || m.State != StateModify || string(m.UUID[:]) != uuid16 ||
		string(m.DN) != "cn=a\x00\xff\n" || string(m.Cookie) != "c\x00" || !bytes.Equal(m.Attributes, attrs[2:]) {
		t.Errorf("%+v", m)
	}
	var got []string
	for name, set := range Attributes(m.Attributes) {
		for v := range Values(set) {
			got = append(got, fmt.Sprintf("%s=%q", name, v))
		}
	}
	if s := strings.Join(got, " "); s != `cn="a\x00\n\xff" sn=""` {
		t.Error(s)
	}

	m, err = decodeFrame(message(searchID, searchEntry("", attributes()), syncState(3, uuid16, "")))
	if err != nil || m.State != StateDelete || m.Cookie != nil || len(m.DN) != 0 || len(m.Attributes) != 0 {
		t.Errorf("%+v, %v", m, err)
	}
}

// Other controls and components of later versions of the protocol are ignored.
func TestDecodeIgnoresUnknownParts(t *testing.T) {
	future := element(0xa9, element(tagSequence, str("x")), element(0x85))
	controls := element(tagControls,
		oneControl("1.2.3", str("x")),
		element(tagSequence, str("1.2.4"), boolean(true)),
		element(tagSequence, str(oidSyncState), boolean(true),
			element(tagOctetString, element(tagSequence, enum(1), str(uuid16), future)), future))
	m, err := decodeFrame(message(searchID, element(tagSearchEntry, str("cn=a"), attributes(), future), controls, future))
	if err != nil || m.State != StateAdd {
		t.Errorf("%+v, %v", m, err)
	}
	m, err = decodeFrame(message(searchID, element(tagSearchDone, enum(0), str(""), str(""), future), future))
	if err != nil || m.Done.SyncDone {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestDecodeInfo(t *testing.T) {
	set := element(tagSet, str(uuid16), str("fedcba9876543210"))
	for _, c := range []struct {
		name   string
		value  []byte
		want   Info
		cookie string // "-": none
	}{
		{"newcookie", element(tagNewCookie, []byte("n")), Info{Kind: NewCookie}, "n"},
		{"empty newcookie", element(tagNewCookie), Info{Kind: NewCookie}, ""},
		{"refreshDelete with defaults", element(tagRefreshDelete), Info{Kind: RefreshDelete, RefreshDone: true}, "-"},
		{"refreshDelete, not done", element(tagRefreshDelete, str("n"), boolean(false)), Info{Kind: RefreshDelete}, "n"},
		{"refreshPresent with defaults", element(tagRefreshPresent), Info{Kind: RefreshPresent, RefreshDone: true}, "-"},
		{"refreshPresent, done", element(tagRefreshPresent, boolean(true)), Info{Kind: RefreshPresent, RefreshDone: true}, "-"},
		{"refreshPresent, not done", element(tagRefreshPresent, str(""), boolean(false)), Info{Kind: RefreshPresent}, ""},
		{"syncIdSet with defaults", element(tagSyncIDSet, set), Info{Kind: SyncIDSet, UUIDs: set[2:], Count: 2}, "-"},
		{"syncIdSet of deletes", element(tagSyncIDSet, str("n"), boolean(true), set), Info{Kind: SyncIDSet, RefreshDeletes: true, UUIDs: set[2:], Count: 2}, "n"},
		{"empty syncIdSet", element(tagSyncIDSet, element(tagSet)), Info{Kind: SyncIDSet}, "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := decodeFrame(message(searchID, syncInfo(c.value)))
			if err != nil {
				t.Fatal(err)
			}
			got := *m.Info
			if got.Kind != c.want.Kind || got.RefreshDone != c.want.RefreshDone || got.RefreshDeletes != c.want.RefreshDeletes ||
				!bytes.Equal(got.UUIDs, c.want.UUIDs) || got.Count != c.want.Count {
				t.Errorf("%+v, want %+v", got, c.want)
			}
			if c.cookie == "-" && m.Cookie != nil || c.cookie != "-" && (m.Cookie == nil || string(m.Cookie) != c.cookie) {
				t.Errorf("cookie %q (%v), want %q", m.Cookie, m.Cookie == nil, c.cookie)
			}
			n := 0
			for range got.All() {
				n++
			}
			if n != got.Count {
				t.Errorf("%d UUIDs of %d", n, got.Count)
			}
		})
	}
}

// Intermediate responses that are none of RFC 4533 are no error.
func TestDecodeOtherIntermediates(t *testing.T) {
	for name, op := range map[string][]byte{
		"empty":       element(tagIntermediate),
		"foreign OID": element(tagIntermediate, element(tagIntermediateName, []byte("1.2.3")), element(tagIntermediateValue, []byte("\xff"))),
		"no name":     element(tagIntermediate, element(tagIntermediateValue, []byte("\xff"))),
	} {
		if m, err := decodeFrame(message(searchID, op)); err != nil || m.Kind != KindOther {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

func TestDecodeDone(t *testing.T) {
	op := element(tagSearchDone, enum(4096), str("dc=m"), str("do it again"), element(tagReferral, str("ldap://a"), str("ldap://b")))
	m, err := decodeFrame(message(searchID, op, syncDone(str("n"), boolean(true))))
	if err != nil {
		t.Fatal(err)
	}
	d := m.Done
	if d.Code != 4096 || d.MatchedDN != "dc=m" || d.Diagnostic != "do it again" || len(d.Referrals) != 2 ||
		!d.SyncDone || !d.RefreshDeletes || string(m.Cookie) != "n" {
		t.Errorf("%+v, cookie %q", d, m.Cookie)
	}
	m, err = decodeFrame(message(searchID, searchDone(0), syncDone()))
	if err != nil || !m.Done.SyncDone || m.Done.RefreshDeletes || m.Cookie != nil {
		t.Errorf("%+v, %v", m.Done, err)
	}
	for _, code := range []int{118, 65536, 1<<31 - 1} {
		if m, err = decodeFrame(message(searchID, searchDone(code))); err != nil || m.Done.Code != code {
			t.Errorf("code %d: %+v, %v", code, m.Done, err)
		}
	}
}

func TestDecodeReference(t *testing.T) {
	m, err := decodeFrame(message(searchID, element(tagSearchReference, str("ldap://a"), str("ldap://b")), syncState(1, uuid16, "")))
	if err != nil || m.Kind != KindReference || !m.HasState || string(m.DN) != "ldap://a" {
		t.Errorf("%+v, %v", m, err)
	}
	m, err = decodeFrame(message(searchID, element(tagSearchReference, str("ldap://a"))))
	if err != nil || m.HasState {
		t.Errorf("%+v, %v", m, err)
	}
}

// malformed are messages that have to be refused, by what is wrong with them.
func malformed() map[string][]byte {
	entry := searchEntry("cn=a", attributes("cn", "a"))
	state := syncState(1, uuid16, "")
	done := func(parts ...[]byte) []byte { return message(searchID, element(tagSearchDone, parts...)) }
	attrs := func(list ...[]byte) []byte {
		return message(searchID, searchEntry("cn=a", element(tagSequence, list...)), state)
	}
	deep := func(n int) []byte {
		b := []byte{}
		for range n {
			b = element(tagSequence, b)
		}
		return b
	}
	return map[string][]byte{
		"without a Sync State control":           message(searchID, entry),
		"two Sync State controls":                message(searchID, entry, element(tagControls, state[2:], state[2:])),
		"unknown state 9":                        message(searchID, entry, syncState(9, uuid16, "")),
		"a UUID of 15 octets":                    message(searchID, entry, syncState(1, uuid16[1:], "")),
		"a UUID of 17 octets":                    message(searchID, entry, syncState(1, uuid16+"x", "")),
		"a UUID of 0 octets":                     message(searchID, entry, syncState(1, "", "")),
		"entryUUID missing":                      message(searchID, entry, control(oidSyncState, element(tagSequence, enum(1)))),
		"syncStateValue missing":                 message(searchID, entry, control(oidSyncState)),
		"followed by other octets":               message(searchID, entry, control(oidSyncState, element(tagSequence, enum(1), str(uuid16)), str("x"))),
		"control is cut off":                     message(searchID, entry, element(tagControls, []byte{tagSequence})),
		"a number of 9 octets":                   done(element(tagEnumerated, []byte("\x01\x00\x00\x00\x00\x00\x00\x00\x00")), str(""), str("")),
		"a number without octets":                done(element(tagEnumerated), str(""), str("")),
		"a negative number":                      done(element(tagEnumerated, []byte{0xff}), str(""), str("")),
		"diagnosticMessage missing":              done(enum(0), str("")),
		"two Sync Done controls":                 message(searchID, searchDone(0), element(tagControls, syncDone()[2:], syncDone()[2:])),
		"a boolean that is not one":              message(searchID, searchDone(0), syncDone(element(tagBoolean, []byte{0, 1}))),
		"syncDoneValue missing":                  message(searchID, searchDone(0), control(oidSyncDone)),
		"unknown choice 0xa4":                    message(searchID, syncInfo(element(0xa4))),
		"syncInfoValue empty":                    message(searchID, syncInfo(nil)),
		"message without a value":                message(searchID, element(tagIntermediate, element(tagIntermediateName, []byte(oidSyncInfo)))),
		"syncUUIDs missing":                      message(searchID, syncInfo(element(tagSyncIDSet, boolean(true)))),
		"syncUUIDs a UUID of 15 octets":          message(searchID, syncInfo(element(tagSyncIDSet, element(tagSet, str(uuid16), str(uuid16[1:]))))),
		"syncInfoValue followed by other octets": message(searchID, syncInfo(append(element(tagNewCookie), element(tagNewCookie)...))),
		"protocolOp missing":                     message(searchID),
		"no response to a search":                message(searchID, element(0x61, enum(0), str(""), str(""))),
		"attributes missing":                     message(searchID, element(tagSearchEntry, str("cn=a")), state),
		"values not a set":                       attrs(element(tagSequence, str("cn"), element(tagSequence))),
		"description empty":                      attrs(element(tagSequence, str(""), element(tagSet))),
		"description not an octet":               attrs(element(tagSequence, integer(1), element(tagSet))),
		"value not an octet string":              attrs(element(tagSequence, str("cn"), element(tagSet, integer(1)))),
		"values is cut off":                      attrs(element(tagSequence, str("cn"))),
		"values followed by other":               attrs(element(tagSequence, str("cn"), element(tagSet), str("x"))),
		"PartialAttribute not":                   attrs(str("cn")),
		"indefinite length":                      attrs([]byte{tagSequence, 0x80, 0, 0}),
		"length of more than four":               attrs([]byte{tagSequence, 0x85, 0, 0, 0, 0, 0}),
		"longer than what contains it":           attrs([]byte{tagSequence, 0x84, 0x7f, 0xff, 0xff, 0xff}),
		"value longer":                           attrs(element(tagSequence, str("cn"), element(tagSet, []byte{tagOctetString, 2, 'x'}))),
		"the length is cut off":                  attrs([]byte{tagSequence, 0x84, 0x7f}),
		"identifier of more than one":            attrs([]byte{0x3f, 0x81, 0x01, 0x00}),
		"nested more than 32 deep":               message(searchID, searchDone(0), element(0xa9, deep(1000))),
		"identifier octet 0x24":                  message(searchID, element(tagSearchEntry, element(0x24, str("cn=a")), attributes()), state),
		"without a URI":                          message(searchID, element(tagSearchReference)),
		"messageID missing":                      element(tagSequence),
		"messageID 0x04":                         element(tagSequence, str("1"), entry),
		"messageID of 5 octets":                  element(tagSequence, element(tagInteger, []byte{0, 0, 0, 0, 1}), entry),
		"messageID negative":                     element(tagSequence, element(tagInteger, []byte{0x80, 0, 0, 0}), entry),
	}
}

func TestDecodeMalformed(t *testing.T) {
	for name, frame := range malformed() {
		t.Run(name, func(t *testing.T) {
			_, err := decodeFrame(frame)
			if err == nil {
				t.Fatal("accepted")
			}
			var syntax *SyntaxError
			if !errors.Is(err, ErrProtocol) || !errors.As(err, &syntax) {
				t.Fatalf("error %v", err)
			}
			if syntax.Offset < 0 || syntax.Offset > len(frame) || syntax.Field == "" {
				t.Errorf("%+v in %d octets", syntax, len(frame))
			}
			for word := range strings.FieldsSeq(name) {
				if !strings.Contains(err.Error(), strings.Trim(word, ",")) {
					t.Errorf("the error for %q is %q", name, err)
					break
				}
			}
		})
	}
}

// A message that is cut off anywhere is read or refused, without any other harm.
func TestDecodeCutOff(t *testing.T) {
	for _, whole := range wellFormed() {
		for n := headerSize(whole); n < len(whole); n++ {
			cut := element(tagSequence, whole[headerSize(whole):n])
			if m, err := decodeFrame(cut); err != nil && !errors.Is(err, ErrProtocol) {
				t.Fatalf("%d octets of %x: %+v, %v", n, whole, m, err)
			}
		}
	}
}

func headerSize(b []byte) int {
	_, from, _, _ := header(b, 0, len(b))
	return from
}

func wellFormed() [][]byte {
	set := element(tagSet, str(uuid16), str(uuid16))
	return [][]byte{
		message(searchID, searchEntry("cn=a", attributes("cn", "a", "sn", strings.Repeat("b", 200))), syncState(1, uuid16, "c")),
		message(searchID, searchEntry("", attributes()), syncState(3, uuid16, "")),
		message(searchID, element(tagSearchReference, str("ldap://a")), syncState(1, uuid16, "")),
		message(searchID, syncInfo(element(tagNewCookie, []byte("n")))),
		message(searchID, syncInfo(element(tagRefreshDelete, str("n"), boolean(false)))),
		message(searchID, syncInfo(element(tagRefreshPresent))),
		message(searchID, syncInfo(element(tagSyncIDSet, str("n"), boolean(true), set))),
		message(searchID, searchDone(0), syncDone(str("n"), boolean(true))),
		message(searchID, element(tagSearchDone, enum(10), str(""), str(""), element(tagReferral, str("ldap://a")))),
		message(searchID, element(tagIntermediate)),
		notice(52, "going down"),
		person(1),
	}
}

func notice(code int, text string) []byte {
	return message(0, element(tagExtended, enum(code), str(""), str(text), element(tagExtendedName, []byte(oidDisconnection))))
}

func TestFrameLength(t *testing.T) {
	const limit = 1000
	for _, c := range []struct {
		in   string
		want int
		fail string
	}{
		{"", 0, ""},
		{"\x30", 0, ""},
		{"\x30\x05", 7, ""},
		{"\x30\x81", 0, ""},
		{"\x30\x82\x01", 0, ""},
		{"\x30\x82\x01\x00", 260, ""},
		{"\x30\x84\x00\x00\x01\x00", 262, ""},
		{"\x30\x82\x03\xe4", 1000, ""},
		{"\x30\x82\x03\xe5", 0, "limit of 1000"},
		{"\x30\x84\x7f\xff\xff\xff", 0, "2147483653 octets"},
		{"\x30\x84\xff\xff\xff\xff", 0, "4294967301 octets"},
		{"\x30\x80", 0, "indefinite"},
		{"\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff", 0, "more than four"},
		{"\x15\x03\x01", 0, "TLS"},
		{"HTTP/1.1 400", 0, "LDAP server"},
	} {
		n, err := frameLength([]byte(c.in), limit)
		if n != c.want || (err == nil) != (c.fail == "") || err != nil && !strings.Contains(err.Error(), c.fail) {
			t.Errorf("%x: %d, %v; want %d, %q", c.in, n, err, c.want, c.fail)
		}
	}
}

func TestNesting(t *testing.T) {
	nested := func(n int) []byte {
		b := str("x")
		for range n {
			b = element(tagSequence, b, str("y"))
		}
		return b
	}
	for n, ok := range map[int]bool{0: true, 1: true, maxDepth: true, maxDepth + 1: false, 1000: false} {
		b := nested(n)
		if err := checkNesting(b, 0, len(b), "x"); (err == nil) != ok {
			t.Errorf("%d deep: %v", n, err)
		}
	}
	if err := checkNesting([]byte{0x30, 3, 4, 5, 1}, 0, 5, "x"); err == nil {
		t.Error("a child longer than its parent is accepted")
	}
}

func TestIntegers(t *testing.T) {
	for v, want := range map[int]string{
		0: "\x02\x01\x00", 127: "\x02\x01\x7f", 128: "\x02\x02\x00\x80", 256: "\x02\x02\x01\x00",
		1<<31 - 1: "\x02\x04\x7f\xff\xff\xff",
	} {
		b := integer(v)
		c := cursor{b, 0, len(b)}
		if got, err := c.integer(tagInteger, "x"); string(b) != want || got != v || err != nil {
			t.Errorf("%d is %x, read as %d, %v", v, b, got, err)
		}
	}
}
