package daemon

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"pgregory.net/rapid"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/route"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// model runs the router and the dispatcher on a real store, and checks what the handlers
// are called for, with few entries and names.
type model struct {
	t      *testing.T // of the bubble
	store  *store.Store
	router *route.Router
	lanes  *dispatch.Dispatcher
	box    *mortal
	ended  chan error
	rng    *rand.Rand
	mods   []*observed

	dirs map[byte]string // where each entry is; the truth
	n    int             // values given
}

// mortal is an outbox that stops writing in the middle, as with a killed process.
type mortal struct {
	outbox
	mu   sync.Mutex
	dead bool
}

var errKilled = errors.New("killed")

func (o *mortal) Commit(changes map[string]*dispatch.Changes) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dead {
		return errKilled
	}
	return o.outbox.Commit(changes)
}

func (o *mortal) isDead() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dead
}

func (o *mortal) kill() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dead = true
}

// observed is a module with what it has been told.
type observed struct {
	name   string
	async  bool
	stop   bool
	latest bool
	max    int
	cleans bool // it has a Cleaner
	knows  bool // it begins with what is there as known
	module *route.Module
	filter uint64 // the entries it wants, as bits

	mu      sync.Mutex
	rng     *rand.Rand
	known   map[byte]*listener.Entry // by entry, after the last successful call
	done    map[uint64]string        // successful calls, by seq
	entry   map[uint64]byte          // of those
	last    map[byte]uint64          // seq of the last successful call, by entry
	running map[byte]bool
	owed    map[uint64]bool // successful calls not acknowledged when the last life ended
	errs    []string
	former  map[byte]bool // entries for which nothing was called since a resync without Cleaner
	killed  bool          // in a life before; and resynchronized without Cleaner after that:
	anew    bool          // it may be told to remove what it was never told of
	clean   string        // what has to be called before anything else
	trace   []string      // of calls, for when something is wrong
	harm    int           // of 100 calls, how many fail
}

func (o *observed) problem(format string, args ...any) {
	o.errs = append(o.errs, o.name+": "+fmt.Sprintf(format, args...))
}

func (o *observed) Create(ctx context.Context, _ *listener.Entry) error    { return o.call(ctx) }
func (o *observed) Modify(ctx context.Context, _, _ *listener.Entry) error { return o.call(ctx) }
func (o *observed) Remove(ctx context.Context, _ *listener.Entry) error    { return o.call(ctx) }

// tidy is an observed module with steps.
type tidy struct{ *observed }

func (o tidy) Clean(ctx context.Context) error      { return o.step(ctx, "clean", "initialize") }
func (o tidy) Initialize(ctx context.Context) error { return o.step(ctx, "initialize", "") }

func (o *observed) step(ctx context.Context, step, next string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.trace = append(o.trace, step)
	for id, runs := range o.running {
		if runs {
			o.problem("%s while entry %d is handled", step, id)
		}
	}
	if step == "clean" && o.clean != step {
		o.problem("%s is called, and %q is next", step, o.clean)
	}
	if o.rng.IntN(100) < o.harm {
		return errors.New("no")
	}
	if step == "clean" {
		clear(o.known)
	}
	o.clean = next
	return nil
}

// resynced is called when the module has another queue: what was done is not repeated.
func (o *observed) resynced() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.trace = append(o.trace, "resync")
	o.owed = map[uint64]bool{}
	if o.cleans {
		o.clean = "clean"
		return
	}
	o.anew = o.anew || o.killed
	for id := byte(1); id <= modelEntries; id++ {
		o.former[id] = true
	}
}

func (o *observed) call(ctx context.Context) error {
	c := listener.CallInfo(ctx)
	e := c.New
	if e == nil {
		e = c.Old
	}
	id := e.UUID()[0]
	o.mu.Lock()
	if o.running[id] {
		o.problem("seq %d overlaps", c.Seq)
	}
	o.running[id] = true
	if o.clean != "" {
		o.problem("seq %d comes before %s", c.Seq, o.clean)
	}
	fate, pause := o.rng.IntN(100), time.Duration(o.rng.IntN(5))*time.Millisecond
	o.mu.Unlock()
	time.Sleep(pause)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.running[id] = false
	o.trace = append(o.trace, fmt.Sprintf("%d:%d %s>%s %v", c.Seq, id, state(c.Old), state(c.New), fate >= o.harm))
	if fate < o.harm {
		switch fate % 4 {
		case 0:
			panic("boom")
		case 1:
			return listener.RetryAfter(time.Duration(fate)*time.Millisecond, nil)
		}
		return errors.New("no")
	}
	o.succeeded(id, &c)
	return nil
}

