package filter

import "github.com/listenerd/listenerd/listener"

// shared is an assertion that several filters of a [Set] make. It is evaluated for the first
// that asks.
type shared struct {
	node
	number int // its place in scratch
}

func (n *shared) eval(e *listener.Entry, s *scratch) Result {
	if r := s.results[n.number]; r != 0 {
		return Result(r - 1)
	}
	r := n.node.eval(e, s)
	s.results[n.number] = uint8(r) + 1
	return r
}

// sharing finds the assertions that occur more than once, by their text.
type sharing struct {
	uses       map[string]int
	assertions map[string]*shared
}

func (h *sharing) count(n node) {
	switch n := n.(type) {
	case and:
		for _, sub := range n {
			h.count(sub)
		}
	case or:
		for _, sub := range n {
			h.count(sub)
		}
	case not:
		h.count(n.sub)
	default:
		h.uses[string(n.append(nil))]++
	}
}

// share returns n with its shared assertions in place.
func (h *sharing) share(n node) node {
	switch n := n.(type) {
	case and:
		return and(h.shareAll(n))
	case or:
		return or(h.shareAll(n))
	case not:
		return not{h.share(n.sub)}
	}
	text := string(n.append(nil))
	if h.uses[text] < 2 {
		return n
	}
	if h.assertions[text] == nil {
		h.assertions[text] = &shared{n, len(h.assertions)}
	}
	return h.assertions[text]
}

func (h *sharing) shareAll(nodes []node) []node {
	out := make([]node, len(nodes))
	for i, n := range nodes {
		out[i] = h.share(n)
	}
	return out
}
