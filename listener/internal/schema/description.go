package schema

import (
	"errors"
	"fmt"
	"strings"
)

// description is one schema definition as RFC 4512 (section 4.1) writes them:
// ( OID keyword value keyword value ... ), read without regard to which keywords a
// kind of definition has.
type description struct {
	oid    string
	fields []field
}

type field struct {
	key    string // in upper case
	values []string
}

// maxDepth bounds the parentheses inside a definition. The standard has one level.
const maxDepth = 4

// parseDescription reads a definition. It takes what servers are known to write:
// quotes around OIDs, names without quotes, a missing space at a parenthesis, tabs and
// line ends, lists without dollars, keywords in lower case, unknown keywords with or
// without a value.
func parseDescription(s string) (description, error) {
	l := lexer{text: s}
	if t, ok := l.next(); !ok || t.text != "(" || t.quoted {
		return description{}, errors.New("missing '('")
	}
	t, ok := l.next()
	if !ok || !t.quoted && (t.text == "(" || t.text == ")") {
		return description{}, errors.New("missing OID")
	}
	d := description{oid: t.text}
	for {
		t, ok := l.next()
		switch {
		case !ok:
			return description{}, fmt.Errorf("%s: missing ')'", d.oid)
		case t.text == ")" && !t.quoted:
			if t, ok := l.next(); ok {
				return description{}, fmt.Errorf("%s: %q after the end", d.oid, t.text)
			}
			return d, nil
		case t.quoted || t.text == "(":
			// A value nobody asked for, or a keyword's second one: it belongs to what is before it.
			values, err := l.values(t)
			if err != nil {
				return description{}, fmt.Errorf("%s: %w", d.oid, err)
			}
			if n := len(d.fields); n > 0 {
				d.fields[n-1].values = append(d.fields[n-1].values, values...)
			}
		default:
			d.fields = append(d.fields, field{key: strings.ToUpper(t.text)})
			if f := &d.fields[len(d.fields)-1]; takesWord(f.key) {
				word, ok := l.peek()
				if ok && !word.quoted && word.text != "(" && word.text != ")" {
					_, _ = l.next()
					f.values = append(f.values, word.text)
				}
			}
		}
	}
}

// takesWord tells whether the keyword is followed by a value that may lack quotes.
func takesWord(key string) bool {
	switch key {
	case "NAME", "DESC", "SUP", "EQUALITY", "ORDERING", "SUBSTR", "SYNTAX", "USAGE", "MUST", "MAY", "APPLIES":
		return true
	}
	return strings.HasPrefix(key, "X-")
}

// flag tells whether the definition has the keyword.
func (d *description) flag(key string) bool {
	for i := range d.fields {
		if d.fields[i].key == key {
			return true
		}
	}
	return false
}

// list returns the values of the keyword.
func (d *description) list(key string) []string {
	for i := range d.fields {
		if d.fields[i].key == key {
			return d.fields[i].values
		}
	}
	return nil
}

// one returns the first value of the keyword, or "".
func (d *description) one(key string) string {
	if v := d.list(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

type token struct {
	text   string
	quoted bool
}

type lexer struct {
	text string
	pos  int
}

const blank = " \t\r\n"

// next returns the next word, parenthesis or quoted string. Dollars count as blanks.
func (l *lexer) next() (token, bool) {
	for l.pos < len(l.text) && (strings.IndexByte(blank, l.text[l.pos]) >= 0 || l.text[l.pos] == '$') {
		l.pos++
	}
	if l.pos == len(l.text) {
		return token{}, false
	}
	start := l.pos
	switch l.text[l.pos] {
	case '(', ')':
		l.pos++
		return token{text: l.text[start:l.pos]}, true
	case '\'':
		end := strings.IndexByte(l.text[start+1:], '\'')
		if end < 0 {
			l.pos = len(l.text)
			return token{l.text[start+1:], true}, true
		}
		l.pos = start + 1 + end + 1
		return token{unescapeQuoted(l.text[start+1 : start+1+end]), true}, true
	}
	for l.pos < len(l.text) && strings.IndexByte(blank+"$()'", l.text[l.pos]) < 0 {
		l.pos++
	}
	return token{text: l.text[start:l.pos]}, true
}

func (l *lexer) peek() (token, bool) {
	pos := l.pos
	t, ok := l.next()
	l.pos = pos
	return t, ok
}

// values reads the value that begins with t: a string, or a list in parentheses.
func (l *lexer) values(t token) ([]string, error) {
	if t.quoted {
		return []string{t.text}, nil
	}
	var out []string
	for depth := 1; depth > 0; {
		t, ok := l.next()
		switch {
		case !ok:
			return nil, errors.New("missing ')'")
		case t.quoted:
			out = append(out, t.text)
		case t.text == "(":
			if depth++; depth > maxDepth {
				return nil, errors.New("too many '('")
			}
		case t.text == ")":
			depth--
		default:
			out = append(out, t.text)
		}
	}
	return out, nil
}

// unescapeQuoted resolves \27 and \5c, the escapes of a quoted string.
func unescapeQuoted(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	return strings.NewReplacer(`\27`, `'`, `\5c`, `\`, `\5C`, `\`).Replace(s)
}
