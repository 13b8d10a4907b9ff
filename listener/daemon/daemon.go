// Package daemon assembles listenerd: the consumer that follows the directory, the
// mirror, the router and the dispatcher that calls the modules.
//
// A program with modules of its own is one line; see [Main]. A program that embeds
// the engine uses [New] and [Daemon.Run]; Example_embedded shows one.
package daemon

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/admin"
	"github.com/listenerd/listenerd/listener/internal/config"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/route"
	"github.com/listenerd/listenerd/listener/internal/shared"
	"github.com/listenerd/listenerd/listener/internal/store"
	"github.com/listenerd/listenerd/listener/internal/worker"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// ErrOwed is returned by [Daemon.Run] with Options.Once when calls are left that were
// not acknowledged; they wait in the state directory for the next run.
var ErrOwed = errors.New("calls are left")

// Options for [New].
type Options struct {
	// ConfigFile is the path of the YAML configuration. Required, unless there is Config;
	// then it need not exist, but stands in messages, and relative paths are relative to
	// its directory. Default then: the working directory.
	ConfigFile string
	// Config is the YAML configuration itself, in place of that in ConfigFile.
	Config []byte
	// Once makes Run return when the mirror is up to date and everything is delivered
	// or was set aside.
	Once bool
	// Log in place of the one that the configuration describes.
	Log *zap.Logger
	// Worker is the command that runs a worker process of a module with isolation: process:
	// a program that calls [Main] with the same modules, and "worker" as the only
	// argument. [Main] sets it to its own program. Default: none, and isolation: process is
	// refused.
	Worker []string
	// Progress takes a line for people that is rewritten while the directory is
	// loaded, such as a terminal. Default: progress is logged every few seconds.
	Progress io.Writer

	// RefreshDone is called when a session's refresh is complete and in the mirror, whose
	// content is that of the provider then; see [Daemon.Entries] for entries. It is called
	// again for each session. The modules' calls that follow from the refresh may still be
	// owed. Default: nobody is told.
	//
	// RefreshDone and CookieChanged are called one at a time, and nothing is read from the
	// provider meanwhile: for RefreshDone, the mirror stands still. A panic ends Run with
	// an error.
	RefreshDone func(entries iter.Seq2[*listener.Entry, error])
	// CookieChanged is called with a cookie that is stored together with all that it stands
	// for; nil: the next session loads everything. In quick succession not each cookie is
	// stored. The bytes are the callee's. Default: nobody is told.
	CookieChanged func(cookie []byte)
}

// Daemon is a listenerd that can be run once.
type Daemon struct {
	opts    Options
	config  *config.Config
	log     *zap.Logger
	started time.Time

	store    *store.Store
	mirror   atomic.Pointer[store.Store] // the same while Run has it open
	router   *route.Router
	sink     *sink
	routed   []*route.Module
	lanes    *dispatch.Dispatcher
	box      *outbox
	shared   *shared.Store
	cleans   map[string]bool // modules that have a Cleaner
	wake     chan struct{}   // there may be something to do for keepHouse
	bell     bell            // rings when something has become durable
	consumer *syncrepl.Consumer

	orphanMu sync.Mutex
	orphaned map[string]*orphan // by name

	pools map[string]*worker.Pool // of modules with isolation: process, by name

	heldRefresh *heldRefresh

	lastError atomic.Pointer[string] // of the session, while there is none
}

// New reads the configuration. An error that lists its mistakes is of the kind that
// the user has to mend; nothing was touched then.
func New(o Options, modules ...listener.Module) (*Daemon, error) {
	c, err := loadConfig(o, modules)
	if err != nil {
		return nil, err
	}
	if err := checkWorker(o, c); err != nil {
		return nil, err
	}
	d := &Daemon{opts: o, config: c, log: o.Log, started: time.Now(), orphaned: map[string]*orphan{}, wake: make(chan struct{}, 1), pools: map[string]*worker.Pool{}}
	if d.log == nil {
		if d.log, err = newLogger(c.Log); err != nil {
			return nil, err
		}
	}
	for _, w := range c.Warnings {
		d.log.Warn(w.String())
	}
	return d, nil
}

