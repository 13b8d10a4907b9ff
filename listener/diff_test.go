package listener_test

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/listenerd/listenerd/listener"
)

func TestDiff(t *testing.T) {
	type attrs = []listener.Attribute
	change := func(name string, removed, added []string) listener.AttributeChange {
		return listener.AttributeChange{Name: name, Removed: removed, Added: added}
	}
	for name, c := range map[string]struct {
		old, new attrs
		only     []string
		want     listener.Changes
	}{
		"nothing": {},
		"equal":   {old: attrs{attr("sn", "A")}, new: attrs{attr("sn", "A")}},
		"replaced": {
			old: attrs{attr("sn", "A")}, new: attrs{attr("sn", "B")},
			want: listener.Changes{change("sn", []string{"A"}, []string{"B"})},
		},
		"values added and removed": {
			old: attrs{attr("member", "1", "2", "3")}, new: attrs{attr("member", "4", "2", "0")},
			want: listener.Changes{change("member", []string{"1", "3"}, []string{"4", "0"})},
		},
		"values reordered": {
			old: attrs{attr("member", "1", "2", "3")}, new: attrs{attr("member", "3", "1", "2")},
		},
		"case of a value": {
			old: attrs{attr("mail", "A@x")}, new: attrs{attr("mail", "a@x")},
			want: listener.Changes{change("mail", []string{"A@x"}, []string{"a@x"})},
		},
		"spaces of a value": {
			old: attrs{attr("cn", "A B")}, new: attrs{attr("cn", "A  B")},
			want: listener.Changes{change("cn", []string{"A B"}, []string{"A  B"})},
		},
		"case of a name": {
			old: attrs{attr("SN", "A"), attr("CN", "B")}, new: attrs{attr("sn", "A"), attr("cn", "C")},
			want: listener.Changes{change("cn", []string{"B"}, []string{"C"})},
		},
		"attributes reordered": {
			old: attrs{attr("sn", "A"), attr("cn", "B"), attr("uid", "C")},
			new: attrs{attr("uid", "C"), attr("sn", "A"), attr("cn", "B")},
		},
		"attributes added and removed": {
			old: attrs{attr("uid", "a"), attr("l", "1"), attr("sn", "A"), attr("c", "2")},
			new: attrs{attr("st", "3"), attr("sn", "A"), attr("uid", "a"), attr("o", "4")},
			want: listener.Changes{
				change("st", nil, []string{"3"}), change("o", nil, []string{"4"}),
				change("l", []string{"1"}, nil), change("c", []string{"2"}, nil),
			},
		},
		"options": {
			old: attrs{attr("cn", "A"), attr("cn;lang-de", "B")}, new: attrs{attr("cn", "A"), attr("cn;lang-de", "C")},
			want: listener.Changes{change("cn;lang-de", []string{"B"}, []string{"C"})},
		},
		"empty value": {
			old: attrs{attr("cn", "")}, new: attrs{attr("sn", "")},
			want: listener.Changes{change("sn", nil, []string{""}), change("cn", []string{""}, nil)},
		},
		"operational": {
			old: attrs{attr("sn", "A"), attr("modifyTimestamp", "1"), attr("ENTRYCSN", "1"), attr("nsRole", "x")},
			new: attrs{attr("sn", "A"), attr("modifyTimestamp", "2"), attr("ENTRYCSN", "2"), attr("pwdChangedTime", "y")},
		},
		"operational named": {
			old:  attrs{attr("sn", "A"), attr("modifyTimestamp", "1"), attr("entryCSN", "1")},
			new:  attrs{attr("sn", "B"), attr("modifyTimestamp", "2"), attr("entryCSN", "2")},
			only: []string{"modifyTimestamp"},
			want: listener.Changes{change("modifyTimestamp", []string{"1"}, []string{"2"})},
		},
		"named": {
			old:  attrs{attr("sn", "A"), attr("cn", "A"), attr("mail", "A")},
			new:  attrs{attr("sn", "B"), attr("cn", "B"), attr("mail", "A")},
			only: []string{"cn", "mail", "missing"},
			want: listener.Changes{change("cn", []string{"A"}, []string{"B"})},
		},
		"an attribute without values is none": {
			old: attrs{attr("sn")}, new: attrs{attr("cn")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			old, new := entry(c.old...), entry(c.new...)
			if got := listener.Diff(old, new, c.only...); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v\nwant %+v", got, c.want)
			}
			if got := listener.Changed(old, new, c.only...); got != (len(c.want) > 0) {
				t.Errorf("Changed = %v", got)
			}
		})
	}
}

