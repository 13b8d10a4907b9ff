package route_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/route"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// directory is a model of the provider's content.
type directory struct {
	entries map[listener.UUID]*object
	next    byte
	number  int
	now     int
}

type object struct {
	rdn     string
	parent  listener.UUID // zero: below the base
	sn      string
	match   bool
	changed int // the time of the last change
}

// outside is the parent of what is not part of the searched content.
var outside = listener.UUID{0xff}

func newDirectory() *directory {
	d := &directory{entries: map[listener.UUID]*object{}}
	return d
}

const base = "dc=x"

func (d *directory) dn(u listener.UUID) string {
	switch u {
	case listener.UUID{}:
		return base
	case outside:
		return "dc=out"
	}
	o := d.entries[u]
	return o.rdn + "," + d.dn(o.parent)
}

func (d *directory) entry(u listener.UUID) *listener.Entry {
	o := d.entries[u]
	class := "other"
	if o.match {
		class = "wanted"
	}
	attribute := func(name, value string) listener.Attribute {
		return listener.Attribute{Name: name, Values: []string{value}}
	}
	return listener.NewEntry(u, d.dn(u), attribute("objectClass", class), attribute("sn", o.sn),
		attribute("entryDN", d.dn(u)),
		attribute("hasSubordinates", strings.ToUpper(fmt.Sprint(d.hasChildren(u)))))
}

// all returns all entries, ids those of the searched content.
func (d *directory) all() []listener.UUID {
	return slices.SortedFunc(maps.Keys(d.entries), func(a, b listener.UUID) int { return int(a[0]) - int(b[0]) })
}

func (d *directory) ids() []listener.UUID {
	return slices.DeleteFunc(d.all(), func(u listener.UUID) bool { return !d.has(u) })
}

// has tells whether the entry is part of the searched content.
func (d *directory) has(u listener.UUID) bool { return d.entries[u] != nil && !d.isBelow(u, outside) }

// names returns the names of the searched content.
func (d *directory) names() map[listener.UUID]string {
	names := map[listener.UUID]string{}
	for _, u := range d.ids() {
		names[u] = d.dn(u)
	}
	return names
}

func (d *directory) isBelow(u, above listener.UUID) bool {
	for u != (listener.UUID{}) && u != outside {
		if u == above {
			return true
		}
		u = d.entries[u].parent
	}
	return u == above
}

func (d *directory) hasChildren(u listener.UUID) bool {
	return slices.ContainsFunc(d.all(), func(c listener.UUID) bool { return d.entries[c].parent == u })
}

func (d *directory) taken(rdn string, parent listener.UUID) bool {
	return slices.ContainsFunc(d.all(), func(c listener.UUID) bool {
		return d.entries[c].parent == parent && d.entries[c].rdn == rdn
	})
}

// rdns are names two of which have one tree key: which entries there are, who is below
// whom and who has a name must not be told from that.
var rdns = []string{"ou=a", "cn=A", "homeDirectory=/b", "homeDirectory=/B"}

// step makes one random change and returns the entry it is about.
func (d *directory) step(t *rapid.T) (u listener.UUID) {
	d.now++
	ids := d.all()
	parents := append([]listener.UUID{{}, {}, outside}, ids...)
	rdn := rapid.SampledFrom(rdns).Draw(t, "rdn")
	kind := rapid.SampledFrom([]string{"add", "add", "modify", "class", "rename", "move", "delete"}).Draw(t, "change")
	if len(ids) == 0 {
		kind = "add"
	}
	if kind == "add" {
		parent := rapid.SampledFrom(parents).Draw(t, "parent")
		if d.taken(rdn, parent) || len(ids) > 12 {
			return u
		}
		d.next++
		u = listener.UUID{d.next}
		d.entries[u] = &object{rdn: rdn, parent: parent, sn: "0", match: rapid.Bool().Draw(t, "match"), changed: d.now}
		return u
	}
	u = rapid.SampledFrom(ids).Draw(t, "entry")
	o := d.entries[u]
	o.changed = d.now
	switch kind {
	case "modify":
		d.number++
		o.sn = fmt.Sprint(d.number)
	case "class":
		o.match = !o.match
	case "rename":
		if !d.taken(rdn, o.parent) {
			o.rdn = rdn
		}
	case "move":
		parent := rapid.SampledFrom(parents).Draw(t, "parent")
		if !d.isBelow(parent, u) && !d.taken(o.rdn, parent) {
			o.parent = parent
		}
	case "delete":
		if !d.hasChildren(u) {
			delete(d.entries, u)
		}
	}
	return u
}

// Subtree and There make the directory a provider that can be asked.

