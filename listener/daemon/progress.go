package daemon

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener/internal/route"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// How often progress is reported: to a log, and to a terminal.
const (
	logProgressEvery      = 3 * time.Second
	terminalProgressEvery = 200 * time.Millisecond
)

// reportProgress tells how the load of the directory and the modules' walks go, until
// ctx ends.
func (d *Daemon) reportProgress(ctx context.Context) {
	every := logProgressEvery
	if d.opts.Progress != nil {
		every = terminalProgressEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	loading := rate{}
	walking := rate{}
	shown := false
	for {
		select {
		case <-ctx.Done():
			d.clearLine(shown)
			return
		case now := <-tick.C:
			p := d.router.State()
			switch calls, left := d.walked(); {
			case p.Phase == route.PhaseRefresh && p.Received > 0:
				d.show("loading the directory", loading.line(now, p.Received, "entries"))
				shown = true
			case left > 0:
				d.show("walking the modules through the mirror", walking.line(now, calls, "calls"), zap.Uint64("entries_left", left))
				shown = true
			case shown:
				d.clearLine(shown)
				shown, loading, walking = false, rate{}, rate{}
			}
		}
	}
}

// walked returns the calls made and the entries still to be looked at by walks.
func (d *Daemon) walked() (calls, left uint64) {
	_ = d.store.View(func(tx *store.Tx) error { // nothing to show, then
		total := tx.Counters().Entries
		for _, m := range d.routed {
			if state, err := tx.Module(m.Name); err == nil && state != nil && state.Walk != nil {
				left += total - min(total, state.Walk.Done)
			}
		}
		return nil
	})
	for _, m := range d.lanes.Status() {
		calls += m.Calls
	}
	return calls, left
}

func (d *Daemon) show(what, numbers string, fields ...zap.Field) {
	if d.opts.Progress != nil {
		fmt.Fprintf(d.opts.Progress, "\r\x1b[K%s: %s", what, numbers)
		return
	}
	d.log.Info(what+": "+numbers, fields...)
}

func (d *Daemon) clearLine(shown bool) {
	if d.opts.Progress != nil && shown {
		fmt.Fprint(d.opts.Progress, "\r\x1b[K")
	}
}

// rate turns a count that grows into one per second.
type rate struct {
	at    time.Time
	count uint64
}

func (r *rate) line(now time.Time, count uint64, unit string) string {
	text := fmt.Sprintf("%d %s", count, unit)
	if !r.at.IsZero() && count >= r.count {
		text += fmt.Sprintf(", %.0f/s", float64(count-r.count)/now.Sub(r.at).Seconds())
	}
	r.at, r.count = now, count
	return text
}
