package filter_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// testSchema is what the servers of the differential tests have besides their own: types
// for the syntaxes, rules and chains that those lack. Both servers read these lines.
var testTypes = []string{
	"( 1.3.6.1.4.1.55555.1.1 NAME ( 'xFlag' 'xFlagAlias' ) EQUALITY booleanMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.7 )",
	"( 1.3.6.1.4.1.55555.1.2 NAME 'xTime' EQUALITY generalizedTimeMatch ORDERING generalizedTimeOrderingMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.24 )",
	"( 1.3.6.1.4.1.55555.1.3 NAME 'xNumber' EQUALITY integerMatch ORDERING integerOrderingMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 )",
	"( 1.3.6.1.4.1.55555.1.4 NAME 'xText' EQUALITY caseIgnoreMatch ORDERING caseIgnoreOrderingMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )",
	"( 1.3.6.1.4.1.55555.1.5 NAME 'xCased' EQUALITY caseExactMatch ORDERING caseExactOrderingMatch SUBSTR caseExactSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )",
	"( 1.3.6.1.4.1.55555.1.6 NAME 'xOctets' EQUALITY octetStringMatch ORDERING octetStringOrderingMatch SUBSTR octetStringSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )",
	"( 1.3.6.1.4.1.55555.1.7 NAME 'xDigits' EQUALITY numericStringMatch ORDERING numericStringOrderingMatch SUBSTR numericStringSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.36 )",
	"( 1.3.6.1.4.1.55555.1.8 NAME 'xUUID' EQUALITY UUIDMatch ORDERING UUIDOrderingMatch SYNTAX 1.3.6.1.1.16.1 )",
	"( 1.3.6.1.4.1.55555.1.9 NAME 'xLines' EQUALITY caseIgnoreListMatch SUBSTR caseIgnoreListSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.41 )",
	"( 1.3.6.1.4.1.55555.1.10 NAME 'xBits' EQUALITY bitStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.6 )",
	"( 1.3.6.1.4.1.55555.1.11 NAME 'xOID' EQUALITY objectIdentifierMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.38 )",
	"( 1.3.6.1.4.1.55555.1.12 NAME 'xPrintable' EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.44 )",
	"( 1.3.6.1.4.1.55555.1.13 NAME 'xTextKind' SUP xText )",
	"( 1.3.6.1.4.1.55555.1.14 NAME ( 'xTextSort' 'xTextSortAlias' ) SUP xTextKind )",
	"( 1.3.6.1.4.1.55555.1.15 NAME 'xMute' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )",
}

var testClasses = []string{
	"( 1.3.6.1.4.1.55555.2.1 NAME 'xBase' SUP top ABSTRACT )",
	"( 1.3.6.1.4.1.55555.2.2 NAME ( 'xLeft' 'xLeftAlias' ) SUP xBase AUXILIARY )",
	"( 1.3.6.1.4.1.55555.2.3 NAME 'xRight' SUP xLeft AUXILIARY )",
}

// kind is how values of a type look.
type kind int

const (
	text kind = iota
	ia5
	digits
	phone
	number
	boolean
	moment
	name
	uniqueName
	uuid
	octets
	lines
	bitString
	oid
	printable
	class
	csn
)

type attributeKind struct {
	names []string // the first is what entries have
	kind  kind
}

