package daemon

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/admin"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
)

// rememberedCalls is how many of a module's last calls are remembered, for explain.
const rememberedCalls = 1_000

// callLog remembers the modules' last calls. The zero value is ready for use.
type callLog struct {
	mu    sync.Mutex // guards calls
	calls map[string]*[rememberedCalls]madeCall
	made  map[string]int // by module: how many were noted
}

type madeCall struct {
	uuid  listener.UUID
	seq   uint64
	kind  listener.Kind
	at    int64 // in ns
	error string
}

// note remembers calls that were made.
func (l *callLog) note(changes map[string]*dispatch.Changes) {
	now := time.Now().UnixNano()
	l.mu.Lock()
	defer l.mu.Unlock()
	for module, c := range changes {
		for _, t := range c.Done {
			l.add(module, madeCall{t.UUID, t.Seq, t.Kind, now, ""})
		}
		for _, t := range slices.Concat(c.Failed, c.Stopped) {
			text, _, _ := strings.Cut(t.Failure.Error, "\n")
			l.add(module, madeCall{t.UUID, t.Seq, t.Kind, now, text})
		}
	}
}

// add remembers a call. mu is held.
func (l *callLog) add(module string, c madeCall) {
	if l.calls == nil {
		l.calls, l.made = map[string]*[rememberedCalls]madeCall{}, map[string]int{}
	}
	if l.calls[module] == nil {
		l.calls[module] = new([rememberedCalls]madeCall)
	}
	l.calls[module][l.made[module]%rememberedCalls] = c
	l.made[module]++
}

// of returns up to limit of the calls that are remembered for the entry, the latest first,
// and whether all that the module has made are.
func (l *callLog) of(module string, id listener.UUID, limit int) (calls []admin.LastCall, complete bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	made := l.made[module]
	for i := made - 1; i >= max(0, made-rememberedCalls) && len(calls) < limit; i-- {
		if c := &l.calls[module][i%rememberedCalls]; c.uuid == id {
			calls = append(calls, admin.LastCall{Seq: c.seq, Call: string(c.kind), Time: time.Unix(0, c.at).UTC(), Error: c.error})
		}
	}
	return calls, made <= rememberedCalls
}
