package filter

import "strings"

// The matchers of assertions that name no rule.

func equality(value string) matcher              { return newEqual(caseIgnore, value) }
func approximate(value string) matcher           { return newEqual(approx, value) }
func ordering(value string, atMost bool) matcher { return newOrdered(caseIgnore, value, atMost) }
func substring(parts []string) matcher           { return newSubstrings(caseIgnore, parts) }

// rule makes the matcher of an extensible match; nil for an assertion value that
// doesn't have the rule's syntax.
type rule func(value string) matcher

// findRule returns the rule with the name or OID; nil if it is not supported.
func findRule(name string) rule {
	switch strings.ToLower(name) {
	case "caseignorematch", "2.5.13.2",
		"caseignoreia5match", "1.3.6.1.4.1.1466.109.114.2",
		"objectidentifiermatch", "2.5.13.0":
		return equality
	case "caseexactmatch", "2.5.13.5",
		"caseexactia5match", "1.3.6.1.4.1.1466.109.114.1":
		return func(value string) matcher { return newEqual(caseExact, value) }
	case "integermatch", "2.5.13.14":
		return func(value string) matcher {
			n, ok := parseInteger(value)
			if !ok {
				return nil
			}
			return equalInteger{n}
		}
	case "integerbitandmatch", "1.2.840.113556.1.4.803":
		return func(value string) matcher { return newBits(value, true) }
	case "integerbitormatch", "1.2.840.113556.1.4.804":
		return func(value string) matcher { return newBits(value, false) }
	}
	return nil
}

func newBits(value string, all bool) matcher {
	if n, ok := parseInteger(value); ok {
		if mask, ok := n.int64(); ok {
			return masked{mask, all}
		}
	}
	return nil
}
