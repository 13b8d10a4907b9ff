package wire

import (
	"fmt"
	"iter"
)

// InfoKind is the choice made in a Sync Info message (RFC 4533, section 2.5).
type InfoKind uint8

// The kinds of Sync Info messages.
const (
	NewCookie InfoKind = iota
	RefreshDelete
	RefreshPresent
	SyncIDSet
)

// Info is a Sync Info message. Its cookie is in the [Message].
type Info struct {
	Kind InfoKind
	// RefreshDone is set in RefreshDelete and RefreshPresent: the refresh is over.
	RefreshDone bool
	// RefreshDeletes is set in SyncIDSet: the entries are deleted, not present.
	RefreshDeletes bool
	// UUIDs is set in SyncIDSet: the content octets of the set, checked.
	UUIDs []byte
	// Count is the number of UUIDs.
	Count int
}

// All iterates over the UUIDs of a SyncIDSet.
func (i *Info) All() iter.Seq[[16]byte] {
	return func(yield func([16]byte) bool) {
		for v := range Values(i.UUIDs) {
			if !yield([16]byte(v)) {
				return
			}
		}
	}
}

// decodeIntermediate reads an IntermediateResponse (RFC 4511, section 4.13). One that
// is no Sync Info message becomes a KindOther.
func decodeIntermediate(body cursor, m *Message) error {
	m.Kind = KindOther
	op, err := body.enter(tagIntermediate, "IntermediateResponse")
	if err != nil {
		return err
	}
	var name []byte
	if op.peek() == tagIntermediateName {
		if name, err = op.octets(tagIntermediateName, "responseName"); err != nil {
			return err
		}
	}
	value, hasValue := cursor{}, op.peek() == tagIntermediateValue
	if hasValue {
		if value, err = op.enter(tagIntermediateValue, "responseValue"); err != nil {
			return err
		}
	}
	if err := op.rest("IntermediateResponse"); err != nil {
		return err
	}
	if string(name) == oidSyncInfo {
		if !hasValue {
			return op.fail("responseValue", "a Sync Info message without a value")
		}
		m.Kind = KindInfo
		if err := decodeInfo(value, m); err != nil {
			return err
		}
	}
	return eachControl(body, func([]byte, cursor) error { return nil })
}

// decodeInfo reads a syncInfoValue (RFC 4533, section 2.5).
func decodeInfo(value cursor, m *Message) (err error) {
	info := &Info{}
	m.Info = info
	switch tag := value.peek(); tag {
	case tagNewCookie:
		info.Kind = NewCookie
		if m.Cookie, err = value.octets(tag, "newcookie"); err != nil {
			return err
		}
		return end(value, "syncInfoValue")
	case tagRefreshDelete, tagRefreshPresent:
		info.Kind = RefreshDelete
		field := "refreshDelete"
		if tag == tagRefreshPresent {
			info.Kind, field = RefreshPresent, "refreshPresent"
		}
		seq, err := value.enter(tag, field)
		if err != nil {
			return err
		}
		if m.Cookie, err = optionalCookie(&seq); err != nil {
			return err
		}
		info.RefreshDone = true
		if seq.peek() == tagBoolean {
			if info.RefreshDone, err = seq.boolean("refreshDone"); err != nil {
				return err
			}
		}
		if err := seq.rest(field); err != nil {
			return err
		}
		return end(value, "syncInfoValue")
	case tagSyncIDSet:
		info.Kind = SyncIDSet
		seq, err := value.enter(tag, "syncIdSet")
		if err != nil {
			return err
		}
		if m.Cookie, err = optionalCookie(&seq); err != nil {
			return err
		}
		if seq.peek() == tagBoolean {
			if info.RefreshDeletes, err = seq.boolean("refreshDeletes"); err != nil {
				return err
			}
		}
		set, err := seq.enter(tagSet, "syncUUIDs")
		if err != nil {
			return err
		}
		info.UUIDs = set.b[set.off:set.end:set.end]
		for !set.empty() {
			at := set
			uuid, err := set.octets(tagOctetString, "syncUUIDs")
			if err != nil {
				return err
			}
			if len(uuid) != 16 {
				return at.fail("syncUUIDs", fmt.Sprintf("a UUID of %d octets", len(uuid)))
			}
			info.Count++
		}
		if err := seq.rest("syncIdSet"); err != nil {
			return err
		}
		return end(value, "syncInfoValue")
	case 0:
		return value.fail("syncInfoValue", "empty")
	default:
		return value.fail("syncInfoValue", fmt.Sprintf("unknown choice 0x%02x", tag))
	}
}

func optionalCookie(c *cursor) ([]byte, error) {
	if c.peek() != tagOctetString {
		return nil, nil
	}
	return c.octets(tagOctetString, "cookie")
}
