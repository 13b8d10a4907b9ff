package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/admin"
	"github.com/listenerd/listenerd/listener/internal/config"
	"github.com/listenerd/listenerd/listener/internal/shared"
	"github.com/listenerd/listenerd/listener/internal/worker"
	"github.com/listenerd/listenerd/listener/syncrepl"
)

// checkWorker refuses isolation: process where no worker process can be started.
func checkWorker(o Options, c *config.Config) error {
	if len(o.Worker) > 0 {
		return nil
	}
	if o.ConfigFile == "" {
		o.ConfigFile = noFile
	}
	for _, m := range c.Modules {
		if m.Process != nil {
			return config.Problems{{File: o.ConfigFile, Line: m.Line, Message: "modules.isolation: this program cannot start worker processes of its own; its author has to set Options.Worker"}}
		}
	}
	return nil
}

// workerSetup is what a worker process is told over its pipe, and nowhere else: it has
// secrets.
type workerSetup struct {
	Instance, Module string
	Config           []byte // of the module, YAML
	StateDir         string
	LDAP             config.LDAP
	Password         string // of the identity in LDAP
	Shared           config.Shared
}

// openProcesses starts the worker processes of a module.
func (d *Daemon) openProcesses(ctx context.Context, m *config.Module, _ *ldapPool) (place, error) {
	s := workerSetup{
		Instance: m.Name, Module: m.Registered, Config: m.Process.Config, StateDir: moduleDir(d.config, m.Name),
		LDAP: d.config.LDAP, Password: d.config.LDAP.Bind.Password.Reveal(), Shared: d.config.Shared,
	}
	if err := d.makeModuleDir(m); err != nil {
		return place{}, err
	}
	setup, err := json.Marshal(&s)
	if err != nil {
		return place{}, err
	}
	c := worker.Config{
		Module: m.Name, Workers: workers(m.Spec), Command: d.opts.Worker, Env: m.Process.Env, Nice: m.Process.Nice,
		MemoryLimit: m.Process.MemoryLimit, Timeout: m.Timeout, CloseTimeout: d.config.ShutdownTimeout, Setup: setup,
		Log: d.log.Named(m.Name), User: (*worker.User)(m.Process.User),
	}
	if len(s.Shared.Memcached) == 0 {
		c.Answer = d.shared.Answerer(s.Shared.Namespace, m.Name)
	}
	p, err := worker.Open(ctx, c)
	if err != nil {
		return place{}, err
	}
	d.pools[m.Name] = p
	return place{p, p.Close}, nil
}

// makeModuleDir makes the state directory of an instance. If it runs as a user of its own
// the directory is that user's, and those above can be passed through by all, though
// neither listed nor written.
func (d *Daemon) makeModuleDir(m *config.Module) error {
	dir := moduleDir(d.config, m.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	u := m.Process.User
	if u == nil {
		return nil
	}
	for _, above := range []string{d.config.StateDir, filepath.Dir(dir)} {
		if err := os.Chmod(above, 0o711); err != nil {
			return err
		}
	}
	return os.Chown(dir, int(u.UID), int(u.GID))
}

// worker is the command that is a worker process.
func (c *commandLine) worker() *cobra.Command {
	return &cobra.Command{
		Use: "worker", Short: "Run a module for the daemon, which starts this", Args: noArgs, Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			return worker.Main(func(ctx context.Context, s *worker.Session) (listener.Handler, error) {
				return openWorker(ctx, s, c.modules)
			})
		},
	}
}

// openWorker opens the handler in a worker process.
func openWorker(ctx context.Context, s *worker.Session, modules []listener.Module) (listener.Handler, error) {
	var setup workerSetup
	if err := json.Unmarshal([]byte(s.Setup), &setup); err != nil {
		return nil, fmt.Errorf("setup: %w", err)
	}
	if _, err := os.Stat(setup.StateDir); err != nil {
		return nil, fmt.Errorf("state directory: %w: user ID %d has to be let through all directories above it", err, os.Getuid())
	}
	setup.LDAP.Bind.Password = config.NewSecret(setup.Password)
	consumer, err := syncrepl.New(searchConfig(setup.LDAP))
	if err != nil {
		return nil, err
	}
	store, err := openWorkerShared(s, setup.Shared)
	if err != nil {
		return nil, err
	}
	env := listener.Env{
		Name: setup.Instance, Log: s.Log, StateDir: setup.StateDir,
		LDAP:   (&ldapPool{connect: consumer.Connect}).get,
		Shared: store.Open(setup.Shared.Namespace, setup.Instance),
	}
	for _, m := range modules {
		if m.Spec().Name != setup.Module {
			continue
		}
		instance, err := config.Configure(m, setup.Config)
		if err != nil {
			return nil, err
		}
		return instance.Open(ctx, env)
	}
	return nil, fmt.Errorf("no module %s is registered in %s", setup.Module, os.Args[0])
}

// workerConnections is how many operations at a time a worker process has with a memcached.
// It makes one call at a time, which may have goroutines.
const workerConnections = 4

func openWorkerShared(s *worker.Session, c config.Shared) (*shared.Store, error) {
	if len(c.Memcached) == 0 {
		return shared.NewRemote(s.Ask), nil
	}
	return shared.NewMemcached(shared.Config{Servers: c.Memcached, Timeout: c.Timeout, Connections: workerConnections})
}

// sharedStatus returns the condition of the modules' shared state. What worker processes
// find, the daemon finds out by asking.
func (d *Daemon) sharedStatus() shared.Status {
	if len(d.pools) > 0 {
		_ = d.shared.Ping(context.Background()) // the status says it
	}
	return d.shared.Status()
}

func (d *Daemon) workerStatus(module string) (out []admin.WorkerStatus) {
	p := d.pools[module]
	if p == nil {
		return nil
	}
	for _, s := range p.Status() {
		out = append(out, admin.WorkerStatus{
			PID: s.PID, State: s.State, Started: s.Started, Restarts: s.Restarts, LastExit: s.Last.Reason, LastExitAt: s.Last.At, NextStart: s.Next,
		})
	}
	return out
}

// printWorkers prints a line for each worker process.
func printWorkers(out io.Writer, s *admin.Status) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	head := "\nWORKER OF\tPID\tSTATE\tSINCE\tRESTARTS\tLAST EXIT"
	for _, m := range s.Modules {
		for _, p := range m.Workers {
			if head != "" {
				fmt.Fprintln(w, head)
				head = ""
			}
			pid, since := fmt.Sprint(p.PID), p.Started.Local().Format(time.DateTime)
			if p.PID == 0 {
				pid, since = "-", "-"
			}
			last := ""
			if p.LastExit != "" {
				last = p.LastExitAt.Local().Format(time.DateTime) + " " + p.LastExit
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", m.Name, pid, p.State, since, p.Restarts, last)
		}
	}
	return w.Flush()
}
