package listener_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
)

func TestValidateName(t *testing.T) {
	for _, name := range []string{"a", "A", "9", "people-journal", "a_b.c-d", strings.Repeat("x", 64)} {
		if err := listener.ValidateName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "-a", "_a", ".a", "..", "a b", "a/b", "ä", "a\n", "a\x00", "a:b", "\xff", strings.Repeat("x", 65)} {
		if err := listener.ValidateName(name); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
}

func TestSpecValidate(t *testing.T) {
	good := listener.Spec{Name: "m", LDAPFilter: "(uid=*)"}
	for name, c := range map[string]struct {
		change func(*listener.Spec)
		want   string // "": valid
	}{
		"good":                 {func(*listener.Spec) {}, ""},
		"name":                 {func(s *listener.Spec) { s.Name = "a b" }, "no module name"},
		"filter":               {func(s *listener.Spec) { s.LDAPFilter = "" }, "ldap_filter is empty"},
		"attributes":           {func(s *listener.Spec) { s.Attributes = []string{"sn", "cn;lang-de"} }, ""},
		"empty attribute":      {func(s *listener.Spec) { s.Attributes = []string{"sn", ""} }, `"" is no attribute`},
		"attribute with space": {func(s *listener.Spec) { s.Attributes = []string{" sn"} }, `" sn" is no attribute`},
		"one worker":           {func(s *listener.Spec) { s.Parallelism = 1 }, ""},
		"two workers":          {func(s *listener.Spec) { s.Parallelism = 2 }, "run_asynchronously"},
		"per CPU":              {func(s *listener.Spec) { s.Parallelism = listener.PerCPU }, "run_asynchronously"},
		"less one":             {func(s *listener.Spec) { s.Parallelism = -1 }, "run_asynchronously"},
		"asynchronous":         {func(s *listener.Spec) { s.RunAsynchronously = true }, ""},
		"asynchronous with two workers": {
			func(s *listener.Spec) { s.RunAsynchronously, s.Parallelism = true, 2 }, "",
		},
		"asynchronous per CPU": {
			func(s *listener.Spec) { s.RunAsynchronously, s.Parallelism = true, listener.PerCPU }, "",
		},
		"priority": {func(s *listener.Spec) { s.Priority = -5 }, ""},
	} {
		spec := good
		c.change(&spec)
		err := spec.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v: want %q", name, err, c.want)
		}
	}
}

var errTest = errors.New("test")

// script is a configuration with both hooks, which note that they ran.
type script struct {
	File    string
	Fail    string
	Shared  []string
	visited *[]string
}

func (s *script) Validate() error { return s.visit("validate") }

func (s *script) Spec(base listener.Spec) (listener.Spec, error) {
	base.Description = "runs " + s.File
	return base, s.visit("spec")
}

func (s *script) visit(step string) error {
	*s.visited = append(*s.visited, step+" "+s.File)
	if s.Fail == step {
		return errTest
	}
	return nil
}

func scriptModule() (m listener.Module, visited *[]string) {
	visited = &[]string{}
	return listener.Define(
		listener.Spec{Name: "script", LDAPFilter: "(uid=*)"},
		script{File: "default", visited: visited},
		func(_ context.Context, env listener.Env, s script) (listener.Handler, error) {
			if err := s.visit("open"); err != nil {
				return nil, err
			}
			*visited = append(*visited, env.Name)
			return listener.Base{}, nil
		}), visited
}

func TestConfigureAndOpen(t *testing.T) {
	m, visited := scriptModule()
	if got := m.Spec(); got.Name != "script" || got.Description != "" {
		t.Errorf("Spec() = %+v", got)
	}
	instance, err := m.Configure(func(into any) error {
		into.(*script).visit("decode") // only noted
		into.(*script).File = "x.star"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if instance.Spec.Description != "runs x.star" || instance.Spec.Name != "script" {
		t.Errorf("spec %+v", instance.Spec)
	}
	h, err := instance.Open(t.Context(), listener.Env{Name: "instance"})
	if err != nil || h != (listener.Base{}) {
		t.Errorf("opened %v, %v", h, err)
	}
	want := []string{"decode default", "validate x.star", "spec x.star", "open x.star", "instance"}
	if !slices.Equal(*visited, want) {
		t.Errorf("visited %q: want %q", *visited, want)
	}
	if got := m.Spec().Description; got != "" {
		t.Errorf("the module's spec became %q", got)
	}
}

func TestConfigureStopsAtTheFirstError(t *testing.T) {
	for step, want := range map[string][]string{
		"decode":   nil,
		"validate": {"validate default"},
		"spec":     {"validate default", "spec default"},
	} {
		m, visited := scriptModule()
		instance, err := m.Configure(func(into any) error {
			into.(*script).Fail = step
			if step == "decode" {
				return errTest
			}
			return nil
		})
		if !errors.Is(err, errTest) || instance.Open != nil {
			t.Errorf("%s: got %+v, %v", step, instance, err)
		}
		if !slices.Equal(*visited, want) {
			t.Errorf("%s: visited %q", step, *visited)
		}
	}
}

func TestOpenFails(t *testing.T) {
	m, _ := scriptModule()
	instance, err := m.Configure(func(into any) error { into.(*script).Fail = "open"; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if h, err := instance.Open(t.Context(), listener.Env{}); h != nil || !errors.Is(err, errTest) {
		t.Errorf("got %v, %v", h, err)
	}
}

func TestInstancesAreIndependent(t *testing.T) {
	m, _ := scriptModule()
	for range 2 {
		_, err := m.Configure(func(into any) error {
			s := into.(*script)
			if s.File != "default" || s.Shared != nil {
				t.Errorf("the defaults became %+v", s)
			}
			s.File, s.Shared = "other", append(s.Shared, "x")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// valueConfig has its hooks on the value.
type valueConfig struct{ Size int }

func (c valueConfig) Validate() error {
	if c.Size == 0 {
		return errTest
	}
	return nil
}

func (c valueConfig) Spec(base listener.Spec) (listener.Spec, error) {
	base.Priority = c.Size
	return base, nil
}

func TestHooksOnTheValue(t *testing.T) {
	m := listener.Define(listener.Spec{Name: "m"}, valueConfig{},
		func(context.Context, listener.Env, valueConfig) (listener.Handler, error) { return nil, nil })
	if _, err := m.Configure(func(any) error { return nil }); !errors.Is(err, errTest) {
		t.Errorf("got %v", err)
	}
	instance, err := m.Configure(func(into any) error { into.(*valueConfig).Size = 3; return nil })
	if err != nil || instance.Spec.Priority != 3 {
		t.Errorf("got %+v, %v", instance.Spec, err)
	}
}
