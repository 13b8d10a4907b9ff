package daemon

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/admin"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
	"github.com/listenerd/listenerd/listener/internal/schema"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/modules/event"
)

// decisionTimeout is how long a decision waits for the module to be in a state for it.
const decisionTimeout = 30 * time.Second

// number returns the number of a module that runs here, or an error that helps.
func (d *Daemon) number(module string) (uint32, error) {
	n := d.box.number(module)
	switch {
	case n == 0 && d.orphan(module) != nil:
		return 0, orphanError(module)
	case n == 0:
		return 0, fmt.Errorf("%w: no module %q is configured", admin.ErrNotFound, module)
	}
	return n, nil
}

// Pause implements [admin.Control].
func (s service) Pause(module string, paused bool) error {
	d := s.d
	if _, err := d.number(module); err != nil {
		return err
	}
	err := d.store.Update(func(tx *store.Tx) error {
		tx.Commits("pause")
		state, err := tx.Module(module)
		if err != nil || state.Paused == paused {
			return err
		}
		state.Paused = paused
		return tx.SetModule(module, state)
	})
	if err != nil {
		return err
	}
	defer d.bell.ring()
	d.log.Info("module paused or resumed", zap.String("module", module), zap.Bool("paused", paused))
	return d.lanes.SetPaused(module, paused)
}

// Failed implements [admin.Control].
func (s service) Failed(module string) ([]admin.Failed, error) {
	d := s.d
	out := []admin.Failed{}
	for _, m := range d.config.Modules {
		if module != "" && m.Name != module {
			continue
		}
		found, err := d.find(m.Name, everyFailure)
		if err != nil {
			return nil, err
		}
		d.markBackoff(m.Name, found)
		for i := range found {
			out = append(out, found[i].Failed)
		}
	}
	if _, err := d.number(module); module != "" && err != nil {
		return nil, err
	}
	return out, nil
}

// markBackoff marks the failed calls of a module whose time comes, or has come, while the
// module backs off as a whole.
func (d *Daemon) markBackoff(module string, found []failure) {
	for _, m := range d.lanes.Status() {
		if m.Name != module || m.NextProbe.IsZero() {
			continue
		}
		until := time.Now() // one call may be on trial now
		if m.NextProbe.After(until) {
			until = m.NextProbe
		}
		for i := range found {
			f := &found[i].Failed
			f.BacksOff = !f.Next.IsZero() && f.Next.Before(until)
		}
	}
}

// failure is a failed call as commands see it.
type failure struct {
	admin.Failed
	task    store.Task
	failure store.Failure
}

// findBatch is how many failed calls one transaction looks at.
const findBatch = 1_000

// find returns the failed calls of a module that are wanted. There may be none.
func (d *Daemon) find(module string, want func(*admin.Failed) bool) (found []failure, err error) {
	number, err := d.number(module)
	if err != nil {
		return nil, err
	}
	return findFailures(d.store, module, number, want)
}