// noFile stands in messages for the name of a configuration that is in no file.
const noFile = "configuration"

func loadConfig(o Options, modules []listener.Module) (*config.Config, error) {
	checkFilter := func(text string) error {
		_, err := filter.Compile(text, nil)
		return err
	}
	if o.Config == nil {
		return config.Load(o.ConfigFile, modules, checkFilter)
	}
	return config.Parse(o.Config, cmp.Or(o.ConfigFile, noFile), modules, checkFilter)
}

// Run follows the directory and calls the modules until ctx ends; then it lets calls
// in flight finish, calls post_run and returns nil. With Options.Once it returns as
// soon as everything is delivered: nil, [ErrOwed] or [ErrHeld]. It may be called once.
func (d *Daemon) Run(ctx context.Context) (err error) {
	if d.store, err = store.Open(d.config.StateDir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.store.Close()) }()
	d.mirror.Store(d.store)
	defer d.mirror.Store(nil)
	if err := d.mirrorRouted(); err != nil {
		return err
	}

	consumer, err := syncrepl.New(d.consumerConfig())
	if err != nil {
		return err
	}
	d.consumer = consumer
	d.heldRefresh = &heldRefresh{log: d.log, renew: consumer.Renew}
	defer d.heldRefresh.stop()
	if err := d.newRouter(); err != nil {
		return err
	}
	pool := &ldapPool{connect: consumer.Connect}
	defer pool.close()
	if d.shared, err = d.openShared(ctx); err != nil {
		return err
	}
	defer d.shared.Close()
	places, err := d.open(ctx, pool)
	defer func() { err = errors.Join(err, closeAll(places)) }()
	if err != nil {
		return err
	}
	if err := d.takeHandlers(places); err != nil {
		return err
	}
	if err := d.newDispatcher(places); err != nil {
		return err
	}
	server, err := admin.Listen(d.config.StateDir, service{d})
	if err != nil {
		return err
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(); err != nil {
			d.log.Error("admin socket", zap.Error(err))
		}
	})
	defer serving.Wait()
	defer func() { err = errors.Join(err, server.Close()) }()
	d.sink = d.newSink()
	return d.follow(ctx, consumer)
}

// follow runs the consumer and the dispatcher side by side. The consumer stops first.
func (d *Daemon) follow(ctx context.Context, consumer *syncrepl.Consumer) error {
	following, stopFollowing := context.WithCancelCause(ctx)
	defer stopFollowing(nil)
	dispatching, stopDispatching := context.WithCancel(context.WithoutCancel(ctx))
	defer stopDispatching()

	var running sync.WaitGroup
	var dispatchErr error
	running.Go(func() {
		if dispatchErr = d.lanes.Run(dispatching); dispatchErr == nil {
			dispatchErr = d.box.finish(d.lanes.CutOff())
		}
		stopFollowing(dispatchErr)
	})
	running.Go(func() { d.reportProgress(dispatching) })
	running.Go(func() { d.keepHouse(dispatching) })
	running.Go(func() { d.sink.renewWhenDue(dispatching, consumer.Renew) })
	var schemaErr error
	running.Go(func() {
		if schemaErr = d.sink.schema.watch(dispatching); schemaErr != nil {
			stopFollowing(schemaErr)
		}
	})

	err := consumer.Run(following, d.sink)
	if err == nil && d.opts.Once {
		err = d.lanes.Settle(following)
	}
	interrupted := ctx.Err() != nil
	if following.Err() != nil {
		err = nil // it was told to stop, by ctx or for one of these errors
	}
	stopDispatching()
	running.Wait()
	if err = errors.Join(err, dispatchErr, schemaErr); err != nil {
		return err
	}
	calls, steps := d.lanes.Owed()
	d.log.Info("stopped", zap.Int("calls_owed", calls), zap.Strings("steps_owed", steps))
	if d.opts.Once && (interrupted || calls > 0 || len(steps) > 0) {
		return fmt.Errorf("%w: %d not acknowledged%s", ErrOwed, calls, owedSteps(steps))
	}
	if !d.opts.Once {
		return nil
	}
	held, err := route.Holds(d.store)
	if err == nil && held {
		err = fmt.Errorf("%w: 'listenerd release' lets them go", ErrHeld)
	}
	return err
}

