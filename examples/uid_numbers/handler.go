package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
)

// Config is what can be written below config: in the YAML.
type Config struct {
	First int `yaml:"first"` // number that is given; default 10000
	Last  int `yaml:"last"`  // default 59999
}

// Validate is called by check and by run.
func (c *Config) Validate() error {
	if c.First < 1 || c.Last < c.First {
		return fmt.Errorf("first (%d) and last (%d) are no range of numbers", c.First, c.Last)
	}
	return nil
}

// Module gives numbers. With eight workers, eight people may be asked about at once, so
// that what a worker does alone with its entry is not slowed down by the others; what
// they share is done by one at a time.
var Module = listener.Define(
	listener.Spec{
		Name:              "uid-numbers",
		Description:       "Gives each person a UID number of its own.",
		LDAPFilter:        "(objectClass=inetOrgPerson)",
		Attributes:        []string{"uid"},
		RunAsynchronously: true,
		Parallelism:       8,
	},
	Config{First: 10000, Last: 59999},
	open)

func open(_ context.Context, env listener.Env, c Config) (listener.Handler, error) {
	h := &handler{
		env: env, config: c,
		numbers: filepath.Join(env.StateDir, "numbers"), people: filepath.Join(env.StateDir, "people"),
		next:  listener.Var[int]{Shared: env.Shared, Key: "next"},
		given: listener.Var[int]{Shared: env.Shared, Key: "given"},
	}
	for _, dir := range []string{h.numbers, h.people} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// handler keeps the truth in files, which outlast everything: numbers/N holds the UUID of
// whom N was given to, people/UUID holds N. What the workers share is made again from them
// when memcached has forgotten it.
type handler struct {
	env             listener.Env
	config          Config
	numbers, people string
	next            listener.Var[int] // the number to give next
	given           listener.Var[int] // how many were given
}

var (
	_ listener.Handler    = (*handler)(nil)
	_ listener.PostRunner = (*handler)(nil)
)

// Create gives a number, unless it did so already: a call may come twice.
func (h *handler) Create(ctx context.Context, new *listener.Entry) error {
	person := filepath.Join(h.people, new.UUID().String())
	if _, err := os.Stat(person); err == nil {
		return nil
	}
	// Whatever takes time, such as asking another system about the person, belongs here,
	// before the lock.
	err := h.env.Shared.WithLock(ctx, "numbers", 0, func(ctx context.Context) error { return h.give(ctx, new, person) })
	if err != nil {
		return fmt.Errorf("number for %s: %w", new.Get("uid"), err) // it is called again
	}
	return nil
}

// give is for one worker at a time. Should the lock be lost meanwhile, and another worker
// give the same number, then one of the two finds its file taken.
func (h *handler) give(ctx context.Context, new *listener.Entry, person string) error {
	n, err := h.next.Get(ctx)
	if errors.Is(err, listener.ErrNotFound) {
		n, err = h.count(ctx)
	}
	if err != nil {
		return err
	}
	draft := person + ".draft"
	if err := os.WriteFile(draft, []byte(new.UUID().String()+"\n"), 0o600); err != nil {
		return err
	}
	for ; ; n++ {
		if n > h.config.Last {
			return listener.Permanent(fmt.Errorf("all numbers up to %d are given", h.config.Last))
		}
		err := os.Link(draft, filepath.Join(h.numbers, strconv.Itoa(n)))
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	// A crash at this point costs a number, and no more: it is given to nobody else.
	if err := os.Remove(draft); err != nil {
		return err
	}
	if err := os.WriteFile(person, []byte(strconv.Itoa(n)+"\n"), 0o600); err != nil {
		return err
	}
	if err := h.next.Set(ctx, n+1); err != nil {
		return err
	}
	if _, err := h.given.Update(ctx, func(n int) (int, error) { return n + 1, nil }); err != nil {
		return err
	}
	h.env.Log.Info("number given", zap.String("uid", new.Get("uid")), zap.Int("number", n))
	return nil
}

// count sets the shared variables to what the files say.
func (h *handler) count(ctx context.Context) (next int, err error) {
	files, err := os.ReadDir(h.numbers)
	if err != nil {
		return 0, err
	}
	next = h.config.First
	for _, f := range files {
		if n, err := strconv.Atoi(f.Name()); err == nil {
			next = max(next, n+1)
		}
	}
	return next, h.given.Set(ctx, len(files))
}

// Modify has nothing to do: the number belongs to the entry, whatever its name.
func (h *handler) Modify(context.Context, *listener.Entry, *listener.Entry) error { return nil }

// Remove forgets the person. The number stays taken: files of theirs may be about.
func (h *handler) Remove(_ context.Context, old *listener.Entry) error {
	person := filepath.Join(h.people, old.UUID().String())
	n, err := os.ReadFile(person)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	h.env.Log.Info("person removed; the number stays taken", zap.String("uid", old.Get("uid")), zap.String("number", strings.TrimSpace(string(n))))
	return os.Remove(person)
}

// PostRun is called when there was nothing to do for a while.
func (h *handler) PostRun(ctx context.Context) error {
	n, err := h.given.Get(ctx)
	if err != nil && !errors.Is(err, listener.ErrNotFound) {
		return err
	}
	h.env.Log.Info("no more people for now", zap.Int("numbers_given", n))
	return nil
}
