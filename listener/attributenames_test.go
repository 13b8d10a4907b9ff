package listener_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/listenerd/listenerd/listener"
)

var names = listener.NewAttributeNames([]listener.AttributeType{
	{Names: []string{"cn", "commonName", "2.5.4.3"}}, {Names: []string{"mail", "rfc822Mailbox"}},
	{Names: []string{"pwdFailureTime", "1.3.6"}, Operational: true}, {Names: []string{"entryUSN"}},
	{Names: []string{"commonName", "other"}}, // the first counts
})

func TestAttributesByAnyName(t *testing.T) {
	plain := listener.NewEntry(listener.UUID{}, "cn=a", listener.Attribute{Name: "CN", Values: []string{"a"}},
		listener.Attribute{Name: "mail;lang-de;x-b", Values: []string{"m"}})
	e := plain.WithNames(names)
	for name, want := range map[string]string{
		"cn": "a", "commonName": "a", "COMMONNAME": "a", "2.5.4.3": "a", "other": "", "commonName;lang-de": "", "sn": "",
		"rfc822mailbox;X-B;lang-DE": "m", "mail;x-b;lang-de": "m", "mail": "", "mail;lang-de": "",
	} {
		if got := e.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if plain.Has("commonName") || !plain.Has("mail;x-b;lang-de") {
		t.Error("an entry that knows no names knows an alias, or counts the order of options")
	}
}

func TestDiffByAnyName(t *testing.T) {
	old := listener.NewEntry(listener.UUID{}, "cn=a", listener.Attribute{Name: "cn", Values: []string{"a", "b"}},
		listener.Attribute{Name: "pwdFailureTime", Values: []string{"1"}}, listener.Attribute{Name: "entryUSN", Values: []string{"1"}}).WithNames(names)
	new := listener.NewEntry(listener.UUID{}, "cn=a", listener.Attribute{Name: "commonName", Values: []string{"b", "c"}},
		listener.Attribute{Name: "pwdFailureTime", Values: []string{"2"}}, listener.Attribute{Name: "entryUSN", Values: []string{"2"}}).WithNames(names)
	for _, c := range []struct {
		attrs, want []string
	}{
		{nil, []string{"commonName", "entryUSN"}}, // the schema decides what is operational
		{[]string{"2.5.4.3", "CN", "commonname"}, []string{"commonName"}},
		{[]string{"1.3.6"}, []string{"pwdFailureTime"}},
		{[]string{"rfc822Mailbox"}, []string{}},
	} {
		changes := listener.Diff(old, new, c.attrs...)
		if got := changes.Names(); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v changed, want %v", c.attrs, got, c.want)
		}
		if listener.Changed(old, new, c.attrs...) != (len(c.want) > 0) {
			t.Errorf("%v: Changed disagrees", c.attrs)
		}
	}
	change, ok := listener.Diff(old, new, "cn").Get("2.5.4.3")
	if !ok || !slices.Equal(change.Added, []string{"c"}) || !slices.Equal(change.Removed, []string{"a"}) {
		t.Errorf("cn: %+v", change)
	}
	if got := listener.Diff(nil, new).Names(); !slices.Equal(got, []string{"commonName", "entryUSN"}) {
		t.Errorf("a new entry: %v", got)
	}
	if got := listener.Diff(old, nil, "commonName").Names(); !slices.Equal(got, []string{"cn"}) {
		t.Errorf("a removed entry: %v", got)
	}
}

func TestOperationalByNames(t *testing.T) {
	for name, want := range map[string]bool{"PWDFAILURETIME": true, "1.3.6;x-a": true, "entryUSN": false, "entryCSN": true, "cn": false, "unheardOf": false} {
		if names.Operational(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
	var none *listener.AttributeNames
	if !none.Operational("entryUSN") || none.Operational("cn") {
		t.Error("without a schema the built-in list counts")
	}
}

// TestDiffOfManyValues would not come to an end with quadratic time.
func TestDiffOfManyValues(t *testing.T) {
	values := make([]string, 100_000)
	for i := range values {
		values[i] = fmt.Sprintf("uid=user%d,ou=people,dc=example,dc=com", i)
	}
	old := listener.NewEntry(listener.UUID{}, "cn=a", listener.Attribute{Name: "member", Values: values[:99_999]}).WithNames(names)
	slices.Reverse(values)
	new := listener.NewEntry(listener.UUID{}, "cn=a", listener.Attribute{Name: "member", Values: values[:99_999]}).WithNames(names)
	c, _ := listener.Diff(old, new).Get("member")
	if len(c.Added) != 1 || len(c.Removed) != 1 {
		t.Errorf("added %d, removed %d", len(c.Added), len(c.Removed))
	}
}
