package slapdtest

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener/internal/process"
)

// Cache is a running memcached.
type Cache struct {
	port int
	proc *process.Process
}

// NewCache starts a memcached; its output goes to a file in dir. The caller calls
// [Cache.Stop].
func NewCache(dir string) (*Cache, error) {
	programs, err := Locate()
	if err != nil {
		return nil, err
	}
	if programs.Memcached == "" {
		return nil, missing("memcached")
	}
	for attempt := 1; ; attempt++ {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		args := []string{"-l", "127.0.0.1", "-p", strconv.Itoa(port), "-U", "0", "-m", "64", "-t", "2"}
		if u, err := user.Current(); err == nil && u.Uid == "0" {
			args = append(args, "-u", u.Username) // as root it wants to be told whom to run as
		}
		c := &Cache{port: port}
		c.proc, err = process.Start(exec.Command(programs.Memcached, args...), filepath.Join(dir, "memcached.log"))
		if err != nil {
			return nil, fmt.Errorf("start memcached: %w", err)
		}
		if err = c.proc.WaitReady(c.answers, startDeadline); err == nil {
			return c, nil
		}
		if attempt == 5 || !portTaken(port) {
			return nil, fmt.Errorf("start memcached: %w", err)
		}
	}
}

// Addr returns the server's host:port.
func (c *Cache) Addr() string { return Loopback(c.port) }

func (c *Cache) answers() error {
	conn, err := net.DialTimeout("tcp", c.Addr(), time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	// The answer names the process: on the port a stranger could answer.
	if _, err := conn.Write([]byte("stats\r\n")); err != nil {
		return err
	}
	var pid int
	if _, err := fmt.Fscanf(conn, "STAT pid %d\r\n", &pid); err != nil {
		return err
	}
	if pid != c.proc.PID() {
		return errors.New("another memcached answers")
	}
	return nil
}

// Stop ends the server, which has nothing to save, and waits for it.
func (c *Cache) Stop() {
	if c.proc != nil {
		c.proc.Kill()
		c.proc = nil
	}
}

// Memcached starts a memcached for one test and returns its host:port.
func Memcached(t testing.TB) string {
	t.Helper()
	c, err := NewCache(tempDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c.Addr()
}
