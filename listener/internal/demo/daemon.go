package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/listenerd/listenerd/listener/internal/process"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

const daemonStopLimit = 40 * time.Second // above its own shutdown_timeout

// daemon is the listenerd of the demo. Its methods are for one goroutine.
type daemon struct {
	program, config string
	dir             string
	running         *process.Process // nil while stopped
}

func newDaemon(dir string, server *slapdtest.Server) (*daemon, error) {
	d := &daemon{program: filepath.Join("bin", "listenerd"), config: filepath.Join(dir, "listenerd.yaml"), dir: dir}
	secret, state := filepath.Join(dir, "ldap.secret"), filepath.Join(dir, "state")
	if err := os.WriteFile(secret, []byte(slapdtest.ListenerPassword+"\n"), 0o600); err != nil {
		return nil, err
	}
	if err := os.Mkdir(state, 0o700); err != nil {
		return nil, err
	}
	return d, os.WriteFile(d.config, []byte(configuration(server, secret, state, d.events)), 0o600)
}

// events returns the file that a module writes to.
func (d *daemon) events(m module) string { return filepath.Join(d.dir, m.name+".jsonl") }

func (d *daemon) start() error {
	p, err := process.Start(exec.Command(d.program, "run", "-c", d.config), filepath.Join(d.dir, "listenerd.log"))
	if err != nil {
		return fmt.Errorf("start listenerd: %w ('make build' builds it)", err)
	}
	d.running = p
	return nil
}

// stop ends the daemon with SIGTERM. An exit status other than 0 is an error.
func (d *daemon) stop() error {
	if d.running == nil {
		return nil
	}
	p := d.running
	d.running = nil
	if err := p.Stop(daemonStopLimit); err != nil {
		return fmt.Errorf("stop listenerd: %w", err)
	}
	return nil
}

// log returns the end of what the daemon logged.
func (d *daemon) log() string {
	if d.running == nil {
		return ""
	}
	return "the end of listenerd's log:\n" + d.running.Output()
}

func (d *daemon) status(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, d.program, "status", "-c", d.config).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("listenerd status: %w: %s", err, out)
	}
	return strings.TrimRight(string(out), "\n"), nil
}
