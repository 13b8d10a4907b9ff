package schema

// BuiltinDefinitions returns the definitions of the fallback, for tests that want them
// read as a server's.
func BuiltinDefinitions(v Vendor) Definitions {
	d := builtinDefinitions()
	d.Vendor = v
	return d
}

// Place returns what tells the place of dn from others.
func Place(s *Schema, dn string) []byte { return s.appendPlace(nil, dn) }
