package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener/internal/admin"
	"github.com/listenerd/listenerd/listener/internal/config"
	"github.com/listenerd/listenerd/listener/internal/store"
)

func configuredError(module string) error {
	return fmt.Errorf("module %s is in the configuration: take it out and restart the daemon first; to have it begin anew, use 'listenerd resync %s'", module, module)
}

// Forget implements [admin.Control].
func (s service) Forget(module string) error {
	d := s.d
	o := d.orphan(module)
	if o == nil {
		if _, err := d.number(module); err != nil {
			return fmt.Errorf("%w: there is no state of a module %q", admin.ErrNotFound, module)
		}
		return configuredError(module)
	}
	if err := os.RemoveAll(moduleDir(d.config, module)); err != nil {
		return fmt.Errorf("nothing was dropped: %w", err)
	}
	if err := d.router.Forget(o.module); err != nil {
		return err
	}
	d.orphanMu.Lock()
	delete(d.orphaned, module)
	d.orphanMu.Unlock()
	d.log.Info("module forgotten by command", zap.String("module", module))
	d.wakeUp()
	return nil
}

// moduleDir is the directory of a module instance's own.
func moduleDir(conf *config.Config, module string) string {
	return filepath.Join(conf.StateDir, "modules", module)
}

func (c *commandLine) forget() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "forget MODULE", Short: "Drop the state of a module that is no longer in the configuration", Args: someArgs(1, 1, "a module"),
		Long: `Drop the state of a module that is no longer in the configuration: what it knows, the calls it
is owed, and its own directory in state_dir. If it comes back, it begins as a new one.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			conf, err := c.config()
			if err != nil {
				return err
			}
			module := args[0]
			if isConfigured(conf, module) {
				return configuredError(module)
			}
			if !yes {
				if err := confirm(cmd, "forget", "all state of module "+module); err != nil {
					return err
				}
			}
			err = admin.NewClient(conf.StateDir).Forget(cmd.Context(), module)
			if errors.Is(err, admin.ErrNotRunning) {
				err = offline(conf, func(s *store.Store) error { return forgetOffline(cmd.Context(), s, conf, module) })
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func forgetOffline(ctx context.Context, s *store.Store, conf *config.Config, module string) error {
	var state *store.ModuleState
	err := s.View(func(tx *store.Tx) (err error) {
		state, err = tx.Module(module)
		return err
	})
	if err == nil && state == nil {
		err = fmt.Errorf("%w: there is no state of a module %q", admin.ErrNotFound, module)
	}
	if err != nil {
		return err
	}
	if err := os.RemoveAll(moduleDir(conf, module)); err != nil {
		return fmt.Errorf("nothing was dropped: %w", err)
	}
	err = s.Update(func(tx *store.Tx) error {
		tx.Commits("forget")
		return tx.Forget(module, state)
	})
	for more := true; more && err == nil && ctx.Err() == nil; { // the next run goes on with it
		err = s.Update(func(tx *store.Tx) (err error) {
			tx.Commits("purge")
			more, err = tx.Purge()
			return err
		})
	}
	return err
}
