package shared_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/shared"
)

var errOutdated = errors.New("a newer holder was here")

// register is a system outside that several workers count in, by reading and then
// writing. It compares fencing numbers, and knows what it was told already.
type register struct {
	mu    sync.Mutex // guards the fields below
	fence uint64
	value int
	done  map[int]bool
}

func (r *register) read(fence uint64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if fence < r.fence {
		return 0, errOutdated
	}
	r.fence = fence
	return r.value, nil
}

func (r *register) write(fence uint64, item, value int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if fence < r.fence {
		return errOutdated
	}
	if !r.done[item] {
		r.done[item], r.value = true, value
	}
	return nil
}

// TestRestartUnderLoad counts 2,000 items by 64 workers with 8 stores, as in 8
// processes, and restarts memcached five times meanwhile.
//
//   - Nobody waits for ever.
//   - A worker whose turn overlaps with a later one's gets an error, so that what came
//     back as nil was alone.
//   - The holder during a restart sees its context end with cause ErrLockLost.
//   - Numbers keep growing, so that the register counts right in spite of overlaps.
func TestRestartUnderLoad(t *testing.T) {
	const stores, workers, items = 8, 64, 2000
	server := startServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	target := &register{done: map[int]bool{}}
	work, restart := make(chan int, items), make(chan chan struct{}, items) // closed when it is done
	for i := range items {
		work <- i
	}
	close(work)

	var turns, lost, unavailable, surfaced, overlaps atomic.Int64
	count := func(ctx context.Context, item int, first *bool) error {
		fence := listener.LockInfo(ctx).Fence
		before, err := target.read(fence)
		if err != nil {
			return err
		}
		if *first {
			*first = false
			switch item {
			case 300: // restarted under its feet
				restart <- make(chan struct{})
				select {
				case <-ctx.Done():
					if errors.Is(context.Cause(ctx), listener.ErrLockLost) {
						surfaced.Add(1)
					}
				case <-time.After(patience):
					t.Error("the loss does not show")
				}
			case 900: // the same, and it is done before it can know
				restarted := make(chan struct{})
				restart <- restarted
				<-restarted
			case 600, 1200, 1500: // any time
				restart <- make(chan struct{})
			}
		}
		runtime.Gosched()
		return target.write(fence, item, before+1)
	}
	var running sync.WaitGroup
	var handles []listener.Shared
	for range stores {
		handles = append(handles, newMemcached(t, shared.Config{Servers: []string{server.addr()}}).Open("d", "m"))
	}
	for i := range workers {
		s := handles[i%stores]
		running.Go(func() {
			for item := range work {
				for first := true; ; {
					alone := true
					err := s.WithLock(ctx, "k", 600*time.Millisecond, func(ctx context.Context) error {
						turn := turns.Add(1)
						defer func() { alone = turns.Load() == turn }()
						return count(ctx, item, &first)
					})
					if !alone {
						overlaps.Add(1)
					}
					if err == nil {
						if !alone {
							t.Error("a turn that overlapped with another came back as nil")
						}
						break
					}
					switch {
					case errors.Is(err, listener.ErrLockLost):
						lost.Add(1)
					case errors.Is(err, listener.ErrUnavailable):
						unavailable.Add(1)
					case !errors.Is(err, errOutdated):
						t.Errorf("item %d: %v", item, err)
						return
					}
					<-time.After(5 * time.Millisecond) // a handler's retry
				}
			}
		})
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		running.Wait()
	}()
	restarts := 0
	for done := false; !done; {
		select {
		case restarted := <-restart:
			server.restart()
			close(restarted)
			restarts++
		case <-finished:
			done = true
		}
	}
	if target.value != items || len(target.done) != items {
		t.Errorf("counted to %d, with %d items, want %d", target.value, len(target.done), items)
	}
	if surfaced.Load() != 1 || restarts != 5 {
		t.Errorf("%d losses at 1 holder, %d restarts of 5", surfaced.Load(), restarts)
	}
	if lost.Load() < 2 {
		t.Errorf("%d locks were lost, want those of the two who held one during a restart", lost.Load())
	}
	t.Logf("%d turns, %d locks lost, %d times unavailable, %d overlaps", turns.Load(), lost.Load(), unavailable.Load(), overlaps.Load())
}
