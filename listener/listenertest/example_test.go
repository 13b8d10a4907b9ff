package listenertest_test

import (
	"context"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/listenertest"
)

// shadow keeps the surnames of all people.
type shadow struct {
	listener.Base
	Surnames map[listener.UUID]string
}

func (s *shadow) Create(_ context.Context, new *listener.Entry) error {
	s.Surnames[new.UUID()] = new.Get("sn")
	return nil
}

type shadowConfig struct {
	Expected int `yaml:"expected"`
}

var shadowModule = listener.Define(
	listener.Spec{Name: "shadow", LDAPFilter: "(objectClass=person)"},
	shadowConfig{Expected: 1000},
	func(_ context.Context, _ listener.Env, c shadowConfig) (listener.Handler, error) {
		return &shadow{Surnames: make(map[listener.UUID]string, c.Expected)}, nil
	})

// The body of a test: open the module, make calls, look at what they did.
func ExampleOpen() {
	var t *testing.T // the test's own

	h := listenertest.Open(t, shadowModule,
		listenertest.Config(func(c *shadowConfig) { c.Expected = 10 }))

	ada := listenertest.Entry(t, `
		dn: uid=ada,dc=example,dc=com
		sn: Lovelace`)
	if err := h.Create(t.Context(), ada); err != nil {
		t.Fatal(err)
	}
	if err := h.Redeliver(t.Context()); err != nil {
		t.Errorf("a repeated call failed: %v", err)
	}
	surnames := h.Handler().(*shadow).Surnames
	if surnames[ada.UUID()] != "Lovelace" {
		t.Errorf("surnames are %q", surnames)
	}
}