// attributeKinds are the attributes that entries have and filters ask for.
var attributeKinds = []attributeKind{
	{[]string{"cn", "commonName", "2.5.4.3", "CN", "name"}, text}, {[]string{"sn", "surname", "name", "Name"}, text},
	{[]string{"description", "2.5.4.13"}, text}, {[]string{"givenName", "gn"}, text}, {[]string{"title"}, text}, {[]string{"displayName"}, text},
	{[]string{"ou", "organizationalUnitName"}, text}, {[]string{"uid", "userid", "0.9.2342.19200300.100.1.1"}, text},
	{[]string{"xText", "XTEXT"}, text}, {[]string{"xTextKind", "xText"}, text}, {[]string{"xTextSort", "xTextSortAlias", "xText", "xTextKind"}, text}, {[]string{"xCased"}, text},
	{[]string{"xMute"}, text}, {[]string{"xPrintable"}, printable},
	{[]string{"mail", "rfc822Mailbox"}, ia5}, {[]string{"gecos"}, ia5}, {[]string{"homeDirectory"}, ia5}, {[]string{"loginShell"}, ia5},
	{[]string{"xDigits"}, digits}, {[]string{"x121Address"}, digits}, {[]string{"telephoneNumber"}, phone}, {[]string{"mobile", "mobileTelephoneNumber"}, phone},
	{[]string{"uidNumber"}, number}, {[]string{"gidNumber", "1.3.6.1.1.1.1.1"}, number}, {[]string{"shadowMin"}, number}, {[]string{"xNumber"}, number},
	{[]string{"xFlag", "xFlagAlias"}, boolean}, {[]string{"xTime"}, moment}, {[]string{"seeAlso", "distinguishedName"}, name}, {[]string{"member", "distinguishedName"}, name},
	{[]string{"manager"}, name}, {[]string{"uniqueMember"}, uniqueName}, {[]string{"xUUID"}, uuid}, {[]string{"userPassword"}, octets}, {[]string{"xOctets"}, octets},
	{[]string{"postalAddress"}, lines}, {[]string{"xLines"}, lines}, {[]string{"xBits"}, bitString}, {[]string{"xOID"}, oid},
	{[]string{"jpegPhoto"}, octets}, {[]string{"objectClass", "OBJECTCLASS", "2.5.4.0"}, class},
}

// maintained are attributes that only the server sets.
var maintained = []attributeKind{
	{[]string{"entryUUID"}, uuid}, {[]string{"createTimestamp"}, moment}, {[]string{"modifyTimestamp"}, moment}, {[]string{"entryCSN"}, csn},
	{[]string{"structuralObjectClass"}, class}, {[]string{"creatorsName"}, name}, {[]string{"entryDN"}, name},
}

var ruleNames = []string{
	"caseIgnoreMatch", "2.5.13.2", "caseExactMatch", "caseIgnoreOrderingMatch", "caseExactOrderingMatch", "caseIgnoreIA5Match", "caseExactIA5Match",
	"integerMatch", "integerOrderingMatch", "1.2.840.113556.1.4.803", "1.2.840.113556.1.4.804", "integerBitAndMatch", "distinguishedNameMatch",
	"generalizedTimeMatch", "generalizedTimeOrderingMatch", "numericStringMatch", "numericStringOrderingMatch", "octetStringMatch", "octetStringOrderingMatch",
	"telephoneNumberMatch", "booleanMatch", "UUIDMatch", "objectIdentifierMatch", "caseIgnoreListMatch", "bitStringMatch", "uniqueMemberMatch",
	"caseIgnoreSubstringsMatch", "dnSubtreeMatch", "dnOneLevelMatch", "dnSubordinateMatch", "dnSuperiorMatch", "noSuchMatch", "1.2.3.4",
}

// generator makes entries and filters, the same for the same seed.
type generator struct {
	*rand.Rand
	entries []*ldap.Entry // what the server has; filters ask for their values
	plain   bool          // only what all servers do the same way
}

func newGenerator(seed uint64) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 5))}
}

func pick[T any](g *generator, from []T) T { return from[g.IntN(len(from))] }

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

var fragments = []string{
	"Jane", "jane", "JANE", "Roe", "roe", "Müller", "mueller", "MÜLLER", "Mu\u0308ller", "straße", "STRASSE", "a", "b", "A", "x", "7", "42", "night", "knight", "Xavier",
	"philosophy", "filosofy", "Thumb", "catch", "vision", "-", "--", "a-b", "o'neil", ",", "+", "=", "*", "(", ")", "\\", "#", ";", "<>", `"`, "ﬁ", "ＦＵＬＬ", "Σίσυφος", "ΣΊΣΥΦΟΣ", "日本", "é", "e\u0301", "É",
	"Ω", "Å", "å", "½", "Ⅷ", "…", "\u00a0", "Жук", "ЖУК", "ñ", "n\u0303", "ø", "ł", "ß", "Schmidt", "Wright", "right", "gnome", "whale", "edge", "ghost", "laugh",
}

