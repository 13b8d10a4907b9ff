package syncrepl

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A renewed session is followed by another one at once, with the same provider, and
// nothing is lost or done twice but what had not been handed over.
func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := loaded(t)
		cfg, s := play(t, nil,
			live(refreshDelete(true, "c2"), add(3, "cn=3")),
			live(add(1, "cn=1"), add(3, "cn=3"), refreshDelete(true, "c3")))
		cfg.URIs = []string{"ldap://a", "ldap://b"}
		var events []Event
		cfg.Notify = func(e Event) { events = append(events, e) }
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		c.Renew() // there is nothing to renew
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx, m) }()
		synctest.Wait()
		m.expect("begin", "refreshed", "cookie c2")
		same(t, m, "cn=1", "cn=2", "cn=3")

		m.mu.Lock()
		m.cookie = nil // what the sink wants to begin from
		m.mu.Unlock()
		begun := time.Now()
		c.Renew()
		synctest.Wait()
		m.expect("begin", "sweep 1", "refreshed", "cookie c3")
		same(t, m, "cn=1", "cn=3")
		if time.Since(begun) > 0 || m.sessions[1].URI != "ldap://b" {
			t.Errorf("after %v, with %s", time.Since(begun), m.sessions[1].URI)
		}
		if got := s.cookies(); !slices.Equal(got, []string{"c1", "-"}) {
			t.Errorf("the searches had the cookies %q", got)
		}
		for _, e := range events {
			if e.Kind == EventFailed && e.URI != "ldap://a" {
				t.Errorf("event %v", e)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		c.Renew() // nor now
	})
}
