package filter_test

import (
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/filter"
)

const (
	no    = filter.False
	undef = filter.Undefined
	yes   = filter.True
)

// entry makes an entry from lines of the form "name: value"; a line for dn sets it.
func entry(lines ...string) *listener.Entry {
	dn, index, attrs := "", map[string]int{}, []listener.Attribute(nil)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		if name == "dn" {
			dn = value
			continue
		}
		i, ok := index[name]
		if !ok {
			i = len(attrs)
			index[name] = i
			attrs = append(attrs, listener.Attribute{Name: name})
		}
		attrs[i].Values = append(attrs[i].Values, value)
	}
	return listener.NewEntry(listener.UUID{}, dn, attrs...)
}

type matchTest struct {
	filter string
	want   filter.Result
}

func check(t *testing.T, e *listener.Entry, tests []matchTest) {
	t.Helper()
	for _, tt := range tests {
		if got := mustCompile(t, tt.filter).Match(e); got != tt.want {
			t.Errorf("%s is %v, want %v", tt.filter, got, tt.want)
		}
	}
}

func TestEquality(t *testing.T) {
	e := entry("objectClass: top", "objectClass: inetOrgPerson", "cn:   Babs \t Jensen ", "sn: Jensen",
		"seeAlso: ", "filename: C:\\MyFile", "bin: \x00\x00\x00\x04", "octets: \xff\xfe\xc3", "o: R (us) *",
		"blank:    ", "2.5.4.10: numeric")
	check(t, e, []matchTest{
		{"(cn=Babs Jensen)", yes},
		{"(CN=  babs   JENSEN\\0a)", yes},
		{"(cn=BabsJensen)", no},
		{"(cn=Babs Jense)", no},
		{"(cn=Babs Jensens)", no},
		{"(c=Babs Jensen)", no},
		{"(cnx=Babs Jensen)", no},
		{"(objectclass=INETORGPERSON)", yes},
		{"(objectclass=person)", no},
		{"(seeAlso=)", yes},
		{"(blank=)", yes},
		{"(seeAlso= )", yes},
		{"(sn=)", no},
		{`(filename=c:\5cmyfile)`, yes},
		{`(bin=\00\00\00\04)`, yes},
		{`(bin=\00\00\00)`, no},
		{`(bin=\00\00\00\05)`, no},
		{`(octets=\ff\FE\c3)`, yes},
		{`(octets=\ff\fe\c4)`, no},
		{`(octets=\ef\bf\bd\ef\bf\bd\ef\bf\bd)`, no}, // U+FFFD is a character like others
		{`(o=r \28us\29 \2a)`, yes},
		{"(2.5.4.10=NUMERIC)", yes},
		{"(absent=x)", no},
		{"(!(absent=x))", yes},
		{"objectClass=top", yes},
	})
}

func TestUnicode(t *testing.T) {
	e := entry("cn: ÄRGER Straße", "name: ΣΊΣΥΦΟΣ", "unit: 5 \u212a", "nbsp: a\u00a0\u2003b\u0085", "composed: \u00e9",
		"i: \u0130stanbul", "kana: カナ")
	check(t, e, []matchTest{
		{"(cn=ärger straße)", yes},
		{"(cn=ärger STRAẞE)", yes},
		{"(cn=ärger strasse)", no},
		{"(name=σίσυφος)", yes}, // with a final sigma
		{"(name=σίσυφοσ)", yes},
		{"(unit=5 k)", yes}, // the Kelvin sign
		{"(nbsp=A B)", yes},
		{"(composed=\u00c9)", yes},
		{"(composed=e\u0301)", no},
		{"(i=istanbul)", no},
		{"(kana=カナ)", yes},
		{"(kana=カ)", no},
		{"(cn=*STRA*)", yes},
		{"(cn:caseExactMatch:=ÄRGER Straße)", yes},
		{"(cn:caseExactMatch:=ärger Straße)", no},
	})
}

func TestPresence(t *testing.T) {
	e := entry("cn;lang-de: a", "userCertificate;binary: b", "sn: ")
	check(t, e, []matchTest{
		{"(cn=*)", yes},
		{"(cn;lang-de=*)", yes},
		{"(cn;lang-en=*)", no},
		{"(userCertificate=*)", yes},
		{"(USERCERTIFICATE;BINARY=*)", yes},
		{"(sn=*)", yes},
		{"(sn;binary=*)", no},
		{"(c=*)", no},
	})
	check(t, listener.NewEntry(listener.UUID{}, "", listener.Attribute{Name: "cn"}), []matchTest{{"(cn=*)", no}})
}