func (g *generator) words() string {
	if g.plain && g.chance(70) { // the server keeps few of the entries with others
		return pick(g, []string{"Jane", "jane", "JANE", "Roe", "a", "A", "ab", "x-y", "42", "Țepeș", "ȚEPEȘ", "İpek", "ÇINAR"}) + pick(g, []string{"", "", " Roe", " roe", "  ROE", " a", " ", "\t", "\tRoe"})
	}
	var b strings.Builder
	spaces := []string{"", " ", " ", " ", "  "}
	b.WriteString(pick(g, spaces[:2+3*g.IntN(2)]))
	for i := range 1 + g.IntN(3) {
		if i > 0 {
			b.WriteString(pick(g, spaces))
		}
		b.WriteString(pick(g, fragments))
	}
	if g.chance(10) {
		b.WriteString(pick(g, spaces))
	}
	if g.chance(2) {
		b.WriteString(strings.Repeat("long ", 500))
	}
	return b.String()
}

func (g *generator) of(alphabet string, least, most int) string {
	var b strings.Builder
	for range least + g.IntN(most-least+1) {
		b.WriteByte(alphabet[g.IntN(len(alphabet))])
	}
	return b.String()
}

// value returns a value of the kind, now and then one that doesn't fit.
func (g *generator) value(k kind) string {
	if g.chance(3) && !g.plain {
		return pick(g, []string{"", " ", "x", "\xff", "é", "0", "-", "TRUE", g.words()})
	}
	switch k {
	case text:
		return g.words()
	case ia5:
		return g.of("abAB/. @-1", 1, 8)
	case printable:
		return g.of("abAB .,+-/:?()='1", 1, 8)
	case digits:
		return g.of("012 ", 1, 6)
	case phone:
		return "+" + g.of("12 -a", 1, 7)
	case number:
		if g.plain {
			return fmt.Sprint(g.IntN(200) - 20)
		}
		return pick(g, []string{"0", "1", "2", "3", "6", "7", "8", "10", "42", "99", "100", "-1", "-10", "-7", "2147483648", "-9223372036854775808", "9223372036854775807", "18446744073709551616", "007", "-0", fmt.Sprint(g.IntN(300) - 50)})
	case boolean:
		return pick(g, []string{"TRUE", "FALSE", "TRUE", "FALSE", "true"})
	case moment:
		return g.moment()
	case name:
		return g.name(1 + g.IntN(3))
	case uniqueName:
		if g.chance(40) {
			return g.name(2) + "#'" + g.of("01", 0, 4) + "'B"
		}
		return g.name(2)
	case uuid:
		return fmt.Sprintf("%s-0000-4000-8000-00000000000%d", pick(g, []string{"0000000a", "0000000A", "AbCdEf00", "abcdef00", "12345678"}), g.IntN(3))
	case octets:
		return g.of("aA\x00\xff b*", 1, 4)
	case lines:
		parts := []string{}
		for range 1 + g.IntN(3) {
			parts = append(parts, strings.NewReplacer("\\", "\\5C", "$", "\\24").Replace(g.words()))
		}
		return strings.Join(parts, "$")
	case bitString:
		return "'" + g.of("01", 0, 4) + "'B"
	case oid:
		return pick(g, []string{"1.2.3", "2.5.4.3", "cn", "1.2", "2.5.6.6", "person"})
	case class:
		return pick(g, []string{"person", "PERSON", "2.5.6.6", "inetOrgPerson", "organizationalPerson", "top", "xBase", "xLeft", "xLeftAlias", "1.3.6.1.4.1.55555.2.2", "xRight", "posixAccount", "device",
			"extensibleObject", "noSuchClass", "1.2.3.4", "organizationalUnit", "account"})
	case csn:
		return "20260101000000.000000Z#000000#000#000000"
	}
	panic("no such kind")
}

