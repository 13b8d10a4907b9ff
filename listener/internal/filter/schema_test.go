package filter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/schema"
)

// checkWith is check for filters that are compiled against a schema.
func checkWith(t *testing.T, s *schema.Schema, e *listener.Entry, tests []matchTest) {
	t.Helper()
	for _, c := range tests {
		f, err := filter.Compile(c.filter, s)
		if err != nil {
			t.Errorf("%s: %v", c.filter, err)
			continue
		}
		if got := f.Match(e); got != c.want {
			t.Errorf("%s is %v, want %v", c.filter, got, c.want)
		}
	}
}

// TestWithServerSchema is about what package schema doesn't decide: which attributes an
// assertion is about, and what is undefined.
func TestWithServerSchema(t *testing.T) {
	e := entry("dn: cn=Jane+uid=jr,ou=People,dc=x", "objectClass: inetOrgPerson", "objectClass: xRight", "commonName: Jane Roe", "SN;lang-de: Röe",
		"2.5.4.11: people", "uidNumber: 7", "mail: jane@x", "xTextSort: sorted", "xMute: silent", "member: cn=A,dc=x", "xNumber: 18446744073709551616", "xNumber: 3", "title: Ⅷ")
	checkWith(t, testSchema(t), e, []matchTest{
		{"(cn=jane  roe)", yes}, {"(2.5.4.3=Jane Roe)", yes}, {"(COMMONNAME=j*e)", yes}, {"(name=jane roe)", yes}, {"(name=röe)", yes}, {"(ou=PEOPLE)", yes},
		{"(sn=röe)", yes}, {"(sn;lang-de=röe)", yes}, {"(sn;lang-en=röe)", no}, {"(surname;lang-=röe)", yes}, {"(cn;lang-=jane roe)", no},
		{"(xText=sorted)", yes}, {"(xTextKind=*)", yes}, {"(xTextSort=*)", yes}, {"(xCased=*)", no},
		{"(sn=x)", no}, {"(cn=)", undef}, {"(!(cn=))", undef}, {"(cn>=a)", undef}, {"(xText>=a)", yes}, {"(uidNumber=x)", undef}, {"(uidNumber=7*)", undef},
		{"(xMute=*)", yes}, {"(xMute=silent)", undef}, {"(xMute=s*)", undef}, {"(xMute~=silent)", undef}, {"(xMute:caseIgnoreMatch:=silent)", yes},
		{"(noSuchType=*)", undef}, {"(noSuchType=a)", undef}, {"(noSuchType>=a)", undef}, {"(noSuchType~=a)", undef}, {"(noSuchType=a*)", undef}, {"(noSuchType:=a)", undef},
		{"(cn;x-new=a)", undef}, {"(cn;binary=a)", undef}, {"(entryDN;lang-de=*)", undef},
		{"(entryDN=*)", yes}, {"(entryDN=UID=jr+commonName=jane,ou=people,DC=x)", yes}, {"(entryDN=dc=x)", no}, {"(entryDN:dnSubtreeMatch:=dc=x)", yes},
		{"(objectClass=person)", yes}, {"(objectClass=xLeftAlias)", yes}, {"(objectClass=xBase)", yes}, {"(objectClass=posixAccount)", no}, {"(objectClass=noSuchClass)", undef},
		{"(objectClass:=person)", yes}, {"(objectClass=*)", yes},
		{"(cn:=jane roe)", yes}, {"(cn:caseExactMatch:=jane roe)", no}, {"(cn:integerMatch:=7)", undef}, {"(cn:noSuchMatch:=x)", undef}, {"(:noSuchMatch:=x)", undef},
		{"(:caseIgnoreMatch:=SORTED)", yes}, {"(:caseExactMatch:=SORTED)", no}, {"(:integerMatch:=7)", yes}, {"(:integerMatch:=x)", undef}, {"(:integerMatch:=8)", no},
		{"(:dn:caseIgnoreMatch:=people)", yes}, {"(ou:dn:=people)", yes}, {"(name:dn:=jane)", yes}, {"(cn:dn:=roe)", no}, {"(dc:dn:=X)", yes}, {"(dc:dn:=ä)", undef},
		{"(:distinguishedNameMatch:=CN=a,dc=X)", yes},
		{"(gidNumber:1.2.840.113556.1.4.804:=18446744073709551616)", undef}, {"(!(uidNumber:integerBitOrMatch:=18446744073709551616))", undef}, {"(xNumber:integerBitOrMatch:=18446744073709551616)", undef},
		{"(:caseIgnoreMatch:=Ⅷ)", no}, {"(title:caseIgnoreMatch:=Ⅷ)", yes}, {"(!(xTime=20240101000000Z))", yes},
		// OpenLDAP stops at a value that it cannot compare.
		{"(xNumber:1.2.840.113556.1.4.803:=3)", undef}, {"(uidNumber:1.2.840.113556.1.4.803:=3)", yes},
	})
	checkWith(t, testSchema(t), entry("dn: no name", "cn: a"), []matchTest{{"(cn:dn:=a)", yes}, {"(cn:dn:=b)", undef}, {"(entryDN=cn=a)", undef}})
}

// TestWithFallback: of types that the fallback lacks nothing is known.
func TestWithFallback(t *testing.T) {
	e := entry("cn: Jane Roe", "objectClass: ourPerson", "ourType: 42", "ourType;lang-de: x")
	checkWith(t, schema.Builtin(), e, []matchTest{
		{"(commonName=jane roe)", yes}, {"(cn=)", undef}, {"(name=jane*)", yes}, {"(ourType>=7)", yes}, {"(OURTYPE=42)", yes}, {"(ourType=*)", yes}, {"(other=*)", no},
		{"(ourType:integerMatch:=042)", yes}, {"(ourType;lang-de=X)", yes}, {"(objectClass=OURPERSON)", yes}, {"(objectClass=other)", no}, {"(:caseExactMatch:=Jane Roe)", yes},
		{"(cn:caseExactMatch:=jane roe)", no}, {"(cn:noSuchMatch:=x)", undef},
	})
}