func TestDiffWithoutAnEntry(t *testing.T) {
	e := entry(attr("sn", "A", "B"), attr("entryCSN", "1"))
	if got := listener.Diff(nil, e); len(got) != 1 || !slices.Equal(got[0].Added, []string{"A", "B"}) || got[0].Removed != nil {
		t.Errorf("create: %+v", got)
	}
	if got := listener.Diff(e, nil); len(got) != 1 || !slices.Equal(got[0].Removed, []string{"A", "B"}) || got[0].Added != nil {
		t.Errorf("remove: %+v", got)
	}
	if !listener.Changed(nil, e) || !listener.Changed(e, nil, "entryCSN") || listener.Changed(nil, e, "cn") {
		t.Error("Changed differs")
	}
	if listener.Diff(nil, nil) != nil || listener.Changed(nil, nil) || listener.Changed(nil, nil, "sn") {
		t.Error("nothing differs from nothing")
	}
}

func TestDiffIgnoresTheDNAndTheUUID(t *testing.T) {
	a := listener.NewEntry(listener.UUID{1}, "uid=a", attr("sn", "A"))
	b := listener.NewEntry(listener.UUID{2}, "uid=b", attr("sn", "A"))
	if listener.Changed(a, b) {
		t.Error("changed")
	}
}

func TestChanges(t *testing.T) {
	changes := listener.Diff(entry(attr("sn", "A"), attr("l", "x")), entry(attr("cn;lang-de", "B"), attr("sn", "C")))
	if got := changes.Names(); !slices.Equal(got, []string{"cn;lang-de", "sn", "l"}) {
		t.Errorf("Names() = %q", got)
	}
	if c, ok := changes.Get("CN;LANG-DE"); !ok || c.Name != "cn;lang-de" || !slices.Equal(c.Added, []string{"B"}) {
		t.Errorf("Get = %+v, %v", c, ok)
	}
	if c, ok := changes.Get("cn"); ok || c.Name != "" {
		t.Errorf("Get = %+v, %v", c, ok)
	}
	if got := listener.Changes(nil).Names(); len(got) != 0 {
		t.Errorf("Names() of nil = %q", got)
	}
}

func TestOperational(t *testing.T) {
	for name, want := range map[string]bool{
		"modifyTimestamp": true, "MODIFYTIMESTAMP": true, "entryUUID": true, "entryCSN": true,
		"structuralObjectClass": true, "nsUniqueId": true, "pwdHistory;x-a": true, "hasSubordinates": true,
		"objectClass": false, "sn": false, "": false, ";modifyTimestamp": false, "modifyTimestamp2": false,
		"userPassword": false, strings.Repeat("modifyTimestamp", 10): false,
	} {
		if listener.Operational(name) != want {
			t.Errorf("Operational(%q) = %v", name, !want)
		}
	}
}

// members makes n values, the i-th being i*step mod n: with a step that shares no
// factor with n the same set in another order.
func members(n, step int) listener.Attribute {
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprintf("uid=%d,ou=people,dc=example,dc=com", i*step%n)
	}
	return attr("member", values...)
}