func owedSteps(modules []string) string {
	if len(modules) == 0 {
		return ""
	}
	return "; a step is owed to " + strings.Join(modules, ", ")
}

func (d *Daemon) consumerConfig() syncrepl.Config {
	c := searchConfig(d.config.LDAP)
	c.Notify = d.sessionEvent
	if d.opts.Once {
		c.Mode = syncrepl.RefreshOnly
	}
	return c
}

// searchConfig returns the search to follow, and how to connect for it.
func searchConfig(l config.LDAP) syncrepl.Config {
	c := syncrepl.Config{
		URIs: l.URIs, Base: l.Base, Filter: l.Filter, Attributes: withRouted(l.Attributes),
		BindDN: l.Identity(), Password: l.Bind.Password.Reveal(),
		TLS: syncrepl.TLS{
			StartTLS: l.TLS.StartTLS, CAFile: l.TLS.CAFile, CertFile: l.TLS.CertFile, KeyFile: l.TLS.KeyFile, ServerName: l.TLS.ServerName,
		},
		Timeout: l.NetworkTimeout, ProbeInterval: l.ProbeInterval,
		MaxMessageSize: l.MaxMessageSize, StaleGrace: l.StaleGrace,
	}
	if c.ProbeInterval == 0 {
		c.ProbeInterval = -1 // never
	}
	switch l.Bind.Method {
	case config.BindExternal:
		c.Bind = syncrepl.External
	case config.BindGSSAPI:
		k := &syncrepl.Kerberos{
			Principal: l.Bind.Principal, Keytab: l.Bind.Keytab, CCache: l.Bind.CCache,
			Krb5Conf: l.Bind.Krb5Conf, ServicePrincipal: l.Bind.ServicePrincipal,
		}
		c.Bind = k.Bind
	}
	switch l.Scope {
	case "base":
		c.Scope = syncrepl.ScopeBase
	case "one":
		c.Scope = syncrepl.ScopeOne
	}
	return c
}

// withRouted returns the attributes to ask for: those that the configuration names, and
// those that routing goes by.
func withRouted(attributes []string) []string {
	if slices.Contains(attributes, "+") {
		return attributes
	}
	return append(slices.Clone(attributes), route.Attributes...)
}

// sessionEvent logs what happens to the session with the provider.
func (d *Daemon) sessionEvent(e syncrepl.Event) {
	fields := []zap.Field{zap.String("provider", e.URI)}
	if e.Err != nil {
		fields = append(fields, zap.Error(e.Err))
	}
	switch e.Kind {
	case syncrepl.EventBound:
		d.lastError.Store(nil)
		d.log.Info("connected", fields...)
	case syncrepl.EventFailed:
		text := e.Err.Error()
		d.lastError.Store(&text)
		d.router.Disconnected()
		d.log.Warn("session with the provider failed", append(fields, zap.Duration("next_attempt_in", e.Wait))...)
	default:
		d.log.Warn(e.String())
	}
}

