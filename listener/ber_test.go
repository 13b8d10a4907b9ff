package listener_test

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
)

// tlv writes one BER element with the shortest length.
func tlv(tag byte, content string) string {
	n := len(content)
	switch {
	case n < 0x80:
		return string([]byte{tag, byte(n)}) + content
	case n < 1<<8:
		return string([]byte{tag, 0x81, byte(n)}) + content
	default:
		return string([]byte{tag, 0x82, byte(n >> 8), byte(n)}) + content
	}
}

func octets(s string) string { return tlv(0x04, s) }

// partialAttribute writes a PartialAttribute of RFC 4511.
func partialAttribute(name string, values ...string) string {
	var set strings.Builder
	for _, v := range values {
		set.WriteString(octets(v))
	}
	return tlv(0x30, octets(name)+tlv(0x31, set.String()))
}

func TestEntryFromBER(t *testing.T) {
	long := strings.Repeat("x", 300)
	e, err := listener.EntryFromBER(listener.UUID{7}, "uid=a",
		partialAttribute("cn", "A", "", long)+partialAttribute("empty")+partialAttribute("SN;lang-de", "\xff"))
	if err != nil {
		t.Fatal(err)
	}
	if e.UUID() != (listener.UUID{7}) || e.DN() != "uid=a" || e.Len() != 3 {
		t.Errorf("got %s with %d attributes", e, e.Len())
	}
	if got := e.Strings("CN"); !slices.Equal(got, []string{"A", "", long}) {
		t.Errorf("cn = %q", got)
	}
	if e.Has("empty") || e.Get("sn;LANG-DE") != "\xff" {
		t.Errorf("empty = %q, sn = %q", e.Strings("empty"), e.Get("sn;lang-de"))
	}
}

func TestEntryFromBERWithoutAttributes(t *testing.T) {
	e, err := listener.EntryFromBER(listener.UUID{}, "", "")
	if err != nil || e.Len() != 0 {
		t.Errorf("got %v, %v", e, err)
	}
}

func TestEntryFromBERTakesLongForms(t *testing.T) {
	// BER allows more octets for a length than are needed.
	e, err := listener.EntryFromBER(listener.UUID{}, "uid=a",
		"\x30\x84\x00\x00\x00\x0a"+"\x04\x81\x01c"+"\x31\x82\x00\x03"+"\x04\x01v")
	if err == nil {
		t.Fatalf("took a sequence that is shorter than its content: %v", e)
	}
	e, err = listener.EntryFromBER(listener.UUID{}, "uid=a",
		"\x30\x84\x00\x00\x00\x0b"+"\x04\x81\x01c"+"\x31\x82\x00\x03"+"\x04\x01v")
	if err != nil || e.Get("c") != "v" {
		t.Errorf("got %v, %v", e, err)
	}
}

func TestEntryFromBERRefuses(t *testing.T) {
	good := partialAttribute("cn", "A")
	for what, bad := range map[string]string{
		"one octet":                     "\x30",
		"cut off":                       good[:len(good)-1],
		"rest":                          good + "\x00",
		"wrong tag":                     tlv(0x31, octets("cn")+tlv(0x31, octets("A"))),
		"indefinite length":             "\x30\x80" + octets("cn") + tlv(0x31, octets("A")) + "\x00\x00",
		"length of five octets":         "\x30\x85\x00\x00\x00\x00\x0a" + good[2:],
		"length beyond the end":         "\x30\x84\xff\xff\xff\xff" + good[2:],
		"length cut off":                "\x30\x84\x00\x00",
		"empty sequence":                tlv(0x30, ""),
		"no values":                     tlv(0x30, octets("cn")),
		"no description":                tlv(0x30, tlv(0x31, octets("A"))),
		"empty description":             partialAttribute("", "A"),
		"description is a number":       tlv(0x30, tlv(0x02, "\x01")+tlv(0x31, octets("A"))),
		"values are a sequence":         tlv(0x30, octets("cn")+tlv(0x30, octets("A"))),
		"more than values":              tlv(0x30, octets("cn")+tlv(0x31, octets("A"))+octets("B")),
		"a value is a number":           tlv(0x30, octets("cn")+tlv(0x31, octets("A")+tlv(0x02, "\x01"))),
		"a value is cut off":            tlv(0x30, octets("cn")+tlv(0x31, "\x04\x02A")),
		"a value is constructed":        tlv(0x30, octets("cn")+tlv(0x31, tlv(0x24, octets("A")))),
		"a value of indefinite length":  tlv(0x30, octets("cn")+tlv(0x31, "\x04\x80A\x00\x00")),
		"second attribute is malformed": good + "\x30\x01\x04",
	} {
		e, err := listener.EntryFromBER(listener.UUID{}, "uid=bad", bad)
		if !errors.Is(err, listener.ErrMalformedEntry) || e != nil {
			t.Errorf("%s: got %v, %v", what, e, err)
		} else if !strings.Contains(err.Error(), "uid=bad") {
			t.Errorf("%s: the error does not name the entry: %v", what, err)
		}
	}
}

