package daemon_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/modules/event"
)

// follower is a module instance as the checks need to know it.
type follower struct {
	name       string
	filter     string
	attributes []string // listed in the configuration
	parallel   bool
	module     string   // default: jsonl
	keys       []string // more of the configuration
	folds      bool     // calls that are owed may become one
}

// all is for every entry and attribute.
func (f follower) all() bool { return f.filter == "(objectClass=*)" }

// instance returns the module jsonl for the configuration.
func (f follower) instance() string {
	keys := []string{"ldap_filter: " + f.filter}
	if len(f.attributes) > 0 {
		keys = append(keys, "attributes: ["+strings.Join(f.attributes, ", ")+"]")
	}
	if f.parallel {
		keys = append(keys, "run_asynchronously: true", "parallelism: 4")
	}
	return instance(f.name, cmp.Or(f.module, "jsonl"), append(keys, f.keys...)...)
}

// followers are the instances of most tests: two filters, each in order and in
// parallel.
var followers = []follower{
	{name: "all", filter: "(objectClass=*)"},
	{name: "narrow", filter: narrowFilter, attributes: []string{"sn", "mail"}},
	{name: "all-parallel", filter: "(objectClass=*)", parallel: true},
	{name: "narrow-parallel", filter: narrowFilter, attributes: []string{"sn", "mail"}, parallel: true},
}

const narrowFilter = "(&(objectClass=inetOrgPerson)(!(employeeType=retired)))"

func instances() []string { return instancesOf(followers) }

func instancesOf(followers []follower) []string {
	var out []string
	for _, f := range followers {
		out = append(out, f.instance())
	}
	return out
}

// replica replays calls and notes those that do not fit.
type replica struct {
	follower
	docs     []event.Document
	known    map[string]event.Document // the last call, by UUID
	at       map[string]string         // UUID by lower-case DN
	problems []string                  // of an entry alone: its chain, and how it ends
	disorder []string                  // among entries: one at a name, parents first, children first
}

func (f follower) replay(docs []event.Document) *replica {
	r := &replica{follower: f, docs: docs, known: map[string]event.Document{}, at: map[string]string{}}
	for i, d := range docs {
		if d.UUID != "" {
			r.apply(i, d)
		}
	}
	return r
}

func (r *replica) problem(d event.Document, format string, args ...any) {
	r.problems = append(r.problems, r.sentence(d, format, args...))
}

func (r *replica) disordered(d event.Document, format string, args ...any) {
	r.disorder = append(r.disorder, "order: "+r.sentence(d, format, args...))
}

func (r *replica) sentence(d event.Document, format string, args ...any) string {
	return fmt.Sprintf("%s: seq %d: %s: %s", r.name, d.Seq, short(describe(d)), fmt.Sprintf(format, args...))
}

func (r *replica) apply(i int, d event.Document) {
	last, known := r.known[d.UUID]
	name := strings.ToLower(string(d.DN))
	if known != (d.Call != listener.KindCreate) {
		r.problem(d, "the module knows the entry: %v", known)
	}
	if known {
		from := d.DN
		if d.OldDN != "" {
			from = d.OldDN
		}
		if from != last.DN || !slices.Equal(r.state(d.Old), r.state(last.New)) {
			r.problem(d, "old is %s %q, and the last call left %s %q", from, r.state(d.Old), last.DN, r.state(last.New))
		}
		if before := strings.ToLower(string(last.DN)); r.at[before] == d.UUID {
			delete(r.at, before)
		}
	}
	if d.Call == listener.KindRemove {
		delete(r.known, d.UUID)
		if r.all() && !r.parallel {
			for below, child := range r.at {
				if strings.HasSuffix(below, ","+name) && !r.inherited(i, child, below) {
					r.disordered(d, "%s is below it", below)
				}
			}
		}
		return
	}
	if other, taken := r.at[name]; taken && other != d.UUID && !r.circle(i, r.leaves(i+1, other, name)) {
		r.disordered(d, "the name belongs to %s; the calls around are\n%s", other, r.around(i, r.leaves(i+1, other, name)))
	}
	if _, parent, _ := strings.Cut(name, ","); r.all() && !r.parallel && name != base && name != inside && r.at[parent] == "" &&
		placed(d) && !r.circle(i, r.arrives(i+1, parent)) {
		r.disordered(d, "its parent is not known")
	}
	r.known[d.UUID], r.at[name] = d, d.UUID
}

// placed tells whether the call brings the entry to its name, by a create or a move.
func placed(d event.Document) bool { return d.Call == listener.KindCreate || d.OldDN != "" }

// leaving returns the name that the entry loses by the call, if it does.
func leaving(d event.Document) (name string, ok bool) {
	if d.Call == listener.KindRemove {
		return strings.ToLower(string(d.DN)), true
	}
	return strings.ToLower(string(d.OldDN)), d.OldDN != ""
}

