package schema_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener/internal/schema"
)

func parse(t testing.TB, d schema.Definitions) *schema.Schema {
	t.Helper()
	s, problems := schema.Parse(d)
	for _, p := range problems {
		t.Error(p)
	}
	return s
}

func TestBuiltin(t *testing.T) {
	s := schema.Builtin()
	cn := s.Attribute("CommonName")
	if cn == nil || cn != s.Attribute("cn") || cn != s.Attribute("2.5.4.3") || cn.Name() != "cn" {
		t.Fatalf("cn: %+v", cn)
	}
	if cn.Sup != s.Attribute("name") || !cn.IsA(s.Attribute("name")) || s.Attribute("name").IsA(cn) {
		t.Error("cn is no subtype of name")
	}
	if cn.Equality != s.Rule("caseIgnoreMatch") || cn.Substr != s.Rule("2.5.13.4") || cn.Ordering != nil || cn.Syntax != "1.3.6.1.4.1.1466.115.121.1.15" {
		t.Errorf("cn inherits %+v", cn)
	}
	if subs := s.Attribute("name").WithSubtypes(); !slices.Contains(subs, s.Attribute("sn")) || slices.Contains(subs, s.Attribute("uid")) {
		t.Error("subtypes of name")
	}
	if !s.Attribute("uidNumber").SingleValue || cn.SingleValue {
		t.Error("SINGLE-VALUE")
	}
	person := s.Class("PERSON")
	if person == nil || person != s.Class("2.5.6.6") || !slices.Contains(person.WithSubclasses(), s.Class("inetOrgPerson")) ||
		slices.Contains(person.WithSubclasses(), s.Class("posixAccount")) || s.Class("posixAccount").Kind != schema.Auxiliary {
		t.Errorf("person: %+v", person)
	}
	for name, want := range map[string][2]bool{
		"cn": {false, true}, "CN;lang-de": {false, true}, "entryCSN": {true, true}, "modifytimestamp": {true, true},
		"nsUniqueId": {true, true}, "univentionObjectFlag": {false, false}, "": {false, false},
	} {
		if operational, known := s.Operational(name); operational != want[0] || known != want[1] {
			t.Errorf("%s: operational %v, known %v", name, operational, known)
		}
	}
	if !s.Fallback() || parse(t, schema.Definitions{}).Fallback() {
		t.Error("fallback")
	}
	if !s.Binary(s.Attribute("userCertificate")) || s.Binary(cn) {
		t.Error("binary")
	}
}

