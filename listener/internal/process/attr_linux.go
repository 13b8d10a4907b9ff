package process

import "syscall"

// childAttr puts a program into a process group of its own, so that a Ctrl-C on the
// terminal reaches only us, and ends it when our thread ends.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
