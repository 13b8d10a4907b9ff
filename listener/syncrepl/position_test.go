package syncrepl

import (
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

func TestPosition(t *testing.T) {
	noLeaks(t)
	s := slapdtest.Start(t, slapdtest.SessionLog(100), slapdtest.WithLDIF(slapdtest.People(20, 1)))
	cfg := slapdConfig(s)
	m := newMirror(t)
	if err := once(t, cfg, m); err != nil {
		t.Fatal(err)
	}
	old := []byte(m.savedCookie())
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	position := func() *Position {
		t.Helper()
		p, err := c.Position(t.Context(), s.URI())
		if err != nil {
			t.Fatal(err)
		}
		if len(p.csns) != 1 {
			t.Errorf("contextCSN %q", p.csns)
		}
		return p
	}
	reached := func(what string, p *Position, cookie []byte, want bool) {
		t.Helper()
		opaque := *p
		opaque.csns = nil // as of a provider that does not tell: it is asked what is new
		for how, p := range map[string]*Position{"": p, ", by a refresh": &opaque} {
			got, err := p.Reached(t.Context(), cookie)
			if err != nil || got != want {
				t.Errorf("%s%s: %v, %v", what, how, got, err)
			}
		}
	}
	before := position()
	reached("no cookie", before, nil, false)
	reached("what is stored", before, old, true)
	e := edit{t, s.Client(t)}
	dn := e.add("ou=new")
	after := position()
	reached("after an add", after, old, false)
	if err := once(t, cfg, m); err != nil {
		t.Fatal(err)
	}
	added := []byte(m.savedCookie())
	reached("when it is stored", after, added, true)
	e.must(e.conn.Del(ldap.NewDelRequest(dn, nil)))
	reached("after a delete", position(), added, false)
	more := "rid=000,csn=20000101000000.000000Z#000000#001#000000;" + string(added[len("rid=000,csn="):])
	if got, err := after.Reached(t.Context(), []byte(more)); err != nil || !got {
		t.Errorf("a cookie that knows another server too: %v, %v", got, err)
	}
	if got := topOf("uid=a,ou=People, DC=example,dc=com", []string{"dc=com", "dc=Example,dc=com", "ou=x"}); got != "dc=Example,dc=com" {
		t.Errorf("the naming context is %s", got)
	}
	if _, err := c.Position(t.Context(), "ldap://127.0.0.1:1"); err == nil {
		t.Error("a provider that is not there has a position")
	}
}
