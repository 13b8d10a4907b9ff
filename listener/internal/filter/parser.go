package filter

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/listenerd/listenerd/listener/internal/schema"
)

// maxDepth bounds the recursion of the parser, of matching and of String.
const maxDepth = 1000

const whiteSpace = " \t\r\n"

// parser reads a filter by recursive descent. Each method reads what it is named
// for, beginning at pos, and leaves pos behind it.
type parser struct {
	filter string // as given
	text   string // without trailing white space
	pos    int
	depth  int
	schema *schema.Schema // nil: none is known
}

func parse(filter string, s *schema.Schema) (node, error) {
	p := &parser{filter: filter, schema: s, text: strings.TrimRight(filter, whiteSpace)}
	p.skipSpace()
	if p.atEnd() {
		return nil, p.errorAt(0, "empty filter")
	}
	var root node
	var err error
	if p.at('(') {
		root, err = p.parenthesized()
	} else {
		root, err = p.assertion()
	}
	if err != nil {
		return nil, err
	}
	p.skipSpace()
	if !p.atEnd() {
		return nil, p.unexpected("after the filter")
	}
	return root, nil
}

func (p *parser) parenthesized() (n node, err error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.errorAt(p.pos, fmt.Sprintf("nested more than %d deep", maxDepth))
	}
	p.pos++
	p.skipSpace()
	switch {
	case p.at('&'):
		var subs []node
		subs, err = p.list()
		n = and(subs)
	case p.at('|'):
		var subs []node
		subs, err = p.list()
		n = or(subs)
	case p.at('!'):
		p.pos++
		p.skipSpace()
		if !p.at('(') {
			return nil, p.errorAt(p.pos, "missing '(' after '!'")
		}
		n, err = p.parenthesized()
		n = not{n}
		p.skipSpace()
		if err == nil && p.at('(') {
			return nil, p.errorAt(p.pos, "'!' takes only one filter")
		}
	case p.at('('):
		return nil, p.errorAt(p.pos, "missing '&', '|' or '!' before '('")
	default:
		n, err = p.assertion()
	}
	if err != nil {
		return nil, err
	}
	if p.atEnd() {
		return nil, p.errorAt(p.pos, "missing ')'")
	}
	if !p.at(')') {
		return nil, p.unexpected("instead of '(' or ')'")
	}
	p.pos++
	p.depth--
	return n, nil
}

// list reads an operator and the filters after it.
func (p *parser) list() (subs []node, err error) {
	p.pos++
	for p.skipSpace(); p.at('('); p.skipSpace() {
		n, err := p.parenthesized()
		if err != nil {
			return nil, err
		}
		subs = append(subs, n)
	}
	return subs, nil
}

// assertion reads what is between the parentheses of a single assertion.
func (p *parser) assertion() (node, error) {
	start := p.pos
	attr, err := p.description()
	if err != nil {
		return nil, err
	}
	switch {
	case p.at('='):
		p.pos++
		return p.equalityOrSubstrings(attr)
	case p.at(':'):
		return p.extensible(attr, start)
	}
	operator := p.text[p.pos : p.pos+1] // description made sure that there is one
	if p.pos++; !p.at('=') {
		return nil, p.errorAt(p.pos, "missing '=' after '"+operator+"'")
	}
	p.pos++
	value, err := p.wholeValue()
	if err != nil {
		return nil, err
	}
	text := leafText(attr.text+operator, value)
	if operator == "~" {
		return p.approximate(text, attr, value), nil
	}
	return p.ordering(text, attr, value, operator == "<"), nil
}

// description reads an attribute description, up to the operator that must follow.
// It is empty only before a colon.
func (p *parser) description() (description, error) {
	start := p.pos
	s := p.descriptionOctets()
	switch {
	case p.atEnd() && s == "":
		return description{}, p.errorAt(p.pos, "missing filter after '('")
	case s != "" && (p.atEnd() || p.at(')')):
		return description{}, p.errorAt(p.pos, "missing '=' after the attribute description")
	case s == "" && p.at(':'):
		return description{}, nil
	case s == "" && (p.at('&') || p.at('|') || p.at('!')):
		return description{}, p.errorAt(p.pos, "missing '(' before '"+p.text[p.pos:p.pos+1]+"'")
	case s == "" && p.at(')'):
		return description{}, p.errorAt(p.pos, "missing filter between '(' and ')'")
	case strings.IndexByte("=:<>~", p.text[p.pos]) < 0:
		return description{}, p.unexpected("in an attribute description")
	}
	d, at, why := parseDescription(s)
	if why != "" {
		return description{}, p.errorAt(start+at, why)
	}
	d.resolve(p.schema)
	return d, nil
}

func (p *parser) descriptionOctets() string {
	start := p.pos
	for p.pos < len(p.text) && descriptionOctet(p.text[p.pos]) {
		p.pos++
	}
	return p.text[start:p.pos]
}

// equalityOrSubstrings reads what follows the = of an equality, a substring or a
// presence assertion.
func (p *parser) equalityOrSubstrings(attr description) (node, error) {
	first, err := p.value()
	if err != nil {
		return nil, err
	}
	if !p.at('*') {
		return p.equality(leafText(attr.text, first), attr, first), nil
	}
	parts, part := []string{first}, ""
	for p.at('*') {
		if part != "" {
			parts = append(parts, part)
		}
		p.pos++
		if part, err = p.value(); err != nil {
			return nil, err
		}
	}
	parts = append(parts, part) // the final part, empty after an asterisk
	if len(parts) == 2 && parts[0] == "" && parts[1] == "" {
		return p.presence(leafText(attr.text, parts...), attr), nil
	}
	return p.substrings(leafText(attr.text, parts...), attr, parts), nil
}

