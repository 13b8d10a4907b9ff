package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/config"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
)

// place is where a module's handler runs.
type place struct {
	executor dispatch.Executor
	close    func() error
}

// open opens the handlers, in the order of the configuration. On an error it returns
// those that were opened, too.
func (d *Daemon) open(ctx context.Context, pool *ldapPool) ([]place, error) {
	var places []place
	for i := range d.config.Modules {
		m := &d.config.Modules[i]
		open := d.openInProcess
		if m.Process != nil {
			open = d.openProcesses
		}
		p, err := open(ctx, m, pool)
		if err != nil {
			return places, fmt.Errorf("open module %s: %w", m.Name, err)
		}
		places = append(places, p)
	}
	return places, nil
}

func (d *Daemon) openInProcess(ctx context.Context, m *config.Module, pool *ldapPool) (place, error) {
	env := listener.Env{
		Name: m.Name, Log: d.log.Named(m.Name), LDAP: pool.get,
		Shared:   d.shared.Open(d.config.Shared.Namespace, m.Name),
		StateDir: moduleDir(d.config, m.Name),
	}
	if err := os.MkdirAll(env.StateDir, 0o700); err != nil {
		return place{}, err
	}
	h, err := m.Instance.Open(ctx, env)
	if err != nil {
		return place{}, err
	}
	return place{dispatch.InProcess(h), func() error {
		if c, ok := h.(io.Closer); ok {
			return c.Close()
		}
		return nil
	}}, nil
}

func closeAll(places []place) error {
	var errs []error
	for i := len(places) - 1; i >= 0; i-- {
		errs = append(errs, places[i].close())
	}
	return errors.Join(errs...)
}
