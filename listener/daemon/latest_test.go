package daemon_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/modules/event"
)

// What changes while a call of the entry runs, or while the module is paused, is one call,
// whenever each change came.
func TestDeliveryLatest(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	s.configure(server,
		instance("busy", "probe", "delivery: latest", "config.uid: bob", "config.do: block", "config.until: healed", "run_asynchronously: true", "parallelism: 2"),
		instance("paused", "probe", "delivery: latest"))
	r := s.start()
	r.until("bob's call hangs, and the others are through", func() bool { return len(s.journal("busy")) == 4 && r.module("busy").Queued == 1 })
	r.idle("paused")
	s.printed("pause", "paused")
	before, old := len(s.journal("paused")), d.read(bob)
	for i := range 10 {
		d.modify(bob, []string{"sn", fmt.Sprint("Changed ", i)})
		csn := d.contextCSN()
		r.until("the change is folded with those before", func() bool {
			status, ok := r.status()
			return ok && strings.Contains(status.Cookie, csn) && r.module("busy").Queued == 2 && r.module("paused").Queued == 1
		})
	}
	r.process.Kill() // with the call that hangs
	s.write("healed", "")
	r = s.start()
	r.until("it follows", func() bool { status, ok := r.status(); return ok && status.Phase == "persist" })
	s.printed("resume", "paused")
	r.caughtUp(d)
	r.stop()
	want := modify(old, d.read(bob), "sn")
	for name, docs := range map[string][]event.Document{"busy": s.since("busy", 4), "paused": s.since("paused", before)} {
		docs = slices.DeleteFunc(slices.Clone(docs), func(doc event.Document) bool { return doc.Call != listener.KindModify })
		if calls := describeAll(docs); len(calls) != 1 || calls[0] != want {
			t.Errorf("%s: called with %q, want %q", name, calls, want)
		}
	}
}
