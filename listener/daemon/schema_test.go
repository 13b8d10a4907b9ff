package daemon_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/dirsrvtest"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

const (
	configDN   = "cn=config"
	schemaDN   = "cn=schema,cn=config"
	mindsCase  = "EQUALITY caseExactMatch SUBSTR caseExactSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15"
	ignoreCase = "EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15"
)

// badge is the definition of a type of our own.
func badge(how string) string {
	return "( 1.3.6.1.4.1.99999.1.1 NAME ( 'badge' 'badgeName' ) " + how + " )"
}

// ownSchema lets us change the schema of a server while it runs, and adds types of our own.
type ownSchema struct {
	t    testing.TB
	conn *ldap.Conn
}

// configDatabase lets the schema be changed while the server runs. It forgets the changes
// when it ends.
func configDatabase() slapdtest.Option {
	return slapdtest.GlobalConfig("database config", "rootdn "+configDN, "rootpw "+slapdtest.RootPassword)
}

// newOwnSchema starts a server with people who have badges.
func newOwnSchema(t *testing.T) (*slapdtest.Server, *directory, *ownSchema) {
	t.Helper()
	server := slapdtest.Start(t, configDatabase())
	d := newDirectory(t, server)
	return server, d, addBadges(t, server, d, d.unit("people", base).dn)
}

// addBadges adds types of our own, and people who have them.
func addBadges(t *testing.T, server *slapdtest.Server, d *directory, parent string) *ownSchema {
	t.Helper()
	conn, err := ldap.DialURL(server.URI())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	o := &ownSchema{t: t, conn: conn}
	o.must(conn.Bind(configDN, slapdtest.RootPassword))
	o.addLine("badge", "olcAttributeTypes", badge(ignoreCase))
	o.addLine("level", "olcAttributeTypes", "( 1.3.6.1.4.1.99999.1.2 NAME 'level' EQUALITY integerMatch ORDERING integerOrderingMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )")
	o.addLine("badged", "olcObjectClasses", "( 1.3.6.1.4.1.99999.2.1 NAME 'badged' SUP top AUXILIARY MAY ( badge $ level ) )")
	for i, name := range []string{"Red", "red", "RED", "blue"} {
		d.person("badge"+fmt.Sprint(i), parent, "objectClass", "badged", "badge", name, "level", fmt.Sprint(1+4*i))
	}
	return o
}

func (o *ownSchema) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// addLine adds a definition as a schema of its own.
func (o *ownSchema) addLine(name, attribute, definition string) {
	o.t.Helper()
	add := ldap.NewAddRequest("cn="+name+","+schemaDN, nil)
	add.Attribute("objectClass", []string{"olcSchemaConfig"})
	add.Attribute("cn", []string{name})
	add.Attribute(attribute, []string{definition})
	o.must(o.conn.Add(add))
}

// changeType changes the definition that addLine added.
func (o *ownSchema) changeType(name, definition string) {
	o.t.Helper()
	found, err := o.conn.Search(ldap.NewSearchRequest(schemaDN, ldap.ScopeSingleLevel, ldap.NeverDerefAliases, 0, 0, false, "(cn=*}"+name+")", nil, nil))
	o.must(err)
	change := ldap.NewModifyRequest(found.Entries[0].DN, nil)
	change.Replace("olcAttributeTypes", []string{definition})
	o.must(o.conn.Modify(change))
}

// badge changes what badges are compared by. The server goes on finding those that it has
// by what they were compared by when they were written.
func (o *ownSchema) badge(how string) {
	o.t.Helper()
	o.changeType("badge", badge(how))
}

// configureProbing is configure for a daemon that looks at the schema each second.
func (s *site) configureProbing(uri string, modules ...string) {
	s.t.Helper()
	s.write("listenerd.yaml", "ldap:\n  uri: "+uri+"\n  base: "+base+"\n  probe_interval: 1s\n"+
		"  bind: {dn: \""+slapdtest.ListenerDN+"\", password_file: ldap.secret}\nstate_dir: state\nmodules:\n"+strings.Join(modules, ""))
}

// calledFor returns the kinds and the relative names of the calls since the last time.
func calledFor(s *site, p progress, name string) (out []string) {
	s.t.Helper()
	for _, doc := range s.journal(name)[p[name]:] {
		if doc.DN != "" {
			out = append(out, string(doc.Call)+" "+strings.TrimSuffix(strings.TrimPrefix(string(doc.DN), "uid="), ",ou=people,"+base)+" "+string(doc.Cause))
		}
	}
	p[name] = len(s.journal(name))
	return out
}

