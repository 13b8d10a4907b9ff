// Package schema knows what a directory knows of its attributes: which names mean the
// same, how values are compared, which attributes are operational.
//
// # Schema
//
// A [Schema] is made from [Definitions], the values of a server's subschema entry. What
// is stored are the definitions; they are read tolerantly, and what is not understood is
// left out. [Builtin] serves while no server's are known. A type that a server's schema
// lacks does not exist there, and assertions about it are undefined; the fallback says
// nothing of types it lacks.
//
// # Values
//
// A [Matcher] compares values with an assertion by the matching rule of the type. It
// first checks the assertion against the rule's syntax: what doesn't fit has no matcher,
// which makes the filter undefined (RFC 4511, section 4.5.1.7). Rules are those of RFC
// 4517 and RFC 4530 and the bit rules 803 and 804; text is prepared as RFC 4518 has it.
// Where OpenLDAP and 389 DS read the standards differently, a schema follows the server
// that it comes from ([Definitions], field Vendor): docs/filters.md lists how.
//
// # Names
//
// A distinguished name has a tree key ([TreeKey]): a byte string in which names that are
// equal by any schema are equal, an entry sorts before its descendants, and the keys of its
// descendants begin with its own. The mirror's DN tree and the per-DN order of calls are
// built on it. Names that a schema tells apart may share a key: [Schema.SameName] and
// [Schema.Below] know. Where names are values, [Schema.AppendName] makes their key.
package schema
