package fault

import (
	"testing"
	"unsafe"
)

// What production builds carry is nothing.
func TestEdgeTakesNoMemory(t *testing.T) {
	if n := unsafe.Sizeof(Edge{}); n != 0 {
		t.Errorf("an Edge takes %d bytes; was this test built with the tag faults?", n)
	}
}
