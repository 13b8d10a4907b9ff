package schema

import (
	"slices"
	"strings"
)

// Rule is a matching rule. Rules are compared by pointer within one schema.
type Rule struct {
	OID    string
	Names  []string
	Syntax string // of the assertion, as an OID

	*implementation // nil: the rule is known by name only
	hidden          bool
}

// Name returns the usual name, the OID if there is none.
func (r *Rule) Name() string {
	if len(r.Names) > 0 {
		return r.Names[0]
	}
	return r.OID
}

// Supported tells whether this package can match by the rule.
func (r *Rule) Supported() bool { return r != nil && r.implementation != nil }

// fits tells whether the rule is meant for values of the syntax besides its own.
func (r *Rule) fits(syntax string) bool {
	return r.Supported() && slices.Contains(r.alsoFits, syntax)
}

// implementation is what the rule does.
type implementation struct {
	oid, name string
	syntax    string // of the assertion
	normal    normalForm
	kind      ruleKind
	hidden    bool // OpenLDAP has it and does not publish it
	noFilter  bool // it is not for extensible matches
	phonetic  bool // ~= by this rule goes by how words sound, on OpenLDAP
	alsoFits  []string
}

// ruleKind is the way in which a rule compares normal forms.
type ruleKind uint8

const (
	equality ruleKind = iota
	ordering
	substrings
	integerOrdering
	bitAnd
	bitOr
	classEquality
	nameUnder // and the following: a name in relation to the asserted one
	nameBelow
	nameJustBelow
	nameAbove
)

// The syntaxes that this package knows (RFC 4517, RFC 4530, and OpenLDAP's CSN).
const (
	syntaxAttributeType = "1.3.6.1.4.1.1466.115.121.1.3"
	syntaxBinary        = "1.3.6.1.4.1.1466.115.121.1.5"
	syntaxBitString     = "1.3.6.1.4.1.1466.115.121.1.6"
	syntaxBoolean       = "1.3.6.1.4.1.1466.115.121.1.7"
	syntaxCountry       = "1.3.6.1.4.1.1466.115.121.1.11"
	syntaxName          = "1.3.6.1.4.1.1466.115.121.1.12"
	syntaxDirectory     = "1.3.6.1.4.1.1466.115.121.1.15"
	syntaxTime          = "1.3.6.1.4.1.1466.115.121.1.24"
	syntaxIA5           = "1.3.6.1.4.1.1466.115.121.1.26"
	syntaxInteger       = "1.3.6.1.4.1.1466.115.121.1.27"
	syntaxNameAndUID    = "1.3.6.1.4.1.1466.115.121.1.34"
	syntaxNumeric       = "1.3.6.1.4.1.1466.115.121.1.36"
	syntaxOIDs          = "1.3.6.1.4.1.1466.115.121.1.38"
	syntaxOctets        = "1.3.6.1.4.1.1466.115.121.1.40"
	syntaxPostal        = "1.3.6.1.4.1.1466.115.121.1.41"
	syntaxPrintable     = "1.3.6.1.4.1.1466.115.121.1.44"
	syntaxTelephone     = "1.3.6.1.4.1.1466.115.121.1.50"
	syntaxSubstring     = "1.3.6.1.4.1.1466.115.121.1.58"
	syntaxUUID          = "1.3.6.1.1.16.1"
	syntaxCSN           = "1.3.6.1.4.1.4203.666.11.2.1"
)

const (
	oidObjectClass           = "2.5.4.0"
	oidStructuralObjectClass = "2.5.21.9"
)

var alsoStrings = []string{syntaxCountry, syntaxPrintable, syntaxTelephone}

