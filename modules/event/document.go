package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/listenerd/listenerd/listener"
)

// Document is the decoded form of an event document, for encoding/json. Marshalled
// again it is the same document.
type Document struct {
	Time    time.Time      `json:"time"`
	Module  string         `json:"module"`
	Call    listener.Kind  `json:"call"`
	Seq     uint64         `json:"seq,omitzero"`
	Attempt int            `json:"attempt,omitzero"`
	Cause   listener.Cause `json:"cause,omitzero"`
	UUID    string         `json:"uuid,omitzero"`
	// DN is the new DN; for remove the last one.
	DN Value `json:"dn,omitzero"`
	// OldDN is set when the entry moved.
	OldDN Value `json:"old_dn,omitzero"`
	// Changed names the non-operational attributes that differ; set for modify.
	Changed []string `json:"changed,omitzero"`
	// Old and New are the entry's attributes before and after; nil where there is
	// no such state.
	Old map[string][]Value `json:"old,omitzero"`
	New map[string][]Value `json:"new,omitzero"`
}

// Value is a string of bytes, UTF-8 or not, that is {"base64":"..."} in JSON when
// it is not.
type Value string

// MarshalJSON implements [json.Marshaler].
func (v Value) MarshalJSON() ([]byte, error) {
	return appendValue(nil, string(v)), nil
}

// UnmarshalJSON implements [json.Unmarshaler].
func (v *Value) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte(`"`)) {
		return json.Unmarshal(data, (*string)(v))
	}
	var encoded struct {
		Base64 *[]byte `json:"base64"`
	}
	if err := json.Unmarshal(data, &encoded); err != nil {
		return err
	}
	if encoded.Base64 == nil {
		return fmt.Errorf("a value is neither a string nor base64: %s", data)
	}
	*v = Value(*encoded.Base64)
	return nil
}

var (
	_ json.Marshaler   = Value("")
	_ json.Unmarshaler = (*Value)(nil)
)
