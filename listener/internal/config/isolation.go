package config

import (
	"errors"
	"maps"
	"os/user"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/listenerd/listenerd/listener"
)

// MinMemoryLimit is the least that a worker process can be limited to, in bytes.
const MinMemoryLimit = 64 << 20

// Process says how the worker processes of a module run (isolation: process).
type Process struct {
	// User whom they run as; nil: the daemon's.
	User *User
	// Env is added to the daemon's environment (env): NAME=value, sorted.
	Env []string
	// MemoryLimit is how much memory one may use, in bytes, at least [MinMemoryLimit]
	// (memory_limit). Default 0: any.
	MemoryLimit uint64
	// Nice is their niceness, -20 to 19. Default 0: the daemon's.
	Nice int
	// Config is the module's own configuration as YAML, without aliases; empty if it has
	// none. [Configure] reads it.
	Config []byte
}

// User is a user of the system.
type User struct {
	Name, Home string
	UID, GID   uint32
	Groups     []uint32
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// process reads the keys about isolation; it returns nil unless there is any.
func (l *loader) process(s moduleSection) *Process {
	isolated := s.Isolation.or("none") == "process"
	if !l.oneOf("modules.isolation", s.Isolation, "none", "process") || !isolated {
		lines := map[string]int{"user": s.User.Line, "env": s.Env.Line, "memory_limit": s.MemoryLimit.Line, "nice": s.Nice.Line}
		for name, line := range lines {
			if line > 0 && !isolated {
				l.problems.add(line, "modules.%s is for worker processes; it needs isolation: process", name)
			}
		}
		return nil
	}
	p := &Process{User: l.user(s.User), MemoryLimit: uint64(s.MemoryLimit.or(0)), Nice: s.Nice.or(0)}
	if s.MemoryLimit.OK && p.MemoryLimit < MinMemoryLimit {
		l.problems.add(s.MemoryLimit.Line, "modules.memory_limit: want at least %v, have %v", size(MinMemoryLimit), size(p.MemoryLimit))
	}
	if p.Nice < -20 || p.Nice > 19 {
		l.problems.add(s.Nice.Line, "modules.nice: want a number from -20 to 19, have %d", p.Nice)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env.Value)) {
		value := s.Env.Value[name]
		if !envName.MatchString(name) {
			l.problems.add(value.Line, "modules.env: %q is no name of a variable; want letters, digits and _", name)
		}
		if strings.ContainsRune(value.Value, 0) {
			l.problems.add(value.Line, "modules.env: the value of %s holds a zero octet", name)
		}
		p.Env = append(p.Env, name+"="+value.Value)
	}
	if s.Config.OK && !isNull(&s.Config.Value) {
		left := maxNodes
		plain, err := yaml.Marshal(expanded(&s.Config.Value, maxDepth, &left))
		if left <= 0 {
			err = errors.New("its aliases (*name) expand to too much")
		}
		if err != nil {
			l.problems.add(s.Config.Line, "modules.config cannot be handed to a process: %v", err)
		}
		p.Config = plain
	}
	return p
}

// user looks up a user by name or number.
func (l *loader) user(key given[string]) *User {
	if !key.OK {
		return nil
	}
	u, err := user.Lookup(key.Value)
	if err != nil {
		u, err = user.LookupId(key.Value)
	}
	if err != nil {
		l.problems.add(key.Line, "modules.user: there is no user %q on this machine", key.Value)
		return nil
	}
	out := &User{Name: u.Username, Home: u.HomeDir}
	groups, err := u.GroupIds()
	if err != nil {
		l.problems.add(key.Line, "modules.user: the groups of %s: %v", u.Username, err)
	}
	number := func(text string) uint32 {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			l.problems.add(key.Line, "modules.user: %q of user %s is no number", text, u.Username)
		}
		return uint32(n)
	}
	out.UID, out.GID = number(u.Uid), number(u.Gid)
	for _, g := range groups {
		out.Groups = append(out.Groups, number(g))
	}
	return out
}

// maxDepth bounds how deep a module's configuration may be nested.
const maxDepth = 1000

// expanded returns a copy of a node with what its aliases stand for in their place. If that
// is more than the nodes that are left, or deeper, none is left.
func expanded(n *yaml.Node, depth int, left *int) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if depth == 0 {
		*left = 0
	}
	out := &yaml.Node{Kind: n.Kind, Style: n.Style, Tag: n.Tag, Value: n.Value}
	for _, child := range n.Content {
		if *left--; *left <= 0 {
			*left = 0
			break
		}
		out.Content = append(out.Content, expanded(child, depth-1, left))
	}
	return out
}

// Configure makes an instance of the module with the configuration that [Process] has.
func Configure(m listener.Module, config []byte) (listener.Instance, error) {
	problems := collector{file: "config of " + m.Spec().Name}
	instance, err := m.Configure(func(into any) error {
		if len(config) == 0 {
			return nil
		}
		d := decoder{problems: &problems}
		if root := parse(config, &problems); root != nil {
			d.decode(root, reflect.ValueOf(into).Elem(), place{"config", 1})
		}
		if len(problems.list) > 0 {
			return problems.sorted()
		}
		return nil
	})
	return instance, err
}

// memory is a number of octets that may be large; it is written as a size.
type memory uint64

func (m *memory) decodeNode(d *decoder, n *yaml.Node, at place) bool {
	if n.Kind == yaml.ScalarNode {
		if octets, ok := parseSize(n.Value, 1<<50); ok {
			*m = memory(octets)
			return true
		}
	}
	d.want("a size such as 512MiB", n, at)
	return false
}