// TestOddDefinitions reads what servers are known to write besides the standard's form.
func TestOddDefinitions(t *testing.T) {
	s := parse(t, schema.Definitions{
		MatchingRules: []string{"( 2.5.13.2 NAME 'caseIgnoreMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )", "( 1.2.3.4 NAME 'fancyMatch' SYNTAX 1.2.3 )"},
		AttributeTypes: []string{
			"( 2.5.4.41 NAME 'name' DESC 'it''s' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15{32768} )",
			"(2.5.4.3 NAME('cn' 'commonName')SUP name X-ORIGIN ( 'RFC 4519' 'a ) b' ) )",                                          // no spaces
			"( 2.5.4.4 NAME ( 'sn' $ 'surname' ) DESC '' SUP 'name' X-ORIGIN 'RFC 4519' USAGE ) ",                                 // quoted SUP, lone USAGE
			"( aci-oid NAME 'aci' DESC 'ACI\\27s' SYNTAX '1.3.6.1.4.1.1466.115.121.1.15' USAGE directoryOperation X-ORIGIN 'x' )", // OID by name, quoted syntax
			"\t( 1.1\n NAME unquoted\n equality fancyMatch usage DSAOPERATION\r\n single-value X-FLAG X-EMPTY ( ) )",
			"( 1.2 )",
			"( 1.3 NAME 'loop' SUP loop )", "( 1.4 NAME 'loopA' SUP loopB )", "( 1.5 NAME 'loopB' SUP loopA )",
			"( 2.5.4.99 NAME 'cn' )", // the first cn counts
			"( 1.6 NAME 'orphan' SUP missing SYNTAX 1.2 )",
		},
		ObjectClasses: []string{
			"( 2.5.6.0 NAME 'top' ABSTRACT MUST objectClass )",
			"( 2.5.6.6 NAME 'person' SUP top STRUCTURAL MUST ( sn $ cn ) MAY ( description$telephoneNumber ) X-NDS_NAMING 'x' )",
			"( 1.9 NAME 'a' SUP b )", "( 1.8 NAME 'b' SUP ( a $ top $ missing ) AUXILIARY )",
		},
		MatchingRuleUse: []string{"( 2.5.13.2 NAME 'caseIgnoreMatch' APPLIES ( cn $ missing ) )"},
	})
	cn, sn, odd := s.Attribute("cn"), s.Attribute("surname"), s.Attribute("UNQUOTED")
	if cn == nil || cn.OID != "2.5.4.3" || cn != s.Attribute("commonname") || cn.Equality != s.Rule("caseIgnoreMatch") {
		t.Errorf("cn: %+v", cn)
	}
	if sn == nil || sn.Sup == nil || sn.Syntax != "1.3.6.1.4.1.1466.115.121.1.15" || sn.Usage.Operational() {
		t.Errorf("sn: %+v", sn)
	}
	if aci := s.Attribute("aci-oid"); aci == nil || aci != s.Attribute("aci") || !aci.Usage.Operational() || aci.Syntax != "1.3.6.1.4.1.1466.115.121.1.15" {
		t.Errorf("aci: %+v", aci)
	}
	if odd == nil || odd.Usage != schema.DSAOperation || !odd.SingleValue || odd.Equality != s.Rule("fancyMatch") || odd.Equality.Supported() {
		t.Errorf("unquoted: %+v", odd)
	}
	for _, name := range []string{"1.2", "loop", "loopA", "loopB", "orphan"} {
		if a := s.Attribute(name); a == nil || len(a.WithSubtypes()) > 2 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	person := s.Class("person")
	if person == nil || !slices.Equal(person.Must, []string{"sn", "cn"}) || !slices.Equal(person.May, []string{"description", "telephoneNumber"}) ||
		!slices.Contains(s.Class("top").WithSubclasses(), s.Class("a")) {
		t.Errorf("person: %+v", person)
	}
	if !s.Usable(s.Rule("caseIgnoreMatch"), cn) || s.Usable(s.Rule("caseIgnoreMatch"), sn) {
		t.Error("matchingRuleUse is not heeded")
	}
}

func TestUnreadableDefinitionsAreReportedAndCostNoOther(t *testing.T) {
	bad := []string{"", "cn", "(", "( )", "( 1.2", "( 1.2 NAME ( 'a' ", "( 1.2 ) x", "( 1.2 NAME ((((( 'a' ))))) )"}
	s, problems := schema.Parse(schema.Definitions{AttributeTypes: append(bad, "( 2.5.4.3 NAME 'cn' )"), ObjectClasses: bad[:2]})
	if len(problems) != len(bad)+2 {
		t.Errorf("%d problems, want %d: %v", len(problems), len(bad)+2, problems)
	}
	if s.Attribute("cn") == nil {
		t.Error("cn is lost")
	}
}

func TestStoredDefinitions(t *testing.T) {
	d := schema.Definitions{Vendor: schema.OpenLDAP, AttributeTypes: []string{"( 1.1 NAME 'a' )", "( 1.2 NAME 'b' )"}, ObjectClasses: []string{"( 1.3 NAME 'c' )"}}
	stored, err := d.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := schema.Unmarshal(stored)
	if err != nil || again.Hash() != d.Hash() {
		t.Fatalf("%v: %+v", err, again)
	}
	if s := parse(t, again); s.Attribute("b") == nil || s.Class("c") == nil || s.Vendor() != schema.OpenLDAP || s.Hash() != d.Hash() {
		t.Error("the stored schema is another one")
	}
	reordered := d
	reordered.AttributeTypes = []string{d.AttributeTypes[1], d.AttributeTypes[0]}
	if reordered.Hash() != d.Hash() {
		t.Error("the order of values changes the hash")
	}
	for _, change := range []func(*schema.Definitions){
		func(d *schema.Definitions) { d.Vendor = schema.Standard },
		func(d *schema.Definitions) { d.AttributeTypes = d.AttributeTypes[:1] },
		func(d *schema.Definitions) { d.Syntaxes, d.ObjectClasses = d.ObjectClasses, nil },
	} {
		changed := d
		if change(&changed); changed.Hash() == d.Hash() {
			t.Errorf("%+v has the hash of %+v", changed, d)
		}
	}
	if _, err := schema.Unmarshal([]byte("{")); err == nil {
		t.Error("garbage was read")
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range []string{
		"( 2.5.4.3 NAME ( 'cn' 'commonName' ) SUP name )", "( 1.2 NAME 'x' SYNTAX 1.2{3} X-A ( 'b' 'c' ) )",
		"( 2.5.6.6 NAME 'person' SUP ( top $ a ) MUST ( sn $ cn ) )", "((((", "( 1 '", "( 1.2 SUP ( ( ( ",
	} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		d := schema.Definitions{
			AttributeTypes: []string{v, v, "( 1.1 NAME 'a' SUP b )"}, ObjectClasses: []string{v, "( 1.2 NAME 'c' SUP d )"},
			MatchingRules: []string{v}, MatchingRuleUse: []string{v}, Syntaxes: []string{v},
		}
		s, problems := schema.Parse(d)
		if s.Attribute("a") == nil || s.Class("c") == nil || len(problems) > 6 {
			t.Fatalf("%q: %v", v, problems)
		}
		if a := s.Attribute("a"); len(a.WithSubtypes()) > 3 || len(s.Class("c").WithSubclasses()) > 3 {
			t.Fatalf("%q: too many descend", v)
		}
	})
}

// TestHostileDefinitionsCostLinearTime would not come to an end with quadratic time.
func TestHostileDefinitionsCostLinearTime(t *testing.T) {
	names := strings.Repeat("'a' ", 1<<18)
	s, problems := schema.Parse(schema.Definitions{AttributeTypes: []string{
		"( 1.1 NAME ( " + names + ") )", "( 1.2 " + strings.Repeat("X-A ", 1<<18) + ")", strings.Repeat("(", 1<<20),
		"( 1.3 NAME " + strings.Repeat("'", 1<<20),
	}})
	if s.Attribute("a") == nil || len(problems) != 2 {
		t.Errorf("%d problems", len(problems))
	}
}

func BenchmarkParse(b *testing.B) {
	d := schema.BuiltinDefinitions(schema.OpenLDAP)
	b.ReportAllocs()
	for b.Loop() {
		if s, problems := schema.Parse(d); len(problems) > 0 || s.Attribute("cn") == nil {
			b.Fatal(problems)
		}
	}
}
