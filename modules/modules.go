// Package modules lists the built-in handler modules. They are made of nothing but
// package listener, as third-party modules are.
package modules

import (
	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/modules/jsonl"
)

// All returns the built-in modules, sorted by name, in a slice of the caller's own.
func All() []listener.Module {
	return []listener.Module{
		jsonl.Module,
	}
}
