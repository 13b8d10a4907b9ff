package filter

import (
	"strconv"
	"strings"
)

// integer is an integer of any size. Equal integers are ==.
type integer struct {
	negative bool
	digits   string // without leading zeros; zero has none
}

// parseInteger reads the form of RFC 4517 (section 3.3.16), also with leading
// zeros and with white space around it.
func parseInteger(s string) (n integer, ok bool) {
	digits, negative := strings.CutPrefix(strings.TrimSpace(s), "-")
	if digits == "" {
		return integer{}, false
	}
	for i := range len(digits) {
		if !digit(digits[i]) {
			return integer{}, false
		}
	}
	digits = strings.TrimLeft(digits, "0")
	return integer{negative && digits != "", digits}, true
}

func (n integer) compare(m integer) int {
	switch {
	case n.negative != m.negative && n.negative:
		return -1
	case n.negative != m.negative:
		return 1
	case n.negative:
		n, m = m, n
	}
	if len(n.digits) != len(m.digits) {
		return len(n.digits) - len(m.digits)
	}
	return strings.Compare(n.digits, m.digits)
}

// int64 returns the value, and false if it has more than 64 bits.
func (n integer) int64() (int64, bool) {
	const longest = len("9223372036854775808")
	if len(n.digits) > longest { // ParseUint would allocate its error
		return 0, false
	}
	v, _ := strconv.ParseUint("0"+n.digits, 10, 64)
	if n.negative {
		return int64(-v), v <= 1<<63
	}
	return int64(v), v < 1<<63
}
