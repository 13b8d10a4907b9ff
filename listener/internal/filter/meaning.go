package filter

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"github.com/listenerd/listenerd/listener/internal/schema"
)

// meaningVersion is part of each meaning: it grows when filters come to be read in another
// way.
const meaningVersion = 1

// Meaning returns a short text that is the same for filters which are true for the same
// entries: with the same text, as far as the schema reads it alike. Its types may be called
// by other names, or have other rules or subtypes; object classes may have more or fewer
// that descend from them. It may differ where nothing follows from it.
func (f *Filter) Meaning() string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s\n", meaningVersion, f)
	writeMeaning(h, f.root)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func writeMeaning(w io.Writer, n node) {
	switch n := n.(type) {
	case and:
		writeMeanings(w, n)
	case or:
		writeMeanings(w, n)
	case not:
		writeMeaning(w, n.sub)
	case *present:
		n.attr.writeMeaning(w)
	case *compare:
		n.attr.writeMeaning(w)
		fmt.Fprintln(w, n.hasty)
		writeMatcher(w, n.matcher)
	case *compareAll:
		writeMatcher(w, n.matcher)
	case *compareDN:
		fmt.Fprintln(w, "in names")
		writeMeaning(w, n.node)
	default:
		fmt.Fprintf(w, "%T\n", n)
	}
}

func writeMeanings(w io.Writer, nodes []node) {
	for _, n := range nodes {
		writeMeaning(w, n)
	}
}

func (d *description) writeMeaning(w io.Writer) {
	fmt.Fprintf(w, "%q %v %v %v %v\n", slices.Sorted(slices.Values(d.names)), d.entryDN, d.absent, d.twoValued, d.attribute != nil)
}

func writeMatcher(w io.Writer, m matcher) {
	fmt.Fprintf(w, "%T ", m)
	switch m := m.(type) {
	case typed:
		schema.WriteMeaning(w, m.Matcher)
	case twoValued:
		schema.WriteMeaning(w, m.Matcher)
	}
}
