package route_test

import (
	"cmp"
	"context"
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
}

type object struct {
	rdn    string
	parent listener.UUID // zero: below the base
	sn     string
	match  bool
}

func newDirectory() *directory {
	d := &directory{entries: map[listener.UUID]*object{}}
	return d
}

const base = "dc=x"

func (d *directory) dn(u listener.UUID) string {
	if u == (listener.UUID{}) {
		return base
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
	return listener.NewEntry(u, d.dn(u), listener.Attribute{Name: "objectClass", Values: []string{class}},
		listener.Attribute{Name: "sn", Values: []string{o.sn}})
}

func (d *directory) ids() []listener.UUID {
	return slices.SortedFunc(maps.Keys(d.entries), func(a, b listener.UUID) int { return int(a[0]) - int(b[0]) })
}

func (d *directory) isBelow(u, above listener.UUID) bool {
	for u != (listener.UUID{}) {
		if u == above {
			return true
		}
		u = d.entries[u].parent
	}
	return false
}

func (d *directory) hasChildren(u listener.UUID) bool {
	return slices.ContainsFunc(d.ids(), func(c listener.UUID) bool { return d.entries[c].parent == u })
}

func (d *directory) taken(rdn string, parent listener.UUID) bool {
	return slices.ContainsFunc(d.ids(), func(c listener.UUID) bool {
		return d.entries[c].parent == parent && d.entries[c].rdn == rdn
	})
}

// step makes one random change and returns the entry it is about; gone tells a delete.
func (d *directory) step(t *rapid.T) (u listener.UUID, gone bool) {
	ids := d.ids()
	parents := append([]listener.UUID{{}}, ids...)
	rdn := "ou=" + rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "rdn")
	kind := rapid.SampledFrom([]string{"add", "add", "modify", "class", "rename", "move", "delete"}).Draw(t, "change")
	if len(ids) == 0 {
		kind = "add"
	}
	if kind == "add" {
		parent := rapid.SampledFrom(parents).Draw(t, "parent")
		if d.taken(rdn, parent) || len(ids) > 12 {
			return u, false
		}
		d.next++
		u = listener.UUID{d.next}
		d.entries[u] = &object{rdn: rdn, parent: parent, sn: "0", match: rapid.Bool().Draw(t, "match")}
		return u, false
	}
	u = rapid.SampledFrom(ids).Draw(t, "entry")
	o := d.entries[u]
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
		if d.hasChildren(u) {
			return listener.UUID{}, false
		}
		delete(d.entries, u)
		return u, true
	}
	return u, false
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
}

func (r *rig) open(attributes ...string) {
	f, err := filter.Compile("(objectClass=wanted)")
	if err != nil {
		r.t.Fatal(err)
	}
	r.module = &route.Module{Name: "m", Filter: f, Attributes: attributes}
	r.router, err = route.New(r.store, route.Config{Base: base, Fingerprint: "f", Modules: []*route.Module{r.module}})
	r.must(err)
}

func (r *rig) must(err error) {
	if err != nil {
		r.t.Helper()
		r.t.Fatal(err)
	}
}

func ber(e *listener.Entry) *syncrepl.Entry {
	return &syncrepl.Entry{UUID: syncrepl.UUID(e.UUID()), DN: []byte(e.DN()), Attributes: encode(e)}
}

func encode(e *listener.Entry) []byte {
	var out []byte
	tlv := func(tag byte, content []byte) []byte {
		if len(content) > 127 {
			panic("too long for the test")
		}
		return append([]byte{tag, byte(len(content))}, content...)
	}
	for name, values := range e.All() {
		var set []byte
		for v := range values.All() {
			set = append(set, tlv(4, []byte(v))...)
		}
		out = append(out, tlv(0x30, append(tlv(4, []byte(name)), tlv(0x31, set)...))...)
	}
	return out
}

// refresh runs a refresh from what was changed since the last one.
func (r *rig) refresh(changed map[listener.UUID]bool, mode string, breakOff bool) {
	ctx := context.Background()
	r.session++
	_, err := r.router.Begin(ctx, syncrepl.Session{URI: "test", Attempt: r.session})
	r.must(err)
	var sent []listener.UUID
	var gone []syncrepl.UUID
	for u := range changed {
		if r.dir.entries[u] == nil {
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
	r.must(r.router.Flush(ctx))
	clear(changed)
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
	if new != nil {
		for u, e := range r.known {
			// A refresh can't tell in what order entries swapped their names. All others
			// make room first.
			if u != new.UUID() && strings.EqualFold(e.DN(), new.DN()) && (live || r.dir.entries[u] == nil || !r.inCycle(u)) {
				r.t.Fatalf("%s of %v at the name of %v", kind, new, e)
			}
		}
	}
	if new != nil && !live && r.before != nil && (old == nil || old.DN() != new.DN()) {
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
	if o == nil || o.parent == (listener.UUID{}) || e.DN() != r.dir.dn(e.UUID()) {
		return
	}
	parent, dn := r.dir.entries[o.parent], r.dir.dn(o.parent)
	if !parent.match || r.before[o.parent] == dn || r.inCycle(o.parent) || r.inCycle(e.UUID()) {
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
		for name := r.dir.dn(u); name != base; {
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
	r.before = map[listener.UUID]string{}
	for _, u := range r.dir.ids() {
		r.before[u] = r.dir.dn(u)
		want[r.dir.entry(u).String()+r.dir.entries[u].sn] = true
		told := r.known[u]
		switch {
		case r.dir.entries[u].match != (told != nil):
			r.t.Fatalf("%v: matches %v, the module was told %v", r.dir.entry(u), r.dir.entries[u].match, told)
		case told != nil && (told.DN() != r.dir.dn(u) || told.Get("sn") != r.dir.entries[u].sn):
			r.t.Fatalf("the module was told %v sn=%s, it is %v sn=%s", told, told.Get("sn"), r.dir.entry(u), r.dir.entries[u].sn)
		}
	}
	for u, told := range r.known {
		if r.dir.entries[u] == nil {
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
			got[e.String()+e.Get("sn")] = true
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
		r.refresh(changed, "full", false)
		r.deliver(false)
		r.check()
		for range rapid.IntRange(1, 6).Draw(rt, "rounds") {
			for range rapid.IntRange(0, 6).Draw(rt, "live") {
				ctx := context.Background()
				u, gone := r.dir.step(rt)
				switch {
				case u == listener.UUID{}:
					continue
				case gone:
					r.must(r.router.Delete(ctx, []syncrepl.UUID{syncrepl.UUID(u)}))
				default:
					r.must(r.router.Entry(ctx, ber(r.dir.entry(u))))
				}
				r.must(r.router.Cookie(ctx, []byte("live")))
				if rapid.Bool().Draw(rt, "flush") {
					r.must(r.router.Flush(ctx))
				}
			}
			r.must(r.router.Flush(context.Background()))
			r.deliver(true)
			r.check()
			for range rapid.IntRange(0, 8).Draw(rt, "offline") {
				if u, _ := r.dir.step(rt); u != (listener.UUID{}) {
					changed[u] = true
				}
			}
			if rapid.Bool().Draw(rt, "restart") {
				r.open()
			}
			if rapid.Bool().Draw(rt, "interrupted") {
				r.refresh(changed, rapid.SampledFrom([]string{"full", "present", "delete"}).Draw(rt, "mode"), true)
			}
			r.refresh(changed, rapid.SampledFrom([]string{"full", "present", "delete"}).Draw(rt, "mode"), false)
			r.deliver(false)
			r.check()
		}
	})
}