// fingerprint names the search that a cookie belongs to (RFC 4533, section 3.1 asks
// for the same search; what a bind identity may read differs).
func fingerprint(l config.LDAP) string {
	sum := sha256.New()
	for _, part := range append([]string{strings.ToLower(l.Base), l.Scope, l.Filter, strings.ToLower(l.Identity())}, l.Attributes...) {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

func (d *Daemon) newRouter() error {
	for _, m := range d.config.Modules {
		f, err := filter.Compile(m.Spec.LDAPFilter, nil)
		if err != nil {
			return err
		}
		d.routed = append(d.routed, &route.Module{Name: m.Name, Filter: f, Attributes: m.Spec.Attributes, Known: m.Known})
	}
	orphans, err := d.findOrphans()
	if err != nil {
		return err
	}
	d.router, err = route.New(d.store, route.Config{
		Base: d.config.LDAP.Base, Fingerprint: fingerprint(d.config.LDAP), Modules: append(orphans, d.routed...),
		Parents: d.config.LDAP.Filter == config.DefaultFilter, Held: d.heldRefresh.held,
		Limits: route.Limits{MaxDeletePercent: d.config.Guard.MaxDeletePercent, MinDeletes: uint64(d.config.Guard.MinDeletes)},
		Queued: func(seq uint64, added map[string]int) {
			d.lanes.Queued(seq, added)
			d.foldOrphans(added)
		},
		Room: func(ctx context.Context) error { return d.lanes.Room(ctx) },
	})
	if err == nil {
		d.checkFilters()
	}
	return err
}

// findOrphans returns the modules that have state and are no longer in the
// configuration. They go on being routed to with the filter they had, so that they
// have missed nothing when they come back; nobody makes their calls.
func (d *Daemon) findOrphans() (modules []*route.Module, err error) {
	configured := map[string]bool{}
	for _, m := range d.config.Modules {
		configured[m.Name] = true
	}
	err = d.store.View(func(tx *store.Tx) error {
		for _, name := range tx.Modules() {
			if configured[name] {
				continue
			}
			state, err := tx.Module(name)
			if err != nil {
				return err
			}
			f, err := filter.Compile(state.Filter, nil)
			if err != nil {
				return fmt.Errorf("module %s, which is no longer in the configuration: %w", name, err)
			}
			m := &route.Module{Name: name, Filter: f, Attributes: state.Attributes}
			modules = append(modules, m)
			d.orphaned[name] = &orphan{module: m, number: state.Number, attrs: state.Attributes, queued: tx.CountTasks(state.Number)}
			d.log.Warn("a module is no longer in the configuration; its state and the calls it is owed are kept", zap.String("module", name))
		}
		return nil
	})
	return modules, err
}

func (d *Daemon) newDispatcher(places []place) error {
	if err := d.hastenRetries(); err != nil {
		return err
	}
	box := &outbox{store: d.store, numbers: map[string]uint32{}, attrs: map[string][]string{}, before: map[string]uint64{}}
	routed := map[string]*route.Module{}
	box.refill = func(name string) (bool, error) { return d.router.Step(routed[name]) }
	var modules []dispatch.Module
	seq := uint64(0)
	err := d.store.View(func(tx *store.Tx) error {
		seq = tx.Counters().Seq
		for i, m := range d.config.Modules {
			state, err := tx.Module(m.Name)
			if err != nil {
				return err
			}
			routed[m.Name], box.numbers[m.Name], box.attrs[m.Name] = d.routed[i], state.Number, m.Spec.Attributes
			box.before[m.Name] = min(tx.Mark(state.Number), seq)
			failed, setAside, err := tx.CountFailures(state.Number)
			if err != nil {
				return err
			}
			modules = append(modules, dispatch.Module{
				Name: m.Name, Spec: m.Spec, Workers: workers(m.Spec), Executor: places[i].executor, Log: d.log.Named(m.Name),
				Steps:  dispatch.Steps{Resync: dispatch.Resync(state.Resync), Initialized: state.Initialized, PostRunOwed: state.PostRunOwed},
				Queued: tx.CountTasks(state.Number), Failed: failed, SetAside: setAside, Handed: tx.Mark(state.Number), Paused: state.Paused,
				Settings: d.settings(&m),
			})
		}
		return nil
	})
	if err != nil {
		return err
	}
	d.box = box
	d.lanes = dispatch.New(dispatch.Config{Outbox: ringing{box, &d.bell}, ShutdownTimeout: d.config.ShutdownTimeout, Seq: seq, Log: d.log}, modules)
	return nil
}

func (d *Daemon) settings(m *config.Module) dispatch.Settings {
	s := dispatch.Settings{
		QuietPeriod: m.QuietPeriod, PostRunMaxDelay: m.PostRunMaxDelay, Timeout: m.Timeout,
		RetryMin: m.Retry.Min, RetryMax: m.Retry.Max, MaxAttempts: m.Retry.MaxAttempts, StopOnError: m.StopOnError,
		Latest: m.Latest, MaxTasks: m.MaxTasks, Stall: m.Stall,
	}
	if d.opts.Once {
		s.OnceAttempts = m.Retry.OnceAttempts
	}
	return s
}
