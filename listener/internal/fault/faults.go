//go:build faults

package fault

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Edge is the end of one transaction.
type Edge struct{ names []string }

// Commits names what the transaction commits.
func (e *Edge) Commits(name string) { e.names = append(e.names, name) }

// Before panics if the transaction has no name: then no test could end it here.
func (e *Edge) Before() {
	if len(e.names) == 0 {
		panic("fault: a transaction commits something and has no name; see Tx.Commits")
	}
	chosen.reach(e.names, "before")
}

// After is to be called first after the commit.
func (e *Edge) After() { chosen.reach(e.names, "after") }

// point is where the program is to die.
type point struct {
	name, side string

	mu   sync.Mutex
	left int // how often it is to be reached; guarded by mu
}

var chosen = parse(os.Getenv("LISTENERD_FAULT"))

func parse(text string) *point {
	p := &point{left: 1}
	if text == "" {
		return p
	}
	fields := strings.Fields(text)
	if len(fields) == 3 {
		if _, err := fmt.Sscan(fields[2], &p.left); err == nil && p.left > 0 {
			fields = fields[:2]
		}
	}
	if len(fields) != 2 || fields[1] != "before" && fields[1] != "after" {
		panic(fmt.Sprintf(`fault: LISTENERD_FAULT is %q, not "NAME before" or "NAME after 2"`, text))
	}
	p.name, p.side = fields[0], fields[1]
	return p
}

func (p *point) reach(names []string, side string) {
	if side != p.side || !slices.Contains(names, p.name) {
		return
	}
	p.mu.Lock() // for ever when it dies: nobody else gets any further
	if p.left--; p.left > 0 {
		p.mu.Unlock()
		return
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		panic(fmt.Sprintf("fault: %v", err))
	}
	select {} // the signal is on its way
}