func (g *generator) moment() string {
	b := fmt.Sprintf("20%02d%02d%02d%02d", 23+g.IntN(2), 1+g.IntN(3), 27+g.IntN(5), g.IntN(25))
	if g.chance(80) {
		b += fmt.Sprintf("%02d", g.IntN(2)*30)
		if g.chance(80) {
			b += pick(g, []string{"00", "01", "59", "60"})
		}
	}
	if g.chance(40) {
		b += pick(g, []string{".", ",", ".", "."}) + g.of("0125", 1, 3)
	}
	return b + pick(g, []string{"Z", "Z", "Z", "+0100", "-0130", "+00", "-11", "+2359", "", "z"})
}

// name returns a name, in one of its spellings, of n parts below the base.
func (g *generator) name(n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(g.rdn())
		b.WriteString(pick(g, []string{",", ",", ", ", " , ", ";"}))
	}
	return b.String() + pick(g, []string{"dc=example,dc=com", "DC=Example, dc=COM", "domainComponent=example,0.9.2342.19200300.100.1.25=com"})
}

var namingTypes = []string{"cn", "CN", "commonName", "2.5.4.3", "uid", "ou", "sn", "xCased", "homeDirectory", "uidNumber", "telephoneNumber"}

func (g *generator) rdn() string {
	typ := pick(g, namingTypes)
	rdn := typ + "=" + g.nameValue(typ)
	if g.chance(15) {
		other := pick(g, namingTypes)
		rdn += pick(g, []string{"+", " + "}) + other + "=" + g.nameValue(other)
	}
	return rdn
}

func (g *generator) nameValue(typ string) string {
	v := pick(g, []string{"a", "A", "b", "Jane Roe", "jane  roe", "Müller", "a,b", "a+b", " a", "x#y", "#x", `q"`, "é"})
	switch typ {
	case "uidNumber":
		v = fmt.Sprint(g.IntN(4))
	case "homeDirectory":
		v = pick(g, []string{"/a", "/A"})
	case "telephoneNumber":
		v = pick(g, []string{"1 2", "12", "1-2"})
	}
	switch g.IntN(12) {
	case 0:
		if !strings.ContainsAny(v, `"`) {
			return `"` + v + `"`
		}
	case 1:
		return fmt.Sprintf(`\%02x`, v[0]) + ldap.EscapeDN("." + v[1:])[1:]
	case 2:
		if g.chance(20) {
			return pick(g, []string{"", "a\\", "#04", "a<b", "\\xx"}) // malformed
		}
	}
	return ldap.EscapeDN(v)
}

// addRequest returns an entry to add under the parent. The server may refuse it.
func (g *generator) addRequest(number int, parent string) *ldap.AddRequest {
	naming := pick(g, []string{"cn", "uid", "ou", "cn", "xCased"})
	value := fmt.Sprintf("%s %d", pick(g, fragments[:40]), number)
	dn := naming + "=" + ldap.EscapeDN(value)
	r := ldap.NewAddRequest(dn+","+parent, nil)
	structural := pick(g, []string{"inetOrgPerson", "person", "organizationalUnit", "device", "organizationalPerson"})
	classes := []string{structural, "extensibleObject"}
	for _, aux := range []string{"posixAccount", "xRight", "xLeft"} {
		if g.chance(25) {
			classes = append(classes, aux)
		}
	}
	values := map[string][]string{naming: {value}}
	for _, must := range []string{"cn", "sn", "ou", "uid"} {
		if len(values[must]) == 0 {
			values[must] = []string{g.words()}
		}
	}
	values["uidNumber"], values["gidNumber"], values["homeDirectory"] = []string{fmt.Sprint(g.IntN(300))}, []string{fmt.Sprint(g.IntN(10))}, []string{"/home/" + g.of("ab", 1, 2)}
	for range 2 + g.IntN(12) {
		a := pick(g, attributeKinds)
		if a.kind == class {
			continue
		}
		n := 1
		if g.chance(30) {
			n = 1 + g.IntN(4)
		}
		key := a.names[0]
		if a.kind == text && g.chance(12) {
			key += pick(g, []string{";lang-de", ";lang-en", ";lang-de-at", ";lang-de;lang-en"})
		}
		if _, set := values[key]; set && key != "description" {
			continue
		}
		for range n {
			values[key] = append(values[key], g.value(a.kind))
		}
	}
	r.Attribute("objectClass", classes)
	for key, v := range values {
		r.Attribute(key, v)
	}
	return r
}

