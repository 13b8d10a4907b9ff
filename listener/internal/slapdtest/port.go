package slapdtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// Ports are taken from below the range that the kernel hands out to outgoing
// connections (net.ipv4.ip_local_port_range), so that none takes a stopped
// server's port before it starts again.
const firstPort, lastPort = 20000, 32000

// ports are those that this process has handed out. Other test processes see them as
// locked octets of a file.
var ports struct {
	mu    sync.Mutex // guards what follows
	taken map[int]bool
	file  *os.File // open until the process ends, which unlocks it
}

// FreePort returns a port of the loopback interface that nobody listens on. It is this
// process's own as long as it runs, also while no server has it: no call of FreePort
// returns it, in whatever test process.
func FreePort() (int, error) {
	ports.mu.Lock()
	defer ports.mu.Unlock()
	if ports.file == nil {
		name := filepath.Join(os.TempDir(), fmt.Sprintf("listenerd-test-ports-%d", os.Getuid()))
		file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return 0, err
		}
		ports.file, ports.taken = file, map[int]bool{}
	}
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if ports.taken[port] {
			continue
		}
		err := syscall.FcntlFlock(ports.file.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK, Start: int64(port), Len: 1})
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
			continue // another process has it
		}
		if err != nil {
			return 0, fmt.Errorf("lock %s: %w", ports.file.Name(), err)
		}
		ports.taken[port] = true
		if !portTaken(port) {
			return port, nil
		}
	}
	return 0, errors.New("no free port on 127.0.0.1")
}

func portTaken(port int) bool {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", Loopback(port))
	if err != nil {
		return true
	}
	_ = l.Close()
	return false
}
