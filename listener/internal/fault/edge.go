//go:build !faults

package fault

// Edge is the end of one transaction. The zero value is one that has no name yet.
type Edge struct{}

// Commits names what the transaction commits. It may have several names.
func (*Edge) Commits(string) {}

// Before is to be called last before the commit, by transactions that have something to
// commit.
func (*Edge) Before() {}

// After is to be called first after the commit.
func (*Edge) After() {}