// filter returns a filter that is at most depth deep.
func (g *generator) filter(depth int) string {
	if depth > 1 && g.chance(70) {
		switch g.IntN(5) {
		case 0, 1:
			return g.filterList("&", depth)
		case 2, 3:
			return g.filterList("|", depth)
		}
		if g.plain {
			return "(!" + g.item() + ")"
		}
		return "(!" + g.filter(depth-1) + ")"
	}
	return g.item()
}

func (g *generator) filterList(operator string, depth int) string {
	b := "(" + operator
	least := 0
	if g.plain {
		least = 1
	}
	for range least + g.IntN(4-least) {
		b += g.filter(depth - 1)
	}
	return b + ")"
}

// plainKinds are the attributes on which servers agree.
var plainKinds = []attributeKind{
	{[]string{"cn", "commonName", "2.5.4.3"}, text}, {[]string{"sn", "surname"}, text}, {[]string{"description"}, text}, {[]string{"title"}, text},
	{[]string{"uidNumber"}, number}, {[]string{"xNumber"}, number}, {[]string{"xText"}, text}, {[]string{"xFlag", "xFlagAlias"}, boolean},
	{[]string{"seeAlso"}, name}, {[]string{"member"}, name}, {[]string{"objectClass"}, class}, {[]string{"gecos"}, ia5}, {[]string{"mail"}, ia5}, {[]string{"xCased"}, text},
	{[]string{"manager"}, name}, {[]string{"uniqueMember"}, uniqueName}, {[]string{"xTime"}, moment}, {[]string{"xOctets"}, octets},
	{[]string{"postalAddress"}, lines}, {[]string{"xLines"}, lines}, {[]string{"xBits"}, bitString}, {[]string{"xOID"}, oid}, {[]string{"xDigits"}, digits}, {[]string{"telephoneNumber"}, phone},
	{[]string{"xMute"}, text}, {[]string{"xPrintable"}, printable}, {[]string{"xTextKind"}, text},
}

// ranged are those of which 389 DS has no index, which would be in another order.
var ranged = []string{"xNumber", "xText", "xCased", "xTime", "xDigits", "xMute"}

func (g *generator) plainItem() string {
	a := pick(g, plainKinds)
	attr, value := pick(g, a.names), g.assertionValue(a)
	switch n := g.IntN(10); {
	case n < 2:
		return "(" + attr + "=*)"
	case n < 5 && a.kind != number && a.kind != boolean && a.kind != class && a.kind != octets && a.kind != phone:
		if !slices.Contains(ranged, attr) {
			value = strings.Join(strings.Fields(value), "") // with spaces next to an asterisk the index disagrees with the entries
		}
		return "(" + attr + "=" + g.parts(value) + ")"
	case n < 6 && slices.Contains(ranged, attr):
		return "(" + attr + ">=" + escape(value) + ")"
	case n < 7 && slices.Contains(ranged, attr):
		return "(" + attr + "<=" + escape(value) + ")"
	}
	return "(" + attr + "=" + escape(value) + ")"
}