// Filters mean what they mean to the server, by types of its own. When these change, a
// module is called with the difference, at once or when the daemon is back.
func TestSchemaChanges(t *testing.T) {
	t.Parallel()
	server, d, schema := newOwnSchema(t)
	s := newSite(t)
	s.configureProbing(server.URI(),
		instance("red", "jsonl", "ldap_filter: (badge=red)"), instance("high", "jsonl", "ldap_filter: (level>=9)", "attributes: [badgeName]"),
		instance("free", "jsonl", `ldap_filter: "(&(objectClass=badged)(!(ribbon=none)))"`))
	p := progress{}
	expect := func(r *run, what, name string, want ...string) {
		t.Helper()
		r.until(what, func() bool { return r.module(name).State == "idle" && len(s.journal(name)) >= p[name]+len(want) })
		compareCalls(t, what+": "+name, sorted(calledFor(s, p, name)), want)
	}
	r := s.start()
	r.caughtUp(d)
	expect(r, "the start", "red", "create badge0 initialize", "create badge1 initialize", "create badge2 initialize")
	expect(r, "the start", "high", "create badge2 initialize", "create badge3 initialize")
	expect(r, "the start", "free")

	schema.badge(mindsCase)
	expect(r, "case counts", "red", "remove badge0 reconcile", "remove badge2 reconcile")
	schema.addLine("ribbon", "olcAttributeTypes", "( 1.3.6.1.4.1.99999.1.3 NAME 'ribbon' SUP badge )")
	expect(r, "a new type is absent", "free", "create badge0 reconcile", "create badge1 reconcile", "create badge2 reconcile", "create badge3 reconcile")
	d.modify("uid=badge3,ou=people,"+base, []string{"badgeName", "green"})
	d.modify("uid=badge2,ou=people,"+base, []string{"sn", "Changed"})
	r.caughtUp(d)
	expect(r, "another name of the attribute", "high", "modify badge3 live")
	expect(r, "its other name", "red")
	r.stop()

	r = s.start()
	r.caughtUp(d)
	r.stop()
	expect2 := func(what string, names ...string) {
		t.Helper()
		for _, name := range names {
			compareCalls(t, what+": "+name, calledFor(s, p, name), nil)
		}
	}
	expect2("a restart", "red", "high")

	schema.badge(ignoreCase)
	r = s.start()
	r.caughtUp(d)
	expect(r, "changed while away", "red", "create badge0 reconcile", "create badge2 reconcile")
	expect2("changed while away", "high")
	r.stop()
	s.mustOnce()
	expect2("once more", "red", "high")
}

// A schema that may not be read is told once; what was stored serves on, else the built-in
// one.
func TestSchemaThatMayNotBeRead(t *testing.T) {
	t.Parallel()
	const denied, builtIn, earlier = "the provider's schema cannot be read", "a built-in one", "stored earlier"
	server, d, schema := newOwnSchema(t)
	schema.badge(mindsCase)
	forbid := ldap.NewModifyRequest("olcDatabase={-1}frontend,"+configDN, nil)
	forbid.Replace("olcAccess", []string{`{0}to dn.exact="cn=Subschema" by * none`, "{1}to * by * read"})
	schema.must(schema.conn.Modify(forbid))
	s := newSite(t)
	s.configureProbing(server.URI(), instance("red", "jsonl", "ldap_filter: (badge=red)"))
	p := progress{}
	look := func(what, serves string, want ...string) {
		t.Helper()
		r := s.start()
		r.caughtUp(d)
		r.stop()
		compareCalls(t, what, sorted(calledFor(s, p, "red")), want)
		if log := r.output(); serves != "" && strings.Count(log, denied) != 1 || !strings.Contains(log, serves) || serves == "" && strings.Contains(log, denied) {
			t.Errorf("%s: the log does not say once that %q serves: %s", what, serves, log)
		}
	}
	// Of the built-in schema no such type is known, which is to say text.
	look("denied from the start", builtIn, "create badge0 initialize", "create badge1 initialize", "create badge2 initialize")
	allow := ldap.NewModifyRequest("olcDatabase={-1}frontend,"+configDN, nil)
	allow.Replace("olcAccess", []string{"{0}to * by * read"})
	schema.must(schema.conn.Modify(allow))
	look("allowed", "", "remove badge0 reconcile", "remove badge2 reconcile")
	schema.must(schema.conn.Modify(forbid))
	schema.badge(ignoreCase)
	look("denied again", earlier)
}

// 389 DS has a schema, too, and it changes.
func TestSchemaOf389DS(t *testing.T) {
	t.Parallel()
	server := dirsrvtest.Start(t)
	conn := server.Client(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	addType := func(definition string) {
		t.Helper()
		change := ldap.NewModifyRequest("cn=schema", nil)
		change.Add("attributeTypes", []string{definition})
		must(conn.Modify(change))
	}
	addType("( 1.3.6.1.4.1.99999.1.2 NAME 'level' EQUALITY integerMatch ORDERING integerOrderingMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 )")
	for i, level := range []string{"2", "9", "10"} {
		uid := fmt.Sprint("p", i)
		must(conn.Add(addRequest("uid="+uid+","+base, "objectClass", "inetOrgPerson", "objectClass", "extensibleObject", "uid", uid, "cn", uid, "sn", uid, "level", level)))
	}
	s := newSite(t)
	s.configureProbing(server.URI(), instance("high", "jsonl", "ldap_filter: (level>=9)"), instance("free", "jsonl", "ldap_filter: (&(level=*)(ribbon=*))"))
	r := s.start()
	r.until("it knows those at the top", func() bool { return r.module("high").State == "idle" && r.module("high").Calls > 0 })
	kinds := kindsOf(s.journal("high"))
	if got := strings.Join(kinds, " "); strings.Contains(got, "uid=p0") || !strings.Contains(got, "uid=p1") || !strings.Contains(got, "uid=p2") {
		t.Errorf("called with %q", kinds)
	}
	addType("( 1.3.6.1.4.1.99999.1.3 NAME 'ribbon' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )")
	r.until("it knows of the new type", func() bool { return strings.Contains(r.output(), `"modules_to_reconcile":["free"]`) })
	r.stop()
	if strings.Count(r.output(), "schema is stored") != 2 {
		t.Errorf("the log: %s", r.output())
	}
}
