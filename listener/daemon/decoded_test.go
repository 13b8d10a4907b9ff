package daemon

import (
	"testing"

	"github.com/listenerd/listenerd/listener"
)

// What is kept is bounded: the oldest go first.
func TestDecodedIsBounded(t *testing.T) {
	var d decoded
	const size = maxDecoded / 10
	at := func(n int) version { return version{id: uint64(n), seq: 1} }
	for n := range 25 {
		d.put(at(n), &decodedEntry{size: size})
		d.put(at(n), &decodedEntry{size: size}) // by another module's loader
	}
	for n := range 25 {
		if kept := d.get(at(n)) != nil; kept != (n >= 15) {
			t.Errorf("entry %d is kept: %v", n, kept)
		}
	}
	if len(d.order) != len(d.entries) || d.size != 10*size {
		t.Errorf("%d in order, %d entries, %d bytes", len(d.order), len(d.entries), d.size)
	}
}

// Another schema gives other names to the attributes of the same version.
func TestDecodedGoesByTheSchema(t *testing.T) {
	var d decoded
	v := version{id: 1, seq: 1}
	d.put(v, &decodedEntry{size: 1})
	v.names = listener.NewAttributeNames(nil)
	if d.get(v) != nil {
		t.Error("the entry has the names of another schema")
	}
}
