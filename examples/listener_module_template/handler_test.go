package main

import (
	"slices"
	"testing"

	"github.com/listenerd/listenerd/listener/listenertest"
)

func TestHandler(t *testing.T) {
	h := listenertest.Open(t, Module)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	user := listenertest.Entry(t, `
		dn: uid=example,ou=people,dc=example,dc=com
		objectClass: inetOrgPerson
		uid: example
		givenName: Ada
		sn: Byron`)
	must(h.Create(ctx, user))

	user = listenertest.Set(user, "sn", "King", "Lovelace")
	must(h.Modify(ctx, user))

	user = listenertest.Move(user, "uid=example,ou=alumni,dc=example,dc=com")
	must(h.Modify(ctx, user))

	must(h.Remove(ctx, user))
	must(h.PostRun(ctx))

	want := []string{
		`info	changes are coming`,
		`info	created	{"dn": "uid=example,ou=people,dc=example,dc=com", "givenName": "Ada", "sn": "Byron"}`,
		`info	changed	{"dn": "uid=example,ou=people,dc=example,dc=com", "attribute": "sn", "removed": ["Byron"], "added": ["King", "Lovelace"]}`,
		`info	moved	{"dn": "uid=example,ou=alumni,dc=example,dc=com", "old_dn": "uid=example,ou=people,dc=example,dc=com"}`,
		`info	removed	{"dn": "uid=example,ou=alumni,dc=example,dc=com"}`,
		`info	no more changes for now`,
	}
	if got := h.Log(); !slices.Equal(got, want) {
		t.Errorf("logged\n%q\nwant\n%q", got, want)
	}
}
