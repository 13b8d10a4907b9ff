package listenertest

import (
	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/shared"
)

// Shared is the place in the memory of the test where the variables and locks of
// modules under test are kept, with the failures that the test wants:
//
//	place := listenertest.NewShared()
//	h := listenertest.Open(t, Module, listenertest.Env(func(env *listener.Env) {
//		env.Shared = place.Open("daemon", env.Name)
//	}))
//	...
//	place.Forget()
//
// It works in a bubble of testing/synctest, where its time is the bubble's.
type Shared struct {
	local *shared.Local
}

// NewShared returns an empty place.
func NewShared() *Shared { return &Shared{shared.NewLocal()} }

// Open returns the variables and locks of a module instance. Two modules that are
// opened with the same names share them, as the workers of an instance do.
func (s *Shared) Open(daemon, module string) listener.Shared {
	return s.local.Open(daemon, module)
}

// Forget forgets all variables and frees all locks, as a restart of memcached does.
func (s *Shared) Forget() { s.local.Forget() }

// SetDown makes all operations return [listener.ErrUnavailable] until it is called
// with false. Nothing is forgotten.
func (s *Shared) SetDown(down bool) { s.local.SetDown(down) }
