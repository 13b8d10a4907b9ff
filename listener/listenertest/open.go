package listenertest

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/listenerd/listenerd/listener"
)

// Option changes how a module is opened.
type Option func(*opening)

type opening struct {
	configure func(into any) error
	spec      func(*listener.Spec)
	env       func(*listener.Env)
}

// Config fills in the module's configuration, in place of the YAML: fill gets the
// module's defaults. C is the type that the module was defined with.
func Config[C any](fill func(*C)) Option {
	return func(o *opening) {
		o.configure = func(into any) error {
			c, ok := into.(*C)
			if !ok {
				return fmt.Errorf("the module's configuration is a %T, not a %T", into, c)
			}
			fill(c)
			return nil
		}
	}
}

// Spec overrides fields of the module's spec, as the configuration of an instance
// can; RunAsynchronously lets the test make calls in parallel.
func Spec(change func(*listener.Spec)) Option {
	return func(o *opening) { o.spec = change }
}

// Env changes what the module is opened with: its name, or LDAP, which is nil
// unless set here.
func Env(change func(*listener.Env)) Option {
	return func(o *opening) { o.env = change }
}

// Open opens a module and fails the test if that fails. The environment has the
// module's name, a temporary state directory, shared variables and locks of its own
// (see [NewShared]), and a logger that writes to the
// test's log and is read by [Harness.Log]. When the test ends the handler is closed
// if it is an io.Closer.
func Open(t testing.TB, m listener.Module, options ...Option) *Harness {
	t.Helper()
	h, err := TryOpen(t, m, options...)
	if err != nil {
		t.Fatalf("open module %s: %v", m.Spec().Name, err)
	}
	return h
}

// TryOpen is [Open] for tests of what a module refuses: it returns the error of the
// configuration's validation, of the spec's, or of opening.
func TryOpen(t testing.TB, m listener.Module, options ...Option) (*Harness, error) {
	t.Helper()
	o := opening{
		configure: func(any) error { return nil },
		spec:      func(*listener.Spec) {},
		env:       func(*listener.Env) {},
	}
	for _, option := range options {
		option(&o)
	}
	instance, err := m.Configure(o.configure)
	if err != nil {
		return nil, err
	}
	spec := instance.Spec
	o.spec(&spec)
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	lines := &logLines{t: t}
	env := listener.Env{Name: spec.Name, Log: lines.logger(), StateDir: t.TempDir(), Shared: NewShared().Open("daemon", spec.Name)}
	o.env(&env)
	handler, err := instance.Open(t.Context(), env)
	if err != nil {
		return nil, err
	}
	h := newHarness(t, env.Name, spec, handler, lines)
	if closer, ok := handler.(io.Closer); ok {
		t.Cleanup(func() {
			if err := closer.Close(); err != nil {
				t.Errorf("close module %s: %v", env.Name, err)
			}
		})
	}
	return h, nil
}

// logLines receives the encoded lines of a logger.
type logLines struct {
	t testing.TB

	mu    sync.Mutex // guards lines
	lines []string
}

func (l *logLines) logger() *zap.Logger {
	encoder := zapcore.NewConsoleEncoder(zapcore.EncoderConfig{
		LevelKey: "level", EncodeLevel: zapcore.LowercaseLevelEncoder,
		NameKey: "name", MessageKey: "message",
		EncodeTime: zapcore.ISO8601TimeEncoder, EncodeDuration: zapcore.StringDurationEncoder,
	})
	return zap.New(zapcore.NewCore(encoder, l, zapcore.DebugLevel))
}

// Write implements zapcore.WriteSyncer; it gets one line at a time.
func (l *logLines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := strings.TrimRight(string(line), "\n")
	l.lines = append(l.lines, s)
	l.t.Log(s)
	return len(line), nil
}

// Sync implements zapcore.WriteSyncer.
func (l *logLines) Sync() error { return nil }