var implementations = []implementation{
	{oid: "2.5.13.0", name: "objectIdentifierMatch", syntax: syntaxOIDs, normal: normalOID},
	{oid: "2.5.13.1", name: "distinguishedNameMatch", syntax: syntaxName, normal: normalName},
	{oid: "2.5.13.2", name: "caseIgnoreMatch", syntax: syntaxDirectory, normal: normalFolded, phonetic: true, alsoFits: alsoStrings},
	{oid: "2.5.13.3", name: "caseIgnoreOrderingMatch", syntax: syntaxDirectory, normal: normalFolded, kind: ordering, alsoFits: alsoStrings},
	{oid: "2.5.13.4", name: "caseIgnoreSubstringsMatch", syntax: syntaxSubstring, normal: normalFolded, kind: substrings},
	{oid: "2.5.13.5", name: "caseExactMatch", syntax: syntaxDirectory, normal: normalCased, phonetic: true, alsoFits: alsoStrings},
	{oid: "2.5.13.6", name: "caseExactOrderingMatch", syntax: syntaxDirectory, normal: normalCased, kind: ordering, alsoFits: alsoStrings},
	{oid: "2.5.13.7", name: "caseExactSubstringsMatch", syntax: syntaxSubstring, normal: normalCased, kind: substrings},
	{oid: "2.5.13.8", name: "numericStringMatch", syntax: syntaxNumeric, normal: normalNumeric},
	{oid: "2.5.13.9", name: "numericStringOrderingMatch", syntax: syntaxNumeric, normal: normalNumeric, kind: ordering},
	{oid: "2.5.13.10", name: "numericStringSubstringsMatch", syntax: syntaxSubstring, normal: normalNumeric, kind: substrings},
	{oid: "2.5.13.11", name: "caseIgnoreListMatch", syntax: syntaxPostal, normal: normalList},
	{oid: "2.5.13.12", name: "caseIgnoreListSubstringsMatch", syntax: syntaxSubstring, normal: normalList, kind: substrings},
	{oid: "2.5.13.13", name: "booleanMatch", syntax: syntaxBoolean, normal: normalBoolean},
	{oid: "2.5.13.14", name: "integerMatch", syntax: syntaxInteger, normal: normalInteger},
	{oid: "2.5.13.15", name: "integerOrderingMatch", syntax: syntaxInteger, normal: normalInteger, kind: integerOrdering},
	{oid: "2.5.13.16", name: "bitStringMatch", syntax: syntaxBitString, normal: normalBits},
	{oid: "2.5.13.17", name: "octetStringMatch", syntax: syntaxOctets, normal: normalOctets},
	{oid: "2.5.13.18", name: "octetStringOrderingMatch", syntax: syntaxOctets, normal: normalOctets, kind: ordering},
	{oid: "2.5.13.19", name: "octetStringSubstringsMatch", syntax: syntaxOctets, normal: normalOctets, kind: substrings},
	{oid: "2.5.13.20", name: "telephoneNumberMatch", syntax: syntaxTelephone, normal: normalTelephone},
	{oid: "2.5.13.21", name: "telephoneNumberSubstringsMatch", syntax: syntaxSubstring, normal: normalTelephone, kind: substrings},
	{oid: "2.5.13.23", name: "uniqueMemberMatch", syntax: syntaxNameAndUID, normal: normalNameAndUID},
	{oid: "2.5.13.27", name: "generalizedTimeMatch", syntax: syntaxTime, normal: normalTime},
	{oid: "2.5.13.28", name: "generalizedTimeOrderingMatch", syntax: syntaxTime, normal: normalTime, kind: ordering},
	{oid: "1.3.6.1.4.1.1466.109.114.1", name: "caseExactIA5Match", syntax: syntaxIA5, normal: normalIA5Cased, phonetic: true, alsoFits: []string{syntaxCountry}},
	{oid: "1.3.6.1.4.1.1466.109.114.2", name: "caseIgnoreIA5Match", syntax: syntaxIA5, normal: normalIA5Folded, phonetic: true, alsoFits: []string{syntaxCountry}},
	{oid: "1.3.6.1.4.1.1466.109.114.3", name: "caseIgnoreIA5SubstringsMatch", syntax: syntaxSubstring, normal: normalIA5Folded, kind: substrings},
	{oid: "1.3.6.1.4.1.4203.1.2.1", name: "caseExactIA5SubstringsMatch", syntax: syntaxSubstring, normal: normalIA5Cased, kind: substrings},
	{oid: "1.2.840.113556.1.4.803", name: "integerBitAndMatch", syntax: syntaxInteger, normal: normalInteger, kind: bitAnd},
	{oid: "1.2.840.113556.1.4.804", name: "integerBitOrMatch", syntax: syntaxInteger, normal: normalInteger, kind: bitOr},
	{oid: "1.3.6.1.1.16.2", name: "UUIDMatch", syntax: syntaxUUID, normal: normalUUID},
	{oid: "1.3.6.1.1.16.3", name: "UUIDOrderingMatch", syntax: syntaxUUID, normal: normalUUID, kind: ordering},
	{oid: "1.3.6.1.4.1.4203.666.11.2.2", name: "CSNMatch", syntax: syntaxCSN, normal: normalCSN, hidden: true, noFilter: true},
	{oid: "1.3.6.1.4.1.4203.666.11.2.3", name: "CSNOrderingMatch", syntax: syntaxCSN, normal: normalCSN, kind: ordering, hidden: true},
	{oid: "1.3.6.1.4.1.4203.666.4.9", name: "dnSubtreeMatch", syntax: syntaxName, normal: normalName, kind: nameUnder, hidden: true},
	{oid: "1.3.6.1.4.1.4203.666.4.8", name: "dnOneLevelMatch", syntax: syntaxName, normal: normalName, kind: nameJustBelow, hidden: true},
	{oid: "1.3.6.1.4.1.4203.666.4.10", name: "dnSubordinateMatch", syntax: syntaxName, normal: normalName, kind: nameBelow, hidden: true},
	{oid: "1.3.6.1.4.1.4203.666.4.11", name: "dnSuperiorMatch", syntax: syntaxName, normal: normalName, kind: nameAbove, hidden: true},
}

