// Package process runs the programs that tests, the demo and the benchmarks need
// for a while: started with a log file, asked until they answer, stopped with
// SIGTERM. On Linux they end with the process that started them, however it dies.
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Process is a started program. Its methods may be called concurrently.
type Process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when the program has ended
	err  error         // how it ended; read after done
}

// Start starts cmd; what it prints is appended to the file log.
//
// The thread that starts the program is kept until it ends: the kernel ends the
// program with that thread (see childAttr), and so with our process. A thread that
// goes back to the runtime could end any time.
func Start(cmd *exec.Cmd, log string) (*Process, error) {
	out, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = out, out, childAttr()
	p := &Process{cmd: cmd, log: log, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		_ = out.Close()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// PID returns the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err waits for the program's end and returns how it ended: nil for exit status 0,
// else an error with the end of what it printed.
func (p *Process) Err() error {
	<-p.done
	if p.err != nil {
		return fmt.Errorf("it ended with %w: %s", p.err, p.Output())
	}
	return nil
}

// WaitReady calls answers until it returns nil. It returns an error when the
// program ends before, or when limit has passed; then the program is killed.
func (p *Process) WaitReady(answers func() error, limit time.Duration) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	next := time.NewTicker(5 * time.Millisecond)
	defer next.Stop()
	for {
		err := answers()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			if err := p.Err(); err != nil {
				return err
			}
			return errors.New("it ended at once with exit status 0")
		case <-deadline.C:
			p.Kill()
			return fmt.Errorf("no answer in %v: %w: %s", limit, err, p.Output())
		case <-next.C:
		}
	}
}

// Stop sends SIGTERM and returns what [Process.Err] does. A program that is still
// running after limit is killed, which is an error.
func (p *Process) Stop(limit time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	select {
	case <-p.done:
		return p.Err()
	case <-deadline.C:
		p.Kill()
		return fmt.Errorf("still running %v after SIGTERM: killed: %s", limit, p.Output())
	}
}

// Kill sends SIGKILL and waits for the end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Output returns the end of what the program printed.
func (p *Process) Output() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	const most = 2000
	if len(b) > most {
		b = b[len(b)-most:]
	}
	return strings.TrimSpace(string(b))
}
