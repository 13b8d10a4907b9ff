package config

import (
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/listenerd/listenerd/listener"
)

// errReported ends a module's Configure when the decoder has reported why.
var errReported = errors.New("reported")

func (l *loader) modules(entries []given[moduleSection]) []Module {
	var out []Module
	for _, entry := range entries {
		out = append(out, l.module(entry))
	}
	return out
}

// module checks one entry of modules.
func (l *loader) module(entry given[moduleSection]) Module {
	s := entry.Value
	out := Module{
		Name:            s.Name.or(""),
		Registered:      s.Module.or(s.Name.or("")),
		QuietPeriod:     l.notNegative("modules.quiet_period", s.QuietPeriod, DefaultQuietPeriod),
		PostRunMaxDelay: l.positive("modules.post_run_max_delay", s.PostRunMaxDelay, DefaultPostRunMaxDelay),
		Timeout:         l.notNegative("modules.timeout", s.Timeout, 0),
		Retry:           l.retry(s.Retry.Value),
		StopOnError:     s.OnError.or("set_aside") == "stop",
		Latest:          s.Delivery.or("every") == "latest",
		Stall:           s.OnFull.or("fold") == "stall",
		Known:           s.Bootstrap.or("walk") == "none",
		MaxTasks:        l.atLeast(1, "modules.max_tasks", s.MaxTasks, DefaultMaxTasks),
		Process:         l.process(s),
		Line:            entry.Line,
	}
	l.oneOf("modules.delivery", s.Delivery, "every", "latest")
	l.oneOf("modules.bootstrap", s.Bootstrap, "walk", "none")
	l.oneOf("modules.on_full", s.OnFull, "fold", "stall")
	l.oneOf("modules.on_error", s.OnError, "set_aside", "stop")
	l.instanceName(entry)
	registered, ok := l.lookUp(s)
	if !ok {
		l.overrides(s, listener.Spec{})
		return out
	}
	instance, err := registered.Configure(func(into any) error {
		if s.Config.Line == 0 {
			return nil
		}
		at := place{"modules.config", s.Config.Line}
		if !s.Config.OK || !l.decoder.decode(&s.Config.Value, reflect.ValueOf(into).Elem(), at) {
			return errReported
		}
		return nil
	})
	if err != nil {
		l.configProblem(entry, out.Registered, err)
		l.overrides(s, listener.Spec{})
		return out
	}
	out.Instance = instance
	spec := instance.Spec
	spec.Name = out.Registered
	before := len(l.problems.list)
	out.Spec = l.overrides(s, spec)
	if s.LDAPFilter.Line == 0 && out.Spec.LDAPFilter != "" {
		l.filter(entry.Line, "the filter of module "+out.Registered, out.Spec.LDAPFilter)
	}
	if entry.OK && len(l.problems.list) == before {
		if err := out.Spec.Validate(); err != nil {
			l.problems.add(entry.Line, "%v", err)
		}
	}
	return out
}

func (l *loader) instanceName(entry given[moduleSection]) {
	name := entry.Value.Name
	switch {
	case name.Line == 0 && !notDecoded(entry):
		l.problems.add(entry.Line, "modules.name is missing; every module has a name of its own, which its state is kept under")
	case !name.OK:
	case listener.ValidateName(name.Value) != nil:
		l.problems.add(name.Line, "modules.name: %v", listener.ValidateName(name.Value))
	case l.instances[name.Value] > 0:
		l.problems.add(name.Line, "modules.name: %q is in line %d already; names must differ, use module: to say what is behind one", name.Value, l.instances[name.Value])
	default:
		l.instances[name.Value] = name.Line
	}
}

