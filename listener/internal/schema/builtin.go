package schema

import (
	_ "embed"
	"strings"
	"sync"
)

//go:embed builtin.schema
var builtinText string

// Builtin returns the schema to use while no provider's is known: core, cosine,
// inetOrgPerson, nis, and operational attributes. It takes unknown types for ones that
// it merely doesn't know; see [Schema.Fallback].
var Builtin = sync.OnceValue(func() *Schema {
	s, _ := Parse(builtinDefinitions())
	s.fallback = true
	return s
})

func builtinDefinitions() Definitions {
	var d Definitions
	var list *[]string
	for line := range strings.Lines(builtinText) {
		switch line = strings.TrimSpace(line); {
		case line == "# ldapSyntaxes":
			list = &d.Syntaxes
		case line == "# matchingRules":
			list = &d.MatchingRules
		case line == "# attributeTypes":
			list = &d.AttributeTypes
		case line == "# objectClasses":
			list = &d.ObjectClasses
		case strings.HasPrefix(line, "("):
			*list = append(*list, line)
		}
	}
	return d
}
