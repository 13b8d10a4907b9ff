package config

import (
	"math"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// size is a number of octets. It is written as a whole number with a unit, such as
// 64MiB, or without one: 65536.
type size int

// units in the order in which they are tried and written: each is a suffix of none
// before it.
var units = []struct {
	name   string
	factor int
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

func (s *size) decodeNode(d *decoder, n *yaml.Node, at place) bool {
	if n.Kind == yaml.ScalarNode {
		if octets, ok := parseSize(n.Value, math.MaxInt32); ok {
			*s = size(octets)
			return true
		}
	}
	d.want("a size below 2GiB such as 64MiB", n, at)
	return false
}

// parseSize reads a size of at most so many octets.
func parseSize(text string, most uint64) (uint64, bool) {
	for _, u := range units {
		if digits, found := strings.CutSuffix(text, u.name); found {
			number, err := strconv.ParseUint(strings.TrimRight(digits, " "), 10, 64)
			return number * uint64(u.factor), err == nil && number <= most/uint64(u.factor)
		}
	}
	return 0, false
}

// String writes the size with the largest unit that leaves a whole number.
func (s size) String() string {
	for _, u := range units {
		if n := int(s); n != 0 && n%u.factor == 0 {
			return strconv.Itoa(n/u.factor) + u.name
		}
	}
	return "0B"
}

// within reports a size out of its bounds.
func (l *loader) within(name string, key given[size], least, most, def int) int {
	value := key.or(size(def))
	if int(value) < least || int(value) > most {
		l.problems.add(key.Line, "%s: want %v to %v, have %v", name, size(least), size(most), value)
	}
	return int(value)
}
