package config

import (
	"net"
	"os"
	"strings"
)

// shared reads the section of that name.
func (l *loader) shared(section given[sharedSection]) Shared {
	s := section.Value
	out := Shared{
		Timeout:   l.positive("shared.timeout", s.Timeout, DefaultSharedTimeout),
		Required:  s.Required.Value,
		Namespace: s.Namespace.Value,
	}
	seen := map[string]bool{}
	for _, server := range s.Memcached.Value {
		addr := server.Value
		_, port, err := net.SplitHostPort(addr)
		switch {
		case !server.OK: // reported
		case !strings.HasPrefix(addr, "/") && (err != nil || port == ""):
			l.problems.add(server.Line, "shared.memcached: %q is no server; write host:port, or the path of a socket", addr)
		case seen[addr]:
			l.problems.add(server.Line, "shared.memcached: %s is listed twice", addr)
		}
		seen[addr] = true
		out.Memcached = append(out.Memcached, addr)
	}
	if len(out.Memcached) == 0 {
		for name, line := range map[string]int{"timeout": s.Timeout.Line, "required": s.Required.Line, "namespace": s.Namespace.Line} {
			if line > 0 {
				l.problems.add(line, "shared.%s needs shared.memcached", name)
			}
		}
	}
	return out
}

// defaultNamespace is no other daemon's: nobody else has the state directory.
func defaultNamespace(stateDir string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return host + ":" + stateDir
}
