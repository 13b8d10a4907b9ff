package schema

import "unicode/utf8"

// validValue tells whether v has the syntax. Of a syntax that this package does not
// know, and of Substring Assertion, which is no text, nothing is valid.
func (s *Schema) validValue(syntax, v string) bool {
	switch syntax {
	case syntaxDirectory:
		return v != "" && utf8.ValidString(v)
	case syntaxIA5:
		return allBytes(v, func(c byte) bool { return c < utf8.RuneSelf })
	case syntaxPrintable, syntaxTelephone:
		return v != "" && allBytes(v, printable)
	case syntaxCountry:
		return len(v) == 2 && allBytes(v, printable)
	case syntaxNumeric:
		return v != "" && allBytes(v, func(c byte) bool { return isDigit(c) || c == ' ' })
	case syntaxInteger:
		return validInteger(v)
	case syntaxBoolean:
		return v == "TRUE" || v == "FALSE"
	case syntaxTime:
		_, ok := parseTime(v)
		return ok
	case syntaxUUID:
		return validUUID(v)
	case syntaxOIDs:
		return validNumericOID(v) || s.vendor != OpenLDAP && validDescriptor(v)
	case syntaxPostal:
		return validPostal(v)
	case syntaxBitString:
		return validBitString(v)
	case syntaxOctets, syntaxBinary:
		return true
	case syntaxName, syntaxNameAndUID, syntaxCSN:
		return true // the normal form exists only for what is valid
	}
	return false
}

func allBytes(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// printable tells whether c is in PrintableString. The equals sign is not, strictly;
// OpenLDAP takes it.
func printable(c byte) bool {
	if isLetter(c) || isDigit(c) {
		return true
	}
	switch c {
	case '\'', '(', ')', '+', ',', '-', '.', '/', ':', '?', ' ', '=':
		return true
	}
	return false
}

func validInteger(v string) bool {
	if v != "" && v[0] == '-' {
		v = v[1:]
		if v == "" || v[0] == '0' {
			return false
		}
	}
	return v != "" && (v[0] != '0' || len(v) == 1) && allBytes(v, isDigit)
}

func validUUID(v string) bool {
	if len(v) != 36 {
		return false
	}
	for i := range 36 {
		switch i {
		case 8, 13, 18, 23:
			if v[i] != '-' {
				return false
			}
		default:
			if !isHex(v[i]) {
				return false
			}
		}
	}
	return true
}

// validNumericOID tells whether v is numbers with dots between them, without leading
// zeros. OpenLDAP takes a single number for one.
func validNumericOID(v string) bool {
	for i := 0; ; {
		start := i
		for i < len(v) && isDigit(v[i]) {
			i++
		}
		if i == start || v[start] == '0' && i > start+1 {
			return false
		}
		if i == len(v) {
			return true
		}
		if v[i] != '.' {
			return false
		}
		i++
	}
}

func validDescriptor(v string) bool {
	return v != "" && isLetter(v[0]) && allBytes(v, func(c byte) bool { return isLetter(c) || isDigit(c) || c == '-' })
}

// validPostal wants every dollar and backslash that is not a separator escaped.
func validPostal(v string) bool {
	for i := 0; i < len(v); i++ {
		if v[i] == '\\' {
			if i+3 > len(v) || v[i+1:i+3] != "24" && v[i+1:i+3] != "5C" && v[i+1:i+3] != "5c" {
				return false
			}
			i += 2
		}
	}
	return utf8.ValidString(v)
}

func validBitString(v string) bool {
	if len(v) < 3 || v[0] != '\'' || v[len(v)-2:] != "'B" {
		return false
	}
	return allBytes(v[1:len(v)-2], func(c byte) bool { return c == '0' || c == '1' })
}
