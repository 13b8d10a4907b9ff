package daemon_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
	"github.com/listenerd/listenerd/modules/event"
)

// The points at which a daemon dies, by what it does then: each is tried before and
// after its commit. A number says which of the commits it is.
var faultScenarios = []faultScenario{
	{
		name: "FirstStart",
		points: []string{
			"format", "modules", "schema", "session", "begin-fill", "fill", "index", "index 2", "filled", "cookie", "loaded",
			"walk", "walk 4", "mark", "step", "step 6", "step 12", "outcome", "acknowledge", "finish",
		},
		during: func(c *faulty) { c.once() },
	},
	{
		name:   "Live",
		points: []string{"change", "change 3", "rename", "cascade", "subtree", "fetch", "fetched", "remove"},
		base:   inside,
		before: func(c *faulty) { c.site.mustOnce() },
		during: func(c *faulty) {
			r := c.follows()
			u := c.d.unit("u", outside).dn
			c.d.person("moves", u)
			c.d.unit("w", u)
			c.d.person("below", "ou=w,"+u)
			c.d.modify("uid=p1,"+inside, []string{"sn", "Changed"})
			c.d.person("new", inside)
			c.d.delete("uid=p2," + inside)
			c.d.rename(u, "ou=u", inside)
			c.reaches(r, "it has read the subtree", func() bool {
				return slices.ContainsFunc(c.site.journal("all"), func(d event.Document) bool { return strings.HasPrefix(string(d.DN), "uid=below,") })
			})
			c.d.rename("ou=u,"+inside, "ou=v", "")
			c.d.rename("ou=w,ou=v,"+inside, "ou=w", outside)
			c.ends(r)
		},
	},
	{
		name:    "Away",
		points:  []string{"hold", "settle", "remove", "change 3", "cascade", "rename", "acknowledge", "cookie", "modules"},
		options: []slapdtest.Option{slapdtest.SessionLog(1000)},
		before: func(c *faulty) {
			c.d.person("inner", c.d.unit("sub", inside).dn)
			c.site.mustOnce()
			c.site.follow[1].filter = "(sn=*)" // a walk too
			c.configure()
			c.d.rename("uid=p1,"+inside, "uid=q", "") // two change places
			c.d.rename("uid=p2,"+inside, "uid=p1", "")
			c.d.rename("uid=q,"+inside, "uid=p2", "")
			c.d.rename("ou=sub,"+inside, "ou=former", "")
			c.d.person("p3", c.d.unit("sub", inside).dn)
			c.d.delete("uid=p4," + inside)
			c.d.modify("uid=p5,"+inside, []string{"sn", "Changed"})
		},
		during: func(c *faulty) { c.once() },
	},
	{
		name:   "Failures",
		points: []string{"park", "park 3", "wait", "halt", "fold", "fold-waiting", "decide", "decide 2", "decide 3"},
		follow: []follower{
			stubborn("permanent", "permanent"), stubborn("full", "permanent", "max_tasks: 4"), stubborn("latest", "permanent", "delivery: latest"),
			stubborn("halted", "fail", "on_error: stop", "retry: {min: 20ms, max: 50ms}"),
		},
		during: func(c *faulty) {
			r := c.follows()
			waits := func(n int) {
				c.reaches(r, fmt.Sprintf("%d calls of bob are owed", n), func() bool {
					for _, name := range []string{"permanent", "full", "latest"} {
						if r.module(name).SetAside != 1 {
							return false
						}
					}
					return r.module("permanent").Queued == n && r.module("halted").Failing == 1
				})
			}
			waits(1)
			c.d.modify("uid=bob,"+inside, []string{"sn", "1"})
			waits(2)
			c.d.modify("uid=bob,"+inside, []string{"sn", "2"})
			waits(3)
			c.d.modify("uid=bob,"+inside, []string{"sn", "3"})
			waits(4)
			c.reaches(r, "it has folded what waits", func() bool { n := r.module("full").Queued; return n >= 0 && n < 4 })
			c.decides("retry", "permanent", "--all")
			fails := func() {
				c.reaches(r, "it has failed once more", func() bool { return r.module("permanent").SetAside == 1 })
			}
			fails()
			c.decides("retry", "permanent", "--all", "--latest")
			fails()
			c.decides("drop", "permanent", "--all", "--yes")
			c.ends(r)
		},
		after: func(c *faulty) {
			c.d.modify("uid=bob,"+inside, []string{"sn", "At last"})
			c.site.write("healed", "")
			r := c.site.start()
			r.until("it follows", func() bool { status, ok := r.status(); return ok && status.Phase == "persist" })
			for _, f := range c.site.follow {
				c.site.printed("failed", "retry", f.name, "--all")
			}
			r.caughtUp(c.d)
			r.stop()
		},
	},
	{
		name:   "LeftToTheNextRun",
		points: []string{"hasten", "acknowledge", "acknowledge 2"},
		follow: []follower{stubborn("stubborn", "fail", "retry: {min: 1ms, max: 2ms}")},
		before: func(c *faulty) {
			c.site.once()
			c.d.modify("uid=bob,"+inside, []string{"sn", "Waits"})
			c.site.once()
			c.site.write("healed", "")
		},
		during: func(c *faulty) { c.once() },
	},
	{
		name:   "Paused",
		points: []string{"pause", "pause 2", "merge"},
		follow: []follower{{name: "paused", filter: narrowFilter}, {name: "latest", filter: narrowFilter, keys: []string{"delivery: latest"}, folds: true}},
		before: func(c *faulty) { c.site.mustOnce() },
		during: func(c *faulty) {
			r := c.follows()
			c.command("pause", "paused")
			c.command("pause", "latest")
			for i := range 3 {
				c.d.modify("uid=p1,"+inside, []string{"sn", fmt.Sprint("Queued ", i)})
				c.reaches(r, "the change is queued", func() bool { return r.module("paused").Queued == i+1 && r.module("latest").Queued == 1 })
			}
			c.command("resume", "paused")
			c.command("resume", "latest")
			c.ends(r)
		},
		after: func(c *faulty) {
			r := c.site.start()
			r.until("it follows", func() bool { status, ok := r.status(); return ok && status.Phase == "persist" })
			c.site.printed("resume", "paused")
			c.site.printed("resume", "latest")
			r.caughtUp(c.d)
			r.stop()
		},
	},
	{
		name:   "Guarded",
		points: []string{"guard", "guard 2", "release", "remove"},
		config: []string{"guard: {max_delete_percent: 1, min_deletes: 2}"},
		before: deleted,
		during: func(c *faulty) {
			r := c.follows()
			c.command("release")
			c.ends(r)
		},
		after: (*faulty).released,
	},
	{
		name:   "ReleasedWithoutDaemon",
		points: []string{"release-offline"},
		config: []string{"guard: {max_delete_percent: 1, min_deletes: 2}"},
		before: func(c *faulty) {
			deleted(c)
			if code, output := c.site.once(); code != 4 {
				c.t.Fatalf("exit code %d: %s", code, output)
			}
		},
		during: func(c *faulty) { c.command("release") },
		after:  (*faulty).released,
	},
	{
		name:   "Resynced",
		points: []string{"want-resync", "resync", "purge", "step 4", "walk"},
		follow: []follower{{name: "cleaned", filter: narrowFilter, module: "cleaner"}},
		before: func(c *faulty) { c.site.mustOnce() },
		during: func(c *faulty) {
			r := c.follows()
			c.command("resync", "cleaned")
			c.ends(r)
		},
		check: (*faulty).cleaned,
	},
	{
		name:   "ResyncedWithoutDaemon",
		points: []string{"modules", "resync-now-cleans", "purge", "acknowledge"},
		follow: []follower{{name: "cleaned", filter: narrowFilter, module: "cleaner"}},
		before: func(c *faulty) {
			c.site.mustOnce()
			c.site.printed("resync", "cleaned")
		},
		during: func(c *faulty) { c.once() },
		check:  (*faulty).cleaned,
	},
	{
		name:   "ToldAgain",
		points: []string{"want-subtree", "decide-offline"},
		follow: []follower{stubborn("permanent", "permanent")},
		before: func(c *faulty) { c.site.once() },
		during: func(c *faulty) { c.command("resync", "permanent", "--dn", inside) },
		after: func(c *faulty) {
			c.site.write("healed", "")
			c.site.printed("resync", "permanent", "--dn", inside)
		},
	},
	{
		name:   "Forgotten",
		points: []string{"forget", "purge"},
		follow: []follower{{name: "stays", filter: narrowFilter}, {name: "goes", filter: narrowFilter}},
		before: func(c *faulty) {
			c.site.mustOnce()
			c.site.follow = c.site.follow[:1]
			c.configure()
		},
		during: func(c *faulty) { c.command("forget", "goes", "--yes") },
	},
	{
		name:    "SchemaChanges",
		points:  []string{"schema", "walk", "walk 2", "walk 3", "acknowledge"},
		options: []slapdtest.Option{configDatabase()},
		follow:  []follower{{name: "gains", filter: "(&(objectClass=badged)(!(medal=none)))"}, {name: "loses", filter: "(&(objectClass=badged)(!(ribbon=none)))"}},
		before: func(c *faulty) {
			const ribbon = "( 1.3.6.1.4.1.99999.1.3 NAME 'ribbon' %s SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )"
			schema := addBadges(c.t, c.slapd, c.d, inside)
			schema.addLine("ribbon", "olcAttributeTypes", fmt.Sprintf(ribbon, "EQUALITY caseIgnoreMatch"))
			c.site.mustOnce()
			schema.addLine("medal", "olcAttributeTypes", "( 1.3.6.1.4.1.99999.1.4 NAME 'medal' SUP badge )")
			schema.changeType("ribbon", fmt.Sprintf(ribbon, ""))
		},
		during: func(c *faulty) { c.once() },
	},
	{
		name:   "Restored",
		points: []string{"reset"},
		before: func(c *faulty) {
			backup := c.slapd.Export(c.t)
			c.d.modify("uid=p1,"+inside, []string{"sn", "Undone"})
			c.site.mustOnce()
			c.slapd.Restore(c.t, backup)
			c.d = newDirectory(c.t, c.slapd)
			c.d.base = inside
		},
		during: func(c *faulty) { c.ends(c.site.start()) },
		after: func(c *faulty) {
			r := c.site.start()
			r.caughtUp(c.d)
			r.stop()
		},
	},
}

