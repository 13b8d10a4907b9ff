package config_test

import (
	"os/user"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/config"
)

func isolated(keys string) []byte {
	return []byte("ldap: {uri: ldap://h, base: dc=x}\nmodules:\n- name: everything\n  isolation: process\n" + keys)
}

func TestIsolation(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	every := define(listener.Spec{Name: "everything", LDAPFilter: "(uid=*)"}, everything{Text: "default"})
	c, err := config.Parse(isolated(`  user: `+me.Username+`
  env: {B: "2", A: 1}
  memory_limit: 3GiB
  nice: -5
  config:
    text: &t "0123"
    list: &l [a, *t]
    limit: &limit {low: 1}
    headers: {<<: {x: y}}
    children: [{text: *t, list: *l, limit: {<<: *limit, high: 2}}]
`), "listenerd.yaml", []listener.Module{every}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := c.Modules[0].Process
	if p == nil || !slices.Equal(p.Env, []string{"A=1", "B=2"}) || p.MemoryLimit != 3<<30 || p.Nice != -5 || p.User.Name != me.Username || p.User.Home != me.HomeDir {
		t.Fatalf("process %+v", p)
	}
	// What is handed to a process means the same there.
	got := map[bool]everything{}
	for here, configure := range map[bool]func(listener.Module) (listener.Instance, error){
		true: func(m listener.Module) (listener.Instance, error) {
			c, err := config.Parse(isolated("  config:\n    text: &t \"0123\"\n    list: &l [a, *t]\n    limit: &limit {low: 1}\n    headers: {<<: {x: y}}\n"+
				"    children: [{text: *t, list: *l, limit: {<<: *limit, high: 2}}]\n"), "", []listener.Module{m}, nil)
			if err != nil {
				return listener.Instance{}, err
			}
			return c.Modules[0].Instance, nil
		},
		false: func(m listener.Module) (listener.Instance, error) { return config.Configure(m, p.Config) },
	} {
		var c everything
		if _, err := configure(seen(&c)); err != nil {
			t.Fatalf("%v: %s", err, p.Config)
		}
		got[here] = c
	}
	if !reflect.DeepEqual(got[true], got[false]) {
		t.Errorf("here %+v, there %+v", got[true], got[false])
	}
	if strings.ContainsAny(string(p.Config), "&*") {
		t.Errorf("there are aliases in %s", p.Config)
	}
}

// seen is a module whose configuration the test gets to see.
func seen(into *everything) listener.Module {
	return listener.Define(listener.Spec{Name: "everything", LDAPFilter: "(uid=*)"}, validated{into: into}, nil)
}

// validated tells the test what was decoded.
type validated struct {
	Everything everything `yaml:",inline"`
	into       *everything
}

func (v *validated) Validate() error {
	*v.into = v.Everything
	return nil
}

func TestIsolationMistakes(t *testing.T) {
	every := define(listener.Spec{Name: "everything", LDAPFilter: "(uid=*)"}, everything{})
	for keys, want := range map[string]string{
		"  user: nobody-of-that-name\n":                     `5: modules.user: there is no user "nobody-of-that-name" on this machine`,
		"  env: {A-B: c}\n":                                 `5: modules.env: "A-B" is no name of a variable; want letters, digits and _`,
		"  env: [A=b]\n":                                    "5: modules.env: want a mapping (key: value), have a list",
		"  env: {A: [b]}\n":                                 "5: modules.env.A: want text, have a list",
		"  memory_limit: 1MiB\n":                            "5: modules.memory_limit: want at least 64MiB, have 1MiB",
		"  memory_limit: lots\n":                            `5: modules.memory_limit: want a size such as 512MiB, have "lots"`,
		"  nice: 20\n":                                      "5: modules.nice: want a number from -20 to 19, have 20",
		"  isolation: none\n":                               `5: duplicate key "isolation", which line 4 has already; keep one of them`,
		"- name: second\n  module: everything\n  nice: 0\n": "7: modules.nice is for worker processes; it needs isolation: process",
		"- name: second\n  module: everything\n  user: root\n  isolation: none\n": "7: modules.user is for worker processes; it needs isolation: process",
		"- name: second\n  module: everything\n  isolation: container\n":          `7: modules.isolation: "container" is not one of none, process`,
		"  config: {raw: &a [*a]}\n":                                              "5: modules.config cannot be handed to a process: its aliases (*name) expand to too much",
	} {
		_, err := config.Parse(isolated(keys), "listenerd.yaml", []listener.Module{every}, nil)
		if err == nil || err.Error() != "listenerd.yaml:"+want {
			t.Errorf("%s\ngot  %v\nwant listenerd.yaml:%s", keys, err, want)
		}
	}
}
