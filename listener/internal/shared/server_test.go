package shared_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener/internal/process"
	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// testServer is a memcached that a test kills, restarts, stops and continues. It
// listens at a socket in the file system, because a port could be another's after
// a restart.
type testServer struct {
	t       testing.TB
	program string
	dir     string
	proc    *process.Process
}

func startServer(t testing.TB) *testServer {
	t.Helper()
	programs, err := slapdtest.Locate()
	if err != nil {
		t.Fatal(err)
	}
	if programs.Memcached == "" {
		t.Fatal("memcached: not found; 'make servers' gets it")
	}
	dir, err := os.MkdirTemp("", "mc") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	s := &testServer{t: t, program: programs.Memcached, dir: dir}
	t.Cleanup(func() {
		s.kill()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s.start()
	return s
}

func (s *testServer) addr() string { return filepath.Join(s.dir, "sock") }

func (s *testServer) start() {
	s.t.Helper()
	args := []string{"-s", s.addr(), "-t", "2"}
	if u, err := user.Current(); err == nil && u.Uid == "0" {
		args = append(args, "-u", u.Username)
	}
	proc, err := process.Start(exec.Command(s.program, args...), filepath.Join(s.dir, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.proc = proc
	if err := proc.WaitReady(s.answers, time.Minute); err != nil {
		s.t.Fatal(err)
	}
}

func (s *testServer) answers() error {
	c, err := net.DialTimeout("unix", s.addr(), time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(c, "version\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "VERSION") {
		err = errors.New(line)
	}
	return err
}

// kill ends the server as a crash does.
func (s *testServer) kill() {
	if s.proc != nil {
		s.proc.Kill()
		s.proc = nil
	}
}

func (s *testServer) restart() {
	s.t.Helper()
	s.kill()
	s.start()
}

// signal sends STOP or CONT; it is the shell's command, so that the test compiles
// everywhere.
func (s *testServer) signal(name string) {
	s.t.Helper()
	if out, err := exec.Command("kill", "-"+name, fmt.Sprint(s.proc.PID())).CombinedOutput(); err != nil {
		s.t.Fatalf("kill -%s: %v: %s", name, err, out)
	}
	if name != "STOP" {
		return
	}
	// The signal is on its way; the server has stopped when all its threads have.
	deadline := time.Now().Add(time.Minute)
	for !s.stopped() {
		if time.Now().After(deadline) {
			s.t.Fatal("memcached does not stop")
		}
		runtime.Gosched()
	}
}

func (s *testServer) stopped() bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.proc.PID()))
	if err != nil || len(threads) == 0 {
		s.t.Fatalf("threads of memcached: %v, %v", threads, err)
	}
	for _, file := range threads {
		stat, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		if !bytes.Contains(stat, []byte(") T ")) {
			return false
		}
	}
	return true
}
