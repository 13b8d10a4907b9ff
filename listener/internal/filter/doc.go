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
// Undefined is an extensible match with a rule that is not supported, one with an
// assertion value or an attribute value that doesn't have the rule's syntax, and
// a :dn: match on a malformed DN. An attribute that the entry lacks is false, as
// on a server that knows the type.
//
// # Attributes
//
// Types are compared without regard to case, names and OIDs as they are written:
// nothing here knows that cn, commonName and 2.5.4.3 are one. An attribute with
// options is a subtype of the one with fewer of them (RFC 4512, section 2.5.2):
// (cn=x) is also asserted of cn;lang-de, and (cn;lang-de=x) of cn;lang-de;x-a but
// not of cn. An option that ends in a hyphen is a range (RFC 3866): (cn;lang-de-=x)
// is asserted of cn;lang-de and cn;lang-de-at.
//
// # Values
//
// Without a schema all values are compared as caseIgnoreMatch compares strings:
// leading and trailing white space doesn't count, any other run of it counts as one
// space, and characters that differ in case only are equal. Case is folded
// character by character as OpenLDAP does it, so ß and SS differ while Σ, σ and ς
// are equal. There is no Unicode normalization: a precomposed é differs from e
// with a combining accent. An octet that is not UTF-8 equals only itself.
//
//   - Substrings are compared in the same form. White space next to an asterisk
//     counts: (cn=john *) matches "John Doe" and not "Johnny".
//   - >= and <= compare two integers, of any size, by their value, and everything
//     else in the order of the folded characters, in which times of the form
//     20240131235959Z are in order too.
//   - ~= is equality after all white space and hyphens are dropped as well.
//   - objectClass is compared like any other attribute. Superclasses match where
//     the server sends them as values, which OpenLDAP does.
//
// # Matching rules
//
// An extensible match knows these rules, by name and by OID: caseIgnoreMatch,
// caseExactMatch, their IA5 variants, objectIdentifierMatch, integerMatch,
// integerBitAndMatch (1.2.840.113556.1.4.803) and integerBitOrMatch
// (1.2.840.113556.1.4.804). Without a rule it is an equality match. Without an
// attribute it is asserted of all attributes, and values that don't have the
// rule's syntax don't match. With :dn: it is asserted of the attributes in the
// entry's DN, too.
package filter
