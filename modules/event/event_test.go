package event_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/listenertest"
	"github.com/listenerd/listenerd/modules/event"
)

var at = time.Date(2026, 1, 2, 4, 4, 5, 678_900_000, time.FixedZone("CET", 3600))

func encode(e event.Encoder, call listener.Call) string {
	return string(e.Append(nil, at, &call))
}

func Example() {
	old, _ := listenertest.ParseEntry("dn: uid=ada,ou=people\nuid: ada\nsn: Byron\nuserPassword: secret")
	call := listener.Call{
		Module: "journal", Kind: listener.KindModify, Seq: 7, Attempt: 1, Cause: listener.CauseLive,
		Old: old, New: listenertest.Set(old, "sn", "King", "Lovelace"),
	}
	line := event.Encoder{}.Append(nil, time.Unix(0, 0), &call)
	fmt.Println(strings.ReplaceAll(string(line), `,"dn"`, "\n "+`,"dn"`))

	var d event.Document
	if err := json.Unmarshal(line, &d); err != nil {
		fmt.Println(err)
	}
	fmt.Println(d.Call, d.DN, d.Changed, d.New["sn"])
	// Output:
	// {"time":"1970-01-01T00:00:00.000Z","module":"journal","call":"modify","seq":7,"attempt":1,"cause":"live","uuid":"1f9dc24a-6f24-8322-b570-a29eff9e7e4a"
	//  ,"dn":"uid=ada,ou=people","changed":["sn"],"old":{"sn":["Byron"],"uid":["ada"]},"new":{"sn":["King","Lovelace"],"uid":["ada"]}}
	// modify uid=ada,ou=people [sn] [King Lovelace]
}

func TestFieldsThatDoNotApplyAreAbsent(t *testing.T) {
	got := encode(event.Encoder{}, listener.Call{Module: "m", Kind: listener.KindPostRun, Attempt: 2})
	want := `{"time":"2026-01-02T03:04:05.678Z","module":"m","call":"post_run","attempt":2}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestValues(t *testing.T) {
	for value, want := range map[string]string{
		"":                         `""`,
		"plain":                    `"plain"`,
		`<a href="x">&\`:           `"<a href=\"x\">&\\"`,
		"\x00\x1f\b\f\n\r\t\x7f":   `"\u0000\u001f\b\f\n\r\t` + "\x7f" + `"`,
		"Zoë 漢 🦉":                  `"Zoë 漢 🦉"`,
		"line\u2028end\u2029":      `"line\u2028end\u2029"`,
		"\ufffd":                   "\"\ufffd\"",
		"ends in half a rune \xc3": `{"base64":"ZW5kcyBpbiBoYWxmIGEgcnVuZSDD"}`,
		"\xff":                     `{"base64":"/w=="}`,
	} {
		e := listener.NewEntry(listener.UUID{}, value, listener.Attribute{Name: "a", Values: []string{value, "b"}})
		got := encode(event.Encoder{}, listener.Call{Kind: listener.KindCreate, New: e})
		if !strings.HasSuffix(got, `"dn":`+want+`,"new":{"a":[`+want+`,"b"]}}`) {
			t.Errorf("%q: got %s", value, got)
		}
	}
}

func TestAttributeNameIsAlwaysAString(t *testing.T) {
	e := listener.NewEntry(listener.UUID{}, "", listener.Attribute{Name: "a\xff\n", Values: nil})
	got := encode(event.Encoder{}, listener.Call{New: e})
	if !strings.HasSuffix(got, `"new":{"a\ufffd\n":[]}}`) {
		t.Errorf("got %s", got)
	}
}

func TestAttributesAreSorted(t *testing.T) {
	var attrs []listener.Attribute
	for i := range 100 { // more than the encoder sorts on the stack
		attrs = append(attrs, listener.Attribute{Name: fmt.Sprintf("a%02d", (i*37)%100), Values: []string{"v"}})
	}
	old := listener.NewEntry(listener.UUID{1}, "dn")
	new := listener.NewEntry(listener.UUID{1}, "dn", attrs...)
	d := decode(t, encode(event.Encoder{}, listener.Call{Old: old, New: new}))
	if len(d.Changed) != 100 || len(d.New) != 100 {
		t.Fatalf("%d changed, %d new", len(d.Changed), len(d.New))
	}
	for i, name := range d.Changed {
		if name != fmt.Sprintf("a%02d", i) {
			t.Fatalf("changed: %q", d.Changed)
		}
	}
}

func TestMove(t *testing.T) {
	old := listener.NewEntry(listener.UUID{1}, "uid=a,ou=p", listener.Attribute{Name: "entryCSN", Values: []string{"1"}})
	new := listener.NewEntry(listener.UUID{1}, "uid=a,ou=q", listener.Attribute{Name: "entryCSN", Values: []string{"2"}})
	got := encode(event.Encoder{}, listener.Call{Kind: listener.KindModify, Old: old, New: new})
	want := `"dn":"uid=a,ou=q","old_dn":"uid=a,ou=p","changed":[],"old":{"entryCSN":["1"]},"new":{"entryCSN":["2"]}}`
	if !strings.HasSuffix(got, want) {
		t.Errorf("got %s", got)
	}
}

func TestSecret(t *testing.T) {
	for name, want := range map[string]bool{
		"userPassword": true, "USERPASSWORD": true, "userPassword;x-old;lang-de": true,
		"sambaNTPassword": true, "sambaLMPassword": true, "sambaPasswordHistory": true,
		"krb5Key": true, "krbPrincipalKey": true, "pwdHistory": true, "pwhistory": true,
		"unicodePwd": true, "ipaNTHash": true, "authPassword": true, "userPKCS12": true,
		"msLAPS-EncryptedPasswordHistory": true,
		"":                                false, "uid": false, ";userPassword": false, "userPasswordX": false,
		"pwdChangedTime": false, strings.Repeat("userPassword", 100): false,
	} {
		if event.Secret(name) != want {
			t.Errorf("Secret(%q) = %v", name, !want)
		}
	}
}

func TestSecretsOnDemand(t *testing.T) {
	e := listener.NewEntry(listener.UUID{1}, "uid=a", listener.Attribute{Name: "userPassword", Values: []string{"x"}})
	call := listener.Call{Kind: listener.KindRemove, Old: e}
	if got := encode(event.Encoder{}, call); !strings.HasSuffix(got, `"old":{}}`) {
		t.Errorf("got %s", got)
	}
	if got := encode(event.Encoder{Secrets: true}, call); !strings.HasSuffix(got, `"old":{"userPassword":["x"]}}`) {
		t.Errorf("got %s", got)
	}
}

// The guide shows documents; they must be ones.
func TestGuide(t *testing.T) {
	guide, err := os.ReadFile("../../docs/modules.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(guide), "```json\n")
	if !found {
		t.Fatal("no document in docs/modules.md")
	}
	text, _, _ := strings.Cut(rest, "\n```")
	if again := marshal(t, decode(t, text)); again != text {
		t.Errorf("the guide shows\n%s\nwhich would be\n%s", text, again)
	}
}

