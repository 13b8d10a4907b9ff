package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/listenertest"
)

func person(t *testing.T, uid string) *listener.Entry {
	return listenertest.Entry(t, `
		dn: uid=`+uid+`,ou=people,dc=example,dc=com
		objectClass: inetOrgPerson
		uid: `+uid)
}

// Eight workers at a time give each person a number of its own, also when memcached
// forgets what they share, and once only.
func TestNumbersAreUnique(t *testing.T) {
	place, state := listenertest.NewShared(), t.TempDir()
	h := listenertest.Open(t, Module, listenertest.Env(func(env *listener.Env) {
		env.Shared, env.StateDir = place.Open("daemon", env.Name), state
	}))
	const people = 80
	var everyone []*listener.Entry
	for i := range people {
		everyone = append(everyone, person(t, fmt.Sprintf("p%d", i)))
	}
	for _, half := range [][]*listener.Entry{everyone[:people/2], everyone[people/2:]} {
		var working sync.WaitGroup
		for w := range 8 {
			working.Go(func() {
				for i := w; i < len(half); i += 8 {
					if err := h.Create(t.Context(), half[i]); err != nil {
						t.Error(err)
					}
				}
			})
		}
		working.Wait()
		place.Forget()
	}
	if err := h.Redeliver(t.Context()); err != nil {
		t.Error(err)
	}
	numbers, err := os.ReadDir(filepath.Join(state, "numbers"))
	if err != nil || len(numbers) != people || numbers[0].Name() != "10000" || numbers[people-1].Name() != fmt.Sprint(10000+people-1) {
		t.Errorf("%d numbers for %d people, %v", len(numbers), people, err)
	}
}

func TestNoNumbersLeft(t *testing.T) {
	h := listenertest.Open(t, Module, listenertest.Config(func(c *Config) { c.Last = c.First }))
	if err := h.Create(t.Context(), person(t, "a")); err != nil {
		t.Error(err)
	}
	if err := h.Create(t.Context(), person(t, "b")); err == nil || !strings.Contains(err.Error(), "all numbers up to 10000 are given") {
		t.Errorf("error %v", err)
	}
	if _, err := listenertest.TryOpen(t, Module, listenertest.Config(func(c *Config) { c.First = 0 })); err == nil {
		t.Error("a range from 0 was taken")
	}
}