// around writes the calls from before the first one to behind the last one.
func (r *replica) around(first, last int) string {
	const most = 100
	var b strings.Builder
	for i := max(0, first-5); i < min(len(r.docs), max(first, last)+5, first+most); i++ {
		fmt.Fprintf(&b, "  seq %d: %s\n", r.docs[i].Seq, short(describe(r.docs[i])))
	}
	return b.String()
}

// leaves returns the first call from i on by which the entry loses the name, -1 if
// there is none.
func (r *replica) leaves(i int, uuid, name string) int {
	return r.find(i, func(d event.Document) bool {
		left, ok := leaving(d)
		return ok && d.UUID == uuid && left == name
	})
}

// arrives returns the first call from i on that brings an entry to the name.
func (r *replica) arrives(i int, name string) int {
	return r.find(i, func(d event.Document) bool { return placed(d) && strings.EqualFold(string(d.DN), name) })
}

func (r *replica) find(i int, is func(event.Document) bool) int {
	if at := slices.IndexFunc(r.docs[i:], is); at >= 0 {
		return i + at
	}
	return -1
}

// inherited tells whether an entry may be below one that is removed: it belongs to the
// next owner of that one's name by then, or they wait for each other.
func (r *replica) inherited(i int, child, below string) bool {
	name := strings.ToLower(string(r.docs[i].DN))
	if owner, taken := r.at[name]; taken && owner != r.docs[i].UUID {
		return true
	}
	late, next := r.leaves(i+1, child, below), r.arrives(i+1, name)
	return r.circle(i, late) || next >= 0 && (late < 0 || next < late)
}

// circle tells whether the call that should have come before the first one had to
// wait for it, or for calls that wait for each other: entries that changed places in a
// circle while nobody looked. One of these has to be the first, and what comes behind
// them may come between them.
func (r *replica) circle(first, late int) bool {
	if late < 0 {
		return false
	}
	const near = 50 // calls, about what a refresh leads to
	from, to := max(0, first-near), min(len(r.docs), late+near)
	const visiting, visited = 1, 2
	state := map[int]int{first: visiting}
	var visit func(i int) bool
	visit = func(i int) bool {
		state[i] = visiting
		for other := from; other < to; other++ {
			if r.docs[other].UUID == r.docs[i].UUID || !waitsFor(r.docs[i], r.docs[other]) {
				continue
			}
			if state[other] == visiting || state[other] == 0 && visit(other) {
				return true
			}
		}
		state[i] = visited
		return false
	}
	return visit(late)
}

// waitsFor tells whether a call is for another to make room or place for it.
func waitsFor(call, other event.Document) bool {
	name := strings.ToLower(string(call.DN))
	left, leaves := leaving(other)
	if call.Call == listener.KindRemove {
		return leaves && strings.HasSuffix(left, ","+name) // a child that goes
	}
	_, parent, _ := strings.Cut(name, ",")
	return placed(call) && (leaves && left == name || placed(other) && strings.EqualFold(string(other.DN), parent))
}

// state returns the attributes that the module is promised to be up to date with.
func (r *replica) state(attrs map[string][]event.Value) []string {
	if len(r.attributes) == 0 {
		return userAttributes(attrs)
	}
	listed := map[string][]event.Value{}
	for name, values := range attrs {
		if slices.ContainsFunc(r.attributes, func(a string) bool { return strings.EqualFold(a, name) }) {
			listed[name] = values
		}
	}
	return userAttributes(listed)
}

// compare notes where the replica differs from what the server has.
func (r *replica) compare(d *directory) {
	left := map[string]bool{}
	for u := range r.known {
		left[u] = true
	}
	for _, e := range d.search(d.base, ldap.ScopeWholeSubtree, r.filter) {
		last, known := r.known[e.uuid]
		delete(left, e.uuid)
		switch {
		case !known:
			r.problems = append(r.problems, fmt.Sprintf("%s: lost: %s (%s)", r.name, e.dn, e.uuid))
		case string(last.DN) != e.dn || !slices.Equal(r.state(last.New), r.state(e.values())):
			r.problem(last, "it was the last call, and the server has %s %q, not %q", e.dn, r.state(e.values()), r.state(last.New))
		}
	}
	for u := range left {
		r.problem(r.known[u], "it was the last call, and the server does not have the entry")
	}
}

// checkReplicas replays all journals of a site and compares the result with the
// directory.
func checkReplicas(t testing.TB, s *site, d *directory) {
	t.Helper()
	for _, f := range followers {
		r := f.replay(s.journal(f.name))
		r.compare(d)
		report(t, r.problems)
		report(t, r.disorder)
	}
}

func report(t testing.TB, problems []string) {
	t.Helper()
	const most = 10
	for i, p := range problems {
		if i == most {
			t.Errorf("... and %d more", len(problems)-most)
			return
		}
		t.Error(p)
	}
}
