package main

import (
	"fmt"
	"strings"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// module is one module instance of the demo's configuration.
type module struct {
	name        string
	filter      string
	attributes  []string
	parallelism int // 0: synchronous
}

const (
	peopleJournal   = "people-journal"
	groupsAndPeople = "groups-and-people"
)

var modules = []module{
	{name: peopleJournal, filter: "(objectClass=inetOrgPerson)", attributes: []string{"mail", "sn", "givenName"}},
	{name: groupsAndPeople, filter: "(|(objectClass=inetOrgPerson)(objectClass=groupOfNames)(objectClass=posixGroup))", parallelism: 4},
}

func (m module) describe() string {
	mode, attributes := "synchronous", "any attribute"
	if m.parallelism > 0 {
		mode = fmt.Sprintf("asynchronous, %d workers", m.parallelism)
	}
	if len(m.attributes) > 0 {
		attributes = strings.Join(m.attributes, ", ")
	}
	return fmt.Sprintf("module %s: %s; %s; %s", m.name, mode, m.filter, attributes)
}

// yaml returns the instance's part of the configuration; its events go to path.
func (m module) yaml(path string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - name: %s\n    module: jsonl\n    ldap_filter: %q\n", m.name, m.filter)
	if len(m.attributes) > 0 {
		fmt.Fprintf(&b, "    attributes: [%s]\n", strings.Join(m.attributes, ", "))
	}
	if m.parallelism > 0 {
		fmt.Fprintf(&b, "    run_asynchronously: true\n    parallelism: %d\n", m.parallelism)
	}
	fmt.Fprintf(&b, "    quiet_period: 2s\n    config: {path: %q}\n", path)
	return b.String()
}

// configuration returns the daemon's configuration file.
func configuration(server *slapdtest.Server, passwordFile, stateDir string, events func(module) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `ldap:
  uri: [%q]
  base: %q
  bind: {method: simple, dn: %q, password_file: %q}
state_dir: %q
log: {level: info, format: json}
modules:
`, server.URI(), slapdtest.BaseDN, slapdtest.ListenerDN, passwordFile, stateDir)
	for _, m := range modules {
		b.WriteString(m.yaml(events(m)))
	}
	return b.String()
}
