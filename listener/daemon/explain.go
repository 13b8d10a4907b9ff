package daemon

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/admin"
	"github.com/listenerd/listenerd/listener/internal/config"
	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/schema"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/modules/event"
)

// What an explanation holds at most.
const (
	maxCompared  = 5
	maxLastCalls = 10
)

// explainer explains what a module has to do with an entry. It works on the store of a
// running daemon, or on that of one that does not run.
type explainer struct {
	store  *store.Store
	module *config.Module // nil: it is no longer in the configuration
	name   string
	target string

	out    admin.Explanation
	number uint32
	paused bool
	resync bool
	walk   *store.Walk
	pos    []byte // of the entry in tree order
}

// Explain implements [admin.Explainer].
func (s service) Explain(module, target string) (admin.Explanation, error) {
	d := s.d
	e := explainer{store: d.store, module: moduleOf(d.config, module), name: module, target: target}
	status, err := d.status()
	if err != nil {
		return e.out, err
	}
	for _, m := range status.Modules {
		if m.Name == module {
			e.out.State = m.State
		}
	}
	if err := e.explain(); err != nil {
		return e.out, err
	}
	if id, err := listener.ParseUUID(e.out.UUID); err == nil {
		complete := false
		e.out.LastCalls, complete = d.box.calls.of(module, id, maxLastCalls)
		if len(e.out.LastCalls) == 0 && len(e.out.Queue) == 0 && e.out.Member && complete {
			e.say("no call for it was made since the daemon was started: nothing that concerns the module has changed")
		}
	}
	return e.out, nil
}

func moduleOf(c *config.Config, name string) *config.Module {
	for i := range c.Modules {
		if c.Modules[i].Name == name {
			return &c.Modules[i]
		}
	}
	return nil
}

func (e *explainer) say(format string, args ...any) {
	e.out.Because = append(e.out.Because, fmt.Sprintf(format, args...))
}

// explain reads what there is to know, and draws the conclusions.
func (e *explainer) explain() error {
	e.out.Module, e.out.DN, e.out.Queue, e.out.Because = e.name, e.target, []admin.Owed{}, []string{}
	e.out.Schema = "provider"
	if e.store.Schema().Fallback() {
		e.out.Schema = "built-in"
	}
	id := uint64(0)
	err := e.store.View(func(tx *store.Tx) error {
		sync, err := tx.Sync()
		if err != nil {
			return err
		}
		e.out.Filled = sync.Filled
		state, err := tx.Module(e.name)
		if err != nil {
			return err
		}
		if state == nil && e.module == nil {
			return fmt.Errorf("%w: there is no module %q", admin.ErrNotFound, e.name)
		}
		text := ""
		if state != nil {
			e.resync = state.Resync != ""
			e.number, e.paused, e.walk, text, e.out.Attributes = state.Number, state.Paused, state.Walk, state.Filter, state.Attributes
		}
		if e.module != nil {
			text, e.out.Attributes = e.module.Spec.LDAPFilter, e.module.Spec.Attributes
		}
		f, err := filter.Compile(text, e.store.Schema())
		if err != nil {
			return err
		}
		record, err := find(tx, e.target)
		if err != nil || record == nil {
			return err
		}
		id = record.ID
		e.out.DN, e.out.UUID, e.out.Mirrored = strings.Clone(record.DN), record.UUID.String(), true
		e.pos = store.Position(record)
		e.out.Member = tx.IsMember(e.number, id)
		entry, err := record.Entry()
		if err != nil {
			return err
		}
		part := e.part(f.Explain(entry))
		e.out.Filter = &part
		e.out.Queue, err = owedFor(tx, e.number, id)
		return err
	})
	if err == nil && id == 0 {
		err = e.searchQueue()
	}
	if err == nil {
		e.conclude()
	}
	return err
}

// find returns the entry that the target names, nil if the mirror has none.
func find(tx *store.Tx, target string) (*store.Record, error) {
	if id, err := listener.ParseUUID(target); err == nil {
		return tx.Lookup(id)
	}
	ids := tx.At(target)
	if len(ids) == 0 {
		return nil, nil
	}
	return tx.Get(ids[len(ids)-1])
}

// owedFor returns the module's calls for the entry.
func owedFor(tx *store.Tx, module uint32, id uint64) ([]admin.Owed, error) {
	queue, err := tx.Queued(module, id)
	out := []admin.Owed{}
	failed := false // what comes after it waits, whether it is parked yet or not
	for i := range queue {
		t := &queue[i]
		record, err := tx.Version(t.ID, cmp.Or(t.New, t.Old))
		if err != nil {
			return nil, err
		}
		o := admin.Owed{Seq: t.Seq, Call: string(t.Kind), Cause: string(t.Cause), DN: strings.Clone(record.DN), State: "queued"}
		if failed || t.Place == store.InParked {
			o.State = "waiting"
		}
		f, err := tx.Failure(module, t.Seq)
		if err != nil {
			return nil, err
		}
		if f != nil {
			failed = true
			o.State, o.Attempts, o.Next, o.Error = "failing", f.Attempts, f.Next, f.Error
			if f.SetAside() {
				o.State = "set aside"
			}
		}
		out = append(out, o)
	}
	return out, err
}

