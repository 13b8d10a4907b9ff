package wire

import (
	"bytes"
	"fmt"
	"iter"
)

// Kind is the kind of a [Message].
type Kind uint8

// The kinds of messages of a sync search.
const (
	// KindEntry is a SearchResultEntry with its Sync State control.
	KindEntry Kind = iota + 1
	// KindReference is a SearchResultReference.
	KindReference
	// KindInfo is a Sync Info message.
	KindInfo
	// KindDone is the SearchResultDone.
	KindDone
	// KindOther is an intermediate response of another kind, to be ignored.
	KindOther
)

// State is the state in a Sync State control (RFC 4533, section 2.3).
type State uint8

// The states of an entry.
const (
	StatePresent State = iota
	StateAdd
	StateModify
	StateDelete
)

// String returns the word of RFC 4533.
func (s State) String() string {
	switch s {
	case StatePresent:
		return "present"
	case StateAdd:
		return "add"
	case StateModify:
		return "modify"
	case StateDelete:
		return "delete"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Message is one decoded message of the sync search. Byte slices are views into the
// message's frame. A cookie is nil when the message has none, and not nil but empty
// when it has an empty one.
type Message struct {
	Kind Kind
	// State and UUID are set in an entry, and in a reference that has a state.
	State    State
	HasState bool
	UUID     [16]byte
	// DN of an entry. For a reference: its first URI.
	DN []byte
	// Attributes of an entry: the content octets of its PartialAttributeList, checked.
	Attributes []byte
	// Cookie of any kind of message.
	Cookie []byte
	// Info is set in a Sync Info message.
	Info *Info
	// Done is set in the result.
	Done *Done
}

const (
	oidSyncState = "1.3.6.1.4.1.4203.1.9.1.2"
	oidSyncDone  = "1.3.6.1.4.1.4203.1.9.1.3"
	oidSyncInfo  = "1.3.6.1.4.1.4203.1.9.1.4"
)

// decode decodes a message of the sync search from what follows its message ID. m is
// zero before.
func decode(body cursor, m *Message) error {
	switch tag := body.peek(); tag {
	case tagSearchEntry:
		return decodeEntry(body, m)
	case tagSearchReference:
		return decodeReference(body, m)
	case tagIntermediate:
		return decodeIntermediate(body, m)
	case tagSearchDone:
		return decodeDone(body, m)
	case 0:
		return body.fail("protocolOp", "missing")
	default:
		return body.fail("protocolOp", fmt.Sprintf("identifier octet 0x%02x is no response to a search", tag))
	}
}

func decodeEntry(body cursor, m *Message) (err error) {
	m.Kind = KindEntry
	op, err := body.enter(tagSearchEntry, "SearchResultEntry")
	if err != nil {
		return err
	}
	if m.DN, err = op.octets(tagOctetString, "objectName"); err != nil {
		return err
	}
	list, err := op.enter(tagSequence, "attributes")
	if err != nil {
		return err
	}
	if err := checkAttributes(list); err != nil {
		return err
	}
	m.Attributes = list.b[list.off:list.end:list.end]
	if err := op.rest("SearchResultEntry"); err != nil {
		return err
	}
	at := body
	if err := decodeStates(body, m); err != nil {
		return err
	}
	if !m.HasState {
		return at.fail("controls", "an entry without a Sync State control")
	}
	return nil
}

func decodeReference(body cursor, m *Message) error {
	m.Kind = KindReference
	op, err := body.enter(tagSearchReference, "SearchResultReference")
	if err != nil {
		return err
	}
	if op.empty() {
		return op.fail("SearchResultReference", "without a URI")
	}
	for !op.empty() {
		uri, err := op.octets(tagOctetString, "uri")
		if err != nil {
			return err
		}
		if m.DN == nil {
			m.DN = uri
		}
	}
	return decodeStates(body, m)
}

// decodeStates reads the Sync State control of an entry or reference.
func decodeStates(body cursor, m *Message) error {
	return eachControl(body, func(oid []byte, value cursor) error {
		if string(oid) != oidSyncState {
			return nil
		}
		if m.HasState {
			return value.fail("controls", "two Sync State controls")
		}
		m.HasState = true
		return decodeState(value, m)
	})
}

// decodeState reads a syncStateValue (RFC 4533, section 2.3).
func decodeState(value cursor, m *Message) error {
	seq, err := value.enter(tagSequence, "syncStateValue")
	if err != nil {
		return err
	}
	at := seq
	state, err := seq.integer(tagEnumerated, "state")
	if err != nil {
		return err
	}
	if state > int(StateDelete) {
		return at.fail("state", fmt.Sprintf("unknown state %d", state))
	}
	m.State = State(state)
	at = seq
	uuid, err := seq.octets(tagOctetString, "entryUUID")
	if err != nil {
		return err
	}
	if len(uuid) != len(m.UUID) {
		return at.fail("entryUUID", fmt.Sprintf("a UUID of %d octets", len(uuid)))
	}
	copy(m.UUID[:], uuid)
	if seq.peek() == tagOctetString {
		if m.Cookie, err = seq.octets(tagOctetString, "cookie"); err != nil {
			return err
		}
	}
	if err := seq.rest("syncStateValue"); err != nil {
		return err
	}
	return end(value, "syncStateValue")
}

// end checks that a control value or the like has nothing after its one element.
func end(c cursor, field string) error {
	if c.empty() {
		return nil
	}
	return c.fail(field, "followed by other octets")
}

// eachControl calls visit with the type and the value of each control that follows
// the protocolOp. A control without a value has an empty one.
func eachControl(body cursor, visit func(oid []byte, value cursor) error) error {
	if body.empty() {
		return nil
	}
	if body.peek() != tagControls {
		return body.rest("LDAPMessage")
	}
	list, err := body.enter(tagControls, "controls")
	if err != nil {
		return err
	}
	for !list.empty() {
		c, err := list.enter(tagSequence, "control")
		if err != nil {
			return err
		}
		oid, err := c.octets(tagOctetString, "controlType")
		if err != nil {
			return err
		}
		if c.peek() == tagBoolean {
			if _, err := c.boolean("criticality"); err != nil {
				return err
			}
		}
		value := cursor{c.b, c.off, c.off}
		if c.peek() == tagOctetString {
			if value, err = c.enter(tagOctetString, "controlValue"); err != nil {
				return err
			}
		}
		if err := c.rest("control"); err != nil {
			return err
		}
		if err := visit(oid, value); err != nil {
			return err
		}
	}
	return body.rest("LDAPMessage")
}

// checkAttributes checks a PartialAttributeList down to its values. It does what a
// cursor would, without its cost: most of the time of decoding is spent here.
func checkAttributes(list cursor) error {
	b := list.b
	fail := func(off int, field, reason string) error {
		return &SyntaxError{Offset: off, Field: field, Reason: reason}
	}
	for off := list.off; off < list.end; {
		tag, in, next, reason := header(b, off, list.end)
		if reason == "" && tag != tagSequence {
			reason = "not a sequence"
		}
		if reason != "" {
			return fail(off, "PartialAttribute", reason)
		}
		off = in
		tag, from, to, reason := header(b, off, next)
		switch {
		case reason != "":
		case tag != tagOctetString:
			reason = "not an octet string"
		case from == to:
			reason = "empty"
		}
		if reason != "" {
			return fail(off, "attribute description", reason)
		}
		off = to
		tag, from, to, reason = header(b, off, next)
		switch {
		case reason != "":
		case tag != tagSet:
			reason = "not a set"
		case to != next:
			reason = "followed by other octets"
		}
		if reason != "" {
			return fail(off, "attribute values", reason)
		}
		for off = from; off < next; off = to {
			tag, _, to, reason = header(b, off, next)
			if reason == "" && tag != tagOctetString {
				reason = "not an octet string"
			}
			if reason != "" {
				return fail(off, "attribute value", reason)
			}
		}
		off = next
	}
	return nil
}

// Attributes iterates over the names and value sets of a checked list of attributes.
func Attributes(list []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, set []byte) bool) {
		for off := 0; off < len(list); {
			_, from, to, reason := header(list, off, len(list))
			if reason != "" {
				return
			}
			_, nameFrom, nameTo, reason := header(list, from, to)
			if reason != "" {
				return
			}
			_, setFrom, setTo, reason := header(list, nameTo, to)
			if reason != "" || !yield(list[nameFrom:nameTo:nameTo], list[setFrom:setTo:setTo]) {
				return
			}
			off = to
		}
	}
}

// Values iterates over the octet strings of a checked set.
func Values(set []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for off := 0; off < len(set); {
			_, from, to, reason := header(set, off, len(set))
			if reason != "" || !yield(set[from:to:to]) {
				return
			}
			off = to
		}
	}
}

// Clone returns a copy of m that refers to no frame.
func (m *Message) Clone() Message {
	c := *m
	c.DN, c.Attributes, c.Cookie = bytes.Clone(m.DN), bytes.Clone(m.Attributes), bytes.Clone(m.Cookie)
	if m.Info != nil {
		info := *m.Info
		info.UUIDs = bytes.Clone(info.UUIDs)
		c.Info = &info
	}
	if m.Done != nil {
		done := *m.Done
		c.Done = &done
	}
	return c
}