func state(e *listener.Entry) string {
	if e == nil {
		return "-"
	}
	return e.DN() + "=" + e.Get("sn")
}

func (o *observed) succeeded(id byte, c *listener.Call) {
	content := string(c.Kind) + " " + state(c.Old) + " " + state(c.New)
	if before, again := o.done[c.Seq]; again {
		switch {
		case before != content:
			o.problem("seq %d is repeated as %s, it was %s", c.Seq, content, before)
		case !o.owed[c.Seq]:
			o.problem("seq %d is repeated though it was acknowledged", c.Seq)
		}
		delete(o.owed, c.Seq)
		return
	}
	for seq := range o.owed {
		if seq < c.Seq && o.entry[seq] == id {
			o.problem("seq %d comes before the repetition of %d", c.Seq, seq)
		}
	}
	if c.Seq <= o.last[id] {
		o.problem("seq %d comes after %d", c.Seq, o.last[id])
	}
	spurious := c.Kind == listener.KindRemove && o.known[id] == nil && o.killed && o.anew
	if got := state(o.known[id]); got != state(c.Old) && !o.former[id] && !spurious {
		o.problem("seq %d: old is %s, and was told as %s", c.Seq, state(c.Old), got)
	}
	if o.former[id] && c.Kind == listener.KindModify {
		o.problem("seq %d is a modify, and nothing was created since the resync", c.Seq)
	}
	delete(o.former, id)
	delete(o.known, id)
	if c.New != nil {
		for other, e := range o.known {
			if e.DN() == c.New.DN() && !o.former[other] {
				o.problem("seq %d: entries %d and %d are both at %s", c.Seq, id, other, e.DN())
			}
		}
		o.known[id] = c.New
	}
	o.done[c.Seq], o.entry[c.Seq], o.last[id] = content, id, c.Seq
}

func (m *model) open(dir string) {
	var err error
	if m.store, err = store.Open(dir); err != nil {
		m.t.Fatal(err)
	}
}