// faultScenario is something that a daemon does, and some points on the way.
type faultScenario struct {
	name    string
	points  []string
	options []slapdtest.Option
	follow  []follower // default: followers
	config  []string   // further lines
	base    string     // default: inside
	before  func(*faulty)
	during  func(*faulty) // a program dies in it
	after   func(*faulty) // before all is delivered and checked
	check   func(*faulty) // default: that calls are repeated as they may be, and checkCrashes
}

// stubborn is a follower that fails for bob until a file is there. Its journal has the
// calls that succeed.
func stubborn(name, how string, keys ...string) follower {
	return follower{
		name: name, filter: narrowFilter, module: "probe", folds: true,
		keys: append(keys, "config.uid: bob", "config.do: "+how, "config.until: healed", "config.failed: "+name+".failed"),
	}
}

func deleted(c *faulty) {
	c.site.mustOnce()
	for i := range 4 {
		c.d.delete(fmt.Sprintf("uid=p%d,%s", i, inside))
	}
}

// faulty is one trial of a point.
type faulty struct {
	t     *testing.T
	slapd *slapdtest.Server
	site  *site
	d     *directory
	scene *faultScenario
	died  bool // as it was to
}

func (c *faulty) configure() {
	c.site.write("listenerd.yaml", "ldap:\n  base: "+inside+"\n"+followOf(c.slapd, "stale_grace: 1ms")+
		"state_dir: state\n"+strings.Join(c.scene.config, "\n")+"\nmodules:\n"+strings.Join(instancesOf(c.site.follow), ""))
}