// searchQueue looks for an entry that the mirror lacks among those that the module is
// owed calls for.
func (e *explainer) searchQueue() error {
	names := e.store.Schema()
	for _, list := range []func(*store.Tx, uint64) ([]store.Task, error){
		func(tx *store.Tx, after uint64) ([]store.Task, error) {
			return tx.ParkedTasks(e.number, after, math.MaxUint64, findBatch)
		},
		func(tx *store.Tx, after uint64) ([]store.Task, error) {
			return tx.Tasks(e.number, after, math.MaxUint64, findBatch)
		},
		func(tx *store.Tx, after uint64) ([]store.Task, error) {
			return tx.Backlog(e.number, after, math.MaxUint64, findBatch)
		},
	} {
		for after, more, found := uint64(0), true, false; more; {
			err := e.store.View(func(tx *store.Tx) error {
				tasks, err := list(tx, after)
				more = len(tasks) > 0
				for i := range tasks {
					t := &tasks[i]
					after = t.Seq
					for _, version := range []uint64{t.Old, t.New} {
						if version == 0 {
							continue
						}
						record, err := tx.Version(t.ID, version)
						if err != nil {
							return err
						}
						if found = strings.EqualFold(record.UUID.String(), e.target) || names.SameName(record.DN, e.target); found {
							e.out.DN, e.out.UUID = strings.Clone(record.DN), record.UUID.String()
							e.out.Queue, err = owedFor(tx, e.number, t.ID)
							return err
						}
					}
				}
				return err
			})
			if err != nil || found {
				return err
			}
		}
	}
	return nil
}

// part translates a part of a filter. Values of passwords and keys stay here.
func (e *explainer) part(p filter.Part) admin.FilterPart {
	out := admin.FilterPart{Text: p.Text, Value: p.Result.String(), Rule: p.Rule, Why: p.Why}
	slices.SortStableFunc(p.Values, func(a, b filter.Compared) int { return cmp.Compare(b.Result, a.Result) })
	for i, v := range p.Values {
		if i == maxCompared {
			out.More = len(p.Values) - i
			break
		}
		text := masked(secretName(e.store.Schema(), v.Attribute), []string{v.Value})[0]
		out.Compared = append(out.Compared, admin.ComparedValue{Attribute: v.Attribute, Value: text, Result: v.Result.String()})
	}
	for _, sub := range p.Parts {
		out.Parts = append(out.Parts, e.part(sub))
	}
	return out
}

// secretName returns the name of the attribute that says that it is secret, if it has one.
func secretName(s *schema.Schema, attribute string) string {
	typ, _, _ := strings.Cut(attribute, ";")
	if t := s.Attribute(typ); t != nil {
		for _, name := range t.Names {
			if event.Secret(name) {
				return name
			}
		}
	}
	return attribute
}

// conclude says why the module was, or was not, called.
func (e *explainer) conclude() {
	o := &e.out
	matches := o.Filter != nil && o.Filter.Value == filter.True.String()
	if e.module == nil {
		e.say("the module is not in the configuration: its calls are kept, and nobody makes them")
	}
	if e.paused {
		e.say("the module is paused: its calls are kept ('listenerd resume' lets it go on)")
	}
	if e.resync {
		e.say("the module is being resynchronized: it begins anew, and is told of every entry that matches")
	}
	if !o.Filled {
		e.say("the mirror has never been complete: no module is called before it is")
	}
	ahead := e.walk != nil && (e.walk.Leave || e.pos == nil || bytes.Compare(e.pos, e.walk.Pos) > 0)
	switch {
	case !o.Mirrored && len(o.Queue) > 0:
		e.say("the mirror no longer has the entry; the module is yet to be told")
	case !o.Mirrored:
		e.say("the mirror has no such entry: it is not there, does not belong to the searched content, or may not be read")
	case matches && o.Member && len(o.Queue) == 0:
		e.say("the filter is true, and the module knows the entry as it is")
	case matches && o.Member:
		e.say("the filter is true; the module is owed what is queued")
	case matches && e.number == 0:
		e.say("the filter is true; the module has never run, and is told of the entry when it does")
	case matches && ahead:
		e.say("the filter is true; the module's walk through the mirror is yet to come to the entry")
	case matches:
		e.say("the filter is true, and the module does not know the entry: its create was given up, or was never made; 'listenerd resync --dn' tells it")
	case o.Member && e.walk != nil && e.walk.Held > 0:
		e.say("the filter is %s; the module knows the entry, since the removes of its walk are held back ('listenerd release' lets them go)", o.Filter.Value)
	case o.Member && ahead:
		e.say("the filter is %s; the module knows the entry until its walk through the mirror comes to it", o.Filter.Value)
	case o.Member:
		e.say("the filter is %s, and the module knows the entry: its remove was given up", o.Filter.Value)
	case len(o.Queue) > 0:
		e.say("the filter is %s; the module is owed what is queued", o.Filter.Value)
	default:
		e.say("the filter is %s: the entry is none of the module's", o.Filter.Value)
	}
	for _, q := range o.Queue {
		switch q.State {
		case "set aside":
			e.say("its %s (seq %d) failed and waits for a decision: 'listenerd failed retry' or 'failed drop'", q.Call, q.Seq)
		case "failing":
			e.say("its %s (seq %d) failed and is repeated at %s", q.Call, q.Seq, q.Next.Local().Format(time.DateTime))
		}
	}
	switch o.State {
	case "backing off", "stopped", "stuck", "initializing":
		e.say("the module is %s; see 'listenerd status'", o.State)
	}
}

