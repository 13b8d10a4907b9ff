package modules_test

import (
	"slices"
	"testing"

	"github.com/listenerd/listenerd/modules"
)

func TestAll(t *testing.T) {
	var names []string
	for _, m := range modules.All() {
		spec := m.Spec()
		if err := spec.Validate(); err != nil {
			t.Error(err)
		}
		if spec.Description == "" {
			t.Errorf("%s has no description", spec.Name)
		}
		names = append(names, spec.Name)
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("not sorted, or not unique: %q", names)
	}
}
