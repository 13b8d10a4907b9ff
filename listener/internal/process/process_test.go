package process

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func start(t *testing.T, script string) *Process {
	t.Helper()
	p, err := Start(exec.Command("sh", "-c", script), filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func TestStopReturnsTheExitStatus(t *testing.T) {
	for _, test := range []struct {
		script, want string
		limit        time.Duration
	}{
		{"trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done", "", time.Minute},
		{"trap 'echo sorry; exit 7' TERM; echo ready; while :; do sleep 0.01; done", "exit status 7: ready\nsorry", time.Minute},
		{"trap '' TERM; echo ready; while :; do sleep 0.01; done", "killed", 500 * time.Millisecond},
	} {
		p := start(t, test.script)
		if err := p.WaitReady(printed(p, "ready"), time.Minute); err != nil {
			t.Fatal(err)
		}
		err := p.Stop(test.limit)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: error %v, want %q", test.script, err, test.want)
		}
		if err := syscall.Kill(p.PID(), 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%s: still there: %v", test.script, err)
		}
	}
}

func TestWaitReadyReportsAnEarlyEnd(t *testing.T) {
	p := start(t, "echo no licence; exit 3")
	err := p.WaitReady(func() error { return errors.New("not yet") }, time.Minute)
	if err == nil || !strings.Contains(err.Error(), "exit status 3: no licence") {
		t.Errorf("error %v", err)
	}
}

func TestStartReportsAMissingProgram(t *testing.T) {
	if _, err := Start(exec.Command("/nonexistent"), filepath.Join(t.TempDir(), "log")); err == nil {
		t.Error("no error")
	}
}

func printed(p *Process, text string) func() error {
	return func() error {
		if strings.Contains(p.Output(), text) {
			return nil
		}
		return errors.New("nothing printed")
	}
}
