package daemon_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/listenerd/listenerd/modules/event"
)

// What a module's filter and list name is mirrored though ldap.attributes leaves it out:
// else the filter would be true of no entry here, whatever it is to the provider.
func TestFiltersFindWhatLDAPAttributesLeavesOut(t *testing.T) {
	t.Parallel()
	server, d, s := newCompany(t)
	narrow := func(filter string) {
		t.Helper()
		s.configureURI(server.URI()+"/"+base+"?cn", instance("people", "jsonl", `ldap_filter: "`+filter+`"`, "attributes: [sn]"))
	}
	seen := 0
	run := func(what string, want ...string) (docs []event.Document) {
		t.Helper()
		s.mustOnce()
		docs, seen = s.journal("people")[seen:], len(s.journal("people"))
		got := kindsOf(docs)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
		return docs
	}

	narrow("(&(objectClass=inetOrgPerson)(!(|(mail=*)(uid=ev*)(l~=x)(ou:dn:=none))))")
	d.modify("uid=ada,ou=people,"+base, []string{"mail"})
	run("at first", "create uid=ada", "initialize", "post_run", "pre_run")
	d.modify("uid=ada,ou=people,"+base, []string{"sn", "Changed"})
	run("a listed attribute", "modify uid=ada", "post_run", "pre_run")
	narrow("(telephoneNumber=0815)")
	d.modify(bob, []string{"telephoneNumber", "0 815"})
	for _, doc := range run("another filter", "create uid=bob", "post_run", "pre_run", "remove uid=ada") {
		if doc.Call == "create" && (len(doc.New["cn"]) != 1 || len(doc.New["telephoneNumber"]) != 1 || len(doc.New["mail"]) != 0) {
			t.Errorf("bob has %v", doc.New)
		}
	}
}

// What a module was about that is taken out of the configuration for a while stays
// mirrored: else its entries would be removed and created anew when it is back.
func TestOrphansFindWhatLDAPAttributesLeavesOut(t *testing.T) {
	t.Parallel()
	server, _, s := newCompany(t)
	people := instance("people", "jsonl", `ldap_filter: "(mail=*)"`)
	other := instance("other", "jsonl", `ldap_filter: "(uid=*)"`)
	for i, modules := range [][]string{{people, other}, {other}, {people, other}} {
		s.configureURI(server.URI()+"/"+base+"?cn", modules...)
		s.mustOnce()
		for _, name := range []string{"people", "other"} {
			expectKinds(t, fmt.Sprintf("%s after run %d", name, i), entryDocs(s.journal(name)), "create uid=ada", "create uid=bob", "create uid=eve")
		}
	}
}

func entryDocs(docs []event.Document) []event.Document {
	return slices.DeleteFunc(slices.Clone(docs), func(doc event.Document) bool { return doc.UUID == "" })
}
