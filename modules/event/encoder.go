package event

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/listenerd/listenerd/listener"
)

// Encoder writes event documents. The zero value is ready; an Encoder is safe for
// concurrent use.
type Encoder struct {
	// Secrets includes the attributes for which [Secret] holds.
	Secrets bool
}

// Append appends the document of call at the given time to dst and returns the
// extended slice. The document is one line without its newline. It refers to call
// no longer when Append returns.
func (e Encoder) Append(dst []byte, at time.Time, call *listener.Call) []byte {
	dst = append(dst, `{"time":"`...)
	dst = at.UTC().AppendFormat(dst, timeLayout)
	dst = append(dst, `","module":`...)
	dst = appendName(dst, call.Module)
	dst = append(dst, `,"call":`...)
	dst = appendName(dst, string(call.Kind))
	if call.Seq != 0 {
		dst = append(dst, `,"seq":`...)
		dst = strconv.AppendUint(dst, call.Seq, 10)
	}
	if call.Attempt != 0 {
		dst = append(dst, `,"attempt":`...)
		dst = strconv.AppendInt(dst, int64(call.Attempt), 10)
	}
	if call.Cause != "" {
		dst = append(dst, `,"cause":`...)
		dst = appendName(dst, string(call.Cause))
	}
	if current := cmp.Or(call.New, call.Old); current != nil {
		dst = append(dst, `,"uuid":"`...)
		dst = append(dst, current.UUID().String()...)
		dst = append(dst, `","dn":`...)
		dst = appendValue(dst, current.DN())
	}
	if call.Old != nil && call.New != nil {
		if call.Old.DN() != call.New.DN() {
			dst = append(dst, `,"old_dn":`...)
			dst = appendValue(dst, call.Old.DN())
		}
		dst = append(dst, `,"changed":`...)
		dst = e.appendChanged(dst, call.Old, call.New)
	}
	if call.Old != nil {
		dst = append(dst, `,"old":`...)
		dst = e.appendEntry(dst, call.Old)
	}
	if call.New != nil {
		dst = append(dst, `,"new":`...)
		dst = e.appendEntry(dst, call.New)
	}
	return append(dst, '}')
}

// timeLayout is RFC 3339 with milliseconds; the time must be in UTC.
const timeLayout = "2006-01-02T15:04:05.000Z"

func (e Encoder) appendChanged(dst []byte, old, new *listener.Entry) []byte {
	names := listener.Diff(old, new).Names()
	slices.Sort(names)
	dst = append(dst, '[')
	empty := len(dst)
	for _, name := range names {
		if !e.Secrets && Secret(name) {
			continue
		}
		if len(dst) > empty {
			dst = append(dst, ',')
		}
		dst = appendName(dst, name)
	}
	return append(dst, ']')
}

func (e Encoder) appendEntry(dst []byte, entry *listener.Entry) []byte {
	type attribute struct {
		name   string
		values listener.Values
	}
	var few [48]attribute // entries of usual size are sorted on the stack
	attributes := few[:0]
	for name, values := range entry.All() {
		if e.Secrets || !Secret(name) {
			attributes = append(attributes, attribute{name, values})
		}
	}
	slices.SortStableFunc(attributes, func(a, b attribute) int { return cmp.Compare(a.name, b.name) })

	dst = append(dst, '{')
	for i := range attributes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendName(dst, attributes[i].name)
		dst = append(dst, ':', '[')
		empty := len(dst)
		for value := range attributes[i].values.All() {
			if len(dst) > empty {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, value)
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// appendValue writes s as a JSON string, as base64 if it is not valid UTF-8.
func appendValue(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		dst = append(dst, `{"base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, []byte(s))
		return append(dst, `"}`...)
	}
	return appendName(dst, s)
}

// appendName writes s as a JSON string. What is not valid UTF-8 becomes U+FFFD: a
// JSON string cannot hold it.
func appendName(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	done := 0 // s[:done] is written
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		size := 1
		r := rune(c)
		if c >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
			separator := r == '\u2028' || r == '\u2029' // line ends to JavaScript and Python
			if !separator && (r != utf8.RuneError || size > 1) {
				i += size
				continue
			}
		}
		dst = append(dst, s[done:i]...)
		switch r {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		}
		i += size
		done = i
	}
	dst = append(dst, s[done:]...)
	return append(dst, '"')
}

// plain holds for the bytes that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()
