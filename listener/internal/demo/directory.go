package main

import (
	"fmt"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// directory changes the throwaway directory, as its administrator.
type directory struct{ conn *ldap.Conn }

func connect(server *slapdtest.Server) (*directory, error) {
	conn, err := server.Dial(slapdtest.RootDN, slapdtest.RootPassword)
	if err != nil {
		return nil, err
	}
	return &directory{conn}, nil
}

func (d *directory) close() { _ = d.conn.Close() }

// initialCalls returns how many entries each module's filter matches.
func (d *directory) initialCalls() (map[string]int, error) {
	counts := make(map[string]int)
	for _, m := range modules {
		dns, err := d.find(m.filter)
		if err != nil {
			return nil, err
		}
		counts[m.name] = len(dns)
	}
	return counts, nil
}

func (d *directory) find(filter string) ([]string, error) {
	res, err := d.conn.Search(ldap.NewSearchRequest(slapdtest.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases,
		0, 0, false, filter, []string{"1.1"}, nil))
	if err != nil {
		return nil, fmt.Errorf("search %s: %w", filter, err)
	}
	dns := make([]string, len(res.Entries))
	for i, e := range res.Entries {
		dns[i] = e.DN
	}
	return dns, nil
}

func (d *directory) addUnit(dn, name string) error {
	req := ldap.NewAddRequest(dn, nil)
	req.Attribute("objectClass", []string{"organizationalUnit"})
	req.Attribute("ou", []string{name})
	return d.conn.Add(req)
}

func (d *directory) addPerson(dn, uid, given, sn string) error {
	req := ldap.NewAddRequest(dn, nil)
	req.Attribute("objectClass", []string{"inetOrgPerson"})
	req.Attribute("uid", []string{uid})
	req.Attribute("cn", []string{given + " " + sn})
	req.Attribute("givenName", []string{given})
	req.Attribute("sn", []string{sn})
	req.Attribute("mail", []string{uid + "@example.com"})
	return d.conn.Add(req)
}

func (d *directory) modify(dn string, fill func(*ldap.ModifyRequest)) error {
	req := ldap.NewModifyRequest(dn, nil)
	fill(req)
	return d.conn.Modify(req)
}

// move renames an entry, or moves it when parent isn't empty.
func (d *directory) move(dn, rdn, parent string) error {
	return d.conn.ModifyDN(ldap.NewModifyDNRequest(dn, rdn, true, parent))
}

func (d *directory) remove(dn string) error { return d.conn.Del(ldap.NewDelRequest(dn, nil)) }
