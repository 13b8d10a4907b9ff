package schema_test

import (
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener/internal/schema"
)

// server returns the fallback's definitions as if a server of the vendor had sent them.
func server(t testing.TB, v schema.Vendor) *schema.Schema {
	t.Helper()
	return parse(t, schema.BuiltinDefinitions(v))
}

// outcome names what a matcher says: yes, no, undef for the value, invalid for the
// assertion.
func outcome(m schema.Matcher, value string) string {
	if m == nil {
		return "invalid"
	}
	var buf []byte
	switch matched, defined := m.Match(value, &buf); {
	case !defined:
		return "undef"
	case matched:
		return "yes"
	}
	return "no"
}

// assertion makes the matcher of a filter item: type, operator, value.
func assertion(s *schema.Schema, typ, operator, value string) schema.Matcher {
	t := s.Attribute(typ)
	switch operator {
	case "=":
		if strings.Contains(value, "*") {
			return s.Substrings(t, strings.Split(value, "*"))
		}
		return s.Equality(t, value)
	case ">=", "<=":
		return s.Ordering(t, value, operator == "<=")
	case "~=":
		return s.Approximate(t, value)
	}
	return s.Extensible(s.Rule(strings.Trim(operator, ":=")), value)
}

func TestMatching(t *testing.T) {
	both, slapd, standard := "both", "slapd", "standard"
	servers := map[string][]*schema.Schema{slapd: {server(t, schema.OpenLDAP)}, standard: {server(t, schema.Standard)}}
	servers[both] = append(servers[slapd], servers[standard]...)
	for _, c := range []struct{ where, typ, operator, asserted, value, want string }{
		{both, "cn", "=", "JANE  roe ", " Jane Roe", "yes"},
		{both, "cn", "=", "ÄRGER", "ärger", "yes"},
		{both, "cn", "=", "a\u0308rger", "Ärger", "yes"}, // NFKC
		{both, "cn", "=", "fi", "ﬁ", "yes"},
		{both, "cn", "=", "jane", "ｊａｎｅ", "yes"},
		{slapd, "cn", "=", "strasse", "straße", "no"},
		{standard, "cn", "=", "STRASSE", "straße", "yes"},
		{slapd, "cn", "=", "tel", "℡", "no"},
		{standard, "cn", "=", "tel", "℡", "yes"},
		{slapd, "cn", "=", "a b", "a\tb", "no"},
		{standard, "cn", "=", "a b", "a\tb", "yes"},
		{standard, "cn", "=", "ab", "a\u00adb", "yes"},
		{both, "cn", "=", "", "x", "invalid"},
		{both, "cn", "=", "\xff", "x", "invalid"},
		{both, "cn", "=", "x", "\xff", "undef"},
		{both, "cn", "=", " ", "x", "no"},
		{both, "cn", ">=", "a", "b", "invalid"}, // no ORDERING
		{both, "cn", "=", "J*R*e", "Jane Roe", "yes"},
		{both, "cn", "=", "j* *", "Jane  Roe", "yes"},
		{both, "cn", "=", "*an*an*", "Jane", "no"},
		{both, "cn", "=", "*e r*", "Jane Roe", "yes"},
		{both, "cn", "=", "*", "Jane Roe", "yes"},
		{both, "cn", "=", "jane *roe", "Jane Roe", "yes"},
		{both, "cn", "=", "jane* *roe", "JaneRoe", "no"},
		{both, "cn", "=", "\xff*", "x", "invalid"},
		{slapd, "cn", "~=", "jayn row", "Jane Roe", "yes"},
		{slapd, "cn", "~=", "row jayn", "Jane Roe", "no"},
		{slapd, "cn", "~=", "123", "4711 x", "yes"}, // neither sounds like anything
		{slapd, "cn", "~=", "日本", "日本", "no"},
		{standard, "cn", "~=", "JANE roe", "Jane Roe", "yes"},
		{standard, "cn", "~=", "jayn row", "Jane Roe", "no"},

		{both, "mail", "=", "JANE@example.org", "jane@Example.ORG", "yes"},
		{both, "mail", "=", "ä@x", "a", "invalid"},
		{both, "mail", "=", "*@EXAMPLE.org", "jane@example.org", "yes"},
		{both, "homeDirectory", "=", "/home/a", "/Home/a", "no"},
		{both, "homeDirectory", "=", "/home/a", " /home/a ", "yes"},
		{slapd, "mail", "=", "a *b", "a b", "yes"},
		{both, "x121Address", "=", "1 2 3", "12 3", "yes"},
		{both, "x121Address", "=", "12a", "12", "invalid"},
		{both, "x121Address", "=", "1*3", "1 2 3", "yes"},
		{both, "telephoneNumber", "=", "+49 30-123", "+4930123", "yes"},
		{both, "telephoneNumber", "=", "*30 12*", "+49-30-123", "yes"},
		{both, "telephoneNumber", "=", "é", "1", "invalid"},
		{both, "telephoneNumber", "~=", "1 2", "12", "yes"},

		{both, "uidNumber", "=", "10", "10", "yes"},
		{both, "uidNumber", "=", "010", "10", "invalid"},
		{both, "uidNumber", "=", "-0", "0", "invalid"},
		{both, "uidNumber", "=", "x", "0", "invalid"},
		{both, "uidNumber", ">=", "9", "10", "yes"},
		{both, "uidNumber", "<=", "9", "10", "no"},
		{both, "uidNumber", ">=", "-10", "-9", "yes"},
		{both, "uidNumber", ">=", "-9", "-10", "no"},
		{both, "uidNumber", "<=", "99999999999999999999", "99999999999999999998", "yes"},
		{both, "uidNumber", "<=", "1", "-1", "yes"},
		{both, "uidNumber", ">=", "5", "x", "undef"},
		{both, "uidNumber", "=", "1*", "10", "invalid"},
		{both, "uidNumber", ":1.2.840.113556.1.4.803:=", "6", "7", "yes"},
		{both, "uidNumber", ":1.2.840.113556.1.4.803:=", "6", "5", "no"},
		{both, "uidNumber", ":integerBitOrMatch:=", "6", "8", "no"},
		{both, "uidNumber", ":integerBitOrMatch:=", "99999999999999999999", "8", "undef"},
		{both, "uidNumber", ":integerBitOrMatch:=", "1", "99999999999999999999", "undef"},
		{both, "uidNumber", ":integerOrderingMatch:=", "6", "5", "yes"},
		{both, "uidNumber", ":integerOrderingMatch:=", "6", "6", "no"},
		{both, "cn", ":caseExactMatch:=", "Jane", "jane", "no"},
		{both, "cn", ":caseIgnoreOrderingMatch:=", "b", "A", "yes"},
		{both, "cn", ":caseIgnoreSubstringsMatch:=", "a", "a", "invalid"},
		{both, "cn", ":noSuchMatch:=", "a", "a", "invalid"},

		{both, "createTimestamp", "=", "20240131235959Z", "20240201005959+0100", "yes"},
		{both, "createTimestamp", "=", "2024013123Z", "20240131230000.000Z", "yes"},
		{both, "createTimestamp", ">=", "20240131235959.5Z", "20240131235959.49Z", "no"},
		{both, "createTimestamp", ">=", "20240131235959Z", "20240131235959,1Z", "yes"},
		{both, "createTimestamp", "<=", "20240101000000-2330", "20240101233000Z", "yes"},
		{both, "createTimestamp", "=", "20240230000000Z", "x", "invalid"},
		{both, "createTimestamp", "=", "20240229000000Z", "20240229000000Z", "yes"},
		{both, "createTimestamp", "=", "20240101000060Z", "20240101000060Z", "yes"},
		{both, "createTimestamp", "=", "20240101000000", "x", "invalid"},
		{both, "createTimestamp", "=", "20240101000000.Z", "x", "invalid"},
		{both, "createTimestamp", "=", "20240101000000+1", "x", "invalid"},
		{both, "createTimestamp", "=", "*", "20240101000000Z", "invalid"}, // no SUBSTR

		{both, "hasSubordinates", "=", "TRUE", "TRUE", "yes"},
		{both, "hasSubordinates", "=", "true", "TRUE", "invalid"},
		{both, "entryUUID", "=", "30593FE3-f028-432e-9840-43c43e5fd2da", "30593fe3-f028-432e-9840-43c43e5fd2da", "yes"},
		{both, "entryUUID", "=", "30593fe3", "30593fe3-f028-432e-9840-43c43e5fd2da", "invalid"},
		{both, "entryUUID", ">=", "30000000-f028-432e-9840-43c43e5fd2da", "30593fe3-f028-432e-9840-43c43e5fd2da", "yes"},
		{both, "entryCSN", "<=", "20250228101500.000000Z#000000#00A#000000", "20250228101500.000000Z#000000#00a#000000", "yes"},
		{both, "entryCSN", "=", "20250228", "x", "invalid"},

		{both, "objectClass", "=", "PERSON", "inetOrgPerson", "yes"},
		{both, "objectClass", "=", "2.5.6.6", "Person", "yes"},
		{both, "objectClass", "=", "inetOrgPerson", "person", "no"},
		{both, "objectClass", "=", "top", "2.5.6.6", "yes"},
		{both, "objectClass", "=", "noSuchClass", "person", "invalid"},
		{both, "structuralObjectClass", "=", "person", "inetOrgPerson", "yes"},

		{both, "member", "=", "CN=A, ou=x", "commonName=a,2.5.4.11=X", "yes"},
		{both, "member", "=", "cn=a+uid=b,dc=x", "UID=B+CN=A,DC=x", "yes"},
		{both, "member", "=", "cn=a,dc=x", "cn=b,dc=x", "no"},
		{both, "member", "=", "cn=a", "no name", "undef"},
		{both, "member", "=", "no name", "cn=a", "invalid"},
		{both, "member", "=", "noSuchType=a", "cn=a", "invalid"},
		{both, "member", "=", "uidNumber=x", "cn=a", "invalid"},
		{both, "member", ":dnSubtreeMatch:=", "dc=X", "cn=a,dc=x", "yes"},
		{both, "member", ":dnSubordinateMatch:=", "dc=x", "dc=x", "no"},
		{both, "member", ":dnOneLevelMatch:=", "dc=x", "cn=b,cn=a,dc=x", "no"},
		{both, "member", ":dnOneLevelMatch:=", "dc=x", "cn=b,dc=x", "yes"},
		{both, "member", ":dnSuperiorMatch:=", "cn=b,dc=x", "dc=x", "yes"},
		{both, "uniqueMember", "=", "cn=a#'01'B", "CN=A#'01'B", "yes"},
		{both, "uniqueMember", "=", " ", "", "invalid"},
		{slapd, "mail", "=", "a\x00b", "A", "yes"},
		{standard, "mail", "=", "a\x00b", "A", "no"},
		{both, "uniqueMember", "=", "cn=a", "CN=A#'01'B", "no"},

		{both, "postalAddress", "=", "1 MAIN st.$Berlin", "1 Main  St.$BERLIN ", "yes"},
		{both, "postalAddress", "=", "1 Main St.$Berlin", "1 Main St. Berlin", "no"},
		{both, "postalAddress", "=", `5 \24$x`, `5 \24$X`, "yes"},
		{both, "postalAddress", "=", `5 \x`, "x", "invalid"},
		{slapd, "postalAddress", "~=", " gnome$Ⅷ", "Gnome$Ⅷ", "yes"},
		{slapd, "postalAddress", "~=", "a$ü", "a$u", "yes"},
		{slapd, "postalAddress", "~=", "a$ü", "a$ü", "no"},
		{slapd, "cn", "=", "viii", "Ⅷ", "no"},
		{standard, "cn", "=", "viii", "Ⅷ", "yes"},
		{both, "postalAddress", "=", "*BERLIN*", "1 Main St.$Berlin", "yes"},

		{both, "userPassword", "=", "a\x00", "a\x00", "yes"},
		{both, "userPassword", "=", "a", "A", "no"},
		{both, "userPassword", "=", "a*", "a", "invalid"},
		{both, "jpegPhoto", "=", "a", "a", "invalid"},
		{both, "x500UniqueIdentifier", "=", "'01'B", "'01'B", "yes"},
		{both, "supportedApplicationContext", "=", "1.2.3", "1.2.3", "yes"},
	} {
		for _, s := range servers[c.where] {
			if got := outcome(assertion(s, c.typ, c.operator, c.asserted), c.value); got != c.want {
				t.Errorf("%s %s(%s%s%q) on %q: %s, want %s", c.where, s.Vendor(), c.typ, c.operator, c.asserted, c.value, got, c.want)
			}
		}
	}
}

