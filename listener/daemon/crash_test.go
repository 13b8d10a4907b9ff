package daemon_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/modules/event"
)

var (
	numberOfCrashes = flag.Int("crashes", 201, "how often TestScenario16KilledDaemon kills the daemon, on all servers together")
	crashSeed       = flag.Uint64("crashseed", 0, "seed of TestScenario16KilledDaemon; 0: another one each time")
)

func newRandom(t testing.TB) *rand.Rand {
	t.Helper()
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-crashseed %d", seed) // what runs when stays a matter of the machine
	return rand.New(rand.NewPCG(seed, 0))
}

// crashed is what is known of a site after its daemon was killed.
type crashed struct {
	journals map[string]int             // documents, by module
	owed     map[string]map[uint64]bool // the seq of calls not acknowledged
}

func (s *site) crashed() crashed {
	s.t.Helper()
	c := crashed{map[string]int{}, map[string]map[uint64]bool{}}
	for _, f := range s.follow {
		c.journals[f.name] = len(s.journal(f.name))
		c.owed[f.name] = map[uint64]bool{}
	}
	if _, err := os.Stat(s.state() + "/" + store.FileName); err != nil {
		return c // it did not come that far
	}
	s.inspect(func(tx *store.Tx) error {
		for _, f := range s.follow {
			state, err := tx.Module(f.name)
			if err != nil {
				return err
			}
			if state == nil {
				continue
			}
			tasks, err := owed(tx, state.Number)
			if err != nil {
				return err
			}
			for _, task := range tasks {
				c.owed[f.name][task.Seq] = true
			}
		}
		return nil
	})
	return c
}

// owed returns all tasks of the module.
func owed(tx *store.Tx, module uint32) (out []store.Task, err error) {
	for _, list := range []func(uint32, uint64, uint64, int) ([]store.Task, error){tx.Tasks, tx.Backlog, tx.ParkedTasks} {
		tasks, err := list(module, 0, math.MaxUint64, math.MaxInt)
		if err != nil {
			return nil, err
		}
		out = append(out, tasks...)
	}
	return out, nil
}

// killedWithin kills the daemon after a random time of at most limit.
func (r *run) killedWithin(rng *rand.Rand, limit time.Duration) {
	r.site.t.Helper()
	r.killedAfter(time.After(randomTime(rng, limit)), func() {})
}

// killedAfter kills the daemon at a moment. It calls following when the daemon has
// refreshed its mirror, unless the moment comes first.
func (r *run) killedAfter(moment <-chan time.Time, following func()) {
	r.site.t.Helper()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-moment:
			r.process.Kill()
			return
		case <-poll.C:
			if status, ok := r.status(); ok && status.Phase == "persist" {
				following()
				following = func() {}
				poll.Stop()
			}
		case <-r.process.Done():
			r.site.t.Fatalf("listenerd has ended by itself: %s", r.output())
		}
	}
}

func randomTime(rng *rand.Rand, limit time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(limit)))
}

// withoutRepetitions checks what crashes are allowed to repeat and returns the
// documents without it. A call is repeated only if it was not acknowledged, with the
// same content, and an entry's calls are repeated from one of them to the last.
func (f follower) withoutRepetitions(docs []event.Document, crashes []crashed) (unique []event.Document, repeated int, problems []string) {
	bySeq := map[uint64]event.Document{}
	calls := map[string][]uint64{} // of an entry, in order
	problem := func(d event.Document, format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%s: seq %d: %s: %s", f.name, d.Seq, short(describe(d)), fmt.Sprintf(format, args...)))
	}
	from := 0
	owed := map[uint64]bool{}
	for life := 0; life <= len(crashes); life++ {
		to := len(docs)
		if life < len(crashes) {
			to = crashes[life].journals[f.name]
		}
		next := map[string]int{} // index in calls of what has to come next
		for _, d := range docs[from:to] {
			if d.UUID == "" {
				continue
			}
			of := calls[d.UUID]
			at, begun := next[d.UUID]
			if first, known := bySeq[d.Seq]; known {
				repeated++
				i := slices.Index(of, d.Seq)
				switch {
				case describe(first) != describe(d):
					problem(d, "repeated with other content: it was %s, and is %s", describe(first), describe(d))
				case !owed[d.Seq]:
					problem(d, "repeated, though it was acknowledged, in life %d", life)
				case begun && i != at:
					problem(d, "repeated out of order, in life %d", life)
				}
				next[d.UUID] = i + 1
				continue
			}
			if begun && at != len(of) || !begun && len(of) > 0 && owed[of[len(of)-1]] {
				problem(d, "new, before older calls of the entry were repeated, in life %d", life)
			}
			if len(of) > 0 && d.Seq < of[len(of)-1] {
				problem(d, "seq does not grow: it was %d", of[len(of)-1])
			}
			bySeq[d.Seq], calls[d.UUID] = d, append(of, d.Seq)
			next[d.UUID] = len(of) + 1
			unique = append(unique, d)
		}
		from = to
		if life < len(crashes) {
			owed = crashes[life].owed[f.name]
		}
	}
	for life, c := range crashes {
		if f.folds {
			break
		}
		for seq := range c.owed[f.name] {
			if _, made := bySeq[seq]; !made {
				problems = append(problems, fmt.Sprintf("%s: the call with seq %d was owed after crash %d and never made", f.name, seq, life))
			}
		}
	}
	return unique, repeated, problems
}

