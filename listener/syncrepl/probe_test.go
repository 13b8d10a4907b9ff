package syncrepl

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// Scenario 17: the provider stops cleanly. Its notice ends the session, and the next
// one goes on where it was.
func TestScenario17SlapdStopped(t *testing.T) {
	noLeaks(t)
	s := slapdtest.Start(t, slapdtest.Checkpoint(1, 1))
	m := newMirror(t)
	events := make(chan Event, 10_000)
	cfg := slapdConfig(s)
	cfg.Notify = func(e Event) { events <- e }
	stop := start(t, cfg, m)
	m.waitRefreshed(1)
	m.has(newEdit(t, s).add("cn=before"))
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(patience)
	for failed := false; !failed; {
		select {
		case e := <-events:
			if failed = e.Kind == EventFailed; failed && !errors.Is(e.Err, ErrDisconnected) {
				t.Errorf("the session ended with %v", e.Err)
			}
		case <-deadline:
			t.Fatal("nothing says that the session has ended")
		}
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	m.waitRefreshed(2)
	m.has(newEdit(t, s).add("cn=after"))
	stop()
}

// Scenario 17: a network that passes nothing any more, without a word. The probe finds
// out, and the next provider takes over.
func TestScenario17BlackHole(t *testing.T) {
	noLeaks(t)
	s := slapdtest.Start(t)
	p := slapdtest.NewProxy(t, s.Addr())
	m := newMirror(t)
	events := make(chan Event, 10_000)
	cfg := slapdConfig(s)
	cfg.URIs = []string{p.URI(), s.URI()}
	cfg.Timeout, cfg.ProbeInterval = time.Second, 50*time.Millisecond
	cfg.Notify = func(e Event) { events <- e }
	// On a busy machine a network that is all right may seem to be a hole, too. The next
	// provider is there from the stall on.
	var stalled atomic.Bool
	cfg.Dial = func(ctx context.Context, uri string) (net.Conn, error) {
		if uri == s.URI() && !stalled.Load() {
			return nil, errors.New("not yet")
		}
		return dial(ctx, uri)
	}
	stop := start(t, cfg, m)
	m.waitRefreshed(1)
	e := newEdit(t, s)
	m.has(e.add("cn=before"))
	p.Stall()
	stalled.Store(true)
	lost := e.add("cn=during")
	m.has(lost)
	stop()
	if got := m.sessions[len(m.sessions)-1].URI; got != s.URI() {
		t.Errorf("the last session is with %s", got)
	}
	close(events)
	found := false
	for e := range events {
		if e.Kind == EventFailed {
			t.Log(e)
			found = found || e.URI == p.URI() && errors.Is(e.Err, ErrDisconnected) && strings.Contains(e.Err.Error(), "nothing has arrived for 50ms")
		}
	}
	if !found {
		t.Error("nothing says that the probe found out")
	}
}

// Scenario 17: a slow network loses nothing, and is not taken for a broken one.
func TestScenario17SlowNetwork(t *testing.T) {
	noLeaks(t)
	s := slapdtest.Start(t, slapdtest.WithLDIF(slapdtest.People(200, 1)))
	p := slapdtest.NewProxy(t, s.Addr())
	p.Throttle(200 << 10)
	m := newMirror(t)
	cfg := slapdConfig(s)
	cfg.URIs = []string{p.URI()}
	cfg.ProbeInterval = 20 * time.Millisecond
	stop := start(t, cfg, m)
	m.waitRefreshed(1)
	e := newEdit(t, s)
	var added []string
	for _, name := range strings.Fields("a b c d e f g h") {
		added = append(added, e.add("cn="+name))
	}
	e.del(added[0])
	for _, dn := range added[1:] {
		m.has(dn)
	}
	m.none(added[0])
	stop()
	whole := newMirror(t)
	if err := once(t, slapdConfig(s), whole); err != nil {
		t.Fatal(err)
	}
	if got, want := m.dns(), whole.dns(); !slices.Equal(got, want) {
		t.Errorf("%d entries, want %d", len(got), len(want))
	}
	if len(m.sessions) != 1 {
		t.Errorf("%d sessions", len(m.sessions))
	}
}

// In silence a provider that answers is asked again and again; what it answers does
// not matter. One that does not answer ends the session after the timeout.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var probed []time.Duration
		begun := time.Now()
		answering := func(code int) func(*peer) {
			return func(p *peer) {
				probed = append(probed, time.Since(begun))
				buf := make([]byte, 1000)
				if _, err := p.conn.Read(buf); err != nil {
					t.Error(err)
				}
				p.write(tlv(0x30, num(0x02, 1), tlv(0x65, num(0x0a, code), text(""), text(""))))
				p.drain()
			}
		}
		silent := func(p *peer) {
			probed = append(probed, time.Since(begun))
			p.drain()
		}
		cfg, _ := play(t, live(refreshDelete(true, "c2")), answering(0), answering(53), silent)
		cfg.ProbeInterval = time.Minute
		var events []Event
		cfg.Notify = func(e Event) { events = append(events, e) }
		cancel := follow(t, cfg, loaded(t))
		time.Sleep(3*time.Minute + DefaultTimeout + time.Second) // of the bubble
		if err := cancel(); err != nil {
			t.Error(err)
		}
		if want := []time.Duration{time.Minute, 2 * time.Minute, 3 * time.Minute}; !slices.Equal(probed, want) {
			t.Errorf("probed after %v", probed)
		}
		if e := events[1]; e.Kind != EventFailed || !errors.Is(e.Err, ErrDisconnected) || !strings.Contains(e.Err.Error(), "no answer to the search within 10s") {
			t.Errorf("event %v", e)
		}
	})
}

// What arrives puts the probe off, also one that is under way.
func TestProbeIsPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan time.Duration, 1)
		begun := time.Now()
		cfg, _ := play(t, func(p *peer) {
			if !p.search() {
				return
			}
			p.send(refreshDelete(true, "c2"))
			for i := range 5 {
				time.Sleep(59 * time.Second)
				p.send(add(10+i, "cn=x"))
			}
			time.Sleep(65 * time.Second) // the probe has begun
			p.send(add(20, "cn=y"))
			p.stay()
		}, func(p *peer) { p.drain(); gone <- time.Since(begun) })
		cfg.ProbeInterval = time.Minute
		m := loaded(t)
		cancel := follow(t, cfg, m)
		at := 5*59*time.Second + 65*time.Second
		time.Sleep(at + time.Second)
		if d := <-gone; d != at {
			t.Errorf("the probe ended after %v, want %v", d, at)
		}
		if err := cancel(); err != nil {
			t.Error(err)
		}
		if len(m.sessions) != 1 || m.entered != 6 {
			t.Errorf("%d sessions, %d entries", len(m.sessions), m.entered)
		}
	})
}

// The end of Run ends a probe.
func TestProbeIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := play(t, live(refreshDelete(true, "c2")))
		dial, dials := cfg.Dial, 0
		cfg.Dial = func(ctx context.Context, uri string) (net.Conn, error) {
			if dials++; dials == 1 {
				return dial(ctx, uri)
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		cfg.ProbeInterval = time.Minute
		cancel := follow(t, cfg, loaded(t))
		time.Sleep(time.Minute + time.Second)
		begun := time.Now()
		if err := cancel(); err != nil {
			t.Error(err)
		}
		if d := time.Since(begun); d != 0 || dials != 2 {
			t.Errorf("it took %v, %d dials", d, dials)
		}
	})
}
