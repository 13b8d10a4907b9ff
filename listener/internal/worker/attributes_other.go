//go:build !linux

package worker

import (
	"errors"
	"syscall"
)

// errLinux is returned for what needs Linux.
var errLinux = errors.New("this needs Linux")

// attributes puts a process into a group of its own, so that what it starts is killed with
// it and a Ctrl-C on the terminal does not reach it.
func attributes(u *User) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	if u != nil {
		a.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
	}
	return a
}

func setNice(n int) error {
	if n != 0 {
		return errLinux
	}
	return nil
}

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

func awaitEnd(int) {}

func memory(string) uint64 { return 0 }

func limitMemory(limit uint64) error {
	if limit != 0 {
		return errLinux
	}
	return nil
}
