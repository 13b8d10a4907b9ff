package config

import "gopkg.in/yaml.v3"

// pair is one key of a mapping with its value.
type pair struct {
	name  string // the key as text
	line  int    // of the key
	key   *yaml.Node
	value *yaml.Node
}

// pairs returns what the mapping n holds, merge keys resolved: a key of the
// mapping itself wins over a merged one, an earlier merged mapping over a later
// one. It reports duplicate keys and keys that are no plain text, and tells
// whether there were none. It returns nil if n is no mapping or is empty.
func (d *decoder) pairs(n *yaml.Node, at place) (pairs []pair, ok bool) {
	if n.Kind != yaml.MappingNode {
		d.want("a mapping (key: value)", n, at)
		return nil, false
	}
	if !d.spend(len(n.Content)/2, n.Line) {
		return nil, false
	}
	ok = true
	lines := make(map[string]int, len(n.Content)/2)
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		line := key.Line
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			d.problems.add(line, "a key must be plain text, not a list or a mapping")
			ok = false
			continue
		}
		if first, twice := lines[key.Value]; twice {
			d.problems.add(line, "duplicate key %q, which line %d has already; keep one of them", key.Value, first)
			ok = false
			continue
		}
		lines[key.Value] = line
		if key.ShortTag() == "!!merge" {
			merged = append(merged, value)
			continue
		}
		pairs = append(pairs, pair{key.Value, line, key, value})
	}
	for _, m := range merged {
		more, fine := d.merge(m, at)
		ok = d.spend(len(more), m.Line) && fine && ok
		for _, p := range more {
			if _, has := lines[p.name]; !has {
				lines[p.name] = p.line
				pairs = append(pairs, p)
			}
		}
	}
	return pairs, ok
}

// merge returns the pairs of the value of a merge key: a mapping, an alias of one,
// or a list of these.
func (d *decoder) merge(n *yaml.Node, at place) (pairs []pair, ok bool) {
	at = at.key("<<", n.Line)
	if !d.spend(1, n.Line) {
		return nil, false
	}
	switch n.Kind {
	case yaml.AliasNode:
		target, closed := d.enter(n, at)
		if target == nil {
			return nil, false
		}
		defer closed()
		if target.Kind == yaml.MappingNode {
			return d.pairs(target, at)
		}
	case yaml.MappingNode:
		return d.pairs(n, at)
	case yaml.SequenceNode:
		ok = true
		for _, item := range n.Content {
			if item.Kind == yaml.SequenceNode {
				d.want("a mapping, or an alias of one", item, at)
				ok = false
				continue
			}
			more, fine := d.merge(item, at)
			pairs, ok = append(pairs, more...), fine && ok
		}
		return pairs, ok
	}
	d.want("a mapping, an alias of one, or a list of these", n, at)
	return nil, false
}
