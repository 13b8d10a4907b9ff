package daemon_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/daemon"
	"github.com/listenerd/listenerd/modules"
	"github.com/listenerd/listenerd/modules/event"
)

// asDaemon in the environment makes the test's program a listenerd, so that the
// tests meet the true command line, signals and exit codes.
const asDaemon = "LISTENERD_TEST_AS_DAEMON"

func TestMain(m *testing.M) {
	if os.Getenv(asDaemon) != "" {
		os.Exit(daemon.Main(append(modules.All(), probe, pacer, witness, cleaner)...))
	}
	os.Exit(m.Run())
}

// probe is a module that journals each attempt and then does something bad.
var probe = listener.Define(
	listener.Spec{Name: "probe", Description: "Misbehaves.", LDAPFilter: "(objectClass=inetOrgPerson)"},
	probeConfig{},
	func(_ context.Context, env listener.Env, c probeConfig) (listener.Handler, error) {
		if c.Do == "refuse" {
			return nil, errors.New("the probe does not open")
		}
		return &probeHandler{env: env, config: c}, errors.Join(dropTornLine(c.Path), dropTornLine(c.Failed))
	})

// dropTornLine takes the end of a journal away that a killed process left half written.
func dropTornLine(path string) error {
	text, err := os.ReadFile(path)
	if path == "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if whole := bytes.LastIndexByte(text, '\n') + 1; whole < len(text) {
		err = errors.Join(err, os.Truncate(path, int64(whole)))
	}
	return err
}

type probeConfig struct {
	Path  string `yaml:"path"`  // of the journal
	UID   string `yaml:"uid"`   // of the entry it misbehaves for
	Do    string `yaml:"do"`    // fail, later, panic, permanent, block, refuse; or down, flaky, for any entry
	Until string `yaml:"until"` // a file that makes it behave

	Failed string `yaml:"failed"` // the journal of attempts at which it misbehaves; default: path
}

type probeHandler struct {
	env    listener.Env
	config probeConfig
}

var (
	_ listener.PreRunner  = (*probeHandler)(nil)
	_ listener.PostRunner = (*probeHandler)(nil)
)

func (h *probeHandler) Create(ctx context.Context, new *listener.Entry) error {
	return h.call(ctx, listener.KindCreate, nil, new)
}

func (h *probeHandler) Modify(ctx context.Context, old, new *listener.Entry) error {
	return h.call(ctx, listener.KindModify, old, new)
}

func (h *probeHandler) Remove(ctx context.Context, old *listener.Entry) error {
	return h.call(ctx, listener.KindRemove, old, nil)
}

func (h *probeHandler) PreRun(ctx context.Context) error {
	return h.call(ctx, listener.KindPreRun, nil, nil)
}

func (h *probeHandler) PostRun(ctx context.Context) error {
	return h.call(ctx, listener.KindPostRun, nil, nil)
}

// misbehaves tells whether the call is one that does not go well.
func (h *probeHandler) misbehaves(info *listener.Call) bool {
	e := info.New
	if e == nil {
		e = info.Old
	}
	if e == nil {
		return false
	}
	if _, err := os.Stat(h.config.Until); err == nil {
		return false
	}
	if h.config.Do == "flaky" { // every eighth call fails, once, twice or three times
		return info.Seq%8 == 0 && info.Attempt <= 1+int(info.Seq/8%3)
	}
	return h.config.Do == "down" || e.Get("uid") == h.config.UID
}

func (h *probeHandler) call(ctx context.Context, kind listener.Kind, old, new *listener.Entry) error {
	info := listener.CallInfo(ctx)
	if info.Kind != kind || info.Old != old || info.New != new || info.Module != h.env.Name {
		return fmt.Errorf("CallInfo says %+v for a %s of %v, %v", info, kind, old, new)
	}
	bad := h.misbehaves(&info)
	path := h.config.Path
	if bad && h.config.Failed != "" {
		path = h.config.Failed
	}
	journal, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = journal.Write(append(event.Encoder{}.Append(nil, time.Now(), &info), '\n'))
	if err = errors.Join(err, journal.Close()); err != nil {
		return err
	}
	if !bad {
		return nil
	}
	switch h.config.Do {
	case "fail", "flaky", "down":
		return errors.New("the probe fails")
	case "later":
		return listener.RetryAfter(time.Millisecond, errors.New("the probe asks for later"))
	case "permanent":
		return listener.Permanent(errors.New("the probe fails for good"))
	case "panic":
		panic("the probe panics")
	case "block":
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return nil
}

// cleaner is a probe with the steps of a resync. It fails to clean until a file is there, if
// it is to.
var cleaner = listener.Define(
	listener.Spec{Name: "cleaner", LDAPFilter: "(objectClass=inetOrgPerson)"},
	probeConfig{},
	func(_ context.Context, env listener.Env, c probeConfig) (listener.Handler, error) {
		return &cleanerHandler{probeHandler{env: env, config: c}}, nil
	})

type cleanerHandler struct{ probeHandler }

var (
	_ listener.Cleaner     = (*cleanerHandler)(nil)
	_ listener.Initializer = (*cleanerHandler)(nil)
)

func (h *cleanerHandler) Initialize(ctx context.Context) error {
	return h.call(ctx, listener.KindInitialize, nil, nil)
}

func (h *cleanerHandler) Clean(ctx context.Context) error {
	if err := h.call(ctx, listener.KindClean, nil, nil); err != nil {
		return err
	}
	if _, err := os.Stat(h.config.Until); h.config.Do == "dirty" && err != nil {
		return errors.New("the probe does not clean")
	}
	return nil
}