func (c *commandLine) explain() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "explain MODULE DN|UUID", Short: "Explain why a module is, or is not, called for an entry", Args: someArgs(2, 2, "a module, and a DN or UUID"),
		Long: `Explain why a module is, or is not, called for an entry: what each part of its filter is for
the entry as it is mirrored and what was compared, whether the module knows the entry, what
it is owed, and its last calls. Values of passwords and keys are not shown.

When the daemon does not run, its state file is read.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			conf, err := c.config()
			if err != nil {
				return err
			}
			out, err := admin.NewClient(conf.StateDir).Explain(cmd.Context(), args[0], args[1])
			if errors.Is(err, admin.ErrNotRunning) {
				out, err = explainOffline(conf, args[0], args[1])
			}
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), out)
			}
			return printExplanation(cmd.OutOrStdout(), &out)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return cmd
}

// explainOffline explains from the state file of a daemon that does not run.
func explainOffline(conf *config.Config, module, target string) (admin.Explanation, error) {
	s, err := store.OpenExisting(conf.StateDir)
	if err != nil {
		return admin.Explanation{}, err
	}
	e := explainer{store: s, module: moduleOf(conf, module), name: module, target: target}
	err = e.explain()
	if err == nil {
		e.say("the daemon does not run: nobody is called now")
	}
	return e.out, errors.Join(err, s.Close())
}

func printExplanation(out io.Writer, e *admin.Explanation) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "module\t%s\n", strings.TrimSpace(e.Module+" "+inParentheses(e.State)))
	fmt.Fprintf(w, "entry\t%s\n", strings.TrimSpace(oneLine(e.DN)+" "+inParentheses(e.UUID)))
	fmt.Fprintf(w, "mirrored\t%s\n", yesNo(e.Mirrored))
	fmt.Fprintf(w, "member\t%s\n", yesNo(e.Member))
	fmt.Fprintf(w, "attributes\t%s\n", orAll(e.Attributes))
	if e.Filter != nil {
		fmt.Fprintf(w, "filter\t%s, by the %s schema\n", e.Filter.Value, e.Schema)
	}
	for i, q := range e.Queue {
		label := ""
		if i == 0 {
			label = "owed"
		}
		fmt.Fprintf(w, "%s\t%s, seq %d, %s, %s, %s\n", label, q.Call, q.Seq, q.Cause, q.State, oneLine(q.DN))
		if q.Error != "" {
			text, _, _ := strings.Cut(q.Error, "\n")
			fmt.Fprintf(w, "\t  %s failed: %s\n", attempts(q.Attempts), text)
		}
	}
	for i, c := range e.LastCalls {
		label := ""
		if i == 0 {
			label = "last calls"
		}
		fmt.Fprintf(w, "%s\t%s, seq %d, %s, %s\n", label, c.Call, c.Seq, c.Time.Local().Format(time.DateTime), cmp.Or(c.Error, "done"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if e.Filter != nil {
		fmt.Fprintln(out)
		printPart(out, e.Filter, "")
	}
	fmt.Fprintln(out)
	for _, line := range e.Because {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

func printPart(out io.Writer, p *admin.FilterPart, indent string) {
	line := fmt.Sprintf("%s%-9s %s", indent, p.Value, p.Text)
	if p.Why != "" {
		line += ": " + p.Why
	}
	if p.Rule != "" && len(p.Compared) > 0 {
		line += ", by " + p.Rule
	}
	fmt.Fprintln(out, line)
	for _, v := range p.Compared {
		fmt.Fprintf(out, "%s          %s: %s (%s)\n", indent, v.Attribute, oneLine(v.Value), v.Result)
	}
	if p.More > 0 {
		fmt.Fprintf(out, "%s          and %d more\n", indent, p.More)
	}
	for i := range p.Parts {
		printPart(out, &p.Parts[i], indent+"  ")
	}
}

func inParentheses(s string) string {
	if s == "" {
		return ""
	}
	return "(" + s + ")"
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
