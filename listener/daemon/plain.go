package daemon

import (
	"io"
	"strings"
	"unicode"
)

// plain writes text with escapes for the characters that control a terminal: names,
// values and errors are what others wrote. Line ends and tabs stay.
type plain struct{ w io.Writer }

func (p plain) Write(b []byte) (int, error) {
	if _, err := io.WriteString(p.w, escaped(string(b), "\n\t")); err != nil {
		return 0, err
	}
	return len(b), nil
}

// oneLine returns a text that stays on its line, and in its column of a table.
func oneLine(text string) string { return escaped(text, "") }

func escaped(text, but string) string {
	controls := func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune(but, r) }
	if strings.IndexFunc(text, controls) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' && controls(r):
			b.WriteString(`\n`)
		case r == '\t' && controls(r):
			b.WriteString(`\t`)
		case controls(r):
			const digits = "0123456789abcdef"
			b.WriteString(`\x` + string(digits[r>>4]) + string(digits[r&15])) // none is above 0x9f
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
