package schema

import "strings"

// sounds matches text whose words sound like the asserted ones, in the same order, as
// OpenLDAP's ~= does it. RFC 4511 leaves approximate matching to the server.
type sounds struct {
	s     *Schema
	form  normalForm
	words []string // what the asserted words sound like
}

func newSounds(s *Schema, form normalForm, value string) Matcher {
	m := &sounds{s: s, form: form}
	for word := range strings.FieldsFuncSeq(string(appendSounds(nil, value)), func(r rune) bool { return r == ' ' }) {
		m.words = append(m.words, phonetic(word))
	}
	return m
}

func (m *sounds) Match(value string, buf *[]byte) (bool, bool) {
	normal, ok := m.s.appendNormal((*buf)[:0], m.form, value, Whole)
	*buf = normal[:0]
	if !ok {
		return false, false
	}
	if len(m.words) == 0 {
		return false, true
	}
	next := 0
	for word := range strings.SplitSeq(string(appendSounds(nil, string(normal))), " ") {
		if phonetic(word) == m.words[next] {
			if next++; next == len(m.words) {
				return true, true
			}
		}
	}
	return false, true
}

// longestSound is the number of letters in a sound.
const longestSound = 4

// phonetic returns what a word sounds like in English: Metaphone (Lawrence Philips,
// 1990) in the variant that OpenLDAP uses, with its deviations. Only the letters up to
// the first other character count, and at most 31 of them.
func phonetic(word string) string {
	w := soundWord{}
	for w.end = 0; w.end < len(word) && w.end < 31 && isLetter(word[w.end]); w.end++ {
		w.letters[lead+w.end] = word[w.end] &^ 0x20
	}
	if w.end == 0 {
		return ""
	}
	return w.sound()
}

// lead is the number of empty letters before a word, so that what precedes a letter can
// be asked for; as many follow the longest.
const lead = 4

type soundWord struct {
	letters [lead + 31 + lead]byte // upper case, 0 where there is none
	end     int
	out     []byte
}

func (w *soundWord) at(i int) byte { return w.letters[lead+i] }

func (w *soundWord) sound() string {
	start := 0
	switch a, b := w.at(0), w.at(1); {
	case (a == 'P' || a == 'K' || a == 'G') && b == 'N', a == 'A' && b == 'E', a == 'W' && b == 'R':
		w.letters[lead], start = 0, 1
	case a == 'W' && b == 'H':
		w.letters[lead], w.letters[lead+1], start = 0, 'W', 1
	case a == 'X':
		w.letters[lead] = 'S'
	}
	pendingS := false // the second half of an X
	for i := start; i <= w.end && len(w.out) < longestSound; i++ {
		c := w.at(i)
		switch {
		case pendingS:
			pendingS = false
			w.out = append(w.out, 'S')
		case c == w.at(i-1) && c != 'C':
		case is(c, "FJLMNR") || i == start && vowel(c):
			w.out = append(w.out, c)
		case c == 'X':
			if i == start {
				w.out = append(w.out, 'S')
			} else {
				w.out = append(w.out, 'K')
				pendingS = true
			}
		default:
			if s := w.letter(i, i == start); s != 0 {
				w.out = append(w.out, s)
			}
		}
	}
	return string(w.out)
}

// letter returns the sound of the letter at i, 0 if it is silent.
func (w *soundWord) letter(i int, first bool) byte {
	before, after, second := w.at(i-1), w.at(i+1), w.at(i+2)
	switch c := w.at(i); c {
	case 'B':
		if i == w.end-1 && before != 'M' {
			return 'B'
		}
	case 'C':
		switch {
		case before == 'S' && front(after):
		case after == 'I' && second == 'A':
			return 'X'
		case front(after):
			return 'S'
		case after == 'H' && !(first && !vowel(second)) && before != 'S':
			return 'X'
		default:
			return 'K'
		}
	case 'D':
		if after == 'G' && front(second) {
			return 'J'
		}
		return 'T'
	case 'G':
		return w.g(i)
	case 'H':
		if !is(before, "CGPST") && (!vowel(before) || vowel(after)) {
			return 'H'
		}
	case 'K':
		if before != 'C' {
			return 'K'
		}
	case 'P':
		if after == 'H' {
			return 'F'
		}
		return 'P'
	case 'Q':
		return 'K'
	case 'S':
		if after == 'H' || after == 'I' && (second == 'O' || second == 'A') {
			return 'X'
		}
		return 'S'
	case 'T':
		switch {
		case after == 'I' && (second == 'O' || second == 'A'):
			return 'X'
		case after == 'H':
			return '0'
		case after == 'C' && second == 'H':
		default:
			return 'T'
		}
	case 'V':
		return 'F'
	case 'W', 'Y':
		if vowel(after) {
			return c
		}
	case 'Z':
		return 'S'
	}
	return 0
}

func (w *soundWord) g(i int) byte {
	before, after, second, third := w.at(i-1), w.at(i+1), w.at(i+2), w.at(i+3)
	silent := after == 'J' && !vowel(second) ||
		after == 'N' && !(i+1 < w.end && (second != 'E' || third != 'D')) ||
		before == 'D' && front(after)
	switch {
	case !silent && front(after) && second != 'G':
		return 'G'
	case !silent:
		return 'K'
	case after == 'H' && !is(w.at(i-3), "BDH") && w.at(i-4) != 'H':
		return 'F'
	}
	return 0
}

func is(c byte, letters string) bool { return c != 0 && strings.IndexByte(letters, c) >= 0 }
func vowel(c byte) bool              { return is(c, "AEIOU") }
func front(c byte) bool              { return is(c, "EIY") }
