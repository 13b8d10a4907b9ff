package syncrepl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// follow runs the consumer in a bubble until the context ends.
func follow(t *testing.T, cfg Config, sink Sink) (cancel func() error) {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, sink) }()
	return func() error {
		stop()
		return <-done
	}
}

// waits returns the delays in the events.
func waits(events []Event) []time.Duration {
	var out []time.Duration
	for _, e := range events {
		if e.Kind == EventFailed {
			out = append(out, e.Wait)
		}
	}
	return out
}

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tried []time.Time
		var events []Event
		cancel := follow(t, Config{
			URIs: []string{"ldap://a", "ldap://b"},
			Dial: func(context.Context, string) (net.Conn, error) {
				tried = append(tried, time.Now())
				return nil, errors.New("refused")
			},
			Notify: func(e Event) { events = append(events, e) },
		}, newMirror(t))
		time.Sleep(10 * time.Minute) // of the bubble
		if err := cancel(); err != nil {
			t.Error(err)
		}
		d := time.Second
		for i := 0; i+2 < len(tried); i += 2 {
			if gap := tried[i+1].Sub(tried[i]); gap != 0 {
				t.Errorf("the second provider was tried %v after the first", gap)
			}
			if gap := tried[i+2].Sub(tried[i+1]); gap < d/2 || gap > d {
				t.Errorf("attempt %d came after %v, want up to %v", i, gap, d)
			}
			d = min(2*d, time.Minute)
		}
		if len(tried) < 2*10 {
			t.Errorf("%d attempts", len(tried))
		}
		for i, e := range events {
			if e.Kind != EventFailed || !errors.Is(e.Err, ErrUnreachable) || e.URI != "ldap://"+string("ab"[i%2]) {
				t.Errorf("event %+v", e)
			}
		}
	})
}

// A session that stood for a minute makes the delays short again; a shorter one does
// not.
func TestBackoffReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stands := func(d time.Duration) func(*peer) {
			return func(p *peer) {
				if p.search() {
					p.send(refreshDelete(true, "c1"))
					time.Sleep(d)
				}
			}
		}
		var events []Event
		cfg, _ := play(t, nil, nil, nil, stands(59*time.Second), stands(61*time.Second), nil)
		cfg.Notify = func(e Event) { events = append(events, e) }
		cancel := follow(t, cfg, newMirror(t))
		time.Sleep(5 * time.Minute)
		if err := cancel(); err != nil {
			t.Error(err)
		}
		got := waits(events)
		for i, d := range []time.Duration{1, 2, 4, 8, 1, 2} {
			d *= time.Second
			if i >= len(got) || got[i] < d/2 || got[i] > d {
				t.Fatalf("delays %v: number %d should be up to %v", got, i, d)
			}
		}
	})
}

func TestFailover(t *testing.T) {
	noLeaks(t)
	m := loaded(t)
	var uris []string
	first, s1 := play(t, nil, ending(refreshDelete(true, "c3")))
	second, s2 := play(t, ending(refreshDelete(true, "c2"), add(3, "cn=3")))
	cfg := first
	cfg.URIs = []string{"ldap://first", "ldap://second"}
	cfg.Dial = func(ctx context.Context, uri string) (net.Conn, error) {
		uris = append(uris, uri)
		if len(uris) > 3 {
			return nil, errors.New("over")
		}
		if uri == "ldap://first" {
			return first.Dial(ctx, uri)
		}
		return second.Dial(ctx, uri)
	}
	stop := start(t, cfg, m)
	m.waitRefreshed(2)
	stop()
	m.expect("begin", "refreshed", "cookie c2", "begin", "refreshed", "cookie c3")
	if want := []string{"ldap://first", "ldap://second", "ldap://first"}; !slices.Equal(uris[:3], want) {
		t.Errorf("tried %q", uris)
	}
	if got := append(s2.cookies(), s1.cookies()...); !slices.Equal(got, []string{"c1", "c2"}) {
		t.Errorf("asked with %q", got)
	}
	if a := []int{m.sessions[0].Attempt, m.sessions[1].Attempt}; !slices.Equal(a, []int{2, 3}) {
		t.Errorf("attempts %v", a)
	}
}

