package syncrepl

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// edit makes writes to the server.
type edit struct {
	t    testing.TB
	conn *ldap.Conn
}

func newEdit(t testing.TB, s *slapdtest.Server) edit { return edit{t, s.Client(t)} }

func (e edit) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e edit) add(rdn string) string {
	e.t.Helper()
	dn := rdn + "," + slapdtest.BaseDN
	r := ldap.NewAddRequest(dn, nil)
	key, value, _ := strings.Cut(strings.Split(rdn, ",")[0], "=")
	if key == "ou" {
		r.Attribute("objectClass", []string{"organizationalUnit"})
	} else {
		r.Attribute("objectClass", []string{"inetOrgPerson"})
		r.Attribute("sn", []string{"Sample"})
		if key != "cn" {
			r.Attribute("cn", []string{"Sample"})
		}
	}
	r.Attribute(key, []string{value})
	e.must(e.conn.Add(r))
	return dn
}

func (e edit) set(dn, attr string, values ...string) {
	e.t.Helper()
	r := ldap.NewModifyRequest(dn, nil)
	r.Replace(attr, values)
	e.must(e.conn.Modify(r))
}

func (e edit) rename(dn, rdn string) string {
	e.t.Helper()
	e.must(e.conn.ModifyDN(ldap.NewModifyDNRequest(dn, rdn, true, "")))
	_, parent, _ := strings.Cut(dn, ",")
	return rdn + "," + parent
}

func (e edit) del(dn string) {
	e.t.Helper()
	e.must(e.conn.Del(ldap.NewDelRequest(dn, nil)))
}

// contextCSN returns the numbers of the last changes that an OpenLDAP knows, one for each
// server that takes writes.
func (e edit) contextCSN() []string {
	e.t.Helper()
	found, err := e.conn.Search(ldap.NewSearchRequest(slapdtest.BaseDN, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"contextCSN"}, nil))
	e.must(err)
	return found.Entries[0].GetAttributeValues("contextCSN")
}

// has waits until the mirror's entry has all of the texts; none waits until there is
// no such entry.
func (m *mirror) has(dn string, texts ...string) {
	m.t.Helper()
	m.wait(fmt.Sprintf("%s with %q", dn, texts), func() bool {
	entries:
		for _, s := range m.entries {
			if have, _, _ := strings.Cut(s, "\n"); have != dn {
				continue
			}
			for _, text := range texts {
				if !strings.Contains(s, text) {
					continue entries
				}
			}
			return true
		}
		return false
	})
}

func (m *mirror) none(dn string) {
	m.t.Helper()
	m.wait("no "+dn, func() bool {
		for _, s := range m.entries {
			if have, _, _ := strings.Cut(s, "\n"); have == dn {
				return false
			}
		}
		return true
	})
}
