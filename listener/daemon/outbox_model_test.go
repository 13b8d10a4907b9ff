package daemon

import (
	"bytes"
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
	"github.com/listenerd/listenerd/listener/internal/store"
)

// model runs the dispatcher on a real store, and checks what its handlers are called
// for. It writes the tasks that the router would write, for few entries and names.
type model struct {
	t     *testing.T // of the bubble
	store *store.Store
	lanes *dispatch.Dispatcher
	box   *mortal
	ended chan error
	rng   *rand.Rand
	mods  []*observed

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
	number uint32
	filter uint64      // the entries it wants, as bits
	walk   *store.Walk // of the running transaction, or the last one

	mu      sync.Mutex
	rng     *rand.Rand
	known   map[byte]*listener.Entry // by entry, after the last successful call
	done    map[uint64]string        // successful calls, by seq
	entry   map[uint64]byte          // of those
	last    map[byte]uint64          // seq of the last successful call, by entry
	running map[byte]bool
	owed    map[uint64]bool // successful calls not acknowledged when the last life ended
	errs    []string
	trace   []string // of calls, for when something is wrong
	harm    int      // of 100 calls, how many fail
}

func (o *observed) problem(format string, args ...any) {
	o.errs = append(o.errs, o.name+": "+fmt.Sprintf(format, args...))
}

