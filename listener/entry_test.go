package listener_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
)

const aUUID = "30593fe3-f028-432e-9840-43c43e5fd2da"

// attr is shorthand for an attribute.
func attr(name string, values ...string) listener.Attribute {
	return listener.Attribute{Name: name, Values: values}
}

// entry makes an entry whose UUID and DN do not matter.
func entry(attrs ...listener.Attribute) *listener.Entry {
	return listener.NewEntry(listener.UUID{1}, "uid=a,dc=x", attrs...)
}

func TestUUID(t *testing.T) {
	u, err := listener.ParseUUID(aUUID)
	if err != nil || u.String() != aUUID {
		t.Errorf("got %s, %v", u, err)
	}
	if upper, err := listener.ParseUUID(strings.ToUpper(aUUID)); err != nil || upper != u {
		t.Errorf("upper case: got %s, %v", upper, err)
	}
	if got := (listener.UUID{}).String(); got != "00000000-0000-0000-0000-000000000000" {
		t.Errorf("zero value: got %s", got)
	}
}

func TestParseUUIDRefuses(t *testing.T) {
	for _, s := range []string{
		"", "x", aUUID[:35], aUUID + "0", " " + aUUID[1:],
		strings.ReplaceAll(aUUID, "-", ""), strings.ReplaceAll(aUUID, "-", ":"),
		"{" + aUUID + "}", strings.Replace(aUUID, "3", "g", 1),
		"3059-fe3f028-432e-9840-43c43e5fd2da-",
	} {
		if u, err := listener.ParseUUID(s); err == nil || u != (listener.UUID{}) {
			t.Errorf("%q: got %s, %v", s, u, err)
		}
	}
}

func TestAccessors(t *testing.T) {
	u, _ := listener.ParseUUID(aUUID)
	e := listener.NewEntry(u, "uid=a,dc=x",
		attr("objectClass", "top", "person"), attr("cn", "A"), attr("cn;lang-de", "Ä"),
		attr("jpegPhoto;binary", "\xff\x00\xd8"), attr("description", ""), attr("empty"))
	if e.UUID() != u || e.DN() != "uid=a,dc=x" || e.Len() != 6 {
		t.Errorf("got %s %s %d", e.UUID(), e.DN(), e.Len())
	}
	if got := e.String(); got != "uid=a,dc=x ("+aUUID+")" {
		t.Errorf("String() = %q", got)
	}
	if got := (*listener.Entry)(nil).String(); got != "<no entry>" {
		t.Errorf("String() of nil = %q", got)
	}
	for name, want := range map[string][]string{
		"objectClass": {"top", "person"}, "OBJECTCLASS": {"top", "person"}, "objectclass": {"top", "person"},
		"cn": {"A"}, "CN;Lang-DE": {"Ä"}, "cn;lang-fr": nil, "jpegphoto;BINARY": {"\xff\x00\xd8"},
		"jpegPhoto": nil, "description": {""}, "empty": nil, "missing": nil, "": nil,
		"obje\u212ctClass": nil,
	} {
		if got := e.Strings(name); !slices.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("Strings(%q) = %q", name, got)
		}
		if e.Has(name) != (len(want) > 0) || e.Attr(name).Len() != len(want) {
			t.Errorf("Has(%q) = %v, %d values", name, e.Has(name), e.Attr(name).Len())
		}
		first := ""
		if len(want) > 0 {
			first = want[0]
		}
		if got := e.Get(name); got != first {
			t.Errorf("Get(%q) = %q", name, got)
		}
		got := e.Bytes(name)
		if len(got) != len(want) || (got == nil) != (want == nil) {
			t.Fatalf("Bytes(%q) = %q", name, got)
		}
		for i := range got {
			if string(got[i]) != want[i] {
				t.Errorf("Bytes(%q) = %q", name, got)
			}
		}
	}
}

// U+212A, the Kelvin sign, folds to k: LDAP's names are ASCII.
func TestNamesFoldAsASCII(t *testing.T) {
	if entry(attr("krb5Key", "x")).Has("\u212arb5Key") {
		t.Error("found by a name that is not ASCII")
	}
}

func TestAllKeepsTheOrder(t *testing.T) {
	e := entry(attr("sn", "2", "1"), attr("CN", "x"), attr("empty"))
	var got []string
	for name, values := range e.All() {
		got = append(got, name)
		got = slices.AppendSeq(got, values.All())
	}
	if want := []string{"sn", "2", "1", "CN", "x", "empty"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	for range e.All() {
		break
	}
	for range e.Attr("sn").All() {
		break
	}
}

func TestValuesContains(t *testing.T) {
	v := entry(attr("cn", "A", "", "b")).Attr("cn")
	for value, want := range map[string]bool{"A": true, "": true, "b": true, "a": false, "B": false, "Ab": false} {
		if v.Contains(value) != want {
			t.Errorf("Contains(%q) = %v", value, !want)
		}
	}
	if (listener.Values{}).Contains("") || (listener.Values{}).Len() != 0 {
		t.Error("the zero value is not empty")
	}
}

func TestEntryIsImmutable(t *testing.T) {
	given := []string{"A", "B"}
	e := entry(attr("cn", given...), attr("sn", "C"))
	given[0] = "changed"

	for _, b := range e.Bytes("cn") {
		b[0] = 'x'
	}
	for _, b := range e.Attr("cn").Bytes() {
		b[0] = 'y'
		_ = append(b, "z..............."...)
	}
	e.Strings("cn")[0] = "changed"
	e.Attr("cn").Strings()[1] = "changed"
	_ = append(e.Strings("cn")[:1], "changed")

	if got := e.Strings("cn"); !slices.Equal(got, []string{"A", "B"}) {
		t.Errorf("cn is now %q", got)
	}
	if got := e.Get("sn"); got != "C" {
		t.Errorf("sn is now %q", got)
	}
}

func TestIterationDoesNotAllocate(t *testing.T) {
	e := entry(attr("objectClass", "top", "person"), attr("cn", "A"), attr("sn", "B"))
	n := 0
	if allocs := testing.AllocsPerRun(100, func() {
		for _, values := range e.All() {
			for v := range values.All() {
				n += len(v)
			}
		}
		n += len(e.Get("SN"))
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// Lengths on both sides of each form of a BER length.
func TestValuesOfEveryLength(t *testing.T) {
	var values []string
	for _, n := range []int{0, 1, 127, 128, 255, 256, 65535, 65536, 1<<24 - 1, 1 << 24} {
		values = append(values, strings.Repeat("x", n))
	}
	if got := entry(attr("a", values...)).Strings("a"); !slices.Equal(got, values) {
		for i := range got {
			t.Errorf("value %d has %d bytes", i, len(got[i]))
		}
	}
}
