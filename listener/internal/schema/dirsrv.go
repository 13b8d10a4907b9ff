package schema

import (
	"bytes"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// appendAVA389 appends one type=value as 389 DS compares it: the text itself, brought into
// one spelling. Escapes and quotes become the hexadecimal escapes of the characters that
// need one, and of spaces at the ends; all other spaces count, a run of them as one.
func appendAVA389(dst []byte, ava string) ([]byte, bool) {
	typ, text, ok := strings.Cut(ava, "=")
	typ = strings.Trim(typ, blanks389)
	if !ok || !validDescriptor(typ) && !validNumericOID(typ) {
		return dst, false
	}
	dst = append(appendLower(dst, typ), '=')
	mark := len(dst)
	text = strings.TrimLeft(text, blanks389)
	if text != "" && text[0] == '"' {
		dst, ok = appendQuoted389(dst, text)
	} else {
		dst, ok = appendUnquoted389(dst, text)
	}
	if !ok {
		return dst[:mark], false
	}
	if value := dst[mark:]; ascii(value) || !utf8.Valid(value) { // Map would replace what is no UTF-8
		for i, c := range value {
			if 'A' <= c && c <= 'Z' {
				value[i] = c | 0x20
			}
		}
	} else {
		dst = append(dst[:mark], bytes.Map(lower389, value)...)
	}
	return escapeKey(dst, mark), true
}

// appendNormal389 is [Schema.appendNormal] for 389 DS, for which nearly everything is text.
// It checks no assertion.
func (s *Schema) appendNormal389(dst []byte, form normalForm, v string, part Part) ([]byte, bool) {
	switch form {
	case normalOctets:
		return append(dst, v...), true
	case normalName, normalNameAndUID:
		return s.AppendName(dst, v)
	case normalInteger:
		v = integer389(v)
		return append(dst, v...), validInteger(v)
	}
	return appendText389(dst, v, form, part)
}

// integer389 returns a number without the spaces around it and without leading zeros. Of a
// zero before a space nothing is left.
func integer389(v string) string {
	v = strings.TrimLeftFunc(v, white389)
	digits := strings.TrimPrefix(v, "-")
	switch short := strings.TrimLeft(digits, "0"); {
	case short == "" && digits != "":
		return "0"
	case len(short) == len(digits):
	case len(digits) < len(v):
		v = "-" + short
	default:
		v = short
	}
	return strings.TrimRightFunc(v, white389)
}

// appendText389 appends text as 389 DS compares it. White space counts, except at the ends
// of a value and of the initial part of a substring assertion: of a run its first character.
func appendText389(dst []byte, s string, form normalForm, part Part) ([]byte, bool) {
	if !utf8.ValidString(s) {
		return dst, false
	}
	fold := form != normalCased && form != normalIA5Cased && form != normalBits
	telephone := form == normalTelephone
	dense := telephone || form == normalNumeric // without white space
	start := len(dst)
	end := start // of what is not white space
	space := dense || part == Whole || part == Initial
	for _, r := range s {
		switch {
		case telephone && r == '-':
			continue
		case r > ' ' && r < utf8.RuneSelf: // nearly always
			if fold && 'A' <= r && r <= 'Z' {
				r |= 0x20
			}
			dst = append(dst, byte(r))
		case white389(r):
			if !space {
				dst = utf8.AppendRune(dst, r)
			}
			space = true
			continue
		case fold:
			dst = utf8.AppendRune(dst, foldRune389(r))
		default:
			dst = utf8.AppendRune(dst, r)
		}
		space, end = dense, len(dst)
	}
	if part == Whole || part == Initial {
		dst = dst[:end]
	}
	if len(dst) == start && s != "" && form != normalNumeric {
		dst = append(dst, ' ')
	}
	return dst, true
}

func white389(r rune) bool {
	return r == ' ' || r >= '\t' && r <= '\r' || r == 0x80 || r >= 0x2000 && r <= 0x200a || r == 0x3000 || r == 0xfeff
}

// foldRune389 folds the case of one character of text. The letters that are not among
// capitals389 it takes for capitals of others than [unicode.ToLower] does.
func foldRune389(r rune) rune {
	switch {
	case r == 'İ':
		return 'ı'
	case r == 'Ǝ':
		return 'ɘ'
	case 'Ⴀ' <= r && r <= 'Ⴥ':
		return r - 'Ⴀ' + 'ა'
	}
	return lower389(r)
}

// lower389 folds the case of one character.
func lower389(r rune) rune {
	switch {
	case r < utf8.RuneSelf:
		return unicode.ToLower(r)
	case unicode.Is(capitals389, r):
		return unicode.ToLower(r)
	}
	return r
}

// capitals389 are the letters whose case 389 DS folds, most of those that Unicode 2.0 has.
// What lies between them has no case or is not folded by [unicode.ToLower] either.
var capitals389 = &unicode.RangeTable{R16: []unicode.Range16{
	{'À', 'Į', 1}, {'Ĳ', 'Ƌ', 1}, {'Ə', 'Ɲ', 1}, {'Ơ', 'Ƥ', 1}, {'Ƨ', 'Ƽ', 1}, {'Ǎ', 'Ǯ', 1}, {'Ǵ', 'Ǵ', 1}, {'Ǻ', 'Ȗ', 1},
	{'Ά', 'Ϋ', 1}, {'Ϣ', 'Ϯ', 1}, {'Ё', 'Ќ', 1}, {'Ў', 'Ҁ', 1}, {'Ґ', 'Ҿ', 1}, {'Ӂ', 'Ӄ', 1}, {'Ӈ', 'Ӈ', 1}, {'Ӌ', 'Ӌ', 1},
	{'Ӑ', 'Ӫ', 1}, {'Ӯ', 'Ӵ', 1}, {'Ӹ', 'Ӹ', 1}, {'Ա', 'Ֆ', 1}, {'Ḁ', 'Ẕ', 1}, {'Ạ', 'Ỹ', 1}, {'Ἀ', 'ῼ', 1}, {'Ａ', 'Ｚ', 1},
}}

// appendNamePart389 appends a part of a substring assertion about names. 389 DS brings it into
// one spelling as if it were a name, if it can, and else leaves it as it is.
func appendNamePart389(dst []byte, part string) []byte {
	mark, rest := len(dst), part
	if len(rest) > 1 && strings.IndexByte(",;+=", rest[0]) >= 0 && !blank389(rest[1]) {
		dst, rest = append(dst, rest[0]), rest[1:]
	}
	for {
		rdn := rest[:cut(rest, ',', ';')]
		last := len(rdn) == len(rest)
		avas := splitAVAs(rdn)
		complete := avas
		for i, ava := range avas {
			text, ok := appendAVA389(nil, ava)
			if last && i == len(avas)-1 { // it may end anywhere
				if typ := strings.Trim(ava, blanks389); !strings.ContainsAny(typ, blanks389+"=") {
					text, ok = []byte(strings.ToLower(typ)), true
				}
				if len(text) == 0 || text[len(text)-1] == '=' || !bytes.ContainsRune(text, '=') {
					complete = avas[:i]
				}
			}
			if !ok {
				return append(dst[:mark], part...)
			}
			avas[i] = string(text)
		}
		slices.Sort(complete)
		dst = append(dst, strings.Join(avas, "+")...)
		if last {
			return dst
		}
		dst, rest = append(dst, ','), rest[len(rdn)+1:]
	}
}

// blanks389 are what 389 DS takes for spaces in a name.
const blanks389 = " \n\r"

func blank389(c byte) bool { return c == ' ' || c == '\n' || c == '\r' }

// special389 tells whether c remains escaped, at the beginning of a value or elsewhere.
func special389(c byte, first bool) bool {
	return strings.IndexByte(`\",;+<>=`, c) >= 0 || first && (c == ' ' || c == '#')
}

func appendEscape389(dst []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	return append(dst, '\\', digits[c>>4], digits[c&15])
}

func appendUnquoted389(dst []byte, text string) ([]byte, bool) {
	start := len(dst)
	keep := -1 // where what a superfluous backslash preceded is in dst
	for i := 0; i < len(text); {
		c := text[i]
		i++
		switch {
		case c == '"':
			return dst, false
		case blank389(c) && len(dst) > start && blank389(dst[len(dst)-1]):
		case c != '\\':
			dst = append(dst, c)
		case i == len(text):
			return dst, false
		case special389(text[i], len(dst) == start):
			dst = appendEscape389(dst, text[i])
			i++
		case i+1 < len(text) && isHex(text[i]) && isHex(text[i+1]):
			c = hexValue(text[i])<<4 | hexValue(text[i+1])
			switch {
			case c == 0:
				dst = append(dst, "000"...)
			case c == ' ' || special389(c, len(dst) == start):
				dst = appendEscape389(dst, c)
			default:
				dst = append(dst, c)
			}
			i += 2
		default:
			keep = len(dst)
		}
	}
	end := len(dst)
	for end > max(start, keep) && blank389(dst[end-1]) {
		end--
	}
	if dst = dst[:end]; end == keep {
		dst = appendEscape389(dst, ' ')
	}
	return dst, true
}

func appendQuoted389(dst []byte, text string) ([]byte, bool) {
	start := len(dst)
	for i := 1; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '"':
			if n := len(dst) - 1; n >= start && blank389(dst[n]) {
				dst = appendEscape389(dst[:n], dst[n])
			}
			return dst, strings.Trim(text[i+1:], blanks389) == ""
		case blank389(c) && i+1 < len(text) && blank389(text[i+1]):
		case special389(c, len(dst) == start):
			dst = appendEscape389(dst, c)
		default:
			dst = append(dst, c)
		}
	}
	return dst, false
}