// once runs the daemon until it ends.
func (c *faulty) once() { c.ends(c.site.start("--once")) }

// follows starts the daemon and waits until it follows live, or has died.
func (c *faulty) follows() *run {
	r := c.site.start()
	c.reaches(r, "it follows", func() bool {
		status, ok := r.status()
		return ok && status.Phase == "persist"
	})
	return r
}

// reaches waits until the daemon has come so far, or has died.
func (c *faulty) reaches(r *run, what string, holds func() bool) {
	eventually(c.t, what, func() bool {
		select {
		case <-r.process.Done():
			return true
		default:
			return holds()
		}
	}, r.process.Output)
}

// ends waits until the daemon has died.
func (c *faulty) ends(r *run) {
	code, _ := r.wait()
	c.died = code == -1
}

// command runs a command, whose daemon may be dead by now. It may be what dies itself.
func (c *faulty) command(args ...string) {
	c.died = c.site.command(append(args, "-c", "listenerd.yaml")...).code == -1
}

func (c *faulty) decides(what string, args ...string) {
	c.command(append([]string{"failed", what}, args...)...)
}

// released repeats run and release until nothing is held.
func (c *faulty) released() {
	for range 3 {
		code, output := c.site.once()
		if code == 0 {
			return
		}
		if code != 4 {
			c.t.Fatalf("exit code %d: %s", code, output)
		}
		c.site.printed("release")
	}
	c.t.Fatal("the guard holds in spite of a release")
}

// The daemon may die before and after each commit: when it is started again, it goes
// on as if nothing had been, but for calls that were not acknowledged.
func TestFaults(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "listenerd")
	build := exec.Command("go", "test", "-c", "-tags", "faults", "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build, err, out)
	}
	for _, scene := range faultScenarios {
		for _, point := range scene.points {
			for _, side := range []string{"before", "after"} {
				name, n, _ := strings.Cut(point, " ")
				fault := strings.TrimSpace(name + " " + side + " " + n)
				t.Run(scene.name+"/"+strings.ReplaceAll(fault, " ", "_"), func(t *testing.T) {
					t.Parallel()
					scene.try(t, program, fault)
				})
			}
		}
	}
}