// FuzzEntryFromBER checks that what is accepted can be read in every way, says the
// same in each, and is equal to the entry rebuilt from what it says.
func FuzzEntryFromBER(f *testing.F) {
	f.Add(partialAttribute("cn", "A", "B") + partialAttribute("sn"))
	f.Add(partialAttribute("objectClass", strings.Repeat("x", 200)))
	f.Add(partialAttribute("a", "1") + partialAttribute("A", "2"))
	for _, s := range []string{"30", "3080", "3084ffffffff", "30840000000b048101633182000304017600", "300a04026364310404020000"} {
		raw, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(raw))
	}
	f.Fuzz(func(t *testing.T, attributes string) {
		e, err := listener.EntryFromBER(listener.UUID{1}, "uid=a", attributes)
		if err != nil {
			if e != nil || !errors.Is(err, listener.ErrMalformedEntry) {
				t.Fatalf("got %v, %v", e, err)
			}
			return
		}
		var attrs []listener.Attribute
		names := map[string]bool{}
		unique := true
		for name, values := range e.All() {
			all := values.Strings()
			if len(all) != values.Len() || !slices.Equal(slices.Collect(values.All()), all) {
				t.Fatalf("%s has %d values, which are %q", name, values.Len(), all)
			}
			for i, b := range values.Bytes() {
				if string(b) != all[i] {
					t.Fatalf("%s: value %d is %q and %q", name, i, b, all[i])
				}
			}
			if len(all) > 0 && !values.Contains(all[len(all)-1]) {
				t.Fatalf("%s does not contain its last value", name)
			}
			folded := strings.ToLower(name)
			unique = unique && !names[folded]
			names[folded] = true
			attrs = append(attrs, attr(name, all...))
		}
		if len(attrs) != e.Len() {
			t.Fatalf("%d attributes of %d", len(attrs), e.Len())
		}
		rebuilt := listener.NewEntry(e.UUID(), e.DN(), attrs...)
		i := 0
		for name, values := range rebuilt.All() {
			if name != attrs[i].Name || !slices.Equal(values.Strings(), attrs[i].Values) {
				t.Fatalf("rebuilt %s as %s %q", attrs[i].Name, name, values.Strings())
			}
			if unique && !slices.Equal(e.Strings(name), values.Strings()) {
				t.Fatalf("%s is %q by name, %q in order", name, e.Strings(name), values.Strings())
			}
			i++
		}
		if listener.Changed(e, rebuilt) || len(listener.Diff(rebuilt, e)) > 0 {
			t.Fatalf("rebuilt differs: %v", listener.Diff(rebuilt, e))
		}
	})
}

func BenchmarkEntryFromBER(b *testing.B) {
	attributes := partialAttribute("objectClass", "top", "person", "organizationalPerson", "inetOrgPerson")
	for range 20 {
		attributes += partialAttribute("description", strings.Repeat("x", 40))
	}
	b.SetBytes(int64(len(attributes)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := listener.EntryFromBER(listener.UUID{}, "uid=a", attributes); err != nil {
			b.Fatal(err)
		}
	}
}

// BER is what EntryFromBER takes, whatever the lengths.
func TestBERAndBack(t *testing.T) {
	for _, n := range []int{0, 1, 0x7b, 0x7c, 0x7d, 0x7e, 0x7f, 0x80, 0xfb, 0xff, 0x100, 0xfffb, 0xffff, 0x10000, 0xffffff, 0x1000000} {
		e := listener.NewEntry(listener.UUID{1}, "uid=a", listener.Attribute{Name: "cn", Values: []string{strings.Repeat("v", n), "w"}}, listener.Attribute{Name: "empty"})
		appended := e.AppendBER([]byte("before"))
		if string(appended) != "before"+e.BER() {
			t.Errorf("%d: AppendBER is not BER", n)
		}
		back, err := listener.EntryFromBER(e.UUID(), e.DN(), e.BER())
		if err != nil || back.Len() != 2 || back.Attr("cn").Len() != 2 || back.Get("cn") != e.Get("cn") {
			t.Errorf("%d: %v", n, err)
		}
	}
}