// listen prepares the router, as a start of the daemon does, for the modules.
func (m *model) listen(mods ...*observed) {
	m.lanes = nil
	var modules []*route.Module
	for _, o := range mods {
		f, err := filter.Compile(o.text(), nil)
		if err != nil {
			m.t.Fatal(err)
		}
		for id := range m.dirs {
			if o.module == nil && o.knows && o.wants(uint64(id)) {
				o.known[id] = m.entry(id)
			}
		}
		o.module = &route.Module{Name: o.name, Filter: f, Known: o.knows}
		modules = append(modules, o.module)
	}
	wanted := m.wanted()
	var err error
	m.router, err = route.New(m.store, route.Config{
		Base: modelBase, Modules: modules, Limits: route.Limits{MinDeletes: math.MaxUint64},
		Queued: func(seq uint64, added map[string]int) {
			if m.lanes != nil {
				m.lanes.Queued(seq, added)
			}
		},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	for _, o := range mods {
		if wanted[o.name] {
			o.resynced()
		}
		if o.cleans {
			err = errors.Join(err, m.router.Cleans(o.module))
		}
	}
	_, err2 := m.router.Begin(context.Background(), syncrepl.Session{URI: "ldap://x"})
	err = errors.Join(err, err2, m.router.RefreshDone(context.Background()), m.router.Cookie(context.Background(), []byte("c")), m.router.Flush(context.Background()))
	if err != nil {
		m.t.Fatal(err)
	}
}

// wanted returns the modules that are to be resynchronized.
func (m *model) wanted() map[string]bool {
	out := map[string]bool{}
	err := m.store.View(func(tx *store.Tx) error {
		for _, o := range m.mods {
			state, err := tx.Module(o.name)
			if err != nil {
				return err
			}
			out[o.name] = state != nil && state.Resync == store.ResyncWanted
		}
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

func (m *model) start() {
	m.listen(m.mods...)
	m.box = &mortal{outbox: outbox{store: m.store, numbers: map[string]uint32{}, refill: m.refill, before: map[string]uint64{}}}
	var modules []dispatch.Module
	seq := uint64(0)
	err := m.store.View(func(tx *store.Tx) error {
		seq = tx.Counters().Seq
		for _, o := range m.mods {
			number := o.module.Number()
			m.box.numbers[o.name] = number
			m.box.before[o.name] = min(tx.Mark(number), seq)
			failed, setAside, err := tx.CountFailures(number)
			if err != nil {
				return err
			}
			state, err := tx.Module(o.name)
			if err != nil {
				return err
			}
			handler := listener.Handler(o)
			if o.cleans {
				handler = tidy{o}
			}
			modules = append(modules, dispatch.Module{
				Name: o.name, Spec: listener.Spec{Name: o.name, RunAsynchronously: o.async}, Workers: 3, Executor: dispatch.InProcess(handler), Log: zap.NewNop(),
				Steps:  dispatch.Steps{Resync: dispatch.Resync(state.Resync), Initialized: state.Initialized},
				Queued: tx.CountTasks(number), Failed: failed, SetAside: setAside, Handed: tx.Mark(number),
				Settings: dispatch.Settings{RetryMin: 10 * time.Millisecond, RetryMax: 100 * time.Millisecond, PostRunMaxDelay: time.Hour, StopOnError: o.stop, Latest: o.latest, MaxTasks: o.max},
			})
		}
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.lanes = dispatch.New(dispatch.Config{Outbox: m.box, ShutdownTimeout: time.Minute, Seq: seq, Log: zap.NewNop()}, modules)
	m.ended = make(chan error, 1)
}

// run runs the dispatcher until end says so.
func (m *model) run(end func(*dispatch.Dispatcher)) error {
	m.start()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { m.ended <- m.lanes.Run(ctx) }()
	end(m.lanes)
	cancel()
	return <-m.ended
}

// live lets things happen while the dispatcher runs, and kills it or stops it.
func (m *model) live(kill, resync bool) {
	var resets sync.WaitGroup
	err := m.run(func(*dispatch.Dispatcher) {
		for range m.rng.IntN(6) {
			m.change(1 + m.rng.IntN(20))
			time.Sleep(time.Duration(m.rng.IntN(30)) * time.Millisecond)
			if resync && m.rng.IntN(2) == 0 {
				if o := m.mods[m.rng.IntN(len(m.mods))]; m.want(o) {
					resets.Go(func() { m.reset(o) })
				}
			}
			m.purge()
		}
		if kill {
			m.box.kill()
			time.Sleep(time.Duration(m.rng.IntN(10)) * time.Millisecond)
		}
	})
	resets.Wait()
	if err == nil && !kill {
		err = m.box.finish(m.lanes.CutOff())
	}
	if err != nil && !errors.Is(err, errKilled) {
		m.t.Fatal(err)
	}
	if err := m.store.Check(); err != nil {
		m.t.Fatal(err)
	}
	m.noteOwed()
	for _, o := range m.mods {
		o.trace = append(o.trace, "end of a life")
		o.killed = o.killed || kill
	}
}

// noteOwed notes which calls may be repeated.
func (m *model) noteOwed() {
	err := m.store.View(func(tx *store.Tx) error {
		for _, o := range m.mods {
			o.owed = map[uint64]bool{}
			err := tx.EachTask(o.module.Number(), 0, func(t *store.Task) (bool, error) {
				if o.done[t.Seq] != "" {
					o.owed[t.Seq] = true
				}
				return true, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// want asks for a resync of a module, or of all it knows by their names; it tells whether
// it is one as a whole.
func (m *model) want(o *observed) bool {
	subtree := m.rng.IntN(3) == 0
	var err error
	if subtree {
		err = route.WantSubtree(m.store, o.name, modelBase)
	} else {
		err = route.WantResync(m.store, o.name)
	}
	switch {
	case err == nil && subtree:
		m.router.Resume()
	case err != nil && !errors.Is(err, route.ErrResyncing) && !errors.Is(err, route.ErrNotNoted) && !errors.Is(err, route.ErrNoEntry):
		m.t.Error(err)
	}
	return err == nil && !subtree
}

// reset gives a module another queue, as the daemon does.
func (m *model) reset(o *observed) {
	_ = m.lanes.Reset(context.Background(), o.name, func(forget func(uint64)) error { // or the next start does
		if m.box.isDead() {
			return errKilled
		}
		return m.router.Resync(o.module, o.cleans, m.box.handedBefore(o.name), func(seq uint64) {
			forget(seq)
			m.box.renumber(o.name, o.module.Number())
			o.resynced()
		})
	})
}

// purge removes some of what is no longer used, and tells whether there is more.
func (m *model) purge() (more bool) {
	err := m.store.Update(func(tx *store.Tx) (err error) {
		more, err = tx.Purge()
		return err
	})
	if err != nil {
		m.t.Error(err)
	}
	return more
}

// change reports n random changes live, a few at a time.
func (m *model) change(n int) {
	var err error
	for range n {
		m.step()
		if m.rng.IntN(8) == 0 {
			err = errors.Join(err, m.router.Flush(context.Background()))
		}
	}
	if err = errors.Join(err, m.router.Flush(context.Background())); err != nil {
		m.t.Fatal(err)
	}
}

const (
	modelBase                = "dc=x"
	modelEntries, modelNames = 5, 7
)

func (m *model) step() {
	id := byte(1 + m.rng.IntN(modelEntries))
	dn := "uid=" + strconv.Itoa(m.rng.IntN(modelNames)) + "," + modelBase
	for other, at := range m.dirs {
		if other != id && at == dn {
			dn = m.dirs[id] // occupied
		}
	}
	m.n++
	var err error
	switch gone := m.rng.IntN(6) == 0; {
	case m.dirs[id] == "" && dn == "":
	case m.dirs[id] == "" || !gone:
		if m.rng.IntN(2) == 0 && m.dirs[id] != "" {
			dn = m.dirs[id]
		}
		m.dirs[id] = dn
		content := attribute("sn", strconv.Itoa(m.n)) + attribute("uidNumber", strconv.Itoa(int(id)))
		err = m.router.Entry(context.Background(), &syncrepl.Entry{UUID: syncrepl.UUID{id}, DN: []byte(dn), Attributes: []byte(content)})
	default:
		delete(m.dirs, id)
		err = m.router.Delete(context.Background(), []syncrepl.UUID{{id}})
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// attribute returns a PartialAttributeList with one short attribute.
func attribute(name, value string) string {
	tlv := func(tag byte, content string) string { return string([]byte{tag, byte(len(content))}) + content }
	return tlv(0x30, tlv(0x04, name)+tlv(0x31, tlv(0x04, value)))
}

func (m *model) refill(name string) (bool, error) { return m.router.Step(m.module(name).module) }

func (m *model) module(name string) *observed {
	for _, o := range m.mods {
		if o.name == name {
			return o
		}
	}
	panic("no module " + name)
}

// wants is the module's filter: it changes from one walk to the next.
func (o *observed) wants(id uint64) bool { return o.filter&(1<<id) != 0 }

// text is the filter.
func (o *observed) text() string {
	text := "(|(uidNumber=0)"
	for id := range uint64(modelEntries + 1) {
		if o.wants(id) {
			text += "(uidNumber=" + strconv.FormatUint(id, 10) + ")"
		}
	}
	return text + ")"
}

// newFilter gives the modules other filters for the next start.
func (m *model) newFilter() {
	err := m.store.View(func(tx *store.Tx) error {
		for _, o := range m.mods {
			state, err := tx.Module(o.name)
			if err != nil {
				return err
			}
			if state == nil || state.Walk == nil || !state.Walk.Known { // else it is not noted yet what it knows
				o.filter = uint64(m.rng.IntN(1 << (modelEntries + 1)))
			}
		}
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// check compares what the modules know with the directory.
func (m *model) check() (problems []string) {
	for _, o := range m.mods {
		if problems = append(problems, o.errs...); len(o.errs) > 0 {
			problems = append(problems, o.name+" was called: "+strings.Join(o.trace, "; "))
		}
		for id := byte(1); id <= modelEntries; id++ {
			want := m.dirs[id]
			if !o.wants(uint64(id)) {
				want = ""
			}
			if want == "" && o.known[id] != nil || want != "" && (o.known[id] == nil || o.known[id].DN() != want) {
				problems = append(problems, fmt.Sprintf("%s: entry %d is known as %s, and is at %q", o.name, id, state(o.known[id]), want))
			}
		}
	}
	err := m.store.View(func(tx *store.Tx) error {
		for _, o := range m.mods {
			number := o.module.Number()
			if n := tx.CountTasks(number); n != 0 {
				problems = append(problems, fmt.Sprintf("%s: %d calls are owed", o.name, n))
			}
			if o.clean != "" {
				problems = append(problems, fmt.Sprintf("%s: %s was not called", o.name, o.clean))
			}
			for former := range number {
				if n := tx.CountTasks(former) + tx.CountMembers(former); n > 0 && !m.isNumber(former) {
					problems = append(problems, fmt.Sprintf("%s: %d rows are left of number %d", o.name, n, former))
				}
			}
		}
		return nil
	})
	if err := errors.Join(err, m.store.Check()); err != nil {
		problems = append(problems, err.Error())
	}
	return problems
}

// isNumber tells whether a module has the number.
func (m *model) isNumber(number uint32) bool {
	for _, o := range m.mods {
		if o.module.Number() == number {
			return true
		}
	}
	return false
}

// Whatever fails and is killed, each entry's calls are one chain in order, without
// overlap or loss, only unacknowledged calls are repeated, and no two entries are ever
// at one name.
func TestCallsAreAChain(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		seed := rapid.Uint64().Draw(r, "seed")
		harm := rapid.SliceOfN(rapid.SampledFrom([]int{0, 10, 40, 90}), 9, 9).Draw(r, "harm")
		lives := rapid.SliceOfN(rapid.SampledFrom([]string{"stopped", "killed", "changes, stopped", "changes, killed", "changes, filter, stopped", "filter, killed", "resync, killed", "changes, resync, stopped", "wish, resync, filter, killed"}), 1, 4).Draw(r, "lives")
		var problems []string
		synctest.Test(t, func(t *testing.T) { problems = newModel(t, seed, harm).history(lives) })
		if len(problems) > 0 {
			r.Fatal(strings.Join(problems, "\n"))
		}
	})
}

func newModel(t *testing.T, seed uint64, harm []int) *model {
	m := &model{t: t, rng: rand.New(rand.NewPCG(seed, 0)), dirs: map[byte]string{}}
	for i, o := range []*observed{{name: "sync"}, {name: "stop", stop: true}, {name: "pool", async: true}, {name: "latest", latest: true}, {name: "latestPool", latest: true, async: true}, {name: "full", max: 5},
		{name: "clean", cleans: true}, {name: "cleanPool", cleans: true, async: true, latest: true}, {name: "knows", knows: true}} {
		o.filter = math.MaxUint64
		o.rng, o.harm = rand.New(rand.NewPCG(seed, uint64(i+1))), harm[i]
		o.known, o.done, o.entry, o.last, o.running = map[byte]*listener.Entry{}, map[uint64]string{}, map[uint64]byte{}, map[byte]uint64{}, map[byte]bool{}
		o.former, o.owed = map[byte]bool{}, map[uint64]bool{}
		m.mods = append(m.mods, o)
	}
	m.open(t.TempDir())
	m.listen() // the first fill
	m.change(m.rng.IntN(10))
	return m
}

// entry returns an entry as it is mirrored.
func (m *model) entry(id byte) (e *listener.Entry) {
	err := m.store.View(func(tx *store.Tx) error {
		record, err := tx.Lookup(listener.UUID{id})
		if err == nil {
			e, err = record.Entry()
		}
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return e
}

// history runs the lives one after the other, lets everything succeed at the end, and
// returns what was wrong.
func (m *model) history(lives []string) []string {
	defer func() { _ = m.store.Close() }()
	for _, life := range lives {
		if strings.Contains(life, "filter") {
			m.newFilter()
		}
		m.listen(m.mods...)
		if strings.Contains(life, "changes") {
			m.change(1 + m.rng.IntN(50))
		}
		if strings.Contains(life, "wish") {
			m.want(m.mods[m.rng.IntN(len(m.mods))])
		}
		m.live(strings.Contains(life, "killed"), strings.Contains(life, "resync"))
	}
	for _, o := range m.mods {
		o.harm = 0
	}
	err := m.run(func(d *dispatch.Dispatcher) {
		if err := d.Settle(context.Background()); err != nil {
			m.t.Fatal(err)
		}
		for m.purge() {
		}
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return m.check()
}