// lookUp finds the registered module of an entry.
func (l *loader) lookUp(s moduleSection) (listener.Module, bool) {
	key, what := s.Module, "modules.module"
	if key.Line == 0 {
		key, what = s.Name, "modules.name"
	}
	if !key.OK {
		return listener.Module{}, false
	}
	if m, ok := l.registered[key.Value]; ok {
		return m, true
	}
	names := slices.Sorted(maps.Keys(l.registered))
	near := nearest(key.Value, names)
	switch {
	case len(names) == 0:
		l.problems.add(key.Line, "%s: no module %q is registered, nor any other", what, key.Value)
	case near != "":
		l.problems.add(key.Line, "%s: no module %q is registered; did you mean %q? Registered: %s", what, key.Value, near, list(names))
	case what == "modules.name":
		l.problems.add(key.Line, "%s: no module %q is registered; if this is a name of your own, add module: with one of %s", what, key.Value, list(names))
	default:
		l.problems.add(key.Line, "%s: no module %q is registered; registered: %s", what, key.Value, list(names))
	}
	return listener.Module{}, false
}

// configProblem reports what a module finds wrong with its own configuration,
// each of joined errors on its own.
func (l *loader) configProblem(entry given[moduleSection], module string, err error) {
	if errors.Is(err, errReported) {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			l.configProblem(entry, module, err)
		}
		return
	}
	if line := entry.Value.Config.Line; line > 0 {
		l.problems.add(line, "modules.config of %s: %v", module, err)
	} else {
		l.problems.add(entry.Line, "modules.config of %s, which is not given: %v", module, err)
	}
}

// overrides returns spec with the keys of an entry. It checks the keys each on its
// own, and against spec if that has a name; without one it is not known.
func (l *loader) overrides(s moduleSection, spec listener.Spec) listener.Spec {
	if s.LDAPFilter.OK {
		spec.LDAPFilter = s.LDAPFilter.Value
		l.notEmpty("modules.ldap_filter", s.LDAPFilter)
		if spec.LDAPFilter != "" {
			l.filter(s.LDAPFilter.Line, "modules.ldap_filter", spec.LDAPFilter)
		}
	}
	if s.Attributes.OK {
		spec.Attributes = nil
		for _, item := range s.Attributes.Value {
			if !attributeName.MatchString(item.Value) {
				l.problems.add(item.Line, "modules.attributes: %q is no attribute name; leave the list empty for all", item.Value)
			}
			spec.Attributes = append(spec.Attributes, item.Value)
		}
	}
	if s.Priority.OK {
		spec.Priority = s.Priority.Value
	}
	if s.RunAsynchronously.OK {
		spec.RunAsynchronously = s.RunAsynchronously.Value
	}
	if s.Parallelism.OK {
		spec.Parallelism = int(s.Parallelism.Value)
		if n := spec.Parallelism; n != listener.PerCPU && (n > MaxParallelism || n < -MaxParallelism) {
			l.problems.add(s.Parallelism.Line, "modules.parallelism: want a number from %d to %d, or auto, have %d", -MaxParallelism, MaxParallelism, n)
			return spec
		}
	}
	if spec.Name == "" || spec.RunAsynchronously || spec.Parallelism == 0 || spec.Parallelism == 1 {
		return spec
	}
	switch {
	case s.Parallelism.OK && s.RunAsynchronously.Line == 0:
		l.problems.add(s.Parallelism.Line, "modules.parallelism: more than one worker needs run_asynchronously: true")
	case s.Parallelism.OK && s.RunAsynchronously.OK:
		l.problems.add(s.Parallelism.Line, "modules.parallelism: more than one worker needs run_asynchronously: true, but line %d says false", s.RunAsynchronously.Line)
	case s.RunAsynchronously.OK:
		l.problems.add(s.RunAsynchronously.Line, "modules.run_asynchronously: module %s asks for more than one worker; add parallelism: 1", spec.Name)
	}
	return spec
}

func (l *loader) retry(s retrySection) Retry {
	r := Retry{
		Min:          l.positive("modules.retry.min", s.Min, DefaultRetryMin),
		Max:          l.positive("modules.retry.max", s.Max, DefaultRetryMax),
		MaxAttempts:  l.atLeast(0, "modules.retry.max_attempts", s.MaxAttempts, 0),
		OnceAttempts: l.atLeast(1, "modules.retry.once_attempts", s.OnceAttempts, DefaultOnceAttempts),
	}
	if r.Min > r.Max && r.Max > 0 {
		key := s.Max
		if key.Line == 0 {
			key = s.Min
		}
		l.problems.add(key.Line, "modules.retry: max (%s) is less than min (%s)", r.Max, r.Min)
	}
	return r
}
