// Package event is the document that built-in modules emit for a call: one JSON
// object that tells what call it is, for which entry, and the entry's state before
// and after.
//
//	{"time":"2026-01-02T03:04:05.678Z","module":"journal","call":"modify","seq":42,
//	 "attempt":1,"cause":"live","uuid":"30593fe3-f028-432e-9840-43c43e5fd2da",
//	 "dn":"uid=a,ou=p,dc=x","old_dn":"uid=a,ou=q,dc=x","changed":["sn"],
//	 "old":{"sn":["A"],"uid":["a"]},"new":{"sn":["B"],"uid":["a"]}}
//
// [Encoder] writes it; [Document] reads it back, for consumers written in Go.
//
// # Fields
//
// The order of fields is the one above, attributes are sorted by name, and a field
// that does not apply is absent: pre_run, post_run, initialize and clean have
// neither seq and cause nor anything of an entry, old_dn is there only when the
// entry moved, changed only for modify (as an empty list when only the DN or
// operational attributes differ).
//
// # Values
//
// A value is a JSON string with the value's exact text, or {"base64":"..."} when
// it is not valid UTF-8; dn and old_dn follow the same rule. Attribute names
// are spelled as the provider spells them.
//
// # Repetitions
//
// Calls are delivered at least once, and so are their documents. seq names the
// task: a document that repeats another has the same module, uuid and seq, and the
// same content but for time and attempt.
//
// # Secrets
//
// Attributes that hold passwords and keys ([Secret]) are left out of old, new and
// changed, as if the entry did not have them, unless [Encoder.Secrets] is set. A
// modify of nothing but a password thus has an empty changed: consumers see
// that the entry was touched, not how.
package event
