package schema

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
)

// WriteMeaning writes to w, most often a hash, what a matcher goes by: two that write the
// same match the same values.
func WriteMeaning(w io.Writer, m Matcher) {
	fmt.Fprintf(w, "%T ", m)
	form := func(s *Schema, form normalForm) {
		fmt.Fprintf(w, "%d %s ", form, s.vendor)
		switch {
		case form == normalName, form == normalNameAndUID:
			fmt.Fprint(w, s.namesMeaning())
		case form == normalOID && s.vendor != OpenLDAP:
			fmt.Fprintf(w, "%x", s.hash)
		}
	}
	switch m := m.(type) {
	case *equal:
		form(m.s, m.form)
		fmt.Fprintf(w, "%q", m.want)
	case *equalFolded:
		form(m.s, m.form)
		fmt.Fprintf(w, "%q", m.want)
	case *ordered:
		form(m.s, m.form)
		fmt.Fprintf(w, "%q %v", m.want, m.atMost)
	case *less:
		form(m.s, m.form)
		fmt.Fprintf(w, "%q", m.want)
	case *parted:
		form(m.s, m.form)
		fmt.Fprintf(w, "%q %q %q", m.initial, m.any, m.final)
	case *roughNameAndUID:
		form(m.s, normalNameAndUID)
		fmt.Fprintf(w, "%q %q", m.name, m.uid)
	case *relation:
		form(m.s, normalName)
		fmt.Fprintf(w, "%q %d", m.want, m.kind)
	case *sounds:
		form(m.s, m.form)
		fmt.Fprintf(w, "%q", m.words)
	case *bits:
		fmt.Fprintf(w, "%d %v %v", m.mask, m.beyond, m.all)
	case *classes:
		fmt.Fprintf(w, "%q", slices.Sorted(slices.Values(m.names)))
	}
	fmt.Fprintln(w)
}

// namesMeaning is the same for schemas that read names that are values alike.
func (s *Schema) namesMeaning() string {
	s.namesOnce.Do(func() {
		h := sha256.New()
		fmt.Fprint(h, s.fallback)
		for _, key := range slices.Sorted(maps.Keys(s.types)) {
			t := s.types[key]
			fmt.Fprintf(h, "%q %q %q", key, t.keys[0], t.Syntax)
			if t.Equality.Supported() {
				fmt.Fprint(h, t.Equality.normal)
			}
		}
		s.names = hex.EncodeToString(h.Sum(nil))
	})
	return s.names
}