func (o *observed) Create(ctx context.Context, _ *listener.Entry) error    { return o.call(ctx) }
func (o *observed) Modify(ctx context.Context, _, _ *listener.Entry) error { return o.call(ctx) }
func (o *observed) Remove(ctx context.Context, _ *listener.Entry) error    { return o.call(ctx) }

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
	if got := state(o.known[id]); got != state(c.Old) {
		o.problem("seq %d: old is %s, and was told as %s", c.Seq, state(c.Old), got)
	}
	delete(o.known, id)
	if c.New != nil {
		for other, e := range o.known {
			if e.DN() == c.New.DN() {
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
	err = m.store.Update(func(tx *store.Tx) error {
		for _, o := range m.mods {
			s := new(store.ModuleState)
			if err := tx.SetModule(o.name, s); err != nil {
				return err
			}
			o.number = s.Number
		}
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *model) start() {
	m.box = &mortal{outbox: outbox{store: m.store, numbers: map[string]uint32{}, refill: m.refill, before: map[string]uint64{}}}
	var modules []dispatch.Module
	seq := uint64(0)
	err := m.store.View(func(tx *store.Tx) error {
		seq = tx.Counters().Seq
		for _, o := range m.mods {
			m.box.numbers[o.name] = o.number
			m.box.before[o.name] = min(tx.Mark(o.number), seq)
			failed, setAside, err := tx.CountFailures(o.number)
			if err != nil {
				return err
			}
			modules = append(modules, dispatch.Module{
				Name: o.name, Spec: listener.Spec{Name: o.name, RunAsynchronously: o.async}, Workers: 3, Executor: dispatch.InProcess(o), Log: zap.NewNop(),
				Queued: tx.CountTasks(o.number), Failed: failed, SetAside: setAside, Handed: tx.Mark(o.number),
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
func (m *model) live(kill bool) {
	err := m.run(func(*dispatch.Dispatcher) {
		for range m.rng.IntN(6) {
			m.change(1 + m.rng.IntN(20))
			time.Sleep(time.Duration(m.rng.IntN(30)) * time.Millisecond)
		}
		if kill {
			m.box.kill()
			time.Sleep(time.Duration(m.rng.IntN(10)) * time.Millisecond)
		}
	})
	if err != nil && !errors.Is(err, errKilled) {
		m.t.Fatal(err)
	}
	if err := m.store.Check(); err != nil {
		m.t.Fatal(err)
	}
	m.noteOwed()
	for _, o := range m.mods {
		o.trace = append(o.trace, "end of a life")
	}
}

// noteOwed notes which calls may be repeated.
func (m *model) noteOwed() {
	err := m.store.View(func(tx *store.Tx) error {
		for _, o := range m.mods {
			o.owed = map[uint64]bool{}
			for _, list := range []func(uint32, uint64, uint64, int) ([]store.Task, error){tx.Tasks, tx.Backlog, tx.ParkedTasks} {
				tasks, err := list(o.number, 0, 1<<62, 1<<30)
				if err != nil {
					return err
				}
				for _, t := range tasks {
					if o.done[t.Seq] != "" {
						o.owed[t.Seq] = true
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// change writes n random changes, as the router does, and tells of them.
func (m *model) change(n int) {
	seq, added := uint64(0), map[string]int{}
	err := m.store.Update(func(tx *store.Tx) error {
		for range n {
			if err := m.step(tx, added); err != nil {
				return err
			}
		}
		seq = tx.Counters().Seq
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	if m.lanes != nil {
		m.lanes.Queued(seq, added)
	}
}

const modelEntries, modelNames = 5, 7

func (m *model) step(tx *store.Tx, added map[string]int) error {
	id := byte(1 + m.rng.IntN(modelEntries))
	old, err := tx.Lookup(listener.UUID{id})
	if err != nil {
		return err
	}
	dn := "uid=" + strconv.Itoa(m.rng.IntN(modelNames))
	for other, at := range m.dirs {
		if other != id && at == dn {
			dn = m.dirs[id] // occupied
		}
	}
	m.n++
	var new *store.Record
	switch gone := m.rng.IntN(6) == 0; {
	case old == nil && dn == "":
		return nil
	case old == nil || !gone:
		if m.rng.IntN(2) == 0 && m.dirs[id] != "" {
			dn = m.dirs[id]
		}
		new = &store.Record{UUID: listener.UUID{id}, DN: dn, Attrs: attribute("sn", strconv.Itoa(m.n))}
		m.dirs[id] = dn
	default:
		delete(m.dirs, id)
	}
	return m.write(tx, added, old, new)
}

// attribute returns a PartialAttributeList with one short attribute.
func attribute(name, value string) string {
	tlv := func(tag byte, content string) string { return string([]byte{tag, byte(len(content))}) + content }
	return tlv(0x30, tlv(0x04, name)+tlv(0x31, tlv(0x04, value)))
}

func (m *model) write(tx *store.Tx, added map[string]int, old, new *store.Record) error {
	seq := tx.NextSeq()
	id := uint64(0)
	if new != nil {
		new.Seq = seq
	}
	if old == nil {
		if err := tx.Insert(new); err != nil {
			return err
		}
		id = new.ID
	} else {
		id = old.ID
		if new != nil {
			new.ID = id
		}
	}
	routed := false
	for _, o := range m.mods {
		t := store.Task{Module: o.number, Seq: seq, Cause: listener.CauseLive, ID: id}
		member, wanted := old != nil && tx.IsMember(o.number, id), new != nil && o.wants(uint64(new.UUID[0]))
		switch {
		case !member && wanted:
			if w := o.walk; w != nil && (w.Leave || bytes.Compare(store.Position(new), w.Pos) > 0) {
				continue
			}
			t.Kind, t.New = listener.KindCreate, seq
		case member && wanted:
			t.Kind, t.Old, t.New = listener.KindModify, old.Seq, seq
		case member:
			t.Kind, t.Old = listener.KindRemove, old.Seq
		default:
			continue
		}
		if err := tx.SetMember(o.number, id, wanted); err != nil {
			return err
		}
		if err := tx.AddTask(t); err != nil {
			return err
		}
		routed = true
		added[o.name]++
	}
	if old == nil {
		return nil
	}
	if routed || tx.HasTasks(id) {
		if err := tx.KeepVersion(old); err != nil {
			return err
		}
	}
	if new == nil {
		return tx.Delete(old)
	}
	return tx.Replace(old, new)
}

// refill goes on with a module's walk: first the removes of what it is to lose, then the
// creates of what it does not know, in steps, as the router does.
func (m *model) refill(name string) (more bool, err error) {
	added := map[string]int{}
	seq := uint64(0)
	err = m.store.Update(func(tx *store.Tx) error {
		state, err := tx.Module(name)
		if err != nil || state.Walk == nil {
			return err
		}
		walk, o := *state.Walk, m.module(name)
		looked := 0
		iterate := tx.Walk
		if walk.Leave {
			iterate = tx.WalkBack
		}
		err = iterate(walk.Pos, func(pos []byte, id uint64) (bool, error) {
			walk.Pos = bytes.Clone(pos)
			looked++
			more = looked == 2
			return !more, m.visit(tx, o, &walk, id, added)
		})
		if err != nil {
			return err
		}
		switch next := &walk; {
		case more:
			state.Walk = next
		case walk.Leave:
			more = true
			state.Walk = &store.Walk{Cause: walk.Cause}
		default:
			state.Walk = nil
		}
		o.setWalk(state.Walk)
		seq = tx.Counters().Seq
		return tx.SetModule(name, state)
	})
	if err == nil && len(added) > 0 {
		m.lanes.Queued(seq, added)
	}
	return more, err
}

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

func (m *model) visit(tx *store.Tx, o *observed, walk *store.Walk, id uint64, added map[string]int) error {
	record, err := tx.Get(id)
	if err != nil {
		return err
	}
	member, wanted := tx.IsMember(o.number, id), o.wants(uint64(record.UUID[0]))
	t := store.Task{Module: o.number, Cause: walk.Cause, ID: id}
	switch {
	case walk.Leave && member && !wanted:
		t.Kind, t.Old = listener.KindRemove, record.Seq
	case !walk.Leave && !member && wanted:
		t.Kind, t.New = listener.KindCreate, record.Seq
	default:
		return nil
	}
	t.Seq = tx.NextSeq()
	added[o.name]++
	if err := tx.SetMember(o.number, id, wanted); err != nil {
		return err
	}
	return tx.AddTask(t)
}

func (o *observed) setWalk(w *store.Walk) { o.walk = w }

// newFilter has the modules walked for another filter, as after a start with another
// configuration.
func (m *model) newFilter() {
	err := m.store.Update(func(tx *store.Tx) error {
		for _, o := range m.mods {
			o.filter = uint64(m.rng.IntN(1 << (modelEntries + 1)))
			o.walk = &store.Walk{Cause: listener.CauseReconcile, Leave: true}
			state, err := tx.Module(o.name)
			if err != nil {
				return err
			}
			state.Walk = o.walk
			if err := tx.SetModule(o.name, state); err != nil {
				return err
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
			if n := tx.CountTasks(o.number); n != 0 || tx.HasParked(o.number) {
				problems = append(problems, fmt.Sprintf("%s: %d calls are owed", o.name, n))
			}
		}
		return nil
	})
	if err := errors.Join(err, m.store.Check()); err != nil {
		problems = append(problems, err.Error())
	}
	return problems
}

// Whatever fails and is killed, each entry's calls are one chain in order, without
// overlap or loss, only unacknowledged calls are repeated, and no two entries are ever
// at one name.
func TestCallsAreAChain(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		seed := rapid.Uint64().Draw(r, "seed")
		harm := rapid.SliceOfN(rapid.SampledFrom([]int{0, 10, 40, 90}), 6, 6).Draw(r, "harm")
		lives := rapid.SliceOfN(rapid.SampledFrom([]string{"stopped", "killed", "changes, stopped", "changes, killed", "changes, filter, stopped", "filter, killed"}), 1, 6).Draw(r, "lives")
		var problems []string
		synctest.Test(t, func(t *testing.T) { problems = newModel(t, seed, harm).history(lives) })
		if len(problems) > 0 {
			r.Fatal(strings.Join(problems, "\n"))
		}
	})
}

func newModel(t *testing.T, seed uint64, harm []int) *model {
	m := &model{t: t, rng: rand.New(rand.NewPCG(seed, 0)), dirs: map[byte]string{}}
	for i, o := range []*observed{{name: "sync"}, {name: "stop", stop: true}, {name: "pool", async: true}, {name: "latest", latest: true}, {name: "latestPool", latest: true, async: true}, {name: "full", max: 5}} {
		o.filter = math.MaxUint64
		o.rng, o.harm = rand.New(rand.NewPCG(seed, uint64(i+1))), harm[i]
		o.known, o.done, o.entry, o.last, o.running = map[byte]*listener.Entry{}, map[uint64]string{}, map[uint64]byte{}, map[byte]uint64{}, map[byte]bool{}
		m.mods = append(m.mods, o)
	}
	m.open(t.TempDir())
	return m
}

// history runs the lives one after the other, lets everything succeed at the end, and
// returns what was wrong.
func (m *model) history(lives []string) []string {
	defer func() { _ = m.store.Close() }()
	for _, life := range lives {
		if strings.Contains(life, "changes") {
			m.change(1 + m.rng.IntN(50))
		}
		if strings.Contains(life, "filter") {
			m.newFilter()
		}
		m.live(strings.Contains(life, "killed"))
	}
	for _, o := range m.mods {
		o.harm = 0
	}
	err := m.run(func(d *dispatch.Dispatcher) {
		if err := d.Settle(context.Background()); err != nil {
			m.t.Fatal(err)
		}
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return m.check()
}
