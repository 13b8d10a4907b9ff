package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/admin"
	"github.com/listenerd/listenerd/listener/internal/config"
	"github.com/listenerd/listenerd/listener/internal/route"
	"github.com/listenerd/listenerd/listener/internal/schema"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// Resync implements [admin.Control].
func (s service) Resync(ctx context.Context, module, dn string) (admin.Resynced, error) {
	d := s.d
	if _, err := d.number(module); err != nil {
		return admin.Resynced{}, err
	}
	if dn != "" {
		return d.resyncSubtree(ctx, module, dn)
	}
	if err := route.WantResync(d.store, module); err != nil {
		return admin.Resynced{}, err
	}
	d.log.Info("module is resynchronized by command", zap.String("module", module))
	d.wakeUp()
	return admin.Resynced{}, nil
}

func orphanError(module string) error {
	return fmt.Errorf("module %s is no longer in the configuration: put it back, or drop its state with 'listenerd forget %s'", module, module)
}

// resyncSubtree has a module told again of an entry and all below it: what has failed is
// repeated with what waits, and of the others it is told as they are.
func (d *Daemon) resyncSubtree(ctx context.Context, module, dn string) (out admin.Resynced, err error) {
	found, err := d.find(module, below(dn, d.store.Schema()))
	if err != nil {
		return out, err
	}
	err = route.WantSubtree(d.store, module, dn)
	if err != nil && !(errors.Is(err, route.ErrNoEntry) && len(found) > 0) {
		return out, err
	}
	done, err := d.retry(ctx, module, found, true, true)
	d.log.Info("part of a module is resynchronized by command", zap.String("module", module), zap.String("dn", dn), zap.Int("retried", len(done)))
	d.router.Resume()
	return admin.Resynced{Retried: len(done)}, err
}

// below tells the failed calls of entries at and below a DN.
func below(dn string, names *schema.Schema) func(*admin.Failed) bool {
	is := func(name string) bool { return names.SameName(name, dn) || names.Below(name, dn) }
	return func(f *admin.Failed) bool { return is(f.DN) || f.OldDN != "" && is(f.OldDN) }
}

// wakeUp has [Daemon.keepHouse] look what there is to do.
func (d *Daemon) wakeUp() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// keepHouse does what commands asked for until ctx ends: it begins to resynchronize
// modules as soon as their calls in flight are done, and removes what is no longer used.
func (d *Daemon) keepHouse(ctx context.Context) {
	var resets sync.WaitGroup
	defer resets.Wait()
	var begun sync.Map // by name
	for {
		for _, m := range d.wanted() {
			if _, already := begun.LoadOrStore(m.Name, true); !already {
				resets.Go(func() {
					d.reset(ctx, m)
					begun.Delete(m.Name)
				})
			}
		}
		more := false
		err := d.store.Update(func(tx *store.Tx) (err error) {
			tx.Commits("purge")
			more, err = tx.Purge()
			return err
		})
		if err != nil {
			d.log.Error("remove what is no longer used", zap.Error(err))
			return
		}
		if more && ctx.Err() == nil {
			continue
		}
		select {
		case <-d.wake:
		case <-ctx.Done():
			return
		}
	}
}

// wanted returns the modules that are to be resynchronized.
func (d *Daemon) wanted() (modules []*route.Module) {
	err := d.store.View(func(tx *store.Tx) error {
		for _, m := range d.routed {
			state, err := tx.Module(m.Name)
			if err != nil {
				return err
			}
			if state.Resync == store.ResyncWanted {
				modules = append(modules, m)
			}
		}
		return nil
	})
	if err != nil {
		d.log.Error("look for modules to be resynchronized", zap.Error(err))
	}
	return modules
}

func (d *Daemon) reset(ctx context.Context, m *route.Module) {
	err := d.lanes.Reset(ctx, m.Name, func(forget func(uint64)) error {
		return d.router.Resync(m, d.cleans[m.Name], d.box.handedBefore(m.Name), func(seq uint64) {
			forget(seq)
			d.box.renumber(m.Name, m.Number())
		})
	})
	if err != nil && ctx.Err() == nil {
		d.log.Error("resynchronize a module", zap.String("module", m.Name), zap.Error(err))
	}
	d.bell.ring()
	d.wakeUp() // there is something to purge
}

// takeHandlers notes which modules have a Cleaner.
func (d *Daemon) takeHandlers(places []place) error {
	d.cleans = map[string]bool{}
	for i, m := range d.routed {
		if !places[i].executor.Has(listener.KindClean) {
			continue
		}
		d.cleans[m.Name] = true
		if err := d.router.Cleans(m); err != nil {
			return err
		}
	}
	return nil
}

func (c *commandLine) resync() *cobra.Command {
	var dn string
	cmd := &cobra.Command{
		Use: "resync MODULE", Short: "Tell a module of everything again, or of a subtree", Args: someArgs(1, 1, "a module"),
		Long: `Have a module begin anew: what it is owed is dropped, clean and then initialize are called, and
it gets a create for every entry that matches. A module without clean gets the removes that it
was owed first. Running calls finish before.

With --dn: tell it again of one entry and all below it, by a modify of what it knows, a create
of what it does not, and a remove of what no longer matches. Failed calls there are repeated
now, as one with what waits for them.

The command returns when this is stored; 'listenerd wait' waits until it is done. When the
daemon does not run, its next run does it.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("dn") && dn == "" {
				return fmt.Errorf("%w: --dn wants a DN", errUsage)
			}
			conf, err := c.config()
			if err != nil {
				return err
			}
			_, err = admin.NewClient(conf.StateDir).Resync(cmd.Context(), args[0], dn)
			if errors.Is(err, admin.ErrNotRunning) {
				return offline(conf, func(s *store.Store) error { return resyncOffline(s, conf, args[0], dn) })
			}
			return err
		},
	}
	cmd.Flags().StringVar(&dn, "dn", "", "only this entry and what is below it")
	return cmd
}

// offline runs f on the state file of a daemon that does not run.
func offline(conf *config.Config, f func(*store.Store) error) error {
	s, err := store.OpenExisting(conf.StateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no state in %s: the daemon has not run yet", conf.StateDir)
	}
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.Close())
}

func isConfigured(conf *config.Config, module string) bool {
	return slices.ContainsFunc(conf.Modules, func(m config.Module) bool { return m.Name == module })
}

func resyncOffline(s *store.Store, conf *config.Config, module, dn string) error {
	var state *store.ModuleState
	err := s.View(func(tx *store.Tx) (err error) {
		state, err = tx.Module(module)
		return err
	})
	switch {
	case err != nil:
		return err
	case !isConfigured(conf, module) && state != nil:
		return orphanError(module)
	case !isConfigured(conf, module):
		return fmt.Errorf("%w: no module %q is configured", admin.ErrNotFound, module)
	case state == nil:
		return fmt.Errorf("module %s has not run yet; it is told of everything when it does", module)
	case dn == "":
		return route.WantResync(s, module)
	}
	found, err := findFailures(s, module, state.Number, below(dn, s.Schema()))
	if err != nil {
		return err
	}
	err = route.WantSubtree(s, module, dn)
	if err != nil && !(errors.Is(err, route.ErrNoEntry) && len(found) > 0) {
		return err
	}
	for i := range found {
		err := s.Update(func(tx *store.Tx) error {
			tx.Commits("decide-offline")
			t, f := &found[i].task, &found[i].failure
			_, err := repeat(tx, t, f, t.Place == store.InParked)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
