package wire

import "fmt"

// frameLength returns the number of octets of the LDAP message at the beginning of
// b: 0 if b is too short to tell. The message itself may be incomplete. Messages of
// more than limit octets are refused by their header.
func frameLength(b []byte, limit int) (int, error) {
	if len(b) > 0 && b[0] != tagSequence {
		return 0, &SyntaxError{Field: "LDAPMessage", Reason: fmt.Sprintf("identifier octet 0x%02x in place of 0x%02x; is this an LDAP server, and are both sides agreed on TLS?", b[0], tagSequence)}
	}
	if len(b) < 2 {
		return 0, nil
	}
	head, length := 2, uint64(b[1])
	if b[1] >= 0x80 {
		octets := int(b[1] & 0x7f)
		if octets == 0 {
			return 0, &SyntaxError{Offset: 1, Field: "LDAPMessage", Reason: "indefinite length"}
		}
		if octets > 4 {
			return 0, &SyntaxError{Offset: 1, Field: "LDAPMessage", Reason: "length of more than four octets"}
		}
		head += octets
		if len(b) < head {
			return 0, nil
		}
		length = 0
		for _, c := range b[2:head] {
			length = length<<8 | uint64(c)
		}
	}
	if total := length + uint64(head); total > uint64(limit) {
		return 0, &SyntaxError{Offset: 1, Field: "LDAPMessage", Reason: fmt.Sprintf("a message of %d octets, more than the limit of %d (max_message_size)", total, limit)}
	}
	return head + int(length), nil
}

// messageID opens a complete frame and returns its message ID and a cursor over what
// follows it.
func messageID(frame []byte) (int, cursor, error) {
	c := cursor{frame, 0, len(frame)}
	body, err := c.enter(tagSequence, "LDAPMessage")
	if err != nil {
		return 0, body, err
	}
	id, err := body.integer(tagInteger, "messageID")
	return id, body, err
}