func (d *directory) Subtree(_ context.Context, base string, take func([]syncrepl.Entry) error) error {
	for _, u := range d.ids() {
		if dn := d.dn(u); dn == base || strings.HasSuffix(dn, ","+base) {
			if err := take([]syncrepl.Entry{*ber(d.entry(u))}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *directory) There(_ context.Context, entries []syncrepl.Name) ([]bool, error) {
	there := make([]bool, len(entries))
	for i, e := range entries {
		u := listener.UUID(e.UUID)
		there[i] = d.has(u) && d.dn(u) == e.DN
	}
	return there, nil
}

// rig is a router on a store, and what a module would know after all its tasks.
type rig struct {
	t       *rapid.T
	store   *store.Store
	router  *route.Router
	module  *route.Module
	dir     *directory
	known   map[listener.UUID]*listener.Entry
	after   uint64
	before  map[listener.UUID]string // names at the last check
	session int
	started int  // the time when the last refresh began
	fetched bool // a subtree was read since then: it was ahead of what is reported
}

func (r *rig) open(attributes ...string) {
	f, err := filter.Compile("(objectClass=wanted)", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.module = &route.Module{Name: "m", Filter: f, Attributes: attributes}
	r.router, err = route.New(r.store, route.Config{
		Base: base, Fingerprint: "f", Modules: []*route.Module{r.module}, Parents: true, Limits: route.Limits{MaxDeletePercent: 100},
	})
	r.must(err)
}

func (r *rig) must(err error) {
	if err != nil {
		r.t.Helper()
		r.t.Fatal(err)
	}
}

func ber(e *listener.Entry) *syncrepl.Entry {
	return &syncrepl.Entry{UUID: syncrepl.UUID(e.UUID()), DN: []byte(e.DN()), Attributes: []byte(e.BER())}
}

// message is what is reported live of one change; entry is nil for a delete.
type message struct {
	uuid  listener.UUID
	entry *syncrepl.Entry
}

// change makes a change and returns what is reported of it, if anything is.
func (r *rig) change() []message {
	before := r.dir.names()
	u := r.dir.step(r.t)
	switch {
	case r.dir.has(u):
		return []message{{u, ber(r.dir.entry(u))}}
	case before[u] != "":
		return []message{{u, nil}}
	case u != listener.UUID{}:
		return []message{{uuid: u}} // of no concern, and reported by a session log
	}
	return nil
}

// report reports a change live. It returns false when a refresh is asked for.
func (r *rig) report(m message) bool {
	ctx := context.Background()
	if m.entry == nil {
		r.must(r.router.Delete(ctx, []syncrepl.UUID{syncrepl.UUID(m.uuid)}))
	} else {
		r.must(r.router.Entry(ctx, m.entry))
	}
	r.must(r.router.Cookie(ctx, []byte("live")))
	return !rapid.Bool().Draw(r.t, "flush") || r.flush()
}

// flush returns false when a refresh is asked for.
func (r *rig) flush() bool {
	err := r.router.Flush(context.Background())
	if errors.Is(err, syncrepl.ErrRepeat) {
		return false
	}
	r.must(err)
	return true
}

// refresh runs a refresh from what was changed since the last one. In a busy one, the
// directory is changed meanwhile.
func (r *rig) refresh(changed map[listener.UUID]bool, mode string, breakOff, busy bool) {
	var later []message
	ctx := context.Background()
	r.session++
	r.started = r.dir.now
	from, err := r.router.Begin(ctx, syncrepl.Session{URI: "test", Attempt: r.session, Provider: r.provider()})
	r.must(err)
	if from == nil {
		mode = "full"
	}
	var sent []listener.UUID
	var gone []syncrepl.UUID
	for u := range changed {
		if !r.dir.has(u) {
			gone = append(gone, syncrepl.UUID(u))
		}
	}
	slices.SortFunc(gone, func(a, b syncrepl.UUID) int { return int(a[0]) - int(b[0]) })
	for _, u := range r.dir.ids() {
		switch {
		case changed[u] || mode == "full":
			sent = append(sent, u)
		case mode == "present":
			r.must(r.router.Present(ctx, []syncrepl.UUID{syncrepl.UUID(u)}))
		}
	}
	if mode == "delete" {
		r.must(r.router.Delete(ctx, gone))
	}
	for i, u := range rapid.Permutation(sent).Draw(r.t, "order") {
		if breakOff && i == len(sent)/2 {
			r.must(r.router.Flush(ctx))
			return
		}
		if busy && rapid.Bool().Draw(r.t, "busy") {
			later = append(later, r.change()...)
		}
		if !r.dir.has(u) {
			// It has gone before its turn. A provider that says so neither here nor live,
			// as it went with a container, leaves no trace of it but in a full load.
			told := slices.ContainsFunc(later, func(m message) bool { return m.uuid == u })
			if mode == "delete" && !told {
				r.must(r.router.Delete(ctx, []syncrepl.UUID{syncrepl.UUID(u)}))
			}
			continue
		}
		r.must(r.router.Entry(ctx, ber(r.dir.entry(u))))
		if rapid.Bool().Draw(r.t, "flush") {
			r.must(r.router.Flush(ctx))
		}
	}
	if mode != "delete" {
		r.must(r.router.Sweep(ctx))
	}
	r.must(r.router.RefreshDone(ctx))
	r.must(r.router.Cookie(ctx, []byte(fmt.Sprint(r.session))))
	fits := r.flush()
	for i := 0; fits && i < len(later); i++ {
		fits = r.report(later[i])
	}
	if !fits || !r.flush() {
		for _, m := range later {
			changed[m.uuid] = true
		}
		r.refresh(changed, "full", false, false)
	}
	clear(changed)
}

// provider returns the directory as a provider, and notes that it was asked.
func (r *rig) provider() syncrepl.Provider { return asked{r.dir, &r.fetched} }

type asked struct {
	*directory
	fetched *bool
}

func (a asked) Subtree(ctx context.Context, base string, take func([]syncrepl.Entry) error) error {
	*a.fetched = true
	return a.directory.Subtree(ctx, base, take)
}

// deliver takes all tasks, checks the chain of each entry and applies them.
func (r *rig) deliver(live bool) {
	for {
		more, err := r.router.Step(r.module)
		r.must(err)
		if !more {
			break
		}
	}
	var rows []store.Task
	r.must(r.store.Update(func(tx *store.Tx) (err error) {
		rows, err = tx.Tasks(r.module.Number(), r.after, math.MaxUint64, 1_000_000)
		if err != nil {
			return err
		}
		walked, err := tx.Backlog(r.module.Number(), r.after, math.MaxUint64, 1_000_000)
		if err != nil {
			return err
		}
		rows = append(rows, walked...)
		slices.SortFunc(rows, func(a, b store.Task) int { return cmp.Compare(a.Seq, b.Seq) })
		for i := range rows {
			row := &rows[i]
			r.after = row.Seq
			old, new := r.load(tx, row.ID, row.Old), r.load(tx, row.ID, row.New)
			r.apply(row.Kind, old, new, live)
			if err := tx.RemoveTask(row); err != nil {
				return err
			}
		}
		return nil
	}))
}

func (r *rig) load(tx *store.Tx, id, version uint64) *listener.Entry {
	if version == 0 {
		return nil
	}
	record, err := tx.Version(id, version)
	r.must(err)
	e, err := record.Entry()
	r.must(err)
	return e
}

func (r *rig) apply(kind listener.Kind, old, new *listener.Entry, live bool) {
	if old != nil {
		told := r.known[old.UUID()]
		if told == nil || told.DN() != old.DN() || listener.Changed(told, old, "sn") {
			r.t.Fatalf("%s: old is %v, the module was told %v", kind, old, told)
		}
	}
	if new != nil && kind == listener.KindCreate {
		if told := r.known[new.UUID()]; told != nil {
			r.t.Fatalf("create of %v, which the module knows as %v", new, told)
		}
	}
	if new != nil && !r.fetched {
		for u, e := range r.known {
			// A refresh can't tell in what order entries swapped their names. All others
			// make room first.
			if u != new.UUID() && e.DN() == new.DN() && (live || r.dir.entries[u] == nil || !r.inCycle(u)) {
				r.t.Fatalf("%s of %v at the name of %v", kind, new, e)
			}
		}
	}
	if new != nil && !live && !r.fetched && r.before != nil && (old == nil || old.DN() != new.DN()) {
		r.parentFirst(kind, new)
	}
	switch {
	case new != nil:
		r.known[new.UUID()] = new
	default:
		delete(r.known, old.UUID())
	}
}

// parentFirst checks that the parent of an entry which takes a name in a refresh has
// taken its own, if it did so in the same refresh.
func (r *rig) parentFirst(kind listener.Kind, e *listener.Entry) {
	o := r.dir.entries[e.UUID()]
	if !r.dir.has(e.UUID()) || o.parent == (listener.UUID{}) || e.DN() != r.dir.dn(e.UUID()) {
		return
	}
	parent, dn := r.dir.entries[o.parent], r.dir.dn(o.parent)
	if parent.changed > r.started || !parent.match || r.before[o.parent] == dn || r.inCycle(o.parent) || r.inCycle(e.UUID()) {
		return
	}
	if told := r.known[o.parent]; told == nil || told.DN() != dn {
		r.t.Fatalf("%s of %v before its parent: the module knows %v", kind, e, told)
	}
}

// inCycle tells whether the entry's move since the last check waits, by way of its
// parent and of the names that others had then, for a group of entries that wait for
// each other.
func (r *rig) inCycle(u listener.UUID) bool {
	const open, closed = 1, 2
	state := map[listener.UUID]int{}
	var visit func(listener.UUID) bool
	visit = func(u listener.UUID) bool {
		if state[u] == open {
			return true
		}
		if state[u] == closed || r.dir.entries[u] == nil || r.before[u] == r.dir.dn(u) {
			return false
		}
		state[u] = open
		if parent := r.dir.entries[u].parent; parent != (listener.UUID{}) && visit(parent) {
			return true
		}
		for name := r.dir.dn(u); name != base && name != ""; { // it may be outside
			for v, dn := range r.before {
				if dn == name && v != u && visit(v) {
					return true
				}
			}
			_, name, _ = strings.Cut(name, ",")
		}
		state[u] = closed
		return false
	}
	return visit(u)
}

// check compares mirror and module with the directory.
func (r *rig) check() {
	want := map[string]bool{}
	r.fetched = false
	r.before = map[listener.UUID]string{}
	for _, u := range r.dir.ids() {
		r.before[u] = r.dir.dn(u)
		want[r.dir.entry(u).String()+r.dir.entries[u].sn+r.dir.dn(u)] = true
		told := r.known[u]
		switch {
		case r.dir.entries[u].match != (told != nil):
			r.t.Fatalf("%v: matches %v, the module was told %v", r.dir.entry(u), r.dir.entries[u].match, told)
		case told != nil && (told.DN() != r.dir.dn(u) || told.Get("sn") != r.dir.entries[u].sn):
			r.t.Fatalf("the module was told %v sn=%s, it is %v sn=%s", told, told.Get("sn"), r.dir.entry(u), r.dir.entries[u].sn)
		}
	}
	for u, told := range r.known {
		if !r.dir.has(u) {
			r.t.Fatalf("%v is gone and the module was not told", told)
		}
	}
	got := map[string]bool{}
	r.must(r.store.View(func(tx *store.Tx) error {
		if held, err := tx.FirstRename(); err != nil || held != nil {
			return fmt.Errorf("renames are left: %v %v", held, err)
		}
		return tx.Walk(nil, func(_ []byte, id uint64) (bool, error) {
			e := r.load(tx, id, mustGet(tx, id).Seq)
			got[e.String()+e.Get("sn")+e.Get("entryDN")] = true
			return true, nil
		})
	}))
	if !maps.Equal(got, want) {
		r.t.Fatalf("the mirror has\n%v, want\n%v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

func mustGet(tx *store.Tx, id uint64) *store.Record {
	r, err := tx.Get(id)
	if err != nil || r == nil {
		panic(fmt.Sprint("entry ", id, " is in the tree only: ", err))
	}
	return r
}

// TestConverges: after any history of changes, seen live or by refreshes of every
// kind, interrupted ones too, the mirror is the directory, the module knows exactly
// what matches, and the calls of each entry are a chain.
func TestConverges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		s, err := store.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Check(); err != nil {
				t.Error(err)
			}
			_ = s.Close()
		}()
		r := &rig{t: rt, store: s, dir: newDirectory(), known: map[listener.UUID]*listener.Entry{}}
		r.open()
		changed := map[listener.UUID]bool{}
		for range rapid.IntRange(0, 10).Draw(rt, "initial") {
			r.dir.step(rt)
		}
		r.refresh(changed, "full", false, false)
		r.deliver(false)
		r.check()
		for range rapid.IntRange(1, 6).Draw(rt, "rounds") {
			fits := true
			for range rapid.IntRange(0, 6).Draw(rt, "live") {
				for _, m := range r.change() {
					fits = fits && r.report(m)
				}
			}
			if !fits || !r.flush() { // what is asked of the provider may be ahead
				r.refresh(changed, "full", false, false)
			}
			r.deliver(true)
			r.check()
			for range rapid.IntRange(0, 8).Draw(rt, "offline") {
				if u := r.dir.step(rt); u != (listener.UUID{}) {
					changed[u] = true
				}
			}
			if rapid.Bool().Draw(rt, "restart") {
				r.open()
			}
			if rapid.Bool().Draw(rt, "interrupted") {
				r.refresh(changed, rapid.SampledFrom([]string{"full", "present", "delete"}).Draw(rt, "mode"), true, false)
			}
			r.refresh(changed, rapid.SampledFrom([]string{"full", "present", "delete"}).Draw(rt, "mode"), false, rapid.Bool().Draw(rt, "busy"))
			r.deliver(false)
			r.check()
		}
	})
}
