package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// maxProblems bounds the list for a file that is wrong everywhere, as one with
// aliases of aliases can be.
const maxProblems = 1000

// Problem is one thing wrong with a configuration file.
type Problem struct {
	// File is the path as it was given to [Load].
	File string
	// Line counts from 1; 0 if the problem has no line, as with a file that cannot
	// be read.
	Line int
	// Message says what is wrong and what to do about it, in one line.
	Message string
}

// String returns file:line: message, the form that editors understand.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
}

// Problems is the error that [Load] returns: all problems of a file, by line.
type Problems []Problem

// Error returns the problems one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// collector gathers the problems of one file.
type collector struct {
	file  string
	lines int // number of lines in the file
	seen  map[Problem]bool
	list  Problems
}

// add notes a problem once, however often its line is reached through aliases.
func (c *collector) add(line int, format string, args ...any) {
	message := strings.ReplaceAll(strings.TrimSpace(fmt.Sprintf(format, args...)), "\n", "; ")
	message = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, message)
	p := Problem{File: c.file, Line: min(max(line, 0), c.lines), Message: message}
	switch {
	case c.seen[p] || len(c.list) > maxProblems:
		return
	case len(c.list) == maxProblems:
		p = Problem{File: c.file, Line: c.lines, Message: "there are more problems; repair these first"}
	}
	if c.seen == nil {
		c.seen = make(map[Problem]bool)
	}
	c.seen[p] = true
	c.list = append(c.list, p)
}

// sorted returns the problems by line, those of one line as they were found.
func (c *collector) sorted() Problems {
	slices.SortStableFunc(c.list, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return c.list
}