// checkCrashes checks all journals against what DESIGN promises, and their outcome
// against the directory. The order among entries is left out if the tree was changed
// while a refresh ran: then no order may be right (see TestScenario16KilledDaemon).
func checkCrashes(t testing.TB, s *site, d *directory, crashes []crashed, order bool) {
	t.Helper()
	for _, f := range s.follow {
		docs := s.journal(f.name)
		unique, repeated, problems := f.withoutRepetitions(docs, crashes)
		t.Logf("%s: %d calls, %d of them repetitions", f.name, len(docs), repeated)
		report(t, problems)
		r := f.replay(unique)
		r.compare(d)
		report(t, r.problems)
		if order {
			report(t, r.disorder)
		}
	}
}

// unsteady are followers of which every eighth call fails, up to three times.
var unsteady = []follower{
	{name: "flaky", filter: narrowFilter, module: "probe", keys: flaky("flaky")},
	{name: "flaky-parallel", filter: narrowFilter, module: "probe", parallel: true, keys: flaky("flaky-parallel")},
	{name: "flaky-latest", filter: narrowFilter, module: "probe", parallel: true, folds: true, keys: append(flaky("flaky-latest"), "delivery: latest")},
}

func flaky(name string) []string {
	return []string{"retry: {min: 5ms, max: 40ms}", "config.do: flaky", "config.until: healed", "config.failed: " + name + ".failed"}
}

// However often the daemon is killed while the directory changes and calls fail, no
// change is lost or reordered, and no acknowledged call is repeated.
//
// While a refresh runs only attributes are changed, except in one case: slapd's
// refresh is no snapshot, and tells of an entry that has a name now before it tells
// of the one that had it.
func TestScenario16KilledDaemon(t *testing.T) {
	t.Parallel()
	servers := []struct {
		name    string
		options []slapdtest.Option
		busy    bool // the tree changes during refreshes too
	}{
		{"NoSessionLog", nil, false},
		{"SessionLog", []slapdtest.Option{slapdtest.SessionLog(10_000)}, false},
		{"TreeChangesDuringRefresh", []slapdtest.Option{slapdtest.SessionLog(10_000)}, true},
	}
	for _, c := range servers {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rng := newRandom(t)
			for left := (*numberOfCrashes + len(servers) - 1) / len(servers); left > 0 && !t.Failed(); {
				t.Run("Site", func(t *testing.T) { left -= killAgainAndAgain(t, min(left, 67), rng, c.busy, c.options) })
			}
		})
	}
}

// killAgainAndAgain kills a daemon so many times, and returns how many of them count. A
// slapd 2.5.13 may crash when a consumer goes away, about once in 2,000 times; then the
// calls are checked, but not what they lead to, and cycles are left.
func killAgainAndAgain(t *testing.T, cycles int, rng *rand.Rand, busy bool, options []slapdtest.Option) (done int) {
	slapd := slapdtest.Start(t, options...)
	d := newDirectory(t, slapd)
	s := newSite(t)
	s.follow = slices.Concat(followers, unsteady)
	s.configure(slapd, instancesOf(s.follow)...)
	s.addConfig("guard: {max_delete_percent: 100}")
	load := startLoad(t, slapd, 2, rng)

	start := func() *run {
		load.allowTreeChanges(busy)
		return s.start()
	}
	began := time.Now()
	r := start()
	r.until("it follows", func() bool { status, ok := r.status(); return ok && status.Phase == "persist" })
	limit := 2*time.Since(began) + 50*time.Millisecond
	var crashes []crashed
	for ; done < cycles && !slapd.Crashed(); done++ {
		r.killedAfter(time.After(randomTime(rng, limit)), func() { load.allowTreeChanges(true) })
		load.allowTreeChanges(true)
		crashes = append(crashes, s.crashed())
		if rng.IntN(3) == 0 { // much happens while it is away
			<-time.After(randomTime(rng, limit))
		}
		r = start()
	}
	load.stop()
	r.process.Kill()
	crashes = append(crashes, s.crashed())
	s.write("healed", "")
	code, output := s.once()
	if done < cycles || slapd.Crashed() {
		t.Logf("slapd crashed in cycle %d", done)
		for _, f := range s.follow {
			f.folds = true // what is owed stays owed
			unique, _, problems := f.withoutRepetitions(s.journal(f.name), crashes)
			report(t, problems)
			report(t, f.replay(unique).problems)
		}
		return done
	}
	if code != 0 {
		t.Fatalf("run --once: exit code %d: %s", code, output)
	}
	checkCrashes(t, s, d, crashes, !busy)
	for _, f := range unsteady {
		if len(s.journal(f.name)) > 100 && len(s.journalFile(f.name+".failed")) == 0 {
			t.Errorf("%s: no call failed", f.name)
		}
	}
	return done
}

// A daemon that is killed again and again during its first load and its first walk
// gets there all the same.
func TestScenario16KilledDuringFirstLoad(t *testing.T) {
	t.Parallel()
	slapd := slapdtest.Start(t, slapdtest.WithLDIF(slapdtest.People(3000, 2)))
	d := newDirectory(t, slapd)
	s := newSite(t)
	s.configure(slapd, instances()...)
	rng := newRandom(t)
	var crashes []crashed
	// Each life is longer than the one before: some end in each part of the way.
	for limit := 10 * time.Millisecond; len(crashes) == 0 || !s.done(crashes[len(crashes)-1], 3000); limit += 20 * time.Millisecond {
		s.start().killedWithin(rng, limit)
		crashes = append(crashes, s.crashed())
	}
	s.mustOnce()
	checkCrashes(t, s, d, crashes, true)
}

// done tells whether there were as many calls for each module, and none is owed.
func (s *site) done(c crashed, calls int) bool {
	for _, f := range s.follow {
		if c.journals[f.name] < calls || len(c.owed[f.name]) > 0 {
			return false
		}
	}
	return true
}
