package filter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/schema"
	"pgregory.net/rapid"
)

// written returns a part as text, indented.
func written(p filter.Part, indent string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s %s", indent, p.Result, p.Text)
	if p.Why != "" {
		fmt.Fprintf(&b, ": %s", p.Why)
	}
	if p.Rule != "" {
		fmt.Fprintf(&b, " by %s", p.Rule)
	}
	for _, v := range p.Values {
		fmt.Fprintf(&b, " [%s=%s %s]", v.Attribute, v.Value, v.Result)
	}
	b.WriteString("\n")
	for _, sub := range p.Parts {
		b.WriteString(written(sub, indent+"  "))
	}
	return b.String()
}

func TestExplain(t *testing.T) {
	e := entry("dn: cn=Jane+uid=jr,ou=People,dc=x", "objectClass: inetOrgPerson", "cn: Jane", "uidNumber: 7", "uidNumber: x", "mail: jane@x")
	for text, want := range map[string]string{
		"(&(cn=jane)(!(uidNumber>=8)))": `undefined &
  true (cn=jane) by caseIgnoreMatch [cn=Jane true]
  undefined !
    undefined (uidNumber>=8) by integerOrderingMatch [uidNumber=7 false] [uidNumber=x undefined]
`,
		"(|(mail=*)(sn=*))":              "true |\n  true (mail=*) [mail=jane@x true]\n  false (sn=*): the entry has no such attribute\n",
		"(entryDN=cn=jane,dc=x)":         "false (entryDN=cn=jane,dc=x) by distinguishedNameMatch [entryDN=cn=Jane+uid=jr,ou=People,dc=x false]\n",
		"(ou:dn:=people)":                "true (ou:dn:=people) by caseIgnoreMatch [ou=People true]\n",
		"(noSuchType=a)":                 "undefined (noSuchType=a): the directory has no attribute type nosuchtype\n",
		"(cn>=a)":                        "undefined (cn>=a): the type has no rule for ordering\n",
		"(uidNumber=a)":                  "undefined (uidNumber=a): the value does not fit integerMatch\n",
		"(cn;binary=a)":                  "undefined (cn;binary=a): the directory knows no such option of the type\n",
		"(cn:noSuchRule:=a)":             "undefined (cn:noSuchRule:=a): the directory has no matching rule noSuchRule\n",
		"(uidNumber:caseIgnoreMatch:=a)": "undefined (uidNumber:caseIgnoreMatch:=a): caseIgnoreMatch is not for attributes of this type\n",
		"(sn;x-new=a)":                   "undefined (sn;x-new=a): the entry has no such attribute, and its options are no standard ones by caseIgnoreMatch\n",
		"(&)":                            "true &\n",
	} {
		f := compile(t, testSchema(t), text)[0]
		if got := written(f.Explain(e), ""); got != want {
			t.Errorf("%s:\n%swant\n%s", text, got, want)
		}
	}
}

// TestExplanationsAgree with what Match says, in whole and by the laws of three values.
func TestExplanationsAgree(t *testing.T) {
	for _, s := range []*schema.Schema{nil, schema.Builtin(), testSchema(t)} {
		rapid.Check(t, func(t *rapid.T) {
			g := newGenerator(rapid.Uint64().Draw(t, "seed"))
			for range 20 {
				f, err := filter.Compile(g.filter(1+g.IntN(4)), s)
				if err != nil {
					continue
				}
				e := g.entry()
				p := f.Explain(e)
				if p.Result != f.Match(e) {
					t.Fatalf("%s: explained as %v, and is %v", f, p.Result, f.Match(e))
				}
				for _, part := range f.Impossible() {
					if !strings.Contains(f.String(), part.Text) || part.Why == "" || part.Result == filter.True {
						t.Fatalf("%s: %+v is impossible", f, part)
					}
				}
				agree(t, p)
			}
		})
	}
}

func agree(t *rapid.T, p filter.Part) {
	want := p.Result
	switch p.Text {
	case "&":
		want = filter.True
		for _, sub := range p.Parts {
			want = min(want, sub.Result)
		}
	case "|":
		want = filter.False
		for _, sub := range p.Parts {
			want = max(want, sub.Result)
		}
	case "!":
		want = filter.True - p.Parts[0].Result
	default:
		if p.Result == filter.True && len(p.Values) == 0 {
			t.Fatalf("%s is true of no value", p.Text)
		}
	}
	if want != p.Result {
		t.Fatalf("%s is %v, by its parts %v", p.Text, p.Result, want)
	}
	for _, sub := range p.Parts {
		agree(t, sub)
	}
}
