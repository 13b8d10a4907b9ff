package schema

import (
	"strings"
	"time"
)

// parseTime reads a GeneralizedTime (RFC 4517, section 3.3.13) and returns it in UTC
// with what follows the second: yyyymmddhhmmss.fff, without trailing zeros. Minutes
// and seconds may be missing, the fraction is then one of the hour or the minute; the
// server's own reading of that, a fraction of a second, is what counts here.
func parseTime(v string) (normal [14]byte, ok bool) {
	t, _, ok := splitTime(v)
	return t, ok
}

// appendTime appends the normal form of a GeneralizedTime. It is in order byte by byte.
func appendTime(dst []byte, v string) ([]byte, bool) {
	t, fraction, ok := splitTime(v)
	if !ok {
		return dst, false
	}
	dst = append(dst, t[:]...)
	if fraction != "" {
		dst = append(append(dst, '.'), fraction...)
	}
	return dst, true
}

func splitTime(v string) (normal [14]byte, fraction string, ok bool) {
	digits := 0
	for digits < len(v) && digits < 14 && isDigit(v[digits]) {
		digits++
	}
	if digits < 10 || digits%2 != 0 {
		return normal, "", false
	}
	copy(normal[:], "00000000000000")
	copy(normal[:], v[:digits])
	rest := v[digits:]
	if rest != "" && (rest[0] == '.' || rest[0] == ',') {
		n := 1
		for n < len(rest) && isDigit(rest[n]) {
			n++
		}
		if n == 1 {
			return normal, "", false
		}
		fraction, rest = strings.TrimRight(rest[1:n], "0"), rest[n:]
	}
	number := func(at int) int { return int(normal[at]-'0')*10 + int(normal[at+1]-'0') }
	year, month, day := number(0)*100+number(2), number(4), number(6)
	hour, minute, second := number(8), number(10), number(12)
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 60 {
		return normal, "", false
	}
	if rest == "Z" {
		return normal, fraction, true
	}
	offset, ok := zoneOffset(rest)
	if !ok {
		return normal, "", false
	}
	// The second is kept as it is: it may be a leap second.
	t := time.Date(year, time.Month(month), day, hour, minute-offset, 0, 0, time.UTC)
	if t.Year() < 0 || t.Year() > 9999 {
		return normal, "", false
	}
	put := func(at, n int) { normal[at], normal[at+1] = '0'+byte(n/10), '0'+byte(n%10) }
	put(0, t.Year()/100)
	put(2, t.Year()%100)
	put(4, int(t.Month()))
	put(6, t.Day())
	put(8, t.Hour())
	put(10, t.Minute())
	return normal, fraction, true
}

// zoneOffset reads +hh, +hhmm and the same with a minus, in minutes.
func zoneOffset(s string) (minutes int, ok bool) {
	if len(s) != 3 && len(s) != 5 || s[0] != '+' && s[0] != '-' || !allBytes(s[1:], isDigit) {
		return 0, false
	}
	hours := int(s[1]-'0')*10 + int(s[2]-'0')
	if len(s) == 5 {
		minutes = int(s[3]-'0')*10 + int(s[4]-'0')
	}
	if hours > 23 || minutes > 59 {
		return 0, false
	}
	minutes += hours * 60
	if s[0] == '-' {
		minutes = -minutes
	}
	return minutes, true
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}
