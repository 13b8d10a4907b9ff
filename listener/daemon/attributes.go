package daemon

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/filter"
	"github.com/listenerd/listenerd/listener/internal/store"
)

// mirrorRouted adds to the attributes to mirror what the modules' filters and attributes
// name beside: a filter means here what it means to the provider only if the mirror has what
// it is about. So it is for modules that are no longer configured, to which changes go as before.
func (d *Daemon) mirrorRouted() error {
	var specs []listener.Spec
	configured := map[string]bool{}
	for _, m := range d.config.Modules {
		configured[m.Name] = true
		specs = append(specs, m.Spec)
	}
	err := d.store.View(func(tx *store.Tx) error {
		for _, name := range tx.Modules() {
			state, err := tx.Module(name)
			if err != nil {
				return err
			}
			if !configured[name] {
				specs = append(specs, listener.Spec{LDAPFilter: state.Filter, Attributes: state.Attributes})
			}
		}
		return nil
	})
	d.config.LDAP.Attributes = mirrored(d.config.LDAP.Attributes, specs)
	return err
}

// mirrored returns the attributes asked for, and those that the specs name beside.
func mirrored(asked []string, specs []listener.Spec) []string {
	users, operational := slices.Contains(asked, "*"), slices.Contains(asked, "+")
	missing := map[string]string{} // by the name in lower case
	add := func(name string) {
		if listener.Operational(name) && operational || !listener.Operational(name) && users {
			return
		}
		same := func(other string) bool { return strings.EqualFold(name, other) }
		if name != "" && !slices.ContainsFunc(asked, same) {
			missing[strings.ToLower(name)] = name
		}
	}
	for _, spec := range specs {
		for _, name := range spec.Attributes {
			add(name)
		}
		if f, err := filter.Compile(spec.LDAPFilter, nil); err == nil {
			for _, assertion := range attributeOfAssertion.FindAllStringSubmatch(f.String(), -1) {
				add(assertion[1])
			}
		}
	}
	if len(missing) == 0 {
		return asked
	}
	names := slices.Sorted(maps.Keys(missing)) // the order of modules makes no other search
	for i, name := range names {
		names[i] = missing[name]
	}
	return slices.Concat(asked, names)
}

// attributeOfAssertion is the attribute description of an assertion (RFC 4515, section 3).
// Values have no parentheses: these are escaped.
var attributeOfAssertion = regexp.MustCompile(`\(([^()&|!=<>~:]+)(?:[<>~]?=|:)`)