// TestMissingRulesFollowTheSyntax on 389 DS, whose types often name no rules.
func TestMissingRulesFollowTheSyntax(t *testing.T) {
	types := []string{"( 1.1 NAME 'text' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )", "( 1.2 NAME 'n' SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 )"}
	s := parse(t, schema.Definitions{Vendor: schema.Directory389, AttributeTypes: types})
	for _, c := range []struct{ typ, operator, asserted, value, want string }{
		{"text", "=", "A", "a", "yes"}, {"text", ">=", "A", "b", "yes"}, {"text", "=", "A*", "ab", "yes"}, {"n", ">=", "9", "10", "yes"},
		{"text", "=", "MÜLLER", "müller", "yes"}, {"text", "=", "Mu\u0308ller", "Müller", "no"}, // no normalization
	} {
		if got := outcome(assertion(s, c.typ, c.operator, c.asserted), c.value); got != c.want {
			t.Errorf("(%s%s%s) on %q: %s, want %s", c.typ, c.operator, c.asserted, c.value, got, c.want)
		}
	}
	if m := parse(t, schema.Definitions{AttributeTypes: types}).Attribute("text").Equality; m != nil {
		t.Errorf("elsewhere a type without rules has %v", m)
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	buf := make([]byte, 0, 256)
	for _, c := range [][4]string{
		{"cn", "=", "jane roe", "Jane Roe"}, {"mail", "=", "*@example.org", "jane@example.org"}, {"uidNumber", ">=", "5", "7"},
		{"objectClass", "=", "top", "inetOrgPerson"}, {"objectClass", "=", "inetOrgPerson", "person"},
		{"modifyTimestamp", ">=", "20240101000000Z", "20250101000000Z"}, {"member", "=", "uid=a,ou=people,dc=example,dc=org", "uid=b,ou=people,dc=example,dc=org"},
	} {
		for _, s := range []*schema.Schema{server(t, schema.OpenLDAP), server(t, schema.Directory389)} {
			m := assertion(s, c[0], c[1], c[2])
			if n := testing.AllocsPerRun(10, func() { m.Match(c[3], &buf) }); n != 0 {
				t.Errorf("%s: %v: %v allocations", s.Vendor(), c, n)
			}
		}
	}
}
