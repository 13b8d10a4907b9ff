package filter

import (
	"slices"
	"strings"
	"sync"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/schema"
)

// Set is the filters of many modules. It is immutable and safe for concurrent use.
//
// Each filter is filed under what an entry must have for the filter to be true: values,
// such as an object class, and attributes. A match looks up what the entry has, once for
// all filters, and evaluates only those that have all they need. An assertion that several
// filters make is evaluated once.
type Set struct {
	roots  []node // of the filters
	shared int    // the number of assertions that several filters make
	schema *schema.Schema
	needs  []uint8           // by filter: a bit for each of its needs
	files  map[string]*shelf // by the attribute's name in lower case
	pool   sync.Pool         // of *found
}

// shelf is what is filed under one attribute name.
type shelf struct {
	attribute *schema.AttributeType
	present   []card            // need the attribute
	values    map[string][]card // need a value with the key
}

// card is one need of a filter.
type card struct {
	filter int32
	need   uint8 // its bit
}

// found tells which needs an entry meets.
type found struct {
	needs []uint8 // by filter
	buf   []byte
}

// NewSet makes a set of filters that were compiled against one schema.
func NewSet(filters []*Filter) *Set {
	s := &Set{files: map[string]*shelf{}, needs: make([]uint8, len(filters))}
	sharing := sharing{uses: map[string]int{}, assertions: map[string]*shared{}}
	for _, f := range filters {
		sharing.count(f.root)
	}
	for i, f := range filters {
		s.roots = append(s.roots, sharing.share(f.root))
		if f.schema != nil {
			s.schema = f.schema
		}
		for n, need := range needsOf(f.root) {
			bit := uint8(1) << n
			s.needs[i] |= bit
			for _, c := range need.any {
				c.file(s.files, card{int32(i), bit})
			}
		}
	}
	s.shared = len(sharing.assertions)
	s.pool.New = func() any { return &found{make([]uint8, len(filters)), make([]byte, 0, 256)} }
	return s
}

// Match appends the positions of the filters that are true for e, in ascending order. It
// allocates no more than those filters do.
func (s *Set) Match(dst []int, e *listener.Entry) []int {
	f := s.pool.Get().(*found)
	clear(f.needs)
	s.find(e, f)
	scratch := scratches.Get().(*scratch)
	scratch.results = append(scratch.results[:0], make([]uint8, s.shared)...)
	for i, needs := range s.needs {
		if f.needs[i] == needs && s.roots[i].eval(e, scratch) == True {
			dst = append(dst, i)
		}
	}
	scratch.release()
	if cap(f.buf) <= maxScratch {
		s.pool.Put(f)
	}
	return dst
}

// find looks up what the entry has.
func (s *Set) find(e *listener.Entry, f *found) {
	for name, values := range e.All() {
		if i := strings.IndexByte(name, ';'); i >= 0 {
			name = name[:i]
		}
		f.buf = lower(f.buf[:0], name)
		shelf := s.files[string(f.buf)]
		if shelf == nil || values.Len() == 0 {
			continue
		}
		f.take(shelf.present)
		if len(shelf.values) == 0 {
			continue
		}
		for v := range values.All() {
			key, ok := s.schema.AppendKey(f.buf[:0], shelf.attribute, v)
			f.buf = key
			if ok {
				f.take(shelf.values[string(key)])
			}
		}
	}
}

func (f *found) take(cards []card) {
	for _, c := range cards {
		f.needs[c.filter] |= c.need
	}
}

// need is one of several conditions that an entry must meet. With none no entry does.
type need struct {
	any  []condition
	cost int // how many entries meet it, as a guess
}

// maxNeeds is the number of bits in a card.
const maxNeeds = 8

// condition is an attribute that an entry must have, or a value of it.
type condition struct {
	attr *description
	keys []string // nil: any value
}

// The guesses. They only have to be in the right order.
const (
	costOfValue     = 1
	costOfClass     = 8
	costOfAttribute = 64
)

// needsOf returns what an entry must meet, all of it, for the filter to be true.
func needsOf(n node) []need {
	switch n := n.(type) {
	case and:
		var all []need
		for _, sub := range n {
			all = append(all, needsOf(sub)...)
		}
		if len(all) > maxNeeds {
			slices.SortFunc(all, byCost)
			all = all[:maxNeeds]
		}
		return all
	case or:
		var either need
		for _, sub := range n {
			all := needsOf(sub)
			if len(all) == 0 {
				return nil
			}
			least := slices.MinFunc(all, byCost)
			either.any = append(either.any, least.any...)
			either.cost += least.cost
		}
		return []need{either}
	case undefined, never:
		return []need{{}}
	case *present:
		return n.attr.need(nil, costOfAttribute)
	case *compare:
		if m, ok := n.matcher.(typed); ok && n.byKey {
			if keys, ok := schema.Keys(m.Matcher); ok {
				if n.attr.attribute.OID == objectClass {
					return n.attr.need(keys, costOfClass*len(keys))
				}
				return n.attr.need(keys, costOfValue)
			}
		}
		return n.attr.need(nil, costOfAttribute)
	}
	return nil
}

func byCost(a, b need) int { return a.cost - b.cost }

const objectClass = "2.5.4.0"

func (d *description) need(keys []string, cost int) []need {
	if d.entryDN {
		return nil
	}
	return []need{{[]condition{{d, keys}}, cost}}
}

func (c condition) file(files map[string]*shelf, filed card) {
	for _, name := range c.attr.names {
		sh := files[name]
		if sh == nil {
			sh = &shelf{attribute: c.attr.attribute, values: map[string][]card{}}
			files[name] = sh
		}
		// Values of a subtype with a rule of its own have other keys.
		if c.keys == nil || sh.attribute == nil || sh.attribute.Equality != c.attr.attribute.Equality {
			sh.present = append(sh.present, filed)
			continue
		}
		for _, k := range c.keys {
			sh.values[k] = append(sh.values[k], filed)
		}
	}
}