func (g *generator) item() string {
	if g.plain {
		return g.plainItem()
	}
	a := pick(g, attributeKinds)
	if g.chance(10) {
		a = pick(g, maintained)
	}
	attr, k := pick(g, a.names), a.kind
	if !g.plain && g.chance(2) {
		attr = pick(g, []string{"noSuchType", "1.2.3.4.5", "altServer", "cn;binary", "cn;x-unknown", "createTimestamp;lang-de", "userCertificate;binary"})
	}
	if k == text && g.chance(12) {
		attr += pick(g, []string{";lang-de", ";lang-en", ";LANG-DE-AT", ";lang-", ";lang-de-", ";lang-en;lang-de"})
	}
	value := g.assertionValue(a)
	switch n := g.IntN(20); {
	case n < 6:
		return "(" + attr + "=" + escape(value) + ")"
	case n < 8:
		return "(" + attr + "=*)"
	case n < 12:
		return "(" + attr + "=" + g.parts(value) + ")"
	case n < 14:
		return "(" + attr + ">=" + escape(value) + ")"
	case n < 16:
		return "(" + attr + "<=" + escape(value) + ")"
	case n < 17:
		return "(" + attr + "~=" + escape(value) + ")"
	}
	dn := ""
	if g.chance(30) {
		dn = ":dn"
	}
	rule := ""
	if g.chance(75) {
		rule = ":" + pick(g, ruleNames)
		if attr == "entryDN" && rule == ":dnSuperiorMatch" {
			rule = ":dnSubtreeMatch" // slapd's database finds nothing above a name that no entry has
		}
		if g.chance(15) {
			attr = ""
		}
	}
	return "(" + attr + dn + rule + ":=" + escape(value) + ")"
}

// assertionValue returns a value of an entry, as it is or changed a little, or any.
func (g *generator) assertionValue(a attributeKind) string {
	if g.chance(25) || len(g.entries) == 0 {
		return g.value(a.kind)
	}
	e := pick(g, g.entries)
	values := e.GetEqualFoldAttributeValues(a.names[0])
	for range 20 {
		if len(values) > 0 {
			break
		}
		e = pick(g, g.entries)
		values = e.GetEqualFoldAttributeValues(a.names[0])
	}
	if a.kind == name && g.chance(30) {
		values = []string{e.DN}
	}
	if len(values) == 0 {
		return g.value(a.kind)
	}
	v := pick(g, values)
	if a.kind == name && g.plain {
		return g.respelled(v)
	}
	switch g.IntN(9) - 1 {
	case 0:
		v = strings.ToUpper(v)
	case 1:
		v = strings.ToLower(v)
	case 2:
		v = " " + strings.ReplaceAll(v, " ", "   ") + " "
	case 3:
		v = strings.ReplaceAll(v, " ", "")
	}
	return v
}

// respelled returns a name in another spelling, mostly.
func (g *generator) respelled(dn string) string {
	var b strings.Builder
	for i, c := range dn {
		switch {
		case c == '\\':
			b.WriteString(dn[i:])
			return b.String()
		case c == ' ':
			b.WriteString(pick(g, []string{" ", " ", "  ", "\\ ", "\\20", "\n", ""}))
		case c == ',':
			b.WriteString(pick(g, []string{",", ",", ";", ", ", " ,", "  ;  "}))
		case c == '=' || c == '+':
			b.WriteString(pick(g, []string{string(c), string(c), " " + string(c), string(c) + " "}))
		case g.chance(5):
			b.WriteString(strings.ToUpper(string(c)))
		case g.chance(3):
			for _, octet := range []byte(string(c)) {
				fmt.Fprintf(&b, `\%02x`, octet)
			}
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// parts returns the assertion of a value with some of its pieces left out.
func (g *generator) parts(value string) string {
	runes := []rune(value)
	var b strings.Builder
	asterisk := false
	for len(runes) > 0 {
		n := 1 + g.IntN(len(runes))
		if g.chance(50) {
			b.WriteString(escape(string(runes[:n])))
			asterisk = false
		} else if !asterisk {
			b.WriteByte('*')
			asterisk = true
		}
		runes = runes[n:]
		if n > 0 && !asterisk && len(runes) > 0 {
			b.WriteByte('*')
			asterisk = true
		}
	}
	if s := b.String(); strings.Contains(s, "*") {
		return s
	}
	return b.String() + "*"
}
