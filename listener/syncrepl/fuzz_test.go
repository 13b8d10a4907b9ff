package syncrepl

import (
	"strings"
	"testing"
)

// FuzzTarget: what is accepted can be dialled, and the error of what is not names it.
func FuzzTarget(f *testing.F) {
	for _, seed := range []string{
		"ldap://h", "ldaps://h:1636/", "LDAP://[::1]:1389", "ldap://[fe80::1%25lo]", "ldap://", "ldapi://", "ldapi:///", "ldapi://%2Fa%2Fb",
		"ldapi:///run/sock", "ldapi://sock", "ldapi://%zz", "ldap://u@h", "ldap://h/dc=x", "ldap://h:x", "h", "http://h", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		at, err := parseTarget(uri)
		switch {
		case err != nil:
			if !strings.HasPrefix(err.Error(), "provider ") {
				t.Errorf("%q: %v", uri, err)
			}
		case at.network == "tcp":
			if at.host == "" || !strings.Contains(at.addr, ":") {
				t.Errorf("%q: %+v", uri, at)
			}
		case at.network != "unix" || !strings.HasPrefix(at.addr, "/") || at.ldaps:
			t.Errorf("%q: %+v", uri, at)
		}
	})
}
