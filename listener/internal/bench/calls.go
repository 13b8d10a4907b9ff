package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/dispatch"
	"github.com/listenerd/listenerd/listener/internal/worker"
)

// place is where the calls of a module are made that does nothing.
type place struct {
	name     string
	calls    int     // that are made
	promised float64 // calls per second; 0: nothing
	open     func(context.Context) (dispatch.Executor, func() error, error)
	rates    []float64
}

// callers is the number of workers everywhere.
const callers = 4

var places = []*place{
	{name: "calls in goroutines", calls: 500_000, open: func(context.Context) (dispatch.Executor, func() error, error) {
		return dispatch.InProcess(listener.Base{}), func() error { return nil }, nil
	}},
	{name: "calls in processes", calls: 100_000, promised: 20_000, open: openProcesses},
}

// workerRole is the argument that makes this program a worker process.
const workerRole = "worker"

func openProcesses(ctx context.Context) (dispatch.Executor, func() error, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	p, err := worker.Open(ctx, worker.Config{Module: "no-op", Workers: callers, Command: []string{program, workerRole}, CloseTimeout: time.Minute, Log: zap.NewNop()})
	if err != nil {
		return nil, nil, err
	}
	return p, p.Close, nil
}

func runWorker() error {
	return worker.Main(func(context.Context, *worker.Session) (listener.Handler, error) { return listener.Base{}, nil })
}

// measure has the dispatcher make all calls, from an outbox in memory.
func (p *place) measure(ctx context.Context) (rate float64, err error) {
	executor, closeAll, err := p.open(ctx)
	if err != nil {
		return 0, err
	}
	defer func() {
		if closed := closeAll(); err == nil {
			err = closed
		}
	}()
	box := &endless{left: p.calls, entry: person()}
	d := dispatch.New(dispatch.Config{Outbox: box, ShutdownTimeout: time.Second, Seq: 1 << 60, Log: zap.NewNop()}, []dispatch.Module{{
		Name: "no-op", Spec: listener.Spec{Name: "no-op", RunAsynchronously: true}, Workers: callers, Executor: executor, Log: zap.NewNop(), Queued: p.calls,
		Settings: dispatch.Settings{RetryMin: time.Second, RetryMax: time.Second},
	}})
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- d.Run(running) }()
	if err := d.Settle(ctx); err != nil {
		return 0, err
	}
	took := time.Since(began)
	stop()
	if err := <-ended; err != nil {
		return 0, err
	}
	if s := d.Status()[0]; s.Calls != uint64(p.calls) {
		return 0, fmt.Errorf("%d calls of %d succeeded: %s", s.Calls, p.calls, s.LastError)
	}
	return float64(p.calls) / took.Seconds(), nil
}

// person returns an entry of 1 KB.
func person() *listener.Entry {
	var attrs []listener.Attribute
	for i := range 20 {
		attrs = append(attrs, listener.Attribute{Name: fmt.Sprintf("attribute%d", i), Values: []string{strings.Repeat("v", 32)}})
	}
	return listener.NewEntry(listener.UUID{1}, "uid=a,ou=people,dc=example,dc=com", attrs...)
}

// endless is an outbox of creates, each of an entry of its own.
type endless struct {
	left  int
	entry *listener.Entry
}

var _ dispatch.Outbox = (*endless)(nil)

// Load implements [dispatch.Outbox]; the other methods do too, and have nothing to do.
func (o *endless) Load(_ string, q dispatch.Query) ([]*dispatch.Task, error) {
	n := min(q.Limit, o.left, max(1, q.Size/1000))
	o.left -= n
	tasks := make([]*dispatch.Task, n)
	for i := range tasks {
		seq := q.After + uint64(i) + 1
		tasks[i] = &dispatch.Task{
			Seq: seq, Kind: listener.KindCreate, Cause: listener.CauseLive, UUID: o.entry.UUID(), New: o.entry, Keys: []string{fmt.Sprint(seq)}, Size: 1000,
		}
	}
	return tasks, nil
}

func (o *endless) Backlog(string, dispatch.Query) ([]*dispatch.Task, bool, error) {
	return nil, false, nil
}

func (o *endless) Due(string, time.Time, dispatch.Query) ([]*dispatch.Task, time.Time, bool, error) {
	return nil, time.Time{}, false, nil
}
func (o *endless) Fold(string, bool, uint64, dispatch.Query) (uint64, int, error) { return 0, 0, nil }
func (o *endless) Refill(string) (bool, error)                                    { return false, nil }
func (o *endless) Commit(map[string]*dispatch.Changes) error                      { return nil }
func (o *endless) Update(string, dispatch.Steps) error                            { return nil }

// reportCalls prints the table of calls that do nothing.
func reportCalls(w io.Writer, all []*place) {
	fmt.Fprintf(w, "\ncalls of a module that does nothing, with an entry of 1 KB each, %d at a time\n\n", callers)
	fmt.Fprintf(w, "%-28s %4s %10s %10s  %s\n", "what", "runs", "best /s", "median /s", "promised")
	for _, p := range all {
		slices.Sort(p.rates)
		median, promise := p.rates[len(p.rates)/2], ""
		if p.promised > 0 {
			promise = fmt.Sprintf(">= %.0f", p.promised) + verdict(median >= p.promised)
		}
		fmt.Fprintf(w, "%-28s %4d %10.0f %10.0f  %s\n", p.name, len(p.rates), p.rates[len(p.rates)-1], median, promise)
	}
}
