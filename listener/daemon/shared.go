package daemon

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener/internal/shared"
)

// openShared returns the place of the modules' shared variables and locks.
func (d *Daemon) openShared(ctx context.Context) (*shared.Store, error) {
	c := d.config.Shared
	if len(c.Memcached) == 0 {
		return shared.NewLocal().Store, nil
	}
	connections := 0
	for _, m := range d.config.Modules {
		connections += workers(m.Spec)
	}
	s, err := shared.NewMemcached(shared.Config{
		Servers: c.Memcached, Timeout: c.Timeout, Connections: connections, Notify: d.sharedNotice,
	})
	if err != nil {
		return nil, err
	}
	if err := s.Ping(ctx); err != nil && c.Required { // of one that does not answer, sharedNotice has been told
		s.Close()
		return nil, fmt.Errorf("%w; start memcached, or set shared.required to false", err)
	}
	return s, nil
}

// sharedNotice logs that a memcached stopped to answer, or answers again.
func (d *Daemon) sharedNotice(server string, err error) {
	if err != nil {
		d.log.Warn("memcached does not answer: what modules share there is unavailable until it does", zap.String("server", server), zap.Error(err))
		return
	}
	d.log.Info("memcached answers", zap.String("server", server))
}
