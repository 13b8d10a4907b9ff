package filter_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener/internal/filter"
)

func mustCompile(t testing.TB, s string) *filter.Filter {
	t.Helper()
	f, err := filter.Compile(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// canonical lists valid filters and their canonical form; empty: the same.
var canonical = []struct{ filter, want string }{
	// RFC 4515, section 4
	{"(cn=Babs Jensen)", ""},
	{"(!(cn=Tim Howes))", ""},
	{"(&(objectClass=Person)(|(sn=Jensen)(cn=Babs J*)))", ""},
	{"(o=univ*of*mich*)", ""},
	{"(seeAlso=)", ""},
	{"(cn:caseExactMatch:=Fred Flintstone)", ""},
	{"(cn:=Betty Rubble)", ""},
	{"(sn:dn:2.4.6.8.10:=Barney Rubble)", ""},
	{"(o:dn:=Ace Industry)", ""},
	{"(:1.2.3:=Wilma Flintstone)", ""},
	{"(:DN:2.4.6.8.10:=Dino)", "(:dn:2.4.6.8.10:=Dino)"},
	{`(o=Parens R Us \28for all your parenthetical needs\29)`, ""},
	{`(cn=*\2A*)`, `(cn=*\2a*)`},
	{`(filename=C:\5cMyFile)`, ""},
	{`(bin=\00\00\00\04)`, ""},
	{`(sn=Lu\c4\8di\c4\87)`, "(sn=Lučić)"},
	{`(1.3.6.1.4.1.1466.0=\04\02\48\69)`, `(1.3.6.1.4.1.1466.0=\04\02Hi)`},

	// RFC 4526
	{"(&)", ""},
	{"(|)", ""},
	{"(!(&))", ""},

	{"(cn>=a)", ""},
	{"(cn<=)", ""},
	{"(cn~=a b)", ""},
	{"(cn=*)", ""},
	{"(cn=*a)", ""},
	{"(cn=a*)", ""},
	{"(cn=*a*)", ""},
	{"(cn=a*b*c*d)", ""},
	{"(cn=**)", "(cn=*)"},
	{"(cn=a***b**c**)", "(cn=a*b*c*)"},
	{"(cn=a=b:c<d>e~f&g|h!i)", ""},
	{"(cn;lang-DE;x-a=b)", ""},
	{"(2.5.4.3;lang-de=*)", ""},
	{"(cn;lang-de:dn:2.5.13.2:=a)", ""},
	{"(cn:dn:dn:=rule called dn)", ""},
	{`(cn=a\2ab*)`, ""},
	{"(cn=ä€𝄞)", ""},
	{`(cn=\ff\c3*\a4)`, ""},
	{"(cn=a\tb\x7f)", `(cn=a\09b\7f)`},
	{`(cn=\(\)\*\\)`, `(cn=\28\29\2a\5c)`},

	// White space and missing parentheses
	{" (cn=a)\n", "(cn=a)"},
	{"( & (cn=a)\r\n\t( ! (cn=b) ) )", "(&(cn=a)(!(cn=b)))"},
	{"(cn= a )", ""},
	{"objectClass=person", "(objectClass=person)"},
	{" cn=a b* ", "(cn=a b*)"},
	{"cn:dn:=x", "(cn:dn:=x)"},
	{"cn>=1", "(cn>=1)"},
}

func TestString(t *testing.T) {
	for _, tt := range canonical {
		want := tt.want
		if want == "" {
			want = tt.filter
		}
		f := mustCompile(t, tt.filter)
		if got := f.String(); got != want {
			t.Errorf("Compile(%q).String() = %q, want %q", tt.filter, got, want)
		}
		if got := mustCompile(t, want).String(); got != want {
			t.Errorf("%q becomes %q", want, got)
		}
	}
}

func nested(depth int) string {
	return strings.Repeat("(!", depth-1) + "(a=b)" + strings.Repeat(")", depth-1)
}

// malformed lists texts that are no filters, with the place of the first error.
var malformed = []struct {
	filter string
	pos    int
	msg    string
}{
	{"", 0, "empty filter"},
	{" \n", 0, "empty filter"},
	{"(", 1, "missing filter after '('"},
	{"( ", 1, "missing filter after '('"},
	{"()", 1, "missing filter between '(' and ')'"},
	{"(&()(a=b))", 3, "missing filter between '(' and ')'"},
	{")", 0, "missing filter between '(' and ')'"},
	{"(&(a=b)", 7, "missing ')'"},
	{"(&(a=b) \n", 7, "missing ')'"},
	{"(a=b", 4, "missing ')'"},
	{"(!(a=b)", 7, "missing ')'"},
	{"(a=b))", 5, "unexpected ')' after the filter"},
	{"(a=b)(c=d)", 5, "unexpected '(' after the filter"},
	{"(a=b) x", 6, "unexpected 'x' after the filter"},
	{"a=b)", 3, "unexpected ')' after the filter"},
	{"((a=b))", 1, "missing '&', '|' or '!' before '('"},
	{"&(a=b)(c=d)", 0, "missing '(' before '&'"},
	{"!(a=b)", 0, "missing '(' before '!'"},
	{"(&|(a=b))", 2, "unexpected '|' instead of '(' or ')'"},
	{"(&a=b)", 2, "unexpected 'a' instead of '(' or ')'"},
	{"(&(a=b)ä)", 7, "unexpected 'ä' instead of '(' or ')'"},
	{"(&(a=b)\xff)", 7, "unexpected octet 0xff instead of '(' or ')'"},
	{"(!)", 2, "missing '(' after '!'"},
	{"(!a=b)", 2, "missing '(' after '!'"},
	{"(!(a=b)(c=d))", 7, "'!' takes only one filter"},
	{"(!(a=b)x)", 7, "unexpected 'x' instead of '(' or ')'"},
	{"a", 1, "missing '=' after the attribute description"},
	{"(a)", 2, "missing '=' after the attribute description"},
	{"(=b)", 1, "missing attribute description"},
	{"(>=b)", 1, "missing attribute description"},
	{"(a b=c)", 2, "unexpected ' ' in an attribute description"},
	{"(a_b=c)", 2, "unexpected '_' in an attribute description"},
	{"(ä=c)", 1, "unexpected 'ä' in an attribute description"},
	{"(a\xff=c)", 2, "unexpected octet 0xff in an attribute description"},
	{"(a\x00=c)", 2, `unexpected '\x00' in an attribute description`},
	{"(-a=b)", 1, "a name begins with a letter"},
	{"(a.b=c)", 2, "unexpected '.' in a name"},
	{"(1a=c)", 2, "unexpected 'a' in a numeric OID"},
	{"(1..2=c)", 3, "missing number in a numeric OID"},
	{"(1.2.=c)", 5, "missing number in a numeric OID"},
	{"(12=c)", 3, "missing '.' in a numeric OID"},
	{"(;x=c)", 1, "missing attribute description"},
	{"(a;=c)", 3, "missing attribute option after ';'"},
	{"(a;x;;y=c)", 5, "missing attribute option after ';'"},
	{"(a;x;y.z=c)", 6, "unexpected '.' in an attribute option"},
	{"(a>b)", 3, "missing '=' after '>'"},
	{"(a<", 3, "missing '=' after '<'"},
	{"(a~*)", 3, "missing '=' after '~'"},
	{"(a>=b*)", 5, `'*' has no meaning here; write \2a for the character`},
	{"(a:=b*)", 5, `'*' has no meaning here; write \2a for the character`},
	{"(a~=*)", 4, `'*' has no meaning here; write \2a for the character`},
	{"(a=b(c)d)", 4, `'(' in a value must be written \28`},
	{"(a=b*(c)", 5, `'(' in a value must be written \28`},
	{"(a>=(c)", 4, `'(' in a value must be written \28`},
	{"(a:=(c)", 4, `'(' in a value must be written \28`},
	{"(a=\x00)", 3, `NUL in a value must be written \00`},
	{"(a=b\xc3)", 4, `octet that is not UTF-8 must be written \c3`},
	{`(a=b\)`, 6, "missing ')'"}, // the parenthesis is escaped
	{`(a=b\`, 4, `'\' must be followed by two hexadecimal digits; write \5c for the character`},
	{`(a=b\4)`, 4, `'\' must be followed by two hexadecimal digits; write \5c for the character`},
	{`(a=b\4`, 4, `'\' must be followed by two hexadecimal digits; write \5c for the character`},
	{`(a=b\4g)`, 4, `'\' must be followed by two hexadecimal digits; write \5c for the character`},
	{`(a=C:\Users)`, 5, `'\' must be followed by two hexadecimal digits; write \5c for the character`},
	{"(:=a)", 1, "missing attribute description or matching rule"},
	{"(:dn:=a)", 1, "missing attribute description or matching rule"},
	{"(a:", 3, "missing '=' or a matching rule after ':'"},
	{"(a::=b)", 3, "missing '=' or a matching rule after ':'"},
	{"(a:dn)", 5, "missing ':='"},
	{"(a:dn=b)", 5, "missing ':='"},
	{"(a:rule=b)", 7, "missing ':='"},
	{"(a:rule:dn:=b)", 8, "missing '=' after ':'"},
	{"(a:rule:other:=b)", 8, "missing '=' after ':'"},
	{"(a:ru;le:=b)", 5, "unexpected ';' in a name"},
	{"(a:1.2.:=b)", 7, "missing number in a numeric OID"},
	{"(;x:=b)", 1, "missing attribute description"},
	{nested(1001), 2000, "nested more than 1000 deep"},
	{strings.Repeat("(&", 10_000), 2000, "nested more than 1000 deep"},
}

func TestSyntaxErrors(t *testing.T) {
	for _, tt := range malformed {
		f, err := filter.Compile(tt.filter, nil)
		var se *filter.SyntaxError
		if !errors.As(err, &se) {
			t.Errorf("Compile(%.40q) = %v, %v, want a syntax error", tt.filter, f, err)
			continue
		}
		if se.Pos != tt.pos || se.Msg != tt.msg || se.Filter != tt.filter {
			t.Errorf("Compile(%.40q): %q at %d, want %q at %d", tt.filter, se.Msg, se.Pos, tt.msg, tt.pos)
		}
	}
}

func TestDepth(t *testing.T) {
	if got, want := mustCompile(t, nested(1000)).String(), nested(1000); got != want {
		t.Errorf("a filter 1000 deep becomes %.40q...", got)
	}
	// Filters side by side are not nested.
	mustCompile(t, "(|"+strings.Repeat("(&(a=b)(!(c=d)))", 2000)+")")
}

func TestSyntaxErrorText(t *testing.T) {
	long := strings.Repeat("ä", 100) + "(" + strings.Repeat("ö", 100)
	for _, tt := range []struct{ filter, want string }{
		{"(&(a=b)", `filter "(&(a=b)" at position 8: missing ')'`},
		{"(a=ä(", `filter "(a=ä(" at position 5: '(' in a value must be written \28`},
		{"(a=" + long, `filter ..."` + strings.Repeat("ä", 30) + "(" + strings.Repeat("ö", 29) +
			`"... at position 104: '(' in a value must be written \28`},
		{"(a=b\n\tc", `filter "(a=b\n\tc" at position 8: missing ')'`},
	} {
		if _, err := filter.Compile(tt.filter, nil); err == nil || err.Error() != tt.want {
			t.Errorf("got  %v\nwant %s", err, tt.want)
		}
	}
}
