package filter_test

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/dirsrvtest"
	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/schema"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

var (
	differentialFilters = flag.Int("filters", 2000, "how many filters the differential tests try")
	differentialEntries = flag.Int("entries", 500, "on how many entries")
	differentialSeed    = flag.Uint64("seed", 1, "what entries and filters are made from")
)

// TestSlapdAgrees searches a real slapd with random filters: it finds exactly the entries
// that they match here.
func TestSlapdAgrees(t *testing.T) {
	var lines []string
	for _, d := range testTypes {
		lines = append(lines, "attributetype "+d)
	}
	for _, d := range testClasses {
		lines = append(lines, "objectclass "+d)
	}
	server := slapdtest.Start(t, slapdtest.GlobalConfig(lines...))
	d := &directory{t: t, generator: newGenerator(*differentialSeed), dial: func() *ldap.Conn { return server.Client(t) }}
	d.schema = readSchema(t, server.Client(t), "cn=Subschema", schema.OpenLDAP)
	d.fill(*differentialEntries)
	d.compare(*differentialFilters)
}

// TestDirsrvAgrees does the same with a 389 Directory Server, on less.
func TestDirsrvAgrees(t *testing.T) {
	server := dirsrvtest.Start(t)
	conn := server.Client(t)
	r := ldap.NewModifyRequest("cn=schema", nil)
	r.Add("attributeTypes", testTypes)
	r.Add("objectClasses", testClasses)
	if err := conn.Modify(r); err != nil {
		t.Fatal(err)
	}
	d := &directory{t: t, generator: newGenerator(*differentialSeed), dial: func() *ldap.Conn { return server.Client(t) }}
	d.generator.plain = true
	d.schema = readSchema(t, conn, "cn=schema", schema.Directory389)
	d.fill(*differentialEntries / 5)
	d.compare(*differentialFilters / 5)
}

// directory is a server with what the generator put there.
type directory struct {
	t         *testing.T
	generator *generator
	schema    *schema.Schema
	dial      func() *ldap.Conn
	entries   []*listener.Entry
}

func readSchema(t *testing.T, conn *ldap.Conn, dn string, vendor schema.Vendor) *schema.Schema {
	t.Helper()
	found, err := conn.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"attributeTypes", "objectClasses", "matchingRules", "matchingRuleUse", "ldapSyntaxes"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	e := found.Entries[0]
	s, problems := schema.Parse(schema.Definitions{Vendor: vendor,
		AttributeTypes: e.GetEqualFoldAttributeValues("attributeTypes"), ObjectClasses: e.GetEqualFoldAttributeValues("objectClasses"),
		MatchingRules: e.GetEqualFoldAttributeValues("matchingRules"), MatchingRuleUse: e.GetEqualFoldAttributeValues("matchingRuleUse"),
		Syntaxes: e.GetEqualFoldAttributeValues("ldapSyntaxes")})
	for _, p := range problems {
		t.Error(p)
	}
	if s.Attribute("xTextSort") == nil || s.Class("inetOrgPerson") == nil {
		t.Fatal("the schema is not the server's")
	}
	return s
}

// fill adds n entries, and reads what the server made of them.
func (d *directory) fill(n int) {
	conn := d.dial()
	parents := []string{slapdtest.BaseDN}
	refused := 0
	for added := 0; added < n; {
		r := d.generator.addRequest(added+refused, pick(d.generator, parents))
		if err := conn.Add(r); err != nil {
			if refused++; refused > 20*n {
				d.t.Fatalf("the server refuses nearly everything: %v", err)
			}
			continue
		}
		added++
		if len(parents) < 12 {
			parents = append(parents, r.DN)
		}
	}
	found, err := conn.Search(ldap.NewSearchRequest(slapdtest.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"*", "+"}, nil))
	if err != nil {
		d.t.Fatal(err)
	}
	if len(found.Entries) < n {
		d.t.Fatalf("%d entries, added %d", len(found.Entries), n)
	}
	for _, e := range found.Entries {
		var attrs []listener.Attribute
		for _, a := range e.Attributes {
			attrs = append(attrs, listener.Attribute{Name: a.Name, Values: a.Values})
		}
		d.entries = append(d.entries, listener.NewEntry(listener.UUID{}, e.DN, attrs...))
	}
	d.generator.entries = found.Entries
	d.t.Logf("%d entries; %d more were refused", len(d.entries), refused)
}

