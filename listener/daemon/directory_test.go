package daemon_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
	"github.com/listenerd/listenerd/modules/event"
)

const base = slapdtest.BaseDN

// directory changes a server's content, and reads it as ldapsearch does.
type directory struct {
	t    testing.TB
	conn *ldap.Conn
	base string // of what is compared
}

func newDirectory(t testing.TB, server *slapdtest.Server) *directory {
	t.Helper()
	return &directory{t, server.Client(t), base}
}

// entry is the state of an entry without its operational attributes.
type entry struct {
	uuid, dn string
	attrs    map[string][]string
}

func (d *directory) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// unit adds an organizational unit.
func (d *directory) unit(name, parent string) entry {
	d.t.Helper()
	return d.add("ou="+name+","+parent, "objectClass", "organizationalUnit", "ou", name)
}

// person adds an inetOrgPerson with further pairs of attributes and values.
func (d *directory) person(uid, parent string, more ...string) entry {
	d.t.Helper()
	return d.add("uid="+uid+","+parent, append([]string{
		"objectClass", "inetOrgPerson", "uid", uid, "cn", "Person " + uid, "sn", "Sn of " + uid,
		"mail", uid + "@example.com", "userPassword", "{SSHA}" + uid,
	}, more...)...)
}

func addRequest(dn string, pairs ...string) *ldap.AddRequest {
	r := ldap.NewAddRequest(dn, nil)
	for i := 0; i < len(pairs); i += 2 {
		at := slices.IndexFunc(r.Attributes, func(a ldap.Attribute) bool { return a.Type == pairs[i] })
		if at < 0 {
			r.Attribute(pairs[i], []string{pairs[i+1]})
		} else {
			r.Attributes[at].Vals = append(r.Attributes[at].Vals, pairs[i+1])
		}
	}
	return r
}

func (d *directory) add(dn string, pairs ...string) entry {
	d.t.Helper()
	d.must(d.conn.Add(addRequest(dn, pairs...)))
	return d.read(dn)
}

// modify makes the changes in one request and returns the entry before and after.
// Each is an attribute, then its new values; none: the attribute goes.
func (d *directory) modify(dn string, changes ...[]string) (before, after entry) {
	d.t.Helper()
	before = d.read(dn)
	r := ldap.NewModifyRequest(dn, nil)
	for _, c := range changes {
		r.Replace(c[0], c[1:])
	}
	d.must(d.conn.Modify(r))
	return before, d.read(dn)
}

// rename gives the entry a new RDN, and a new parent unless it is empty. It returns
// it before and after.
func (d *directory) rename(dn, rdn, parent string) (before, after entry) {
	d.t.Helper()
	before = d.read(dn)
	d.must(d.conn.ModifyDN(ldap.NewModifyDNRequest(dn, rdn, true, parent)))
	if parent == "" {
		_, parent, _ = strings.Cut(dn, ",")
	}
	return before, d.read(rdn + "," + parent)
}

func (d *directory) delete(dn string) entry {
	d.t.Helper()
	before := d.read(dn)
	d.must(d.conn.Del(ldap.NewDelRequest(dn, nil)))
	return before
}

func (d *directory) read(dn string) entry {
	d.t.Helper()
	found := d.search(dn, ldap.ScopeBaseObject, "(objectClass=*)")
	if len(found) != 1 {
		d.t.Fatalf("%s: %d entries", dn, len(found))
	}
	return found[0]
}

// below returns the entry and its descendants in tree order. Names must be without
// escaped commas.
func (d *directory) below(dn string) []entry {
	d.t.Helper()
	found := d.search(dn, ldap.ScopeWholeSubtree, "(objectClass=*)")
	path := func(e entry) []string {
		rdns := strings.Split(e.dn, ",")
		slices.Reverse(rdns)
		return rdns
	}
	slices.SortFunc(found, func(a, b entry) int { return slices.Compare(path(a), path(b)) })
	return found
}

// search returns the matching entries without operational attributes and secrets.
func (d *directory) search(dn string, scope int, filter string) []entry {
	d.t.Helper()
	found, err := d.conn.Search(ldap.NewSearchRequest(dn, scope, ldap.NeverDerefAliases, 0, 0, false,
		filter, []string{"*", "entryUUID"}, nil))
	d.must(err)
	var out []entry
	for _, e := range found.Entries {
		read := entry{dn: e.DN, attrs: map[string][]string{}}
		for _, a := range e.Attributes {
			switch {
			case a.Name == "entryUUID":
				read.uuid = a.Values[0]
			case !event.Secret(a.Name):
				read.attrs[a.Name] = slices.Sorted(slices.Values(a.Values))
			}
		}
		out = append(out, read)
	}
	return out
}

// contextCSN returns the number of the server's last change.
func (d *directory) contextCSN() string {
	d.t.Helper()
	found, err := d.conn.Search(ldap.NewSearchRequest(base, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"contextCSN"}, nil))
	d.must(err)
	csn := found.Entries[0].GetAttributeValue("contextCSN")
	if csn == "" {
		d.t.Fatal("the server has no contextCSN")
	}
	return csn
}
