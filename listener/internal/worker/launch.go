package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// User is whom a worker process runs as.
type User struct {
	Name, Home string
	UID, GID   uint32
	Groups     []uint32
}

// launcher is a thread that starts processes and does nothing else. On Linux a process is
// killed when the thread that started it ends, which Go's other threads may do at any time;
// and it inherits the thread's niceness.
type launcher struct {
	nice  int
	tasks chan func()
	ready chan error
}

// newLauncher starts the thread. The caller calls stop when no process is left.
func newLauncher(nice int) (*launcher, error) {
	l := &launcher{nice: nice, tasks: make(chan func()), ready: make(chan error, 1)}
	go l.run()
	return l, <-l.ready
}

// run ends with its thread: it is not unlocked.
func (l *launcher) run() {
	runtime.LockOSThread()
	err := setNice(l.nice)
	l.ready <- err
	if err != nil {
		return
	}
	for task := range l.tasks {
		task()
	}
}

func (l *launcher) stop() { close(l.tasks) }

// spawned is a process with its streams.
type spawned struct {
	cmd            *exec.Cmd
	in, out        *os.File // the protocol: to and from the worker
	stdout, stderr *os.File
}

// spawn starts a process whose descriptors 3 and 4 are the ends of the protocol.
func (l *launcher) spawn(c *Config) (s *spawned, err error) {
	s = &spawned{}
	var theirs []*os.File
	pipe := func(toWorker bool) *os.File {
		if err != nil {
			return nil
		}
		var r, w *os.File
		if r, w, err = os.Pipe(); err != nil {
			return nil
		}
		if toWorker {
			r, w = w, r
		}
		theirs = append(theirs, w)
		return r
	}
	s.in, s.out, s.stdout, s.stderr = pipe(true), pipe(false), pipe(false), pipe(false)
	if err == nil {
		s.cmd = exec.Command(c.Command[0], c.Command[1:]...)
		s.cmd.Env = environment(c)
		s.cmd.ExtraFiles = theirs[:2]
		s.cmd.Stdout, s.cmd.Stderr = theirs[2], theirs[3]
		s.cmd.SysProcAttr = attributes(c.User)
		done := make(chan struct{})
		l.tasks <- func() {
			err = s.cmd.Start()
			close(done)
		}
		<-done
	}
	for _, f := range theirs {
		_ = f.Close()
	}
	if err == nil {
		return s, nil
	}
	s.close()
	if c.User != nil && errors.Is(err, syscall.EPERM) {
		return nil, fmt.Errorf("as user %s: %w: only a daemon that runs as root, or has CAP_SETUID, CAP_SETGID and CAP_KILL, can do that", c.User.Name, err)
	}
	if c.User != nil && errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("as user %s, who has to be allowed to run %s: %w", c.User.Name, c.Command[0], err)
	}
	return nil, err
}

func (s *spawned) close() {
	for _, f := range []*os.File{s.in, s.out, s.stdout, s.stderr} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// environment is the daemon's, with what belongs to the user, and then what is configured.
func environment(c *Config) []string {
	env := os.Environ()
	if u := c.User; u != nil {
		env = append(env, "HOME="+u.Home, "USER="+u.Name, "LOGNAME="+u.Name)
	}
	return append(env, c.Env...)
}

// Executable returns the path of the running program, also when its file was replaced.
func Executable() (string, error) {
	path, err := os.Executable()
	const self = "/proc/self/exe"
	if running, failed := os.Stat(self); failed == nil {
		if found, failed := os.Stat(path); failed != nil || !os.SameFile(running, found) {
			return self, nil
		}
	}
	return path, err
}
