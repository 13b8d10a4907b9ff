package daemon

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener/internal/admin"
	"github.com/listenerd/listenerd/listener/internal/route"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// ErrHeld is returned by [Daemon.Run] with Options.Once when removes are held back: see
// the command release.
var ErrHeld = errors.New("removes are held back")

// The delay before a refresh whose removes were held back is repeated: it doubles.
const (
	minHeldWait = 15 * time.Second
	maxHeldWait = 15 * time.Minute
)

// heldRefresh repeats a refresh whose removes are held back, until they no longer are.
type heldRefresh struct {
	log   *zap.Logger
	renew func() // ends the session that follows live

	mu    sync.Mutex // guards what follows
	wait  time.Duration
	timer *time.Timer
}

// held is told by the router after each refresh that was held, and when it no longer is.
func (h *heldRefresh) held(g store.Guard) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopLocked()
	if g.Removes == 0 {
		h.wait = 0
		h.log.Info("removes are no longer held back")
		return
	}
	h.wait = min(max(2*h.wait, minHeldWait), maxHeldWait)
	d := h.wait - rand.N(h.wait/4+1)
	h.timer = time.AfterFunc(d, h.renew)
	h.log.Error("removes are held back: see that the provider is complete, or let them go with 'listenerd release'",
		zap.String("reason", g.Reason), zap.Uint64("removes", g.Removes), zap.Strings("examples", g.Examples),
		zap.Duration("next_refresh_in", d))
}

func (h *heldRefresh) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopLocked()
}

func (h *heldRefresh) stopLocked() {
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
}

// service is what the daemon does for the admin socket.
type service struct{ d *Daemon }

var _ admin.Service = service{}

// Release implements [admin.Service].
func (s service) Release() (admin.Released, error) {
	r, err := s.d.router.Release()
	if err != nil {
		return admin.Released{}, err
	}
	s.d.log.Warn("removes were released", zap.Uint64("removes", r.Removes), zap.Any("modules", r.Modules))
	if r.Removes > 0 {
		s.d.heldRefresh.renew()
	}
	return admin.Released(r), nil
}

func (c *commandLine) release() *cobra.Command {
	return &cobra.Command{
		Use: "release", Short: "Let go the removes that are held back", Args: noArgs,
		Long: `Let go the removes that are held back: those of a refresh that would have removed too much
of the mirror, and those of modules whose filter would have taken too many entries from
them. The refresh is made again, and removes at most as many entries as were reported;
when there are more by then, they are held again.

When the daemon does not run, its next run lets them go.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conf, err := c.config()
			if err != nil {
				return err
			}
			r, err := admin.NewClient(conf.StateDir).Release(cmd.Context())
			if errors.Is(err, admin.ErrNotRunning) {
				r, err = releaseOffline(conf.StateDir)
			}
			if err != nil {
				return err
			}
			return printReleased(cmd.OutOrStdout(), r)
		},
	}
}

// releaseOffline releases in the state file of a daemon that does not run.
func releaseOffline(dir string) (admin.Released, error) {
	s, err := store.OpenExisting(dir)
	if err != nil {
		return admin.Released{}, err
	}
	r, err := route.Release(s)
	return admin.Released(r), errors.Join(err, s.Close())
}

func printReleased(out io.Writer, r admin.Released) error {
	if r.Removes > 0 {
		if _, err := fmt.Fprintf(out, "released: up to %d removes of the next refresh\n", r.Removes); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Modules)) {
		if _, err := fmt.Fprintf(out, "released: up to %d removes of module %s\n", r.Modules[name], name); err != nil {
			return err
		}
	}
	return nil
}

// printExamples names some of the entries whose removes are held back, and what can be done.
func printExamples(out io.Writer, dns []string, released bool) {
	for _, dn := range dns {
		fmt.Fprintf(out, "\t%s\n", oneLine(dn))
	}
	if released {
		fmt.Fprintln(out, "\tthey are released, and go with the next refresh")
		return
	}
	fmt.Fprintln(out, "\t'listenerd release' lets them go")
}