// compare tries n filters, on several connections.
func (d *directory) compare(n int) {
	const workers = 4
	filters := make(chan string)
	var wg sync.WaitGroup
	var mu sync.Mutex // guards the counts
	disagreements, matches := 0, 0
	for range workers {
		conn := d.dial()
		wg.Go(func() {
			for text := range filters {
				found, problem := d.try(conn, text)
				mu.Lock()
				matches += found
				if problem != "" {
					if disagreements++; disagreements <= 20 {
						d.t.Error(problem)
					}
				}
				mu.Unlock()
			}
		})
	}
	for range n {
		filters <- d.generator.filter(1 + d.generator.IntN(5))
	}
	close(filters)
	wg.Wait()
	d.t.Logf("%d filters (seed %d), %d disagreements, %d matches", n, *differentialSeed, disagreements, matches)
	if disagreements > 0 || matches == 0 {
		d.t.Errorf("%d disagreements, %d matches", disagreements, matches)
	}
}

// try compares one filter; problem says in what the server disagrees.
func (d *directory) try(conn *ldap.Conn, text string) (matches int, problem string) {
	f, err := filter.Compile(text, d.schema)
	if err != nil {
		return 0, err.Error()
	}
	found, err := conn.Search(ldap.NewSearchRequest(slapdtest.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, text, []string{"1.1"}, nil))
	if err != nil {
		if le := (*ldap.Error)(nil); errors.As(err, &le) && le.ResultCode == ldap.ErrorFilterCompile {
			return 0, "" // not a filter for the client
		}
		return 0, fmt.Sprintf("%s: %v", text, err)
	}
	theirs := map[string]bool{}
	for _, e := range found.Entries {
		theirs[e.DN] = true
	}
	var wrong []string
	for _, e := range d.entries {
		if ours := f.Match(e); (ours == filter.True) != theirs[e.DN()] {
			if wrong = append(wrong, ""); len(wrong) <= 3 {
				wrong[len(wrong)-1] = fmt.Sprintf("    %q: here %v, there %v\n%s", e.DN(), ours, theirs[e.DN()], d.explain(conn, text, e))
			}
		}
	}
	if len(wrong) == 0 {
		return len(found.Entries), ""
	}
	return len(found.Entries), fmt.Sprintf("%s: %d entries\n%s", f, len(wrong), strings.Join(slices.DeleteFunc(wrong, func(s string) bool { return s == "" }), "\n"))
}

// explain names the items of the filter on which the two disagree.
func (d *directory) explain(conn *ldap.Conn, text string, e *listener.Entry) string {
	var b strings.Builder
	for _, item := range items(text) {
		f, err := filter.Compile(item, d.schema)
		if err != nil {
			continue
		}
		there := [2]bool{}
		for i, asked := range []string{item, "(!" + item + ")"} {
			found, err := conn.Search(ldap.NewSearchRequest(e.DN(), ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, asked, []string{"1.1"}, nil))
			there[i] = err == nil && len(found.Entries) == 1
		}
		want := filter.Undefined
		switch {
		case there[0]:
			want = filter.True
		case there[1]:
			want = filter.False
		}
		if here := f.Match(e); here != want {
			name, _, _ := strings.Cut(strings.Trim(item, "("), "=")
			name = strings.TrimRight(strings.Split(name, ":")[0], "<>~")
			fmt.Fprintf(&b, "      %s: here %v, there %v; the entry has %.300q\n", f, here, want, e.Strings(name))
		}
	}
	return b.String()
}

// items returns the single assertions of a filter.
func items(text string) []string {
	var out []string
	for i := range len(text) {
		if text[i] == '(' && i+1 < len(text) && !strings.ContainsRune("&|!", rune(text[i+1])) {
			out = append(out, text[i:i+strings.IndexByte(text[i:], ')')+1])
		}
	}
	return out
}