func TestOptions(t *testing.T) {
	e := entry("cn;x-a;Lang-DE-at: a", "cn: b", "sn;lang-en: c", "l;lang-english: d")
	check(t, e, []matchTest{
		{"(cn=a)", yes},
		{"(cn=b)", yes},
		{"(cn;lang-de-AT=a)", yes},
		{"(cn;lang-de-at=b)", no},
		{"(cn;lang-de-at;x-a=a)", yes},
		{"(cn;X-A=a)", yes},
		{"(cn;x-a;x-b=a)", no},
		{"(cn;lang-de=a)", no},
		{"(cn;lang-de-=a)", yes},
		{"(cn;lang-=a)", yes},
		{"(cn;lang-at-=a)", no},
		{"(sn;lang-en-=c)", yes},
		{"(l;lang-en-=d)", no},
		{"(cn;x-a;lang-de-at;x-a=a)", yes},
		{"(cn;x-=a)", yes},
		{"(cn;x=a)", no},
	})
}

func TestSubstrings(t *testing.T) {
	e := entry("cn: John  Doe", "o: University of  Michigan", "s: aaa", "t: abababac", "stars: a*b", "bin: x\x00\xff\x00y")
	check(t, e, []matchTest{
		{"(o=univ*of*mich*)", yes},
		{"(o=univ*mich*of*)", no},
		{"(cn=john*)", yes},
		{"(cn=john *)", yes},
		{"(cn=john d*)", yes},
		{"(cn=joh *)", no},
		{"(cn=  john*)", yes},
		{"(cn=*doe)", yes},
		{"(cn=* DOE)", yes},
		{"(cn=* oe)", no},
		{"(cn=*doe  )", yes},
		{"(cn=*n d*)", yes},
		{"(cn=*n   d*)", yes},
		{"(cn=* *)", yes},
		{"(s=* *)", no},
		{"(s= *)", no},
		{"(s=* )", no},
		{"(cn=*ohn*oe*)", yes},
		{"(cn=john*doe)", yes},
		{"(cn=john*johndoe)", no},
		{"(cn=*john*doe*x)", no},
		{"(s=a*a*a)", yes},
		{"(s=a*a*a*a)", no},
		{"(s=aa*aa)", no},
		{"(s=aaa*)", yes},
		{"(s=aaaa*)", no},
		{"(s=*aaaa)", no},
		{"(s=*aaa*)", yes},
		{"(s=*a)", yes},
		{"(t=*ababac)", yes},
		{"(t=*ababa*c)", yes},
		{"(t=*abac*)", yes},
		{"(t=*abab*abac)", yes},
		{"(t=*ababab*abac)", no},
		{`(stars=*\2a*)`, yes},
		{`(cn=*\2a*)`, no},
		{`(bin=*\00\ff*)`, yes},
		{`(bin=x*\00*\00*y)`, yes},
		{`(bin=*\00*\00*\00*)`, no},
		{"(cn=**)", yes},
		{"(cn=j***e)", yes},
		{"(absent=*a*)", no},
	})
}

func TestOrdering(t *testing.T) {
	e := entry("n: 42", "neg: -7", "big: 123456789012345678901234567890", "zero: -0", "pad:  007 ",
		"time: 20240131235959Z", "cn: Miller", "multi: 1", "multi: 100", "mixed: 5a")
	check(t, e, []matchTest{
		{"(n>=42)", yes}, {"(n<=42)", yes}, {"(n>=43)", no}, {"(n<=41)", no},
		{"(n>=5)", yes}, {"(n<=100)", yes}, {"(n>=-100)", yes}, {"(n<=-100)", no}, {"(n>=042)", yes},
		{"(neg>=-8)", yes}, {"(neg<=-8)", no}, {"(neg<=-6)", yes}, {"(neg>=-10)", yes}, {"(neg<=0)", yes},
		{"(big>=99999999999999999999)", yes},
		{"(big<=123456789012345678901234567891)", yes},
		{"(big<=123456789012345678901234567889)", no},
		{"(zero>=0)", yes}, {"(zero<=0)", yes},
		{"(pad>=7)", yes}, {"(pad<=7)", yes}, {"(pad<=6)", no},
		{"(time>=20240101000000Z)", yes}, {"(time<=20240101000000Z)", no}, {"(time>=20240131235959Z)", yes},
		{"(cn>=miller)", yes}, {"(cn<=MILLER)", yes}, {"(cn>=m)", yes}, {"(cn<=m)", no},
		{"(cn>=millers)", no}, {"(cn<=millers)", yes}, {"(cn>=Ä)", no}, {"(cn<=Ä)", yes}, {`(cn<=\ff)`, yes},
		{"(multi>=50)", yes}, {"(multi<=50)", yes}, {"(!(multi>=50))", no}, {"(multi>=101)", no},
		{"(mixed>=42)", yes}, {"(mixed<=6)", yes}, // not integers both: as strings
		{"(n>=)", yes}, {"(n<=)", no}, {"(n>=-)", yes},
		{"(absent>=1)", no}, {"(absent<=1)", no},
	})
}

