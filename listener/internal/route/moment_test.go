package route_test

import (
	"context"
	"errors"
	"testing"

	"github.com/listenerd/listenerd/listener/syncrepl"
)

// An entry is reported below a container by the name that this took, and only then the
// container between them moves elsewhere: it does not follow to where the entry's parent
// would have to be. The refresh has to be repeated.
func TestParentThatDoesNotFollow(t *testing.T) {
	b := newBench(t)
	b.begin()
	b.entry(single(1, base, true))
	b.entry(single(2, "ou=a,"+base, true))
	b.entry(single(3, "ou=b,ou=a,"+base, true))
	b.entry(single(4, "ou=c,ou=b,ou=a,"+base, false))
	b.entry(single(5, "ou=d,"+base, true))
	b.end("1")
	b.tasks()

	b.router.LoadAll()
	b.begin()
	b.entry(single(1, base, true))
	b.entry(single(4, "ou=c,ou=b,ou=new,"+base, false))
	b.entry(single(5, "ou=d,"+base, true))
	b.entry(single(3, "ou=b,ou=d,"+base, true))
	b.entry(single(2, "ou=new,"+base, true))
	b.must(b.router.Sweep(context.Background()))
	b.must(b.router.RefreshDone(context.Background()))
	if err := b.router.Flush(context.Background()); !errors.Is(err, syncrepl.ErrRepeat) {
		t.Errorf("error %v, want %v", err, syncrepl.ErrRepeat)
	}
}
