package filter_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/schema"
)

// variants are schemas each of which differs in one thing from the first.
func variants(t testing.TB) []*schema.Schema {
	t.Helper()
	out := []*schema.Schema{testSchema(t)}
	for _, change := range [][2]string{
		{"'userid' ) EQUALITY caseIgnoreMatch", "'userid' ) EQUALITY caseExactMatch"}, {"'commonName'", "'otherName'"}, {"'person' SUP top", "'person'"},
		{"'mail' EQUALITY caseIgnoreIA5Match", "'mail' EQUALITY caseExactIA5Match"}, {"'title' SUP name", "'title' EQUALITY caseIgnoreMatch"}, {"ORDERING integerOrderingMatch", ""},
	} {
		found := false
		replace := func(list []string) (out []string) {
			for _, line := range list {
				changed := strings.ReplaceAll(line, change[0], change[1])
				found = found || changed != line
				out = append(out, changed)
			}
			return out
		}
		d := testDefinitions()
		d.AttributeTypes, d.ObjectClasses = replace(d.AttributeTypes), replace(d.ObjectClasses)
		s, problems := schema.Parse(d)
		if len(problems) > 0 || !found {
			t.Fatalf("%q: %v, or nothing has it", change, problems)
		}
		out = append(out, s)
	}
	return out
}

func TestMeaning(t *testing.T) {
	base := schema.Definitions{
		Vendor: schema.OpenLDAP,
		MatchingRules: []string{
			"( 2.5.13.0 NAME 'objectIdentifierMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.38 )", "( 2.5.13.1 NAME 'distinguishedNameMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.12 )",
			"( 2.5.13.2 NAME 'caseIgnoreMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )", "( 2.5.13.5 NAME 'caseExactMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )",
			"( 2.5.13.14 NAME 'integerMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 )", "( 2.5.13.15 NAME 'integerOrderingMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 )",
			"( 2.5.13.4 NAME 'caseIgnoreSubstringsMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.58 )",
		},
		AttributeTypes: []string{
			"( 2.5.4.0 NAME 'objectClass' EQUALITY objectIdentifierMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.38 )",
			"( 1.1 NAME ( 'key' 'clef' ) EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )",
			"( 1.2 NAME 'sub' SUP key )",
			"( 1.3 NAME 'number' EQUALITY integerMatch ORDERING integerOrderingMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 )",
			"( 1.4 NAME 'owner' EQUALITY distinguishedNameMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.12 )",
		},
		ObjectClasses: []string{"( 2.1 NAME 'thing' ABSTRACT )", "( 2.2 NAME 'tool' SUP thing )", "( 2.3 NAME 'other' )"},
	}
	filters := []string{
		"(key=a)", "(key=A*)", "(key=*)", "(sub=a)", "(number=1)", "(number>=1)", "(owner=key=a)", "(objectClass=thing)", "(objectClass=other)", "(missing=1)",
		"(key:caseExactMatch:=a)", "(:caseIgnoreMatch:=a)", "(key:dn:=a)",
	}
	meanings := func(d schema.Definitions) []string {
		s, problems := schema.Parse(d)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		var out []string
		for _, f := range compile(t, s, filters...) {
			out = append(out, f.Meaning())
		}
		return out
	}
	want := meanings(base)
	for _, c := range []struct {
		what, from, to string
		changed        string // the filters that change
	}{
		{"nothing", "", "", ""},
		{"a description", "( 1.3 NAME 'number'", "( 1.3 NAME 'number' DESC 'of things'", ""},
		{"an unrelated type", "( 1.4 NAME 'owner'", "( 1.9 NAME 'own' )|( 1.4 NAME 'owner'", "(owner=key=a)"}, // it may be in a name
		{"a rule", "'clef' ) EQUALITY caseIgnoreMatch", "'clef' ) EQUALITY caseExactMatch", "(key=a) (key=A*) (sub=a) (owner=key=a) (key:dn:=a)"},
		{"an ordering rule", " ORDERING integerOrderingMatch", "", "(number>=1)"},
		{"an alias", "( 'key' 'clef' )", "( 'key' 'cle' )", "(key=a) (key=A*) (key=*) (owner=key=a) (key:dn:=a) (key:caseExactMatch:=a) (:caseIgnoreMatch:=a)"},
		{"a subtype", "SUP key", "EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15", "(key=a) (key=A*) (key=*) (key:dn:=a) (key:caseExactMatch:=a)"},
		{"a subclass", "( 2.3 NAME 'other' )", "( 2.3 NAME 'other' SUP thing )", "(objectClass=thing)"},
		{"a new type", "( 1.4 NAME 'owner'", "( 1.9 NAME 'missing' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 )|( 1.4 NAME 'owner'", "(missing=1) (owner=key=a)"},
	} {
		d := base
		replace := func(list []string) (out []string) {
			for _, v := range list {
				if c.from != "" {
					v = strings.Replace(v, c.from, c.to, 1)
				}
				out = append(out, strings.Split(v, "|")...)
			}
			return out
		}
		d.AttributeTypes, d.ObjectClasses = replace(d.AttributeTypes), replace(d.ObjectClasses)
		for i, got := range meanings(d) {
			changed := strings.Contains(" "+c.changed+" ", " "+filters[i]+" ")
			if (got != want[i]) != changed {
				t.Errorf("%s: the meaning of %s changes: %v, want %v", c.what, filters[i], got != want[i], changed)
			}
		}
	}
	a := compile(t, schema.Builtin(), "(cn=a)", "(cn=b)", "( & (cn=a) )", "(&(cn=a))")
	if a[0].Meaning() == a[1].Meaning() || a[2].Meaning() != a[3].Meaning() {
		t.Error("texts")
	}
}

// TestSameMeaningMatchesTheSame compares random filters by schemas that differ a little:
// where the meaning is the same, so is what they match.
func TestSameMeaningMatchesTheSame(t *testing.T) {
	all := variants(t)
	rapid.Check(t, func(t *rapid.T) {
		g := newGenerator(rapid.Uint64().Draw(t, "seed"))
		for range 20 {
			text := g.filter(1 + g.IntN(4))
			base, err := filter.Compile(text, all[0])
			if err != nil {
				continue
			}
			for _, s := range all[1:] {
				other, err := filter.Compile(text, s)
				if err != nil || other.Meaning() != base.Meaning() {
					continue
				}
				for range 5 {
					if e := g.entry(); base.Match(e) != other.Match(e) {
						t.Fatalf("%s means the same by two schemas, and is %v and %v for %s", text, base.Match(e), other.Match(e), e)
					}
				}
			}
		}
	})
}
