package daemon

import (
	"time"

	"github.com/listenerd/listenerd/listener/internal/store"
)

// hastenBatch is how many retries one transaction makes due.
const hastenBatch = 2_000

// hastenRetries makes due what an earlier run left to this one: what has asked for a time,
// then. If this one ends by itself, it makes all due now that would have to be waited for.
func (d *Daemon) hastenRetries() error {
	now := time.Now()
	for _, m := range d.routed {
		for {
			n := 0
			err := d.store.Update(func(tx *store.Tx) (err error) {
				tx.Commits("hasten")
				n, err = tx.Hasten(m.Number(), now, d.opts.Once, hastenBatch)
				return err
			})
			if err != nil {
				return err
			}
			if n < hastenBatch {
				break
			}
		}
	}
	return nil
}
