package config_test

import (
	"testing"

	"github.com/listenerd/listenerd/listener/internal/config"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// FuzzLDAPURL: what is accepted names a provider that the consumer accepts too, and
// that means the same when it is read again.
func FuzzLDAPURL(f *testing.F) {
	for _, seed := range []string{
		"ldap://h", "ldaps://h:1636/", "LDAP://[::1]:1389/dc=x?cn,sn?one?(cn=a%2Cb)?bindname=cn=a%2Cdc=x",
		"ldapi://", "ldapi://%2Frun%2Fslapd%2Fsock/dc=x??base", "ldapi:///", "ldap://[fe80::1%25lo]", "ldap:///dc=x",
		"ldap://h/?????", "ldap://h?x", "ldap://u:p@h", "ldap://h:99999", "ldap://h/%zz", "ldap://h/#", "http://h", "ldap://%00", "ldap://\xff",
		"ldapi://%2F%25%3F%23%20", "ldap://h//", "ldap://a b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := config.ParseLDAPURL(text)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error that says nothing")
			}
			return
		}
		provider := u.Provider()
		network, address := u.Address()
		if provider == "" {
			if address != "" {
				t.Errorf("%q: no provider for %s", text, address)
			}
			return
		}
		again, err := config.ParseLDAPURL(provider)
		if err != nil {
			t.Fatalf("%q becomes %q: %v", text, provider, err)
		}
		if n, a := again.Address(); n != network || a != address || again.Provider() != provider {
			t.Errorf("%q: %s %s, and again %s %s", text, network, address, n, a)
		}
		if _, err := syncrepl.New(syncrepl.Config{URIs: []string{provider}}); err != nil {
			t.Errorf("%q becomes %q: %v", text, provider, err)
		}
	})
}
