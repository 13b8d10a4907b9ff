package route_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"
)

// A full load that finds nothing new writes the cookie, and calls nobody.
func TestUnchangedRefreshWritesCookie(t *testing.T) {
	const many, page = 20_000, 4096
	b := newBench(t)
	load := func(cookie string) {
		b.router.LoadAll()
		b.begin()
		b.entry(single(1, base, true))
		for i := range many {
			b.entry(single(10+i, fmt.Sprintf("uid=%d,%s", i, base), false))
			if i%5000 == 0 {
				b.flush()
			}
		}
		b.must(b.router.Sweep(context.Background()))
		b.end(cookie)
	}
	load("1")
	b.tasks()
	before, err := os.ReadFile(b.store.Path())
	b.must(err)
	load("2")
	after, err := os.ReadFile(b.store.Path())
	b.must(err)
	changed := 0
	for i := 0; i < max(len(before), len(after)); i += page {
		if i+page > len(before) || i+page > len(after) || !bytes.Equal(before[i:i+page], after[i:i+page]) {
			changed++
		}
	}
	if changed == 0 || changed > 5 { // the bucket of the cookie, the root, bbolt's own
		t.Errorf("%d of %d pages were written", changed, len(after)/page)
	}
	b.expectTasks("unchanged", "", 0)
	if cookie := b.begin(); cookie != "2" {
		t.Errorf("from cookie %q", cookie)
	}
}
