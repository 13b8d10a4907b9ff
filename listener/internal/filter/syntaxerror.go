package filter

import (
	"fmt"
	"unicode/utf8"
)

// SyntaxError is returned by [Compile] for a text that is no filter.
type SyntaxError struct {
	// Filter is the text that was compiled.
	Filter string
	// Pos is the offset in bytes at which the text goes wrong; when something
	// is missing at the end, the end without trailing white space.
	Pos int
	// Msg says what is wrong there.
	Msg string
}

// excerpt is how many bytes to either side of the position a message shows.
const excerpt = 60

// Error shows the filter, or the part around the error of a long one, and the
// position in characters, counted from 1.
func (e *SyntaxError) Error() string {
	shown, before, after := e.Filter, "", ""
	if end := e.Pos + excerpt; end < len(shown) {
		for end > e.Pos && !utf8.RuneStart(shown[end]) {
			end--
		}
		shown, after = shown[:end], "..."
	}
	if start := e.Pos - excerpt; start > 0 {
		for start < e.Pos && !utf8.RuneStart(shown[start]) {
			start++
		}
		shown, before = shown[start:], "..."
	}
	return fmt.Sprintf("filter %s%q%s at position %d: %s",
		before, shown, after, utf8.RuneCountInString(e.Filter[:e.Pos])+1, e.Msg)
}