func TestValueRefusesOtherJSON(t *testing.T) {
	for _, data := range []string{`1`, `{}`, `{"base64":null}`, `{"base64":"?"}`, `["a"]`, `null`} {
		var v event.Value
		if err := json.Unmarshal([]byte(data), &v); err == nil {
			t.Errorf("%s became %q", data, v)
		}
	}
}

func decode(t *testing.T, text string) event.Document {
	t.Helper()
	var d event.Document
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return d
}

// FuzzEncoder checks that a document is one line of JSON, gives back every value,
// and is what encoding/json makes of the decoded document.
func FuzzEncoder(f *testing.F) {
	f.Add("uid=a,ou=p", "uid=a,ou=q", "sn", "cn;lang-de", "A", "Zoë\u2028", "\xff\"<>&\n", uint64(7))
	f.Add("", "", "", "a\xff", "", "\x00", "\xed\xa0\x80", uint64(0))
	f.Fuzz(func(t *testing.T, oldDN, newDN, name1, name2, v1, v2, v3 string, seq uint64) {
		name1, name2 = strings.ToValidUTF8(name1, "?"), strings.ToValidUTF8(name2, "?")
		if strings.EqualFold(name1, name2) {
			return
		}
		old := listener.NewEntry(listener.UUID{1}, oldDN,
			listener.Attribute{Name: name1, Values: []string{v1, v2}},
			listener.Attribute{Name: name2, Values: []string{v3}})
		new := listener.NewEntry(listener.UUID{1}, newDN,
			listener.Attribute{Name: name1, Values: []string{v3}})
		call := listener.Call{
			Module: strings.ToValidUTF8(v1, "?"), Kind: listener.KindModify, Seq: seq,
			Cause: listener.CauseResync, Old: old, New: new,
		}
		text := encode(event.Encoder{Secrets: true}, call)
		if strings.ContainsAny(text, "\n\r") {
			t.Fatalf("more than a line: %s", text)
		}
		d := decode(t, text)
		if d.Module != call.Module || d.Seq != seq || string(d.DN) != newDN {
			t.Errorf("got %+v", d)
		}
		if oldDN != newDN && string(d.OldDN) != oldDN {
			t.Errorf("old_dn %q", d.OldDN)
		}
		want := map[string][]event.Value{
			name1: {event.Value(v1), event.Value(v2)}, name2: {event.Value(v3)},
		}
		if !reflect.DeepEqual(d.Old, want) {
			t.Errorf("old %q: want %q", d.Old, want)
		}
		if want = map[string][]event.Value{name1: {event.Value(v3)}}; !reflect.DeepEqual(d.New, want) {
			t.Errorf("new %q: want %q", d.New, want)
		}
		if oldDN == "" || newDN == "" {
			return // absent to encoding/json
		}
		if again := marshal(t, d); again != text {
			t.Errorf("got  %s\nwant %s", text, again)
		}
	})
}

func marshal(t *testing.T, d event.Document) string {
	t.Helper()
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(d); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(buf.String(), "\n")
}

func BenchmarkAppend(b *testing.B) {
	attrs := []listener.Attribute{
		{Name: "objectClass", Values: []string{"top", "person", "organizationalPerson", "inetOrgPerson"}},
		{Name: "userPassword", Values: []string{"{SSHA}8Wq2fXDtQ0sYd3JkLw9kqk1mZ0gR5n1b"}},
	}
	for i := range 16 {
		attrs = append(attrs, listener.Attribute{Name: fmt.Sprintf("attribute%d", i), Values: []string{strings.Repeat("v", 50)}})
	}
	old := listener.NewEntry(listener.UUID{1}, "uid=ada,ou=people,dc=example,dc=com", attrs...)
	new := listenertest.Set(old, "attribute7", "new")
	for _, call := range []listener.Call{
		{Module: "m", Kind: listener.KindCreate, Seq: 1, Attempt: 1, Cause: listener.CauseLive, New: new},
		{Module: "m", Kind: listener.KindModify, Seq: 1, Attempt: 1, Cause: listener.CauseLive, Old: old, New: new},
	} {
		b.Run(string(call.Kind), func(b *testing.B) {
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				buf = event.Encoder{}.Append(buf[:0], at, &call)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}
