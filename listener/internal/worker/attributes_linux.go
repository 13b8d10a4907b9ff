package worker

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// attributes puts a process into a group of its own, so that what it starts is killed with
// it and a Ctrl-C on the terminal does not reach it, and ends it with our thread.
func attributes(u *User) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if u != nil {
		a.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
	}
	return a
}

// setNice sets the niceness of the calling thread, which what it starts inherits.
func setNice(n int) error {
	if n == 0 {
		return nil
	}
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, n); err != nil {
		return fmt.Errorf("nice %d: %w: below 0 needs root, or CAP_SYS_NICE", n, err)
	}
	return nil
}

// killGroup kills a process that was not waited for, and all in its group.
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// awaitEnd waits until the process has ended, and leaves it to be waited for: until then
// its number and its group's are not another's.
func awaitEnd(pid int) {
	const pPID = 1
	var info [128]byte // siginfo_t
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, pPID, uintptr(pid), uintptr(unsafe.Pointer(&info)), syscall.WEXITED|syscall.WNOWAIT, 0, 0)
		if errno != syscall.EINTR {
			return
		}
	}
}

// memory returns the anonymous memory of a process in bytes, also what is swapped out.
func memory(pid string) uint64 {
	status, _ := os.ReadFile("/proc/" + pid + "/status")
	return (field(status, "RssAnon:") + field(status, "VmSwap:")) << 10
}

func field(status []byte, name string) uint64 {
	_, rest, _ := strings.Cut(string(status), name)
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, _ := strconv.ParseUint(number, 10, 64)
	return n
}

// slack is what a process may have mapped and does not use: thread stacks, and what the
// runtime takes in large pieces.
const slack = 512 << 20

// limitMemory bounds what this process can map, which ends one that takes memory faster
// than anyone looks. The bound is far above the limit, because what is mapped is more than
// what is used. When the machine has no memory left, the kernel shall take a worker
// rather than the daemon.
func limitMemory(limit uint64) error {
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0) // as well as may be
	if limit == 0 {
		return nil
	}
	const rlimitData = 2
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	var r syscall.Rlimit
	if err := syscall.Getrlimit(rlimitData, &r); err != nil {
		return fmt.Errorf("memory limit: %w", err)
	}
	most := field(status, "VmData:")<<10 + 2*limit + slack
	r.Cur, r.Max = min(r.Cur, most), min(r.Max, most)
	if err := syscall.Setrlimit(rlimitData, &r); err != nil {
		return fmt.Errorf("memory limit: %w", err)
	}
	return nil
}
