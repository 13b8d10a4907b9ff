package wire

import (
	"errors"
	"fmt"
)

// ErrProtocol matches every error about a message that LDAP (RFC 4511) or RFC 4533
// does not allow.
var ErrProtocol = errors.New("protocol error")

// SyntaxError is what is wrong with a message. It matches [ErrProtocol].
type SyntaxError struct {
	// Offset in octets from the beginning of the message, or of the value that was
	// decoded.
	Offset int
	// Field of the message, in the words of the RFCs.
	Field string
	// Reason says what is wrong with it.
	Reason string
}

// Error returns the three fields as a phrase.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("malformed message: %s at offset %d: %s", e.Field, e.Offset, e.Reason)
}

// Is reports whether target is [ErrProtocol].
func (e *SyntaxError) Is(target error) bool { return target == ErrProtocol }

// The BER identifier octets of what a consumer receives (RFC 4511, appendix B; RFC
// 4533, appendix A).
const (
	tagBoolean     = 0x01
	tagInteger     = 0x02
	tagOctetString = 0x04
	tagEnumerated  = 0x0a
	tagSequence    = 0x30
	tagSet         = 0x31

	tagSearchEntry     = 0x64
	tagSearchDone      = 0x65
	tagSearchReference = 0x73
	tagExtended        = 0x78
	tagIntermediate    = 0x79

	tagControls = 0xa0
	tagReferral = 0xa3

	tagExtendedName      = 0x8a
	tagIntermediateName  = 0x80
	tagIntermediateValue = 0x81

	tagNewCookie      = 0x80
	tagRefreshDelete  = 0xa1
	tagRefreshPresent = 0xa2
	tagSyncIDSet      = 0xa3
)

// constructed is the bit of an identifier octet that tells a container.
const constructed = 0x20

// header reads the identifier and length octets at b[off:end] and returns where the
// content lies. Identifiers have one octet and lengths are definite, of at most four
// octets: that is all that LDAP needs (RFC 4511, section 5.1). A non-empty reason
// says what is wrong.
func header(b []byte, off, end int) (tag byte, from, to int, reason string) {
	if end-off < 2 {
		return 0, 0, 0, "the element is cut off"
	}
	tag = b[off]
	if tag&0x1f == 0x1f {
		return 0, 0, 0, "identifier of more than one octet"
	}
	n := int(b[off+1])
	from = off + 2
	if n >= 0x80 {
		octets := n & 0x7f
		if octets == 0 {
			return 0, 0, 0, "indefinite length"
		}
		if octets > 4 {
			return 0, 0, 0, "length of more than four octets"
		}
		if end-from < octets {
			return 0, 0, 0, "the length is cut off"
		}
		var length uint64
		for _, c := range b[from : from+octets] {
			length = length<<8 | uint64(c)
		}
		from += octets
		if length > uint64(end-from) {
			return 0, 0, 0, "longer than what contains it"
		}
		n = int(length)
	}
	if n > end-from {
		return 0, 0, 0, "longer than what contains it"
	}
	return tag, from, from + n, ""
}

// cursor walks over the elements in b[off:end].
type cursor struct {
	b        []byte
	off, end int
}

func (c *cursor) empty() bool { return c.off >= c.end }

// peek returns the identifier octet of the next element, 0 if there is none.
func (c *cursor) peek() byte {
	if c.empty() {
		return 0
	}
	return c.b[c.off]
}

func (c *cursor) fail(field, reason string) error {
	return &SyntaxError{Offset: c.off, Field: field, Reason: reason}
}

// enter moves past the next element, which must have the tag, and returns a cursor
// over its content.
func (c *cursor) enter(tag byte, field string) (cursor, error) {
	if c.empty() {
		return cursor{}, c.fail(field, "missing")
	}
	got, from, to, reason := header(c.b, c.off, c.end)
	if reason != "" {
		return cursor{}, c.fail(field, reason)
	}
	if got != tag {
		return cursor{}, c.fail(field, fmt.Sprintf("identifier octet 0x%02x in place of 0x%02x", got, tag))
	}
	c.off = to
	return cursor{c.b, from, to}, nil
}

// octets reads a primitive element as bytes, a view that is never nil.
func (c *cursor) octets(tag byte, field string) ([]byte, error) {
	in, err := c.enter(tag, field)
	if err != nil {
		return nil, err
	}
	return in.b[in.off:in.end:in.end], nil
}

// integer reads an element as a number from 0 to 2^31-1, the range of RFC 4511.
func (c *cursor) integer(tag byte, field string) (int, error) {
	at := *c
	in, err := c.enter(tag, field)
	if err != nil {
		return 0, err
	}
	n := in.end - in.off
	switch {
	case n == 0:
		return 0, at.fail(field, "a number without octets")
	case n > 4:
		return 0, at.fail(field, fmt.Sprintf("a number of %d octets", n))
	case in.b[in.off]&0x80 != 0:
		return 0, at.fail(field, "a negative number")
	}
	v := 0
	for _, c := range in.b[in.off:in.end] {
		v = v<<8 | int(c)
	}
	return v, nil
}

// boolean reads a BOOLEAN.
func (c *cursor) boolean(field string) (bool, error) {
	at := *c
	in, err := c.enter(tagBoolean, field)
	if err != nil {
		return false, err
	}
	if in.end-in.off != 1 {
		return false, at.fail(field, "a boolean that is not one octet long")
	}
	return in.b[in.off] != 0, nil
}

// rest checks the elements left in c, which are of a later version of the protocol
// and to be ignored (RFC 4511, section 4).
func (c *cursor) rest(field string) error {
	if c.empty() {
		return nil
	}
	return checkNesting(c.b, c.off, c.end, field)
}

// maxDepth bounds the nesting of elements that we don't decode ourselves.
const maxDepth = 32

// checkNesting checks that b[off:end] is a series of well-formed elements, down to
// the innermost ones and not more than maxDepth of them in each other.
func checkNesting(b []byte, off, end int, field string) error {
	var ends [maxDepth]int // where the open elements end
	depth := 0
	for {
		for depth > 0 && off == end {
			depth--
			end = ends[depth]
		}
		if off == end {
			return nil
		}
		tag, from, to, reason := header(b, off, end)
		if reason != "" {
			return &SyntaxError{Offset: off, Field: field, Reason: reason}
		}
		if tag&constructed == 0 {
			off = to
			continue
		}
		if depth == maxDepth {
			return &SyntaxError{Offset: off, Field: field, Reason: fmt.Sprintf("nested more than %d deep", maxDepth)}
		}
		ends[depth] = end
		depth++
		off, end = from, to
	}
}