// extensible reads an extensible match from the colon after its attribute on.
// start is where it began.
func (p *parser) extensible(attr description, start int) (node, error) {
	head, dn, ruleName := attr.text, false, ""
	for {
		p.pos++ // the colon
		if p.at('=') {
			p.pos++
			break
		}
		at := p.pos
		name := p.descriptionOctets()
		switch {
		case name == "":
			return nil, p.errorAt(at, "missing '=' or a matching rule after ':'")
		case ruleName != "":
			return nil, p.errorAt(at, "missing '=' after ':'")
		case strings.EqualFold(name, "dn") && !dn:
			dn = true
			head += ":dn"
		default:
			if i, why := checkOID(name); why != "" {
				return nil, p.errorAt(at+i, why)
			}
			ruleName = name
			head += ":" + name
		}
		if !p.at(':') {
			return nil, p.errorAt(p.pos, "missing ':='")
		}
	}
	if attr.text == "" && ruleName == "" {
		return nil, p.errorAt(start, "missing attribute description or matching rule")
	}
	value, err := p.wholeValue()
	if err != nil {
		return nil, err
	}

	return p.extension(leafText(head+":", value), attr, ruleName, dn, value), nil
}

// wholeValue reads an assertion value in which an asterisk has no meaning.
func (p *parser) wholeValue() (string, error) {
	v, err := p.value()
	if err == nil && p.at('*') {
		return "", p.errorAt(p.pos, `'*' has no meaning here; write \2a for the character`)
	}
	return v, err
}

// value reads and unescapes an assertion value, up to an asterisk, a closing
// parenthesis or the end.
func (p *parser) value() (string, error) {
	var out []byte // nil until the first escape
	start := p.pos // of what is not yet in out
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; {
		case c == '*' || c == ')':
			return p.finishValue(out, start), nil
		case c == '(':
			return "", p.errorAt(p.pos, `'(' in a value must be written \28`)
		case c == 0:
			return "", p.errorAt(p.pos, `NUL in a value must be written \00`)
		case c == '\\':
			octet, size := unescape(p.text[p.pos+1:])
			if size == 0 {
				return "", p.errorAt(p.pos, `'\' must be followed by two hexadecimal digits; write \5c for the character`)
			}
			out = append(append(out, p.text[start:p.pos]...), octet)
			p.pos += 1 + size
			start = p.pos
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(p.text[p.pos:])
			if r == utf8.RuneError && size == 1 {
				return "", p.errorAt(p.pos, fmt.Sprintf(`octet that is not UTF-8 must be written \%02x`, c))
			}
			p.pos += size
		default:
			p.pos++
		}
	}
	return p.finishValue(out, start), nil
}

func (p *parser) finishValue(out []byte, start int) string {
	if out == nil {
		return p.text[start:p.pos]
	}
	return string(append(out, p.text[start:p.pos]...))
}

// unescape reads what follows a backslash; size is 0 if that is no escape.
func unescape(s string) (octet byte, size int) {
	switch {
	case s == "":
		return 0, 0
	case strings.IndexByte(`()*\`, s[0]) >= 0:
		return s[0], 1
	case len(s) < 2:
		return 0, 0
	}
	high, ok1 := hexDigit(s[0])
	low, ok2 := hexDigit(s[1])
	if !ok1 || !ok2 {
		return 0, 0
	}
	return high<<4 | low, 2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case digit(c):
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

func (p *parser) at(c byte) bool { return p.pos < len(p.text) && p.text[p.pos] == c }
func (p *parser) atEnd() bool    { return p.pos == len(p.text) }

func (p *parser) skipSpace() {
	for p.pos < len(p.text) && strings.IndexByte(whiteSpace, p.text[p.pos]) >= 0 {
		p.pos++
	}
}

func (p *parser) errorAt(pos int, msg string) error {
	return &SyntaxError{Filter: p.filter, Pos: pos, Msg: msg}
}

func (p *parser) unexpected(where string) error {
	c, size := utf8.DecodeRuneInString(p.text[p.pos:])
	what := fmt.Sprintf("%q", c)
	if c == utf8.RuneError && size == 1 {
		what = fmt.Sprintf("octet %#02x", p.text[p.pos])
	}
	return p.errorAt(p.pos, "unexpected "+what+" "+where)
}

// leafText returns the canonical text of an assertion. parts are what is between
// the asterisks.
func leafText(head string, parts ...string) text {
	b := append([]byte{'('}, head...)
	b = append(b, '=')
	for i, part := range parts {
		if i > 0 {
			b = append(b, '*')
		}
		b = appendEscaped(b, part)
	}
	return text(append(b, ')'))
}

func appendEscaped(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		c, size := utf8.DecodeRuneInString(s[i:])
		invalid := c == utf8.RuneError && size == 1
		if invalid || c < ' ' || c == 0x7f || strings.ContainsRune(`()*\`, c) {
			b = fmt.Appendf(b, `\%02x`, s[i])
		} else {
			b = append(b, s[i:i+size]...)
		}
		i += size
	}
	return b
}