// dirsrvSchema is what a 389 DS may have.
func dirsrvSchema(t testing.TB) *schema.Schema {
	t.Helper()
	s, problems := schema.Parse(schema.Definitions{Vendor: schema.Directory389, AttributeTypes: append(testTypes, schemaLines...), ObjectClasses: testClasses})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return s
}

func TestWith389(t *testing.T) {
	s := dirsrvSchema(t)
	e := entry("cn: Jane", "xTextSort: a", "uidNumber: x", "xFlag: TRUE", "member: cn=A,dc=x", "member: commonName=jane roe,DC=Example,dc=COM", "xNumber: 7", "xOctets: ab")
	checkWith(t, s, e, []matchTest{
		{"(name=jane)", no}, {"(xText=a)", no}, {"(commonName=jane)", yes}, // no subtypes
		{"(uidNumber=y)", no}, {"(!(uidNumber=y))", yes}, {"(uidNumber>=5)", no}, {"(xFlag=true)", yes},
		{"(member=CN=a,dc=x)", yes}, {"(member=commonName=a,dc=x)", no}, {"(member=commonName=jane  roe;DC=Example, dc=COM)", yes}, {"(member=*,DC=example, dc=com)", yes},
		{"(xNumber=007)", yes}, {"(xFlag=t)", no}, {"(objectClass= noSuchClass )", no}, {"(xOctets=a*)", no}, {"(!(xOctets=a*))", yes},
	})
}

// FuzzSchema matches fuzzed filters on fuzzed entries: laws hold, and a set agrees.
func FuzzSchema(f *testing.F) {
	g := newGenerator(1)
	for range 200 {
		a := pick(g, attributeKinds)
		f.Add(g.filter(3), a.names[0], g.value(a.kind), g.name(2))
	}
	f.Add("(&(entryDN:dn:dnSubtreeMatch:=dc=x)(xLines=*$*))", "xLines", "a$\\24", "cn=a")
	schemas := []*schema.Schema{testSchema(f), schema.Builtin(), dirsrvSchema(f)}
	f.Fuzz(func(t *testing.T, text, name, value, dn string) {
		e := listener.NewEntry(listener.UUID{}, dn, listener.Attribute{Name: "objectClass", Values: []string{"person", value}},
			listener.Attribute{Name: name, Values: []string{value, text}}, listener.Attribute{Name: "cn", Values: []string{dn, value}})
		for _, s := range schemas {
			compiled, err := filter.Compile(text, s)
			if err != nil {
				return
			}
			got := compiled.Match(e)
			canonical := compiled.String()
			laws := []string{canonical, "(!" + canonical + ")", "(&" + canonical + canonical + ")", "(|" + canonical + canonical + ")"}
			wants := []filter.Result{got, filter.True - got, got, got}
			var filters []*filter.Filter
			for i, law := range laws {
				derived, err := filter.Compile(law, s)
				if err != nil {
					return // nested too deep by one
				}
				if r := derived.Match(e); r != wants[i] {
					t.Fatalf("%q is %v, %q is %v", text, got, law, r)
				}
				filters = append(filters, derived)
			}
			found := fmt.Sprint(filter.NewSet(filters).Match(nil, e))
			if want := map[filter.Result]string{no: "[1]", undef: "[]", yes: "[0 2 3]"}[got]; found != want {
				t.Fatalf("%q is %v, its set finds %v", text, got, found)
			}
		}
	})
}

// TestHostileInputWithSchema would not come to an end with quadratic time.
func TestHostileInputWithSchema(t *testing.T) {
	s := testSchema(t)
	if _, err := filter.Compile(strings.Repeat("(!", 10_000)+"(cn=a)"+strings.Repeat(")", 10_000), s); err == nil {
		t.Error("a filter 10,000 deep was compiled")
	}
	long := strings.Repeat("a", 1<<20)
	values := make([]string, 100_000)
	for i := range values {
		values[i] = fmt.Sprintf("uid=user%d,ou=people,dc=x", i)
	}
	e := listener.NewEntry(listener.UUID{}, "cn="+long, listener.Attribute{Name: "member", Values: values}, listener.Attribute{Name: "cn", Values: []string{long, long + "b"}})
	checkWith(t, s, e, []matchTest{
		{"(member=UID=user99999,ou=People,dc=X)", yes}, {"(member=uid=user,dc=x)", no},
		{"(cn=*" + strings.Repeat("a", 1<<19) + "c*)", no}, {"(cn=" + strings.Repeat("*a", 1<<19) + "*b*)", yes}, {"(cn=" + strings.Repeat("*ab", 1<<18) + "*)", no},
		{"(cn:dn:=" + long + ")", yes}, {"(cn~=" + strings.Repeat("a ", 1<<19) + ")", no},
		{"(member=" + strings.Repeat("cn=a,", 1<<18) + "dc=x)", no},
		{"(|" + strings.Repeat("(uidNumber=7)", 1<<16) + ")", no},
	})
	many := make([]*filter.Filter, 0, 1000)
	for i := range 1000 {
		many = append(many, compile(t, s, fmt.Sprintf("(member=uid=user%d,ou=people,dc=x)", i))...)
	}
	if got := filter.NewSet(many).Match(nil, e); len(got) != 1000 {
		t.Errorf("the set finds %d", len(got))
	}
}
