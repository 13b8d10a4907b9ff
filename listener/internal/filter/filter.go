package filter

import "github.com/listenerd/listenerd/listener"

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
type Filter struct{ root node }

// Compile compiles a filter. The error is a [*SyntaxError]. A matching rule that
// is not supported is no error: it makes its assertion undefined. Time and memory
// grow linearly with the length of the filter.
func Compile(s string) (*Filter, error) {
	root, err := parse(s)
	if err != nil {
		return nil, err
	}
	return &Filter{root}, nil
}

// Match evaluates the filter for e. It allocates only for assertions with :dn:.
func (f *Filter) Match(e *listener.Entry) Result { return f.root.eval(e) }

// String returns the filter in its canonical form: without optional white space,
// in parentheses, with the escapes that RFC 4515 requires and those of control
// characters, in lower case. Names and values stay as they were written. It
// compiles to the same filter.
func (f *Filter) String() string { return string(f.root.append(nil)) }
