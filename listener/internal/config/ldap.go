package config

import (
	"regexp"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// part is a part of the search with where it was said: in a key of its own, or in
// an LDAP URL.
type part[T any] struct {
	value T
	where string
	line  int
}

// search has what keys and URLs say about the search.
type search struct {
	base, scope, filter, bindName []part[string]
	attributes                    []part[[]string]
}

func addText(to *[]part[string], value, where string, line int) {
	if value != "" {
		*to = append(*to, part[string]{value, where, line})
	}
}

// ldap checks the section ldap.
func (l *loader) ldap(section given[ldapSection]) LDAP {
	if section.Line == 0 {
		l.problems.add(0, "ldap is missing; it says which directory to follow, as in ldap: {uri: ldap://HOST, base: \"dc=example,dc=com\"}")
		return LDAP{}
	}
	if notDecoded(section) {
		return LDAP{}
	}
	s := section.Value
	var parts search
	out := LDAP{URIs: l.uris(section, &parts)}

	l.notEmpty("ldap.base", s.Base)
	addText(&parts.base, s.Base.or(""), "ldap.base", s.Base.Line)
	for _, p := range parts.base {
		l.dn(p)
	}
	if len(parts.base) == 0 && s.Base.Line == 0 && (len(out.URIs) > 0 || s.URI.Line == 0) {
		l.problems.add(section.Line, "ldap.base is missing; name the DN to follow, as in dc=example,dc=com")
	}
	out.Base = agreed(l, parts.base, "", sameDN)

	if s.Scope.OK && l.oneOf("ldap.scope", s.Scope, "base", "one", "sub") {
		addText(&parts.scope, s.Scope.Value, "ldap.scope", s.Scope.Line)
	}
	out.Scope = agreed(l, parts.scope, DefaultScope, sameText)

	l.notEmpty("ldap.filter", s.Filter)
	addText(&parts.filter, s.Filter.or(""), "ldap.filter", s.Filter.Line)
	for _, p := range parts.filter {
		l.filter(p.line, p.where, p.value)
	}
	out.Filter = agreed(l, parts.filter, DefaultFilter, sameText)

	var names []string
	for _, item := range s.Attributes.Value {
		if item.OK {
			l.askedAttribute("ldap.attributes", item.Line, item.Value)
			names = append(names, item.Value)
		}
	}
	if len(names) > 0 {
		parts.attributes = append(parts.attributes, part[[]string]{names, "ldap.attributes", s.Attributes.Line})
	} else if s.Attributes.OK {
		l.problems.add(s.Attributes.Line, "ldap.attributes is empty; leave the key out for all attributes")
	}
	out.Attributes = agreed(l, parts.attributes, []string{"*", "+"}, sameNames)

	out.NetworkTimeout = l.positive("ldap.network_timeout", s.NetworkTimeout, DefaultNetworkTimeout)
	out.ProbeInterval = l.notNegative("ldap.probe_interval", s.ProbeInterval, DefaultProbeInterval)
	out.MaxMessageSize = l.within("ldap.max_message_size", s.MaxMessageSize, MinMessageSize, MaxMessageSize, DefaultMaxMessageSize)
	out.StaleGrace = l.positive("ldap.stale_grace", s.StaleGrace, DefaultStaleGrace)
	out.FullReloadInterval = l.notNegative("ldap.full_reload_interval", s.FullReloadInterval, 0)
	out.TLS = l.tls(s.TLS, out.URIs)
	out.Bind = l.bind(s.Bind, parts.bindName)
	l.bindAndTLS(section, out)
	return out
}

// uris returns the providers and adds the other parts of the URLs to parts.
func (l *loader) uris(section given[ldapSection], parts *search) []string {
	key := section.Value.URI
	if key.Line == 0 {
		l.problems.add(section.Line, "ldap.uri is missing; name the server, as in ldap://ldap.example.com")
	} else if key.OK && len(key.Value) == 0 {
		l.problems.add(key.Line, "ldap.uri is empty; name the server, as in ldap://ldap.example.com")
	}
	var providers []string
	lines := make(map[string]int)
	for _, uri := range key.Value {
		if !uri.OK {
			continue
		}
		u, err := ParseLDAPURL(uri.Value)
		if err != nil {
			l.problems.add(uri.Line, "ldap.uri: %v", err)
			continue
		}
		provider := u.Provider()
		switch first, twice := lines[provider]; {
		case provider == "":
			l.problems.add(uri.Line, "ldap.uri: it names no host; write ldap://localhost for this machine")
		case twice:
			l.problems.add(uri.Line, "ldap.uri: %s is in line %d already; remove one", provider, first)
		default:
			lines[provider] = uri.Line
			providers = append(providers, provider)
		}
		addText(&parts.base, u.DN, "ldap.uri: base", uri.Line)
		addText(&parts.scope, u.Scope, "ldap.uri: scope", uri.Line)
		addText(&parts.filter, u.Filter, "ldap.uri: filter", uri.Line)
		addText(&parts.bindName, u.BindName, "ldap.uri: bindname", uri.Line)
		if len(u.Attributes) > 0 {
			parts.attributes = append(parts.attributes, part[[]string]{u.Attributes, "ldap.uri: attributes", uri.Line})
			for _, name := range u.Attributes {
				l.askedAttribute("ldap.uri: attributes", uri.Line, name)
			}
		}
	}
	return providers
}

// agreed returns the value that all parts give, or def if there is none. Where two
// differ it reports the later one.
func agreed[T any](l *loader, parts []part[T], def T, same func(a, b T) bool) T {
	if len(parts) == 0 {
		return def
	}
	first := parts[0]
	for _, p := range parts[1:] {
		if !same(first.value, p.value) {
			l.problems.add(p.line, "%s: %q differs from %q in line %d (%s); they must agree, or be written once",
				p.where, any(p.value), any(first.value), first.line, first.where)
		}
	}
	return first.value
}

func sameText(a, b string) bool { return a == b }

func sameDN(a, b string) bool {
	x, errX := ldap.ParseDN(a)
	y, errY := ldap.ParseDN(b)
	return errX != nil || errY != nil || x.EqualFold(y) // a bad one is reported as such
}

func sameNames(a, b []string) bool {
	normalized := func(names []string) []string {
		out := make([]string, len(names))
		for i, name := range names {
			out[i] = strings.ToLower(name)
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	return slices.Equal(normalized(a), normalized(b))
}

func (l *loader) notEmpty(name string, key given[string]) {
	if key.OK && key.Value == "" {
		l.problems.add(key.Line, "%s is empty; give it a value or leave the key out", name)
	}
}

// dn reports a part that is no DN.
func (l *loader) dn(p part[string]) {
	if dn, err := ldap.ParseDN(p.value); err != nil {
		l.problems.add(p.line, "%s: %q is no DN: %v", p.where, p.value, err)
	} else if len(dn.RDNs) == 0 {
		l.problems.add(p.line, "%s: %q is no DN", p.where, p.value)
	}
}

// attributeName is an attribute description (RFC 4512, section 2.5), with the
// underscores that some servers allow.
var attributeName = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_-]*|\d+(\.\d+)+)(;[A-Za-z0-9_-]+)*$`)

// askedAttribute checks an attribute to ask of a provider, where "*", "+" and the
// attributes of an object class ("@person") are names too.
func (l *loader) askedAttribute(where string, line int, name string) {
	if name != "*" && name != "+" && !attributeName.MatchString(strings.TrimPrefix(name, "@")) {
		l.problems.add(line, "%s: %q is no attribute name", where, name)
	}
}
