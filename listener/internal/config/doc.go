// Package config reads the daemon's YAML file into checked structs.
//
// [Load] is strict: every key must be known, given once and have the right type,
// down into the configuration of each module. It goes on after a problem and
// returns all of them as [Problems], each with its line, so that one run of check
// is enough to repair a file.
//
// # How a file is read
//
// The text is parsed to yaml.v3 nodes, which know their lines. A decoder of our
// own ([decoder]) walks these nodes along the type that is to be filled: yaml.v3's
// KnownFields does not reach a node that is decoded later, and a module's config
// is decoded later, into a type that only the module knows. Anchors, aliases and
// merge keys work as usual. What the decoder filled in is then checked section by
// section; a value that was already reported is not reported again for what
// follows from it.
//
// # Paths and secrets
//
// Relative paths are relative to the directory of the configuration file, not to
// the working directory. Paths in a module's config are the module's own matter.
// Passwords are never written in the file: a key names a file that holds one. It
// is read by Load and kept as a [Secret], which no formatting prints.
package config