func TestDiffOfAHugeAttribute(t *testing.T) {
	const n = 100_000
	old, same, new := entry(members(n, 1)), entry(members(n, 99_991)), members(n, 7)
	if listener.Changed(old, same) {
		t.Error("a reordering is a change")
	}
	removed := new.Values[5]
	new.Values[5] = "uid=new"
	got := listener.Diff(old, entry(new))
	want := listener.Changes{{Name: "member", Added: []string{"uid=new"}, Removed: []string{removed}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

// The time per value must not grow with the number of values.
func BenchmarkDiffReordered(b *testing.B) {
	for _, n := range []int{8, 1_000, 100_000} {
		old, new := entry(members(n, 1)), entry(members(n, n-1))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if listener.Changed(old, new) {
					b.Fatal("changed")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/value")
		})
	}
}

func BenchmarkChanged(b *testing.B) {
	var attrs []listener.Attribute
	for i := range 25 {
		attrs = append(attrs, attr(fmt.Sprintf("attribute%d", i), strings.Repeat("x", 40)))
	}
	old := entry(attrs...)
	attrs = slices.Clone(attrs)
	attrs[20] = attr("attribute20", "y")
	new := entry(attrs...)
	b.ReportAllocs()
	for b.Loop() {
		if !listener.Changed(old, new) {
			b.Fatal("not changed")
		}
	}
}

// model is an entry as LDAP sees it: sets of values by folded name.
type model map[string]map[string]bool

func modelOf(e *listener.Entry) model {
	m := model{}
	for name, values := range e.All() {
		set := map[string]bool{}
		for v := range values.All() {
			set[v] = true
		}
		m[strings.ToLower(name)] = set
	}
	return m
}

func (m model) restrict(attrs []string) model {
	out := model{}
	for name, set := range m {
		named := slices.ContainsFunc(attrs, func(a string) bool { return strings.EqualFold(a, name) })
		if len(set) > 0 && (named || len(attrs) == 0 && !listener.Operational(name)) {
			out[name] = set
		}
	}
	return out
}

func drawEntry(t *rapid.T, label string) *listener.Entry {
	names := rapid.SliceOfDistinct(
		rapid.SampledFrom([]string{"sn", "SN", "cn", "cn;lang-de", "CN;LANG-DE", "mail", "l", "modifyTimestamp", "entryCSN"}),
		strings.ToLower).Draw(t, label)
	var attrs []listener.Attribute
	for _, name := range names {
		values := rapid.SliceOfNDistinct(rapid.StringMatching(`[abA]{0,3}`), 1, 14, rapid.ID[string]).Draw(t, name)
		attrs = append(attrs, attr(name, values...))
	}
	return entry(attrs...)
}

func TestDiffProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, new := drawEntry(t, "old"), drawEntry(t, "new")
		only := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"sn", "Cn;lang-de", "modifyTimestamp", "x"}),
			0, 4, rapid.ID[string]).Draw(t, "only")
		changes := listener.Diff(old, new, only...)

		if listener.Changed(old, new, only...) != (len(changes) > 0) {
			t.Errorf("Changed disagrees with %+v", changes)
		}
		was, want := modelOf(old).restrict(only), modelOf(new).restrict(only)
		for _, c := range changes {
			name := strings.ToLower(c.Name)
			if len(c.Added)+len(c.Removed) == 0 {
				t.Errorf("%s did not change", c.Name)
			}
			set := maps.Clone(was[name])
			if set == nil {
				set = map[string]bool{}
			}
			for _, v := range c.Removed {
				if !set[v] {
					t.Errorf("%s: %q removed, which was not there", c.Name, v)
				}
				delete(set, v)
			}
			for _, v := range c.Added {
				if set[v] {
					t.Errorf("%s: %q added, which was there", c.Name, v)
				}
				set[v] = true
			}
			if was[name] = set; len(set) == 0 {
				delete(was, name)
			}
		}
		if !reflect.DeepEqual(was, want) {
			t.Errorf("old and %+v give %v: want %v", changes, was, want)
		}
		seen := map[string]bool{}
		for _, c := range changes {
			if name := strings.ToLower(c.Name); seen[name] {
				t.Errorf("%s is there twice", c.Name)
			} else {
				seen[name] = true
			}
		}
	})
}

func TestDiffBackwards(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, new := drawEntry(t, "old"), drawEntry(t, "new")
		sorted := func(changes listener.Changes, backwards bool) listener.Changes {
			for i, c := range changes {
				if backwards {
					c.Added, c.Removed = c.Removed, c.Added
				}
				c.Name = strings.ToLower(c.Name)
				changes[i] = c
			}
			slices.SortFunc(changes, func(a, b listener.AttributeChange) int { return cmp.Compare(a.Name, b.Name) })
			return changes
		}
		there, back := sorted(listener.Diff(old, new), false), sorted(listener.Diff(new, old), true)
		if !reflect.DeepEqual(there, back) {
			t.Errorf("there %+v, back %+v", there, back)
		}
	})
}

func TestDiffNamesEachAttributeOnce(t *testing.T) {
	old := listener.NewEntry(listener.UUID{1}, "dc=x", listener.Attribute{Name: "x", Values: []string{"1"}}, listener.Attribute{Name: "sn", Values: []string{"A"}})
	new := listener.NewEntry(listener.UUID{1}, "dc=x", listener.Attribute{Name: "sn"})
	if got := listener.Diff(old, new).Names(); !slices.Equal(got, []string{"sn", "x"}) {
		t.Errorf("all: %q", got)
	}
	if got := listener.Diff(old, new, "SN", "sn", "X").Names(); !slices.Equal(got, []string{"sn", "x"}) {
		t.Errorf("by name: %q", got)
	}
}
