package daemon

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/config"
	"github.com/listenerd/listenerd/listener/internal/filter"
)

// mirrored returns the attributes to mirror: those that ldap.attributes names, and what
// the modules' filters and attributes name beside. A filter means here what it means to
// the provider only if the mirror has what it is about.
func mirrored(conf *config.Config) []string {
	asked := conf.LDAP.Attributes
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
	for _, m := range conf.Modules {
		for _, name := range m.Spec.Attributes {
			add(name)
		}
		if f, err := filter.Compile(m.Spec.LDAPFilter, nil); err == nil {
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