// objectClassRule matches object classes by name or OID, and superclasses.
var objectClassRule = &Rule{
	OID: "2.5.13.0", Names: []string{"objectIdentifierMatch"}, Syntax: syntaxOIDs,
	implementation: &implementation{syntax: syntaxOIDs, normal: normalOID, kind: classEquality},
}

// known has the rules of this package by each name and OID, in lower case.
var known = func() map[string]*Rule {
	m := make(map[string]*Rule, 2*len(implementations))
	for i := range implementations {
		impl := &implementations[i]
		r := &Rule{OID: impl.oid, Names: []string{impl.name}, Syntax: impl.syntax, implementation: impl, hidden: impl.hidden}
		m[r.OID], m[strings.ToLower(impl.name)] = r, r
	}
	return m
}()

func knownRules() map[string]*Rule { return known }

func implementationOf(oid string, names []string) *implementation {
	for _, k := range keysOf(oid, names) {
		if r := known[k]; r != nil {
			return r.implementation
		}
	}
	return nil
}

// rulesOfSyntax names the rules that 389 DS uses for types that name none.
func rulesOfSyntax(syntax string) (equality, ordering, substr string) {
	switch syntax {
	case syntaxDirectory, syntaxPrintable, syntaxCountry, syntaxOIDs:
		return "caseIgnoreMatch", "caseIgnoreOrderingMatch", "caseIgnoreSubstringsMatch"
	case syntaxIA5:
		return "caseIgnoreIA5Match", "caseIgnoreOrderingMatch", "caseIgnoreIA5SubstringsMatch"
	case syntaxName:
		return "distinguishedNameMatch", "", "caseIgnoreSubstringsMatch"
	case syntaxNameAndUID:
		return "uniqueMemberMatch", "", "caseIgnoreSubstringsMatch"
	case syntaxInteger:
		return "integerMatch", "integerOrderingMatch", ""
	case syntaxBoolean:
		return "booleanMatch", "", ""
	case syntaxTime:
		return "generalizedTimeMatch", "generalizedTimeOrderingMatch", "caseIgnoreSubstringsMatch"
	case syntaxTelephone:
		return "telephoneNumberMatch", "", "telephoneNumberSubstringsMatch"
	case syntaxBitString:
		return "bitStringMatch", "", "caseExactSubstringsMatch"
	case syntaxNumeric:
		return "numericStringMatch", "numericStringOrderingMatch", "numericStringSubstringsMatch"
	case syntaxPostal:
		return "caseIgnoreListMatch", "", "caseIgnoreListSubstringsMatch"
	case syntaxOctets, syntaxBinary:
		return "octetStringMatch", "octetStringOrderingMatch", ""
	}
	return "", "", ""
}
