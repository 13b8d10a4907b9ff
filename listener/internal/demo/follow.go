package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/modules/event"
)

const (
	pollInterval = 10 * time.Millisecond
	loadLimit    = 30 * time.Second
	callLimit    = 10 * time.Second
)

// call is what a step of the demo expects, in the words of the event document.
type call struct {
	module    string
	kind      listener.Kind
	dn, oldDN string
}

func callOf(d event.Document) call {
	return call{d.Module, d.Call, string(d.DN), string(d.OldDN)}
}

// follower reads the modules' event files as they grow.
type follower struct {
	daemon  *daemon
	tails   []*eventFile
	events  chan event.Document
	started time.Time
	reader  sync.WaitGroup
	err     error // why reading stopped; read after events is closed
}

// newFollower starts to read. The caller cancels ctx and calls wait.
func newFollower(ctx context.Context, d *daemon) *follower {
	f := &follower{daemon: d, events: make(chan event.Document), started: time.Now()}
	for _, m := range modules {
		f.tails = append(f.tails, &eventFile{path: d.events(m)})
	}
	f.reader.Go(func() {
		defer close(f.events)
		f.err = f.read(ctx)
	})
	return f
}

func (f *follower) wait() { f.reader.Wait() }

func (f *follower) read(ctx context.Context) error {
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		for _, t := range f.tails {
			events, err := t.next()
			if err != nil {
				return err
			}
			for _, e := range events {
				select {
				case f.events <- e:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// errNothingCame is returned by receive when its deadline has passed.
var errNothingCame = errors.New("nothing came in time")

func (f *follower) receive(deadline <-chan time.Time) (event.Document, error) {
	var died <-chan struct{}
	if f.daemon.running != nil {
		died = f.daemon.running.Done()
	}
	select {
	case e, ok := <-f.events:
		if !ok {
			return e, f.err
		}
		return e, nil
	case <-deadline:
		return event.Document{}, errNothingCame
	case <-died:
		return event.Document{}, errors.New("listenerd has ended")
	}
}

// initialLoad waits for the creates of the initial load, as many per module as
// expected says, and shows the first few.
func (f *follower) initialLoad(out *screen, expected map[string]int) error {
	const shown = 6
	deadline := time.After(loadLimit)
	missing, total := 0, 0
	for _, n := range expected {
		missing += n
	}
	got := make(map[string]int)
	for missing > 0 {
		e, err := f.receive(deadline)
		if errors.Is(err, errNothingCame) {
			return fmt.Errorf("after %v there were %v creates, expected %v", loadLimit, got, expected)
		}
		if err != nil {
			return err
		}
		if housekeeping(e) {
			out.call(e)
			continue
		}
		if got[e.Module]++; e.Call != listener.KindCreate || got[e.Module] > expected[e.Module] {
			return fmt.Errorf("unexpected in the initial load: %v", callOf(e))
		}
		if total++; total <= shown {
			out.call(e)
		}
		missing--
	}
	took := time.Since(f.started)
	out.line("... and %d more: %d calls in %.1f s, %.0f/s, counted from the daemon's start",
		total-min(total, shown), total, took.Seconds(), float64(total)/took.Seconds())
	return nil
}

// expect shows the calls as they arrive, until each expected one did: those of one
// module for one DN in the order given. A call that is not expected is an error;
// pre_run and post_run come by the clock.
func (f *follower) expect(out *screen, expected []call) error {
	deadline := time.After(callLimit)
	missing := slices.Clone(expected)
	for len(missing) > 0 {
		e, err := f.receive(deadline)
		if errors.Is(err, errNothingCame) {
			out.missing(missing)
			return fmt.Errorf("calls did not arrive within %v", callLimit)
		}
		if err != nil {
			return err
		}
		out.call(e)
		if housekeeping(e) {
			continue
		}
		c := callOf(e)
		next := slices.IndexFunc(missing, func(m call) bool { return m.module == c.module && m.dn == c.dn })
		if next < 0 || missing[next] != c {
			out.missing(missing)
			return errors.New("the last call is not one of these, or before its turn")
		}
		missing = slices.Delete(missing, next, next+1)
	}
	return nil
}

// show shows calls until the follower's context ends or the daemon dies.
func (f *follower) show(out *screen) error {
	for {
		e, err := f.receive(nil)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		out.call(e)
	}
}

// drain shows what the stopped daemon wrote last; only housekeeping is expected.
func (f *follower) drain(out *screen) error {
	quiet := 5 * pollInterval
	for {
		e, err := f.receive(time.After(quiet))
		if errors.Is(err, errNothingCame) || errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		out.call(e)
		if !housekeeping(e) {
			return fmt.Errorf("unexpected call: %v", callOf(e))
		}
	}
}

// housekeeping tells whether e is a call without an entry.
func housekeeping(e event.Document) bool {
	switch e.Call {
	case listener.KindCreate, listener.KindModify, listener.KindRemove:
		return false
	}
	return true
}

// eventFile reads the whole lines that were appended to a file.
type eventFile struct {
	path   string
	offset int64
	rest   []byte // the beginning of a line
}

// next returns the events since the last call.
func (t *eventFile) next() ([]event.Document, error) {
	file, err := os.Open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if _, err := file.Seek(t.offset, io.SeekStart); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	t.offset += int64(len(data))
	t.rest = append(t.rest, data...)
	var events []event.Document
	for {
		line, rest, ok := bytes.Cut(t.rest, []byte("\n"))
		if !ok {
			return events, nil
		}
		t.rest = rest
		var e event.Document
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", t.path, err, line)
		}
		events = append(events, e)
	}
}