func TestApproximate(t *testing.T) {
	e := entry("cn: Hans-Peter  Müller", "phone: +49 30\u2011123-45")
	check(t, e, []matchTest{
		{"(cn~=hanspeter müller)", yes},
		{"(cn~=HANS PETER MÜLLER)", yes},
		{"(cn~= h ans-petermüller- )", yes},
		{"(cn~=hans peter)", no},
		{"(cn~=hans peter muller)", no},
		{"(phone~=+493012345)", yes},
		{"(phone=+493012345)", no},
		{"(absent~=x)", no},
	})
}

func TestExtensible(t *testing.T) {
	e := entry(`dn: cn=Jane\, Roe+uid=7,OU=  R \26 D ,o=Ace Industry`,
		"cn: Fred Flintstone", "cn;lang-de: Friedrich", "n: 6", "min: -9223372036854775808", "max: 9223372036854775807",
		"big: 9223372036854775808", "low: -9223372036854775809", "huge: 123456789012345678901234567890",
		"mixed: 6", "mixed: six", "oid: 2.5.6.6", "neg: -2147483646")
	check(t, e, []matchTest{
		{"(cn:=fred flintstone)", yes},
		{"(cn:caseExactMatch:=Fred Flintstone)", yes},
		{"(cn:2.5.13.5:=Fred  Flintstone)", yes},
		{"(cn:caseExactMatch:=fred flintstone)", no},
		{"(cn:caseExactIA5Match:=fred flintstone)", no},
		{"(cn:caseIgnoreMatch:=fred flintstone)", yes},
		{"(cn:CASEIGNOREMATCH:=friedrich)", yes},
		{"(cn;lang-de:2.5.13.2:=fred flintstone)", no},
		{"(cn:caseIgnoreIA5Match:=fred flintstone)", yes},
		{"(oid:objectIdentifierMatch:=2.5.6.6)", yes},
		{"(cn:unknownRule:=Fred Flintstone)", undef},
		{"(!(cn:unknownRule:=Fred Flintstone))", undef},
		{"(absent:1.2.3.4:=x)", undef},
		{"(:1.2.3.4:=x)", undef},
		{"(absent:caseExactMatch:=x)", no},
		{"(absent:=x)", no},

		{"(n:integerMatch:=6)", yes},
		{"(n:2.5.13.14:=006)", yes},
		{"(n:integerMatch:=7)", no},
		{"(n:integerMatch:=six)", undef},
		{"(huge:integerMatch:=123456789012345678901234567890)", yes},
		{"(cn:integerMatch:=6)", undef},
		{"(!(cn:integerMatch:=6))", undef},
		{"(mixed:integerMatch:=6)", yes},
		{"(mixed:integerMatch:=7)", undef},
		{"(absent:integerMatch:=6)", no},

		{"(n:1.2.840.113556.1.4.803:=4)", yes},
		{"(n:1.2.840.113556.1.4.803:=6)", yes},
		{"(n:1.2.840.113556.1.4.803:=5)", no},
		{"(n:integerBitAndMatch:=0)", yes},
		{"(n:1.2.840.113556.1.4.804:=5)", yes},
		{"(n:integerBitOrMatch:=9)", no},
		{"(n:integerBitOrMatch:=0)", no},
		{"(neg:integerBitAndMatch:=2147483648)", yes},
		{"(neg:integerBitAndMatch:=3)", no},
		{"(n:integerBitAndMatch:=x)", undef},
		{"(n:integerBitAndMatch:=9223372036854775808)", undef},
		{"(min:integerBitAndMatch:=-9223372036854775808)", yes},
		{"(max:integerBitAndMatch:=9223372036854775807)", yes},
		{"(big:integerBitAndMatch:=1)", undef},
		{"(low:integerBitAndMatch:=1)", undef},
		{"(huge:integerBitOrMatch:=1)", undef},
		{"(cn:integerBitAndMatch:=1)", undef},

		{"(:caseIgnoreMatch:=friedrich)", yes},
		{"(:caseExactMatch:=friedrich)", no},
		{"(:integerMatch:=6)", yes},
		{"(:integerMatch:=5)", no}, // names are no integers, so not asserted of
		{"(:integerMatch:=five)", undef},

		{"(o:dn:=ace industry)", yes},
		{"(o:=ace industry)", no},
		{"(o:dn:caseExactMatch:=ace industry)", no},
		{"(ou:dn:=r & d)", yes},
		{"(cn:dn:=jane, roe)", yes},
		{"(cn:dn:=fred flintstone)", yes},
		{"(cn:dn:=wilma)", no},
		{"(cn;lang-de:dn:=jane, roe)", no},
		{"(uid:dn:integerMatch:=7)", yes},
		{"(uid:dn:integerBitOrMatch:=8)", no},
		{"(o:dn:integerMatch:=8)", undef},
		{"(n:dn:integerMatch:=6)", yes},
		{"(:dn:integerMatch:=7)", yes},
		{"(:dn:integerMatch:=8)", no},
		{"(:dn:caseIgnoreMatch:=ace industry)", yes},
		{"(:dn:caseIgnoreMatch:=friedrich)", yes},
		{"(o:dn:unknownRule:=ace industry)", undef},
	})
	check(t, entry("dn: no DN", "o: Ace Industry"), []matchTest{
		{"(o:dn:=ace industry)", yes},
		{"(o:dn:=other)", undef},
	})
}

