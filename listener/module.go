package listener

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"
	"go.uber.org/zap"
)

// PerCPU as [Spec.Parallelism] gives the module one worker per CPU. In YAML it is
// written auto.
const PerCPU = -1 << 31

// Spec is what a module declares about itself. The configuration of an instance
// overrides its fields one by one.
type Spec struct {
	// Name is the name a module is registered under: letters, digits, '-', '_' and
	// '.', at most 64 characters, beginning with a letter or digit. Required.
	Name string
	// Description is one line for people.
	Description string
	// LDAPFilter says which entries the module is called for: RFC 4515, checked
	// at start. Required.
	LDAPFilter string
	// Attributes narrows Modify: only a change of one of these, or of the DN, is
	// delivered. Empty: any non-operational attribute. Create and Remove do not
	// depend on it.
	Attributes []string
	// Priority orders the synchronous modules for one change: ascending, then by
	// name. Default 0.
	Priority int
	// RunAsynchronously gives the module a pool of workers of its own.
	RunAsynchronously bool
	// Parallelism is the number of workers of an asynchronous module: 0 means 1,
	// -n means one per CPU less n, at least 1, and PerCPU one per CPU. More than 1
	// needs RunAsynchronously.
	Parallelism int
}

// Validate reports the first thing wrong with the spec, except for the filter,
// which is compiled at start.
func (s Spec) Validate() error {
	if err := ValidateName(s.Name); err != nil {
		return err
	}
	if s.LDAPFilter == "" {
		return fmt.Errorf("module %s: ldap_filter is empty; (objectClass=*) matches every entry", s.Name)
	}
	for _, a := range s.Attributes {
		if strings.TrimSpace(a) != a || a == "" {
			return fmt.Errorf("module %s: attributes: %q is no attribute name", s.Name, a)
		}
	}
	if !s.RunAsynchronously && s.Parallelism != 0 && s.Parallelism != 1 {
		return fmt.Errorf("module %s: parallelism needs run_asynchronously: true", s.Name)
	}
	return nil
}

// ValidateName tells whether name can be a module's or an instance's name; see
// [Spec.Name] for the rule.
func ValidateName(name string) error {
	ok := name != "" && len(name) <= 64
	for i, r := range name {
		alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		ok = ok && (alnum || i > 0 && strings.ContainsRune("-_.", r))
	}
	if !ok {
		return fmt.Errorf("%q is no module name: want at most 64 letters, digits, '-', '_' or '.', beginning with a letter or digit", name)
	}
	return nil
}

// Env is what the daemon gives to a module when it is opened.
type Env struct {
	// Name is the instance name from the configuration.
	Name string
	// Log is the module's own logger; its lines carry the instance name.
	Log *zap.Logger
	// StateDir is a directory of the instance's own, mode 0700, kept over restarts.
	StateDir string
	// Shared holds the variables and locks that the workers of the instance share.
	Shared Shared
	// LDAP returns a bound client for look-ups at the provider, from a pool with
	// connections of its own. Close gives it back. What it reads may be newer than
	// the entries of the call. UDL modules know it as self.lo.
	LDAP func(ctx context.Context) (ldap.Client, error)
}

// Module is a registered handler module: its spec, its configuration's type and
// defaults, and how to open it. [Define] makes one.
type Module struct {
	spec      Spec
	configure func(decode func(into any) error) (Instance, error)
}

// Spec returns what the module declares.
func (m Module) Spec() Spec { return m.spec }

// Configure makes an instance: decode is called once with a pointer to a copy of
// the module's default configuration and fills in what the user wrote. The engine
// uses it.
func (m Module) Configure(decode func(into any) error) (Instance, error) {
	return m.configure(decode)
}

// Instance is a module with its configuration.
type Instance struct {
	// Spec is the module's spec, as its [Specifier] returned it if it has one.
	Spec Spec
	// Open opens the handler. The daemon calls it once per start, before any call,
	// and closes the handler at the end if it is an io.Closer.
	Open func(ctx context.Context, env Env) (Handler, error)
}

// Validator is implemented by configurations that check themselves. It is called
// after decoding, by check as well as by run; it must not touch anything outside.
type Validator interface {
	Validate() error
}

// Specifier is implemented by configurations on which the module's spec depends,
// such as the one of a module that loads a script. It is called after Validate and
// returns the spec to use in place of base.
type Specifier interface {
	Spec(base Spec) (Spec, error)
}

// Define makes a module from its spec, the defaults of its configuration and the
// function that opens it.
//
// C is a struct with yaml tags; keys it doesn't have are refused. C may implement
// [Validator] and [Specifier], on the value or on the pointer. defaults is copied
// for each instance by assignment, so its slices and maps are shared: leave them
// nil. open may connect and read files; it is called by run only. An error from
// open stops the start of the daemon.
func Define[C any](s Spec, defaults C, open func(context.Context, Env, C) (Handler, error)) Module {
	return Module{spec: s, configure: func(decode func(any) error) (Instance, error) {
		config := defaults
		if err := decode(&config); err != nil {
			return Instance{}, err
		}
		if v, ok := any(&config).(Validator); ok {
			if err := v.Validate(); err != nil {
				return Instance{}, err
			}
		}
		spec := s
		if v, ok := any(&config).(Specifier); ok {
			var err error
			if spec, err = v.Spec(s); err != nil {
				return Instance{}, err
			}
		}
		return Instance{Spec: spec, Open: func(ctx context.Context, env Env) (Handler, error) {
			return open(ctx, env, config)
		}}, nil
	}}
}
