package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/listenerd/listenerd/listener/internal/admin"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// bell tells those who wait for a state to come that it may have.
type bell struct {
	mu sync.Mutex // guards what follows
	ch chan struct{}
}

// next returns a channel that is closed at the next ring.
func (b *bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// target is what a wait waits for: first that the mirror has all that the provider had,
// and then that all that was added for the modules until then is handled.
type target struct {
	d        *Daemon
	modules  []string
	position *syncrepl.Position
	asked    []byte // cookie for which the position was not reached
	mirrored bool
	last     map[string]uint64 // seq of the last task that matters, by module, when all of these are added
}

// Wait implements [admin.Service].
func (s service) Wait(ctx context.Context, module string) (admin.Waited, error) {
	d := s.d
	t := &target{d: d, last: map[string]uint64{}}
	if module != "" {
		if _, err := d.number(module); err != nil {
			return admin.Waited{}, err
		}
		t.modules = []string{module}
	} else {
		for _, m := range d.config.Modules {
			t.modules = append(t.modules, m.Name)
		}
	}
	var err error
	if t.position, err = d.position(ctx); err != nil {
		return unanswered(ctx, err)
	}
	for {
		changed := d.bell.next()
		out, err := t.look(ctx)
		if err != nil {
			return unanswered(ctx, err)
		}
		if len(out.Blocked) > 0 || len(out.Missing) == 0 {
			return out, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return out, nil
		}
	}
}

// unanswered returns what is to be said when the provider has not answered: nothing is
// wrong when the time was over before.
func unanswered(ctx context.Context, err error) (admin.Waited, error) {
	if ctx.Err() != nil {
		return admin.Waited{Missing: []string{"the provider has not answered yet"}}, nil
	}
	return admin.Waited{}, err
}

// position asks the provider that is followed how far it is, or another one if there is
// no session.
func (d *Daemon) position(ctx context.Context) (*syncrepl.Position, error) {
	uris := slices.Clone(d.config.LDAP.URIs)
	if i := slices.Index(uris, d.router.State().Provider); i > 0 {
		uris[0], uris[i] = uris[i], uris[0]
	}
	var errs []error
	for _, uri := range uris {
		p, err := d.consumer.Position(ctx, uri)
		if err == nil {
			return p, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("ask the provider how far it is: %w", errors.Join(errs...))
}

// look returns what is missing, and what keeps it from coming by itself.
func (t *target) look(ctx context.Context) (out admin.Waited, err error) {
	if err := t.lookAtMirror(ctx, &out); err != nil {
		return out, err
	}
	if len(out.Blocked)+len(out.Missing) > 0 {
		return out, t.lookAtStalls(&out)
	}
	aside := map[string]uint32{}
	err = t.d.store.View(func(tx *store.Tx) error {
		for _, name := range t.modules {
			state, err := tx.Module(name)
			if err != nil {
				return err
			}
			missing, err := t.owed(tx, name, state)
			if err != nil || missing == "" {
				if err != nil {
					return err
				}
				continue
			}
			out.Missing = append(out.Missing, missing)
			switch {
			case state.Paused:
				out.Blocked = append(out.Blocked, "module "+name+" is paused")
			case state.Walk != nil && state.Walk.Held > 0:
				out.Blocked = append(out.Blocked, "removes of module "+name+" are held back: see 'listenerd release'")
			}
			aside[name] = state.Number
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	for _, m := range t.d.lanes.Status() {
		number, ok := aside[m.Name]
		if !ok || m.SetAside == 0 {
			continue
		}
		last, all := t.last[m.Name]
		if !all {
			last = math.MaxUint64
		}
		if err := t.findSetAside(&out, m.Name, number, last); err != nil {
			return out, err
		}
	}
	return out, nil
}

// findSetAside names the module's calls up to a seq that are set aside.
func (t *target) findSetAside(out *admin.Waited, module string, number uint32, last uint64) error {
	found, err := findFailures(t.d.store, module, number, func(f *admin.Failed) bool { return f.Next.IsZero() && f.Seq <= last })
	for i := range found {
		f := &found[i]
		out.Blocked = append(out.Blocked, fmt.Sprintf("module %s: %s of %s is set aside after %s: %s", module, f.Call, f.DN, attempts(f.Attempts), f.Error))
	}
	return err
}

// lookAtStalls tells why nothing more is read from the provider, if some module is the
// reason. Of one that is waited for, what is set aside blocks in any case.
func (t *target) lookAtStalls(out *admin.Waited) error {
	for _, m := range t.d.lanes.Status() {
		if !m.Stalled {
			continue
		}
		text := "module " + m.Name + " has max_tasks calls queued, and until there is room nothing more is read from the provider"
		out.Missing = append(out.Missing, text)
		if m.State == "paused" {
			out.Blocked = append(out.Blocked, "module "+m.Name+" is paused: "+text)
		}
		if m.SetAside > 0 && slices.Contains(t.modules, m.Name) {
			if err := t.findSetAside(out, m.Name, t.d.box.number(m.Name), math.MaxUint64); err != nil {
				return err
			}
		}
	}
	return nil
}

// lookAtMirror looks whether the mirror has all that the provider had.
func (t *target) lookAtMirror(ctx context.Context, out *admin.Waited) error {
	if t.mirrored {
		return nil
	}
	var sync store.Sync
	var guard store.Guard
	var subtrees int
	err := t.d.store.View(func(tx *store.Tx) (err error) {
		if sync, err = tx.Sync(); err != nil {
			return err
		}
		sync.Cookie = bytes.Clone(sync.Cookie)
		rename, err := tx.FirstRename()
		if err != nil {
			return err
		}
		if subtrees = len(tx.Fetches()); rename != nil {
			subtrees++
		}
		guard, err = tx.Guard()
		return err
	})
	if err != nil {
		return err
	}
	if !sync.Filled || subtrees > 0 {
		out.Missing = append(out.Missing, "the mirror is not complete")
		return nil
	}
	if t.asked == nil || !bytes.Equal(t.asked, sync.Cookie) {
		reached, err := t.position.Reached(ctx, sync.Cookie)
		if err != nil {
			return err
		}
		if t.mirrored = reached; reached {
			return nil
		}
		t.asked = sync.Cookie
	}
	out.Missing = append(out.Missing, "the mirror does not have all that the provider had")
	if guard.Removes > 0 {
		out.Blocked = append(out.Blocked, "removes are held back: see 'listenerd release'")
	}
	return nil
}

// owed tells what of it a module has not handled; nothing if it has all.
func (t *target) owed(tx *store.Tx, name string, state *store.ModuleState) (text string, err error) {
	last, all := t.last[name]
	if !all {
		if state.Walk != nil || state.Resync != "" || len(state.Subtrees) > 0 {
			return "module " + name + " is yet to be told of everything", nil
		}
		last = tx.Counters().Seq
		t.last[name] = last
	}
	err = tx.EachTask(state.Number, 0, func(task *store.Task) (bool, error) {
		if task.Seq <= last {
			text = "calls of module " + name + " are left"
		}
		return false, nil
	})
	return text, err
}

// errNotReached is returned by wait when its time is over.
var errNotReached = errors.New("the time is over")

func (c *commandLine) wait() *cobra.Command {
	var module string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "wait", Short: "Wait until all that the provider has now is handled", Args: noArgs,
		Long: `Wait until every change that the provider has now is in the mirror, and handled by all modules,
or by one. A module that is being told of everything is waited for as well.

Exit codes: 0 when all is handled, 4 when the time is over, and 1 at once when it cannot come to
that by itself: an entry was set aside, a module is paused (with on_full: stall also another one), or removes are
held back.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timeout < 0 {
				return fmt.Errorf("%w: --timeout wants a duration that is not negative", errUsage)
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			w, err := client.Wait(cmd.Context(), module, timeout)
			switch {
			case err != nil:
				return err
			case len(w.Blocked) > 0:
				return errors.New(strings.Join(w.Blocked, "\n"))
			case len(w.Missing) > 0:
				return fmt.Errorf("%w: %s", errNotReached, strings.Join(w.Missing, "; "))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&module, "module", "", "only this module")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "how long at most; 0: without limit")
	return cmd
}

// ringing is the outbox of a dispatcher that rings when something of it is stored.
type ringing struct {
	*outbox
	bell *bell
}

// Commit implements [dispatch.Outbox].
func (o ringing) Commit(changes map[string]*dispatch.Changes) error {
	defer o.bell.ring()
	return o.outbox.Commit(changes)
}

// Refill implements [dispatch.Outbox].
func (o ringing) Refill(module string) (bool, error) {
	defer o.bell.ring()
	return o.outbox.Refill(module)
}

// Fold implements [dispatch.Outbox].
func (o ringing) Fold(module string, parked bool, attempted uint64, q dispatch.Query) (uint64, int, error) {
	defer o.bell.ring()
	return o.outbox.Fold(module, parked, attempted, q)
}

// Update implements [dispatch.Outbox].
func (o ringing) Update(module string, steps dispatch.Steps) error {
	defer o.bell.ring()
	return o.outbox.Update(module, steps)
}
