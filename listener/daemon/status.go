package daemon

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/listenerd/listenerd/listener/internal/admin"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// Status implements [admin.Service].
func (s service) Status() (admin.Status, error) { return s.d.status() }

// status puts together what the command status shows.
func (d *Daemon) status() (admin.Status, error) {
	p := d.router.State()
	s := admin.Status{
		Version: Version(), PID: os.Getpid(), Started: d.started, Phase: string(p.Phase), Provider: p.Provider,
		Base: d.config.LDAP.Base, Received: p.Received, Modules: []admin.ModuleStatus{},
	}
	if text := d.lastError.Load(); text != nil {
		s.LastError = *text
	}
	state := d.sharedStatus()
	s.Shared.Kind = state.Kind
	for _, server := range state.Servers {
		if server.Error != "" {
			if s.Shared.Unavailable == nil {
				s.Shared.Unavailable = map[string]string{}
			}
			s.Shared.Unavailable[server.Addr] = server.Error
		}
	}
	var modules []dispatch.ModuleStatus
	walks := map[string]*store.Walk{}
	untold := map[string]int{} // tasks that the transaction has and the lanes do not know of yet
	owed := map[string]int{}   // to orphans
	err := d.store.View(func(tx *store.Tx) error {
		sync, err := tx.Sync()
		if err != nil {
			return err
		}
		s.Subtrees = len(tx.Fetches())
		if s.Guard, err = guardStatus(tx); err != nil {
			return err
		}
		s.Cookie, s.Filled, s.Entries = printable(sync.Cookie), sync.Filled, tx.Counters().Entries
		// After the transaction has begun: so the calls that follow from the cookie are
		// among those owed, until they were made.
		modules = d.lanes.Status()
		told := map[string]uint64{}
		for _, m := range modules {
			told[m.Name] = m.Told
		}
		for _, name := range tx.Modules() {
			state, err := tx.Module(name)
			if err != nil {
				return err
			}
			walks[name] = state.Walk
			if d.orphan(name) != nil {
				owed[name] = tx.CountTasks(state.Number)
			} else if seq, ok := told[name]; ok {
				untold[name] = tx.CountTasksAfter(state.Number, seq)
			}
		}
		return nil
	})
	if err != nil {
		return s, err
	}
	registered := map[string]string{}
	for _, m := range d.config.Modules {
		registered[m.Name] = m.Registered
	}
	for _, m := range modules {
		if n := untold[m.Name]; n > 0 {
			m.Queued += n
			if m.State == "idle" {
				m.State = "running"
			}
		}
		out := admin.ModuleStatus{
			Name: m.Name, Module: registered[m.Name], State: m.State, Queued: m.Queued, InFlight: m.InFlight,
			Failing: m.Failing, SetAside: m.SetAside, Calls: m.Calls, Failures: m.Failures, LastError: m.LastError,
			NextProbe: m.NextProbe, Stuck: m.Stuck, Folded: m.Folded, Stalled: m.Stalled, StuckFor: m.StuckFor.Seconds(),
		}
		out.Workers = d.workerStatus(m.Name)
		if w := walks[m.Name]; w != nil {
			out.WalkDone, out.WalkTotal = w.Done, s.Entries
			out.HeldRemoves = w.Held
			if w.Held > 0 {
				out.HeldExamples = w.Examples
			}
			switch {
			case !s.Filled:
				out.State = "waiting"
			case w.Held > 0:
				out.State = "held"
			case m.State == "running" || m.State == "idle":
				out.State = "walking"
			}
		}
		s.Modules = append(s.Modules, out)
	}
	for _, name := range slices.Sorted(maps.Keys(owed)) {
		s.Modules = append(s.Modules, admin.ModuleStatus{Name: name, State: "orphaned", Queued: owed[name]})
	}
	return s, nil
}

func guardStatus(tx *store.Tx) (*admin.GuardStatus, error) {
	g, err := tx.Guard()
	if err != nil || g.Removes == 0 {
		return nil, err
	}
	return &admin.GuardStatus{
		Removes: g.Removes, Entries: g.Entries, Reason: g.Reason, Examples: g.Examples, Since: g.Since, Released: g.Released > 0,
	}, nil
}

// printable returns a cookie for people: as it is if it is text, quoted otherwise.
func printable(cookie []byte) string {
	quoted := strconv.Quote(string(cookie))
	if plain := quoted[1 : len(quoted)-1]; !strings.Contains(plain, `\`) {
		return plain
	}
	return quoted
}
