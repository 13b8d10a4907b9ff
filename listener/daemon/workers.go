package daemon

import (
	"runtime"

	"github.com/listenerd/listenerd/listener"
)

// workers returns the number of workers that a module's parallelism stands for.
func workers(s listener.Spec) int {
	n := s.Parallelism
	switch {
	case n == listener.PerCPU:
		n = runtime.GOMAXPROCS(0)
	case n < 0:
		n += runtime.GOMAXPROCS(0)
	}
	return max(n, 1)
}
