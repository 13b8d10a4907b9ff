package schema

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
)

// Vendor names the server whose reading of the standards a schema follows.
type Vendor string

// The vendors that differ in what this package does.
const (
	Standard     Vendor = ""         // as the RFCs have it
	OpenLDAP     Vendor = "openldap" // slapd
	Directory389 Vendor = "389ds"    // 389 Directory Server and its relatives
)

// Definitions are the values of a subschema entry as the server wrote them, by
// attribute (RFC 4512, section 4.2), and the server's vendor. They are what is stored:
// a [Schema] is made from them at any time.
type Definitions struct {
	Vendor          Vendor   `json:"vendor,omitempty"`
	AttributeTypes  []string `json:"attributeTypes,omitempty"`
	ObjectClasses   []string `json:"objectClasses,omitempty"`
	MatchingRules   []string `json:"matchingRules,omitempty"`
	MatchingRuleUse []string `json:"matchingRuleUse,omitempty"`
	Syntaxes        []string `json:"ldapSyntaxes,omitempty"`
}

// Marshal returns the stored form.
func (d Definitions) Marshal() ([]byte, error) { return json.Marshal(d) }

// Unmarshal reads what [Definitions.Marshal] wrote.
func Unmarshal(stored []byte) (Definitions, error) {
	var d Definitions
	if err := json.Unmarshal(stored, &d); err != nil {
		return Definitions{}, fmt.Errorf("read schema: %w", err)
	}
	return d, nil
}

// Hash identifies a set of definitions.
type Hash [sha256.Size]byte

// Hash returns the same for the same definitions in any order: servers promise none.
func (d Definitions) Hash() Hash {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", d.Vendor)
	for _, list := range [][]string{d.AttributeTypes, d.ObjectClasses, d.MatchingRules, d.MatchingRuleUse, d.Syntaxes} {
		for _, v := range slices.Sorted(slices.Values(list)) {
			fmt.Fprintf(h, "%d %s\n", len(v), v)
		}
		fmt.Fprintln(h)
	}
	return Hash(h.Sum(nil))
}