func TestRefreshOnlyTriesEachProviderOnce(t *testing.T) {
	noLeaks(t)
	cfg, _ := play(t, nil, ending(result(80)), ending(done(true)))
	cfg.URIs = []string{"ldap://a", "ldap://b"}
	err := once(t, cfg, loaded(t))
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "ldap://a") || !strings.Contains(err.Error(), "ldap://b: the search failed: result 80") {
		t.Error(err)
	}
}

func TestCancel(t *testing.T) {
	noLeaks(t)
	t.Run("Persist", func(t *testing.T) {
		m := loaded(t)
		goodbye := make(chan []ber.Tag, 1)
		cfg, _ := play(t, func(p *peer) {
			if p.search() {
				p.send(refreshDelete(true))
				p.stay()
				goodbye <- p.goodbye
			}
		})
		stop := start(t, cfg, m)
		m.waitRefreshed(1)
		stop()
		if got := <-goodbye; !slices.Equal(got, []ber.Tag{16, 2}) {
			t.Errorf("the provider got %v, want an abandon and an unbind request", got)
		}
		m.expect("begin", "refreshed")
	})
	t.Run("MidRefresh", func(t *testing.T) {
		m := loaded(t)
		cfg, _ := play(t, live(add(3, "cn=3")))
		stop := start(t, cfg, m)
		m.wait("the entry", func() bool { return m.entered == 1 })
		stop()
		m.expect("begin")
	})
	t.Run("RefreshOnly", func(t *testing.T) {
		cause := errors.New("enough")
		m := loaded(t)
		cfg, _ := play(t, live(add(3, "cn=3")))
		cfg.Mode = RefreshOnly
		ctx, cancel := context.WithCancelCause(t.Context())
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { ended <- c.Run(ctx, m) }()
		m.wait("the entry", func() bool { return m.entered == 1 })
		cancel(cause)
		if err := <-ended; err != cause {
			t.Errorf("Run: %v", err)
		}
	})
	t.Run("Dialling", func(t *testing.T) {
		dialling := make(chan bool)
		stop := start(t, Config{URIs: []string{"ldap://a"}, Dial: func(ctx context.Context, _ string) (net.Conn, error) {
			close(dialling)
			<-ctx.Done()
			return nil, ctx.Err()
		}}, loaded(t))
		<-dialling
		stop()
	})
	t.Run("Binding", func(t *testing.T) {
		cfg, _ := play(t, func(p *peer) {
			buf := make([]byte, 100)
			for {
				if _, err := p.conn.Read(buf); err != nil {
					return
				}
			}
		})
		cfg.BindDN, cfg.Password = "cn=x", "secret"
		binding := make(chan bool)
		cfg.Bind = func(_ context.Context, _ string, conn *ldap.Conn) error {
			close(binding)
			return conn.Bind("cn=x", "secret")
		}
		stop := start(t, cfg, loaded(t))
		<-binding
		stop()
	})
}

