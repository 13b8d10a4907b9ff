package daemon

import (
	"context"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
)

// Who sees a cookie in the status sees the calls that follow from it there too, also
// before the module was told of them.
func TestStatusHasTheCallsOfItsCookie(t *testing.T) {
	e := newEngine(t, 3, listener.Base{}, "{name: bench}")
	var err error
	e.d.shared, err = e.d.openShared(t.Context())
	e.must(err)
	defer e.d.shared.Close()
	looked := 0
	tell := e.d.router.Queued
	look := func(cookie string, queued int) {
		e.d.router.Queued = func(seq uint64, added map[string]int) {
			looked++
			for _, told := range []bool{false, true} {
				if told {
					tell(seq, added)
				}
				s, err := e.d.status()
				if err != nil {
					t.Fatal(err)
				}
				if m := s.Modules[0]; !strings.Contains(s.Cookie, cookie) || m.Queued != queued || m.State == "idle" {
					t.Errorf("cookie %q, told %v: status %+v with cookie %q, want %d calls that are owed", cookie, told, m, s.Cookie, queued)
				}
			}
		}
	}
	look("", 3)
	if more, err := e.d.router.Step(e.d.routed[0]); more || err != nil {
		t.Fatalf("the walk: more %v, %v", more, err)
	}
	look("csn=1", 5)
	e.send(0, 1)
	e.send(3, 0)
	e.must(e.d.router.Cookie(context.Background(), []byte("csn=1")))
	e.flush()
	if looked != 2 {
		t.Errorf("the module was told %d times, want 2", looked)
	}
}
