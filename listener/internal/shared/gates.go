package shared

import (
	"context"
	"sync"

	"github.com/listenerd/listenerd/listener"
)

// gates let one goroutine of the process at a time through to each lock, in order of
// arrival. The zero value is ready.
type gates struct {
	mu sync.Mutex // guards m and the users of each gate
	m  map[string]*gate
}

type gate struct {
	users  int           // who is in or waits
	inside chan struct{} // has room for the one who is in
}

// enter waits for the caller's turn at id and returns the function that ends it. If
// it must not wait, it returns listener.ErrLocked; if ctx ends, the cause.
func (g *gates) enter(ctx context.Context, id string, wait bool) (leave func(), err error) {
	gt := g.join(id)
	select {
	case gt.inside <- struct{}{}:
	default:
		if !wait {
			g.part(id, gt)
			return nil, listener.ErrLocked
		}
		select {
		case gt.inside <- struct{}{}:
		case <-ctx.Done():
			g.part(id, gt)
			return nil, context.Cause(ctx)
		}
	}
	return func() {
		<-gt.inside
		g.part(id, gt)
	}, nil
}

func (g *gates) join(id string) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	gt := g.m[id]
	if gt == nil {
		if g.m == nil {
			g.m = map[string]*gate{}
		}
		gt = &gate{inside: make(chan struct{}, 1)}
		g.m[id] = gt
	}
	gt.users++
	return gt
}

// part takes the caller off the gate; one without users is forgotten.
func (g *gates) part(id string, gt *gate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if gt.users--; gt.users == 0 {
		delete(g.m, id)
	}
}