// What the sink returns ends Run as it is, without another session.
func TestSinkErrors(t *testing.T) {
	noLeaks(t)
	broken := errors.New("disk full")
	responses := [][][]byte{add(3, "cn=3"), bare(1, 0, ""), bare(2, 3, ""), done(false, "c2")}
	for _, method := range []string{"Begin", "Entry", "Present", "Delete", "Sweep", "RefreshDone", "Cookie", "Flush"} {
		t.Run(method, func(t *testing.T) {
			for _, mode := range []Mode{RefreshOnly, RefreshAndPersist} {
				cfg, s := play(t, live(responses...), live(responses...))
				cfg.Mode = mode
				c, err := New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Run(t.Context(), &failing{loaded(t), method, broken}); err != broken {
					t.Errorf("Run: %v", err)
				}
				if n := len(s.cookies()); n > 1 {
					t.Errorf("%d sessions", n)
				}
			}
		})
		t.Run(method+"Panics", func(t *testing.T) {
			cfg, _ := play(t, live(responses...))
			err := once(t, cfg, &failing{loaded(t), method, nil})
			if err == nil || !strings.Contains(err.Error(), "panic in "+method) || !strings.Contains(err.Error(), "run_test.go") {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Run("ResetCookie", func(t *testing.T) {
		cfg, _ := play(t, live(refreshRequired()))
		if err := once(t, cfg, &failing{loaded(t), "ResetCookie", broken}); err != broken {
			t.Errorf("Run: %v", err)
		}
	})
}

// failing is a mirror of which one method fails; without an error it panics.
type failing struct {
	*mirror
	method string
	err    error
}

func (f *failing) fail(method string) error {
	switch {
	case f.method != method:
		return nil
	case f.err == nil:
		panic("panic in " + method)
	}
	return f.err
}

func (f *failing) Begin(ctx context.Context, s Session) ([]byte, error) {
	if err := f.fail("Begin"); err != nil {
		return nil, err
	}
	return f.mirror.Begin(ctx, s)
}
func (f *failing) Entry(context.Context, *Entry) error   { return f.fail("Entry") }
func (f *failing) Present(context.Context, []UUID) error { return f.fail("Present") }
func (f *failing) Delete(context.Context, []UUID) error  { return f.fail("Delete") }
func (f *failing) Sweep(context.Context) error           { return f.fail("Sweep") }
func (f *failing) RefreshDone(context.Context) error     { return f.fail("RefreshDone") }
func (f *failing) Cookie(context.Context, []byte) error  { return f.fail("Cookie") }
func (f *failing) Flush(context.Context) error           { return f.fail("Flush") }
func (f *failing) ResetCookie(context.Context, []byte, error) error {
	return f.fail("ResetCookie")
}

func TestInvalidCredentials(t *testing.T) {
	t.Run("AtFirst", func(t *testing.T) {
		noLeaks(t)
		cfg, s := play(t, live())
		s.bindResult.Store(49)
		cfg.BindDN, cfg.Password = "cn=me,dc=x", "secret"
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Run(t.Context(), loaded(t))
		if !errors.Is(err, ErrInvalidCredentials) || !strings.Contains(err.Error(), "cn=me,dc=x") || strings.Contains(err.Error(), "secret") {
			t.Errorf("Run: %v", err)
		}
	})
	t.Run("LaterIsRetried", func(t *testing.T) {
		noLeaks(t)
		m := loaded(t)
		cfg, s := play(t,
			func(p *peer) {
				if p.search() {
					p.send(refreshDelete(true))
					p.bindResult.Store(49)
				}
			},
			func(p *peer) { p.search(); p.bindResult.Store(0) },
			live(refreshDelete(true)))
		cfg.BindDN, cfg.Password = "cn=me,dc=x", "secret"
		stop := start(t, cfg, m)
		m.waitRefreshed(2)
		stop()
		if n := len(s.cookies()); n != 2 {
			t.Errorf("%d searches", n)
		}
	})
}

func TestBindTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mute := func(p *peer) {
			buf := make([]byte, 100)
			for {
				if _, err := p.conn.Read(buf); err != nil {
					return
				}
			}
		}
		cfg, _ := play(t, mute)
		cfg.BindDN, cfg.Password, cfg.Mode = "cn=me,dc=x", "secret", RefreshOnly
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		err = c.Run(t.Context(), loaded(t))
		if !errors.Is(err, ErrDisconnected) || !strings.Contains(err.Error(), "no answer to the bind within 10s") {
			t.Errorf("Run: %v", err)
		}
		if d := time.Since(begin); d != DefaultTimeout {
			t.Errorf("it took %v", d)
		}
	})
}

// The cookie is dropped only when all providers were behind it for long enough.
func TestScenario13ProviderBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := loaded(t)
		behind := ending(result(53))
		var sessions []func(*peer)
		for range 100 {
			sessions = append(sessions, behind)
		}
		cfg, s := play(t, sessions...)
		cfg.URIs = []string{"ldap://a", "ldap://b"}
		cfg.StaleGrace = 5 * time.Minute
		cancel := follow(t, cfg, m)
		time.Sleep(4*time.Minute + 50*time.Second)
		if m.savedCookie() != "c1" {
			t.Error("the cookie was dropped too early")
		}
		s.mu.Lock()
		s.sessions = []func(*peer){behind, behind, behind, behind, live(add(1, "cn=1"), refreshDelete(true, "c0"))}
		s.mu.Unlock()
		time.Sleep(5 * time.Minute)
		if m.savedCookie() != "c0" {
			t.Errorf("cookie %q after %d sessions", m.savedCookie(), len(s.cookies()))
		}
		if err := cancel(); err != nil {
			t.Error(err)
		}
		calls := slices.DeleteFunc(m.calls(), func(c string) bool { return c == "begin" })
		if !slices.Equal(calls, []string{"reset ", "sweep 1", "refreshed", "cookie c0"}) {
			t.Errorf("%q", calls)
		}
	})
}