func (scene *faultScenario) try(t *testing.T, program, fault string) {
	slapd := slapdtest.Start(t, scene.options...)
	c := &faulty{t: t, slapd: slapd, site: newSite(t), d: newDirectory(t, slapd), scene: scene}
	c.d.unit("inside", base)
	c.d.unit("outside", base)
	for i := range 9 {
		c.d.person(fmt.Sprint("p", i), inside)
	}
	c.d.person("bob", inside)
	c.d.base = inside
	s := c.site
	s.program = program
	if s.follow = slices.Clone(followers); scene.follow != nil {
		s.follow = scene.follow
	}
	c.configure()
	if scene.before != nil {
		scene.before(c)
	}
	s.fault = fault
	scene.during(c)
	s.fault = ""
	if !c.died {
		t.Fatal("the daemon did not come to this point")
	}
	crashes := []crashed{s.crashed()}
	if scene.after != nil {
		scene.after(c)
	}
	s.mustOnce()
	if scene.check != nil {
		scene.check(c)
		return
	}
	checkCrashes(t, s, c.d, crashes, true)
}

// cleaned checks that modules know what there is, told since clean was called last, if it
// was.
func (c *faulty) cleaned() {
	for _, f := range c.site.follow {
		docs, last := c.site.journal(f.name), 0
		for i, d := range docs {
			if d.Call == listener.KindClean {
				last = i
			}
		}
		told := map[uint64]bool{}
		docs = slices.DeleteFunc(slices.Clone(docs[last:]), func(d event.Document) bool {
			again := told[d.Seq]
			told[d.Seq] = d.UUID != ""
			return again
		})
		r := f.replay(docs)
		r.compare(c.d)
		report(c.t, r.problems)
	}
}

// Every commit has a name, and every name a trial.
func TestEveryCommitHasAFault(t *testing.T) {
	tried := map[string]bool{}
	for _, scene := range faultScenarios {
		for _, point := range scene.points {
			name, _, _ := strings.Cut(point, " ")
			tried[name] = true
		}
	}
	named := map[string]bool{}
	files := token.NewFileSet()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if name, ok := commitName(call); ok {
				named[name] = true
			}
			if f := committed(call); f != nil && !containsName(f) {
				t.Errorf("%s: this transaction has no name; see store.Tx.Commits", files.Position(call.Pos()))
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if !tried[name] {
			t.Errorf("no scenario of faultScenarios lets the daemon die at the commit %q", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tried)) {
		if !named[name] {
			t.Errorf("no transaction is called %q, as faultScenarios has it", name)
		}
	}
}

// commitName returns what a call of Commits gives to its transaction.
func commitName(call *ast.CallExpr) (string, bool) {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || f.Sel.Name != "Commits" || len(call.Args) != 1 {
		return "", false
	}
	literal, ok := call.Args[0].(*ast.BasicLit)
	if !ok {
		return "", false // of package store: it passes the name on
	}
	name, err := strconv.Unquote(literal.Value)
	return name, err == nil
}

// committed returns the function that a call runs in a transaction of the store that
// may write; nil if it does not do so.
func committed(call *ast.CallExpr) *ast.FuncLit {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !strings.EqualFold(f.Sel.Name, "update") {
		return nil
	}
	for _, arg := range call.Args {
		if f, ok := arg.(*ast.FuncLit); ok && !passesOn(f) && len(f.Type.Params.List) == 1 {
			pointer, ok := f.Type.Params.List[0].Type.(*ast.StarExpr)
			if !ok {
				continue
			}
			switch of := pointer.X.(type) {
			case *ast.Ident:
				ok = of.Name == "Tx"
			case *ast.SelectorExpr:
				ok = of.Sel.Name == "Tx" && of.X.(*ast.Ident).Name == "store"
			}
			if ok {
				return f
			}
		}
	}
	return nil
}

// passesOn tells whether the transaction is one of a function that was given.
func passesOn(f *ast.FuncLit) (found bool) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			name, ok := call.Fun.(*ast.Ident)
			found = found || ok && name.Name == "fn"
		}
		return !found
	})
	return found
}

func containsName(f *ast.FuncLit) (found bool) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if ok {
			_, ok = commitName(call)
		}
		found = found || ok
		return !found
	})
	return found
}

// The kernel ends a program with points where it is told to; one without them has none
// and comes to its end.
func TestFaultsTakeATag(t *testing.T) {
	t.Parallel()
	server, _, s := newCompany(t)
	s.configure(server, instances()...)
	s.fault = "acknowledge before"
	s.mustOnce()
}
