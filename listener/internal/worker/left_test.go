package worker

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener"
)

// A worker whose pipe ends kills itself, even in a call that does not return: where the
// kernel does not do it, this is what is left.
func TestWorkerEndsWithItsPipe(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	theirs, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirsOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "LISTENERD_TEST_AS_WORKER=handler")
	cmd.ExtraFiles = []*os.File{theirs, theirsOut}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	_, _ = theirs.Close(), theirsOut.Close()

	mark := filepath.Join(t.TempDir(), "mark")
	h := hello{version: version, module: "m"}
	said := framed(t, frameHello, h.append)
	e := listener.NewEntry(listener.UUID{1}, "uid=a", listener.Attribute{Name: "do", Values: []string{"hang"}}, listener.Attribute{Name: "argument", Values: []string{mark}})
	call, err := new(names).appendCall(nil, 1, &listener.Call{Kind: listener.KindCreate, Cause: listener.CauseLive, Seq: 1, Attempt: 1, New: e})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(append(said, call...)); err != nil {
		t.Fatal(err)
	}
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for {
		if _, err := os.Stat(mark); err == nil {
			break
		}
		select {
		case <-poll.C:
		case <-limit.C:
			t.Fatal("the call was not made")
		}
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Errorf("it ended with %v", err)
		}
	case <-limit.C:
		t.Error("the process is still there")
	}
}
