package syncrepl

import (
	"encoding/hex"
	"iter"

	"github.com/listenerd/listenerd/listener/internal/wire"
)

// UUID identifies an entry for its whole life, over renames: the sync UUID of RFC
// 4533, section 2.3.2 (named entryUUID there; 389 DS uses nsUniqueId).
type UUID [16]byte

// String returns the form 30593fe3-f028-432e-9840-43c43e5fd2da.
func (u UUID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], u[0:4])
	hex.Encode(b[9:13], u[4:6])
	hex.Encode(b[14:18], u[6:8])
	hex.Encode(b[19:23], u[8:10])
	hex.Encode(b[24:36], u[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// Entry is the state of an entry as the provider sent it. Its bytes belong to the
// consumer; see [Sink.Entry] for how long they last.
type Entry struct {
	// UUID identifies the entry.
	UUID UUID
	// Added is the provider's opinion on whether the entry is new. In a refresh it
	// says little: providers send what they are not sure about as added.
	Added bool
	// DN is the distinguished name as the provider wrote it, UTF-8 or not.
	DN []byte
	// Attributes holds the content octets of an RFC 4511 PartialAttributeList
	// (section 4.1.7). It is checked: non-empty attribute descriptions, sets of octet
	// strings, definite lengths of at most four octets, no other bytes.
	Attributes []byte
}

// All iterates over the attributes in the provider's order. The values are views
// into the entry; the slice that holds them is reused for the next attribute.
func (e *Entry) All() iter.Seq2[string, [][]byte] {
	return func(yield func(string, [][]byte) bool) {
		var values [][]byte
		for name, set := range wire.Attributes(e.Attributes) {
			values = values[:0]
			for v := range wire.Values(set) {
				values = append(values, v)
			}
			if !yield(string(name), values) {
				return
			}
		}
	}
}
