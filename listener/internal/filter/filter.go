package filter

import (
	"sync"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/schema"
)

// Result is the value of a filter for an entry. Its order is the one in which and
// is the minimum and or the maximum.
type Result int8

// The three values. Only True is a match.
const (
	False Result = iota
	Undefined
	True
)

// String returns false, undefined or true.
func (r Result) String() string {
	return [...]string{"false", "undefined", "true"}[r]
}

func resultOf(b bool) Result {
	if b {
		return True
	}
	return False
}

// Filter is a compiled filter. It is immutable and safe for concurrent use.
type Filter struct {
	root   node
	schema *schema.Schema // nil: compiled without
}

// Compile compiles a filter for the directory that the schema describes; nil stands for
// one of which nothing is known. The error is a [*SyntaxError]. A type, a matching rule or
// a value that the schema doesn't allow is no error: it makes its assertion undefined.
// Time and memory grow linearly with the length of the filter.
func Compile(text string, s *schema.Schema) (*Filter, error) {
	root, err := parse(text, s)
	if err != nil {
		return nil, err
	}
	return &Filter{root, s}, nil
}

// Match evaluates the filter for e. It allocates only for assertions with :dn:, for ~=
// on OpenLDAP, and for values beyond ASCII.
func (f *Filter) Match(e *listener.Entry) Result {
	s := scratches.Get().(*scratch)
	r := f.root.eval(e, s)
	s.release()
	return r
}

var scratches = sync.Pool{New: func() any { return &scratch{buf: make([]byte, 0, 256)} }}

// maxScratch bounds what is kept for the next match.
const maxScratch = 64 << 10

func (s *scratch) release() {
	if cap(s.buf) <= maxScratch {
		scratches.Put(s)
	}
}

// String returns the filter in its canonical form: without optional white space,
// in parentheses, with the escapes that RFC 4515 requires and those of control
// characters, in lower case. Names and values stay as they were written. It
// compiles to the same filter.
func (f *Filter) String() string { return string(f.root.append(nil)) }