func findFailures(s *store.Store, module string, number uint32, want func(*admin.Failed) bool) (found []failure, err error) {
	for after, more := uint64(0), true; more; {
		more = false
		err := s.View(func(tx *store.Tx) error {
			n := 0
			return tx.Failures(number, after, func(seq uint64, f *store.Failure) (bool, error) {
				if n++; n > findBatch {
					more = true
					return false, nil
				}
				after = seq
				one, err := describe(tx, module, number, seq, f)
				if err == nil && want(&one.Failed) {
					found = append(found, one)
				}
				return true, err
			})
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func everyFailure(*admin.Failed) bool { return true }

// matcher tells the failed calls that a target names: a DN, a UUID or a seq; all without
// one.
func matcher(target string, names *schema.Schema) func(*admin.Failed) bool {
	return func(f *admin.Failed) bool {
		return target == "" || target == strconv.FormatUint(f.Seq, 10) || strings.EqualFold(target, f.UUID) ||
			names.SameName(target, f.DN) || f.OldDN != "" && names.SameName(target, f.OldDN)
	}
}

func describe(tx *store.Tx, module string, number uint32, seq uint64, f *store.Failure) (failure, error) {
	t, err := tx.Task(number, seq)
	if err != nil {
		return failure{}, err
	}
	queue, err := tx.Queued(number, t.ID)
	if err != nil {
		return failure{}, err
	}
	out := failure{task: t, failure: *f, Failed: admin.Failed{
		Module: module, Seq: seq, Call: string(t.Kind), Attempts: f.Attempts, First: f.First, Last: f.Last, Next: f.Next,
		Error: f.Error, Waiting: len(queue) - 1,
	}}
	for _, version := range []uint64{t.Old, t.New} {
		if version == 0 {
			continue
		}
		r, err := tx.Version(t.ID, version)
		if err != nil {
			return out, err
		}
		out.UUID = r.UUID.String()
		if out.DN != "" && out.DN != r.DN {
			out.OldDN = out.DN
		}
		out.DN = strings.Clone(r.DN)
	}
	return out, nil
}

// one returns the failed call that a target names.
func (d *Daemon) one(module, target string) (failure, error) {
	found, err := d.find(module, matcher(target, d.store.Schema()))
	switch {
	case err != nil:
		return failure{}, err
	case len(found) == 0 || target == "":
		return failure{}, fmt.Errorf("%w: module %s has no failed call for %q", admin.ErrNotFound, module, target)
	}
	d.markBackoff(module, found)
	return found[0], nil
}

// Show implements [admin.Control].
func (s service) Show(module, target string) (admin.FailedDetail, error) {
	d := s.d
	f, err := d.one(module, target)
	if err != nil {
		return admin.FailedDetail{}, err
	}
	out := admin.FailedDetail{Failed: f.Failed, Stack: f.failure.Stack}
	err = d.store.View(func(tx *store.Tx) error {
		t, err := loadTask(tx, &f.task, &d.box.decoded)
		if err != nil {
			return err
		}
		for _, c := range listener.Diff(t.Old, t.New) {
			out.Changed = append(out.Changed, admin.Changed{Attribute: c.Name, Removed: masked(c.Name, c.Removed), Added: masked(c.Name, c.Added)})
		}
		queue, err := tx.Queued(f.task.Module, f.task.ID)
		if err != nil {
			return err
		}
		for i := range queue {
			if queue[i].Seq == f.Seq {
				continue
			}
			next, err := loadTask(tx, &queue[i], &d.box.decoded)
			if err != nil {
				return err
			}
			e := next.New
			if e == nil {
				e = next.Old
			}
			out.Queue = append(out.Queue, admin.Queued{Seq: next.Seq, Call: string(next.Kind), DN: e.DN()})
		}
		return nil
	})
	return out, err
}

// masked returns values for people: no secrets, and bytes that are no text in hex.
func masked(name string, values []string) []string {
	var out []string
	for _, v := range values {
		switch {
		case event.Secret(name):
			v = "(secret)"
		case !utf8.ValidString(v):
			v = "0x" + hex.EncodeToString([]byte(v))
		}
		out = append(out, v)
	}
	return out
}

// Retry implements [admin.Control].
func (s service) Retry(ctx context.Context, module, target string, latest bool) ([]admin.Failed, error) {
	d := s.d
	found, err := d.targets(module, target)
	if err != nil {
		return nil, err
	}
	return d.retry(ctx, module, found, target == "", latest)
}

// retry repeats failed calls now.
func (d *Daemon) retry(ctx context.Context, module string, found []failure, all, latest bool) ([]admin.Failed, error) {
	return d.decide(ctx, module, found, all, "retried", func(tx *store.Tx, t *store.Task, f *store.Failure) (done dispatch.Decision, err error) {
		if f.SetAside() {
			done.SetAside = 1
		}
		done.Gone, err = repeat(tx, t, f, latest)
		if done.Gone > 0 {
			done.Failed = 1
		}
		return done, err
	})
}

// repeat makes a failed call due now, with latest as one with what waits, and returns how
// many tasks are gone by that.
func repeat(tx *store.Tx, t *store.Task, f *store.Failure, latest bool) (gone int, err error) {
	if latest {
		if gone, err = tx.Latest(t); err != nil || gone > 0 {
			return gone, err
		}
	}
	f.Next, f.NextRun = time.Now(), false
	return 0, tx.SetFailure(t, f)
}

// Drop implements [admin.Control].
func (s service) Drop(ctx context.Context, module, target string) ([]admin.Failed, error) {
	d := s.d
	found, err := d.targets(module, target)
	if err != nil {
		return nil, err
	}
	return d.decide(ctx, module, found, target == "", "dropped", func(tx *store.Tx, t *store.Task, f *store.Failure) (dispatch.Decision, error) {
		done := dispatch.Decision{Failed: 1}
		if f.SetAside() {
			done.SetAside = 1
		}
		gone, err := tx.Drop(t)
		done.Gone = len(gone)
		return done, err
	})
}

// errKeepsPlace is returned for what can't be done to a call that halts its module.
var errKeepsPlace = errors.New("the module has on_error: stop; set it to set_aside to drop the call, or to fold it")

// targets returns the failed calls that a target names; there is one at least.
func (d *Daemon) targets(module, target string) ([]failure, error) {
	found, err := d.find(module, matcher(target, d.store.Schema()))
	if err == nil && len(found) == 0 && target != "" {
		err = fmt.Errorf("%w: module %s has no failed call for %q", admin.ErrNotFound, module, target)
	}
	return found, err
}

// decide does something with failed calls, each in a transaction. With all, those that are
// being made are left out.
func (d *Daemon) decide(ctx context.Context, module string, found []failure, all bool, what string, do func(*store.Tx, *store.Task, *store.Failure) (dispatch.Decision, error)) ([]admin.Failed, error) {
	ctx, cancel := context.WithTimeout(ctx, decisionTimeout)
	defer cancel()
	defer d.bell.ring()
	done := []admin.Failed{}
	for i := range found {
		f := &found[i]
		if f.task.Place != store.InParked {
			if what != "retried" {
				return done, errKeepsPlace
			}
			switch err := d.lanes.Again(module, f.Seq); {
			case err == nil:
				done = append(done, f.Failed)
			case !all || !errors.Is(err, dispatch.ErrInFlight):
				return done, err
			}
			continue
		}
		gone := false
		err := d.lanes.Decide(ctx, module, f.Seq, func() (decision dispatch.Decision, err error) {
			err = d.store.Update(func(tx *store.Tx) error {
				tx.Commits("decide")
				t, err := tx.Parked(f.task.Module, f.Seq)
				if err != nil {
					return err
				}
				record, err := tx.Failure(f.task.Module, f.Seq)
				if gone = t == nil || record == nil || t.Module != d.box.number(module); gone || err != nil {
					return err // somebody else was quicker
				}
				decision, err = do(tx, t, record)
				return err
			})
			return decision, err
		})
		switch {
		case errors.Is(err, dispatch.ErrInFlight) && all:
			continue
		case err != nil:
			return done, err
		case gone:
			continue
		}
		d.log.Info("failed call "+what+" by command", zap.String("module", module), zap.String("call", f.Call), zap.Uint64("seq", f.Seq),
			zap.String("uuid", f.UUID), zap.String("dn", f.DN), zap.String("old_dn", f.OldDN), zap.Int("waiting", f.Waiting))
		done = append(done, f.Failed)
	}
	return done, nil
}