// TestThreeValues checks the truth tables of RFC 4511, section 4.5.1.7.
func TestThreeValues(t *testing.T) {
	const (
		f = "(sn=x)"
		u = "(cn:unknownRule:=a)"
		r = "(cn=a)"
	)
	check(t, entry("cn: a"), []matchTest{
		{f, no}, {u, undef}, {r, yes},
		{"(!" + f + ")", yes}, {"(!" + u + ")", undef}, {"(!" + r + ")", no},

		{"(&" + f + f + ")", no}, {"(&" + f + u + ")", no}, {"(&" + f + r + ")", no},
		{"(&" + u + f + ")", no}, {"(&" + u + u + ")", undef}, {"(&" + u + r + ")", undef},
		{"(&" + r + f + ")", no}, {"(&" + r + u + ")", undef}, {"(&" + r + r + ")", yes},

		{"(|" + f + f + ")", no}, {"(|" + f + u + ")", undef}, {"(|" + f + r + ")", yes},
		{"(|" + u + f + ")", undef}, {"(|" + u + u + ")", undef}, {"(|" + u + r + ")", yes},
		{"(|" + r + f + ")", yes}, {"(|" + r + u + ")", yes}, {"(|" + r + r + ")", yes},

		{"(&)", yes}, {"(|)", no}, {"(!(&))", no}, {"(!(|))", yes},
		{"(&" + u + ")", undef}, {"(|" + u + ")", undef},
		{"(!(&(!" + u + ")" + r + "))", undef}, {"(|(&" + u + f + ")" + f + ")", no},
	})
}

func TestResultString(t *testing.T) {
	for r, want := range map[filter.Result]string{no: "false", undef: "undefined", yes: "true"} {
		if got := r.String(); got != want {
			t.Errorf("%d is %q, want %q", r, got, want)
		}
	}
}

// TestHostileValues matches patterns that make a backtracking search quadratic.
// Its linear time shows in the benchmarks; here it would not come to an end.
func TestHostileValues(t *testing.T) {
	value := strings.Repeat("a", 1<<20)
	e := listener.NewEntry(listener.UUID{}, "", listener.Attribute{Name: "cn", Values: []string{value, value + "b"}})
	check(t, e, []matchTest{
		{"(cn=*" + strings.Repeat("a", 1<<19) + "c*)", no},
		{"(cn=*" + strings.Repeat("a", 1<<19) + "b)", yes},
		{"(cn=" + strings.Repeat("*a", 1<<19) + "*b*)", yes},
		{"(cn=" + strings.Repeat("*a", 1<<19) + "*c*)", no},
	})
	spaces := listener.NewEntry(listener.UUID{}, "", listener.Attribute{Name: "cn", Values: []string{strings.Repeat(" ", 1<<20) + "a"}})
	check(t, spaces, []matchTest{{"(cn=a)", yes}, {"(cn=* a)", no}})
}
