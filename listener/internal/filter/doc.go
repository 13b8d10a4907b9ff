// Package filter compiles LDAP search filters (RFC 4515, with the absolute true
// and false filters of RFC 4526) and matches them on entries.
//
// # Syntax
//
// All of RFC 4515 is understood. Beyond it, what is common in practice:
//
//   - white space around the filter, after an opening parenthesis and between the
//     filters of a list, as in a filter that is folded over several lines;
//   - a single assertion without parentheses, objectClass=person;
//   - the escapes of LDAPv2: \( \) \* and \\;
//   - empty parts between asterisks, which say nothing: (cn=a**b) is (cn=a*b) and
//     (cn=**) is (cn=*).
//
// Filters nest at most 1,000 deep.
//
// # Three values
//
// As RFC 4511 (section 4.5.1.7) has it, a filter is true, false or undefined, and
// only true is a match. Undefined survives a negation: if an entry doesn't match
// (cn:unknownRule:=x) because nobody knows the rule, it doesn't match the negation
// either. An and is as low as its lowest part, an or as high as its highest, in
// the order false, undefined, true.
//
// # With a schema
//
// A filter that is compiled against a server's schema means what it means in a search
// on that server. Types have aliases and OIDs; an assertion is about the subtypes, too.
// Values are compared by the rules of the type, with what package schema says of them.
// Undefined is an assertion about a type that the schema lacks, one of a kind that the
// type has no rule for, one whose value doesn't have the syntax, an extensible match
// with a rule that is not known or not meant for the type, and a :dn: match on a
// malformed DN. An attribute that the entry lacks is false. The tests compare with real
// servers; docs/filters.md lists where those leave the standards, and this package
// follows them.
//
// The fallback schema doesn't say which types there are: types that it lacks are taken as
// without a schema.
//
// # Without a schema
//
// Types are compared without regard to case, names and OIDs as they are written. Values
// are compared as caseIgnoreMatch compares strings: leading and trailing white space
// doesn't count, any other run of it counts as one space, and characters that differ in
// case only are equal, ß and SS not. There is no Unicode normalization. An octet that is
// not UTF-8 equals only itself.
//
//   - Substrings are compared in the same form. White space next to an asterisk
//     counts: (cn=john *) matches "John Doe" and not "Johnny".
//   - >= and <= compare two integers, of any size, by their value, and everything
//     else in the order of the folded characters, in which times of the form
//     20240131235959Z are in order too.
//   - ~= is equality after all white space and hyphens are dropped as well.
//   - objectClass is compared like any other attribute.
//   - An extensible match knows caseIgnoreMatch, caseExactMatch, their IA5 variants,
//     objectIdentifierMatch, integerMatch, integerBitAndMatch and integerBitOrMatch,
//     by name and OID; others are undefined, and so are values without the rule's syntax.
//
// # Options
//
// An attribute with options is a subtype of the one with fewer of them (RFC 4512, section
// 2.5.2): (cn=x) is also asserted of cn;lang-de, and (cn;lang-de=x) of cn;lang-de;x-a but
// not of cn. An option that ends in a hyphen is a range (RFC 3866): (cn;lang-de-=x)
// is asserted of cn;lang-de and cn;lang-de-at. A server's schema doesn't say which options
// it knows: assertions about others than lang- ones are undefined where no such attribute
// is in the entry.
//
// # Many filters
//
// A [Set] matches the filters of many modules on one entry. It evaluates only those that
// can match: each filter is filed under values or attributes of which it needs one.
package filter