func TestVendors(t *testing.T) {
	for _, c := range []struct {
		name, version string
		want          Vendor
	}{
		{"389 Project", "389-Directory/2.3.1 B2023.001.0000", Vendor389},
		{"", "389-Directory/1.4.4", Vendor389},
		{"The OpenLDAP Project", "20513", VendorOpenLDAP},
		{"Sample", "1", VendorUnknown},
		{"", "", VendorUnknown},
	} {
		m := loaded(t)
		cfg, s := play(t, live(done(true)))
		s.vendorName, s.vendorVersion = c.name, c.version
		if err := once(t, cfg, m); err != nil {
			t.Fatal(err)
		}
		if got := m.sessions[0]; got.Vendor != c.want || got.Version != c.version {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := Config{URIs: []string{"ldap://a"}}
	for name, change := range map[string]func(*Config){
		"URIs is empty":  func(c *Config) { c.URIs = nil },
		"no URI":         func(c *Config) { c.URIs = []string{"localhost"} },
		"unknown scheme": func(c *Config) { c.URIs = []string{"ldap://a", "http://b"} },
		"filter":         func(c *Config) { c.Filter = "(cn=" },
		"unknown scope":  func(c *Config) { c.Scope = 7 },
		"unknown mode":   func(c *Config) { c.Mode = 7 },
		"password is":    func(c *Config) { c.BindDN = "cn=a" },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
}

func TestTarget(t *testing.T) {
	for uri, want := range map[string]string{
		"ldap://example.com":            "tcp example.com:389",
		"ldap://example.com:1389/":      "tcp example.com:1389",
		"LDAP://[::1]:1389":             "tcp [::1]:1389",
		"ldaps://example.com":           "tcp example.com:636",
		"ldaps://example.com:1636":      "tcp example.com:1636",
		"ldap://[fe80::1%25lo]":         "tcp [fe80::1%lo]:389",
		"ldap://":                       "tcp localhost:389",
		"ldapi://%2Frun%2Fslapd%2Fsock": "unix /run/slapd/sock",
		"ldapi:///run/slapd/sock":       "unix /run/slapd/sock",
		"ldapi:///":                     "unix /var/run/slapd/ldapi",
		"ldapi://":                      "unix /var/run/slapd/ldapi",
	} {
		at, err := parseTarget(uri)
		if got := at.network + " " + at.addr; got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", uri, got, err, want)
		}
	}
	for _, uri := range []string{"", "example.com", "ldap//x", "http://a", "ldap://a/dc=x", "ldap://a?x", "ldap://u@a", "ldap://a:x", "ldapi://sock", "ldapi://%zz"} {
		if _, err := parseTarget(uri); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", uri)) {
			t.Errorf("%q: %v", uri, err)
		}
	}
}
