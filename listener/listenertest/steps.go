package listenertest

import (
	"context"

	"github.com/listenerd/listenerd/listener"
)

// method returns the handler's method for a step; nil if it has none.
func (h *Harness) method(kind listener.Kind) func(context.Context) error {
	switch kind {
	case listener.KindInitialize:
		if s, ok := h.handler.(listener.Initializer); ok {
			return s.Initialize
		}
	case listener.KindClean:
		if s, ok := h.handler.(listener.Cleaner); ok {
			return s.Clean
		}
	case listener.KindPreRun:
		if s, ok := h.handler.(listener.PreRunner); ok {
			return s.PreRun
		}
	case listener.KindPostRun:
		if s, ok := h.handler.(listener.PostRunner); ok {
			return s.PostRun
		}
	}
	return nil
}

// step makes a step that the test asks for.
func (h *Harness) step(ctx context.Context, kind listener.Kind) error {
	h.t.Helper()
	if h.method(kind) == nil {
		return h.refuse("the handler has no %s", kind)
	}
	h.barrier.Lock()
	defer h.barrier.Unlock()
	for _, owed := range h.owed() {
		if owed == kind || kind == listener.KindInitialize || kind == listener.KindClean {
			break
		}
		if err := h.stepLocked(ctx, owed); err != nil {
			return err
		}
	}
	return h.stepLocked(ctx, kind)
}

// prepare makes the steps that are owed before a call, and leaves the barrier held
// for reading unless it returns an error.
func (h *Harness) prepare(ctx context.Context) error {
	for {
		h.barrier.RLock()
		owed := h.owed()
		if len(owed) == 0 {
			return nil
		}
		h.barrier.RUnlock()

		if err := h.catchUp(ctx); err != nil {
			return err
		}
	}
}

// catchUp makes the steps that are owed. Of the calls that need them one makes them,
// and the others wait outside of the barrier: there, one that waits for writing keeps
// out the calls that those in flight may be waiting for.
func (h *Harness) catchUp(ctx context.Context) error {
	h.preparing.Lock()
	defer h.preparing.Unlock()
	if len(h.owed()) == 0 {
		return nil
	}
	h.barrier.Lock()
	defer h.barrier.Unlock()
	for _, kind := range h.owed() {
		if err := h.stepLocked(ctx, kind); err != nil {
			return err
		}
	}
	return nil
}

// owed returns the steps that come before the next call, in order.
func (h *Harness) owed() (kinds []listener.Kind) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.initialized {
		kinds = append(kinds, listener.KindInitialize)
	}
	if !h.running {
		kinds = append(kinds, listener.KindPreRun)
	}
	return kinds
}

// stepLocked makes a step, if the handler has it; the barrier is held for writing.
func (h *Harness) stepLocked(ctx context.Context, kind listener.Kind) error {
	if method := h.method(kind); method != nil {
		h.mu.Lock()
		h.stepAttempts[kind]++
		call := &listener.Call{Module: h.name, Kind: kind, Attempt: h.stepAttempts[kind]}
		h.mu.Unlock()
		if err := protect(func() error { return method(listener.WithCall(ctx, call)) }); err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stepAttempts[kind] = 0
	switch kind {
	case listener.KindInitialize:
		h.initialized = true
	case listener.KindClean:
		clear(h.entries)
		h.last = nil
		h.initialized, h.running = false, false
	case listener.KindPreRun:
		h.running = true
	case listener.KindPostRun:
		h.running = false
	}
	return nil
}
