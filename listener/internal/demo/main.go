// Command demo shows listenerd at work: it starts a throwaway OpenLDAP with a few
// hundred people, follows it with two modules, changes the directory and prints
// each change and the calls it caused. It checks that exactly the documented calls
// arrive and exits with status 1 if not.
//
// KEEP=1 leaves everything running, until Ctrl-C, with the commands to try.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

const people = 400

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	out := newScreen(os.Stdout)
	if err := run(ctx, out); err != nil {
		if ctx.Err() != nil {
			out.title("Interrupted; everything is stopped and removed")
			os.Exit(130)
		}
		out.failure(err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out *screen) (err error) {
	dir, err := os.MkdirTemp("", "listenerd-demo")
	if err != nil {
		return err
	}
	defer func() {
		if removeErr := os.RemoveAll(dir); err == nil {
			err = removeErr
		}
	}()

	out.title("A throwaway OpenLDAP")
	slapdDir := filepath.Join(dir, "slapd")
	if err := os.Mkdir(slapdDir, 0o700); err != nil {
		return err
	}
	server, err := slapdtest.New(slapdDir, slapdtest.WithLDIF(slapdtest.People(people, 1)), slapdtest.SessionLog(1000))
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := server.Stop(); err == nil {
			err = stopErr
		}
	}()
	directory, err := connect(server)
	if err != nil {
		return err
	}
	defer directory.close()
	initial, err := directory.initialCalls()
	if err != nil {
		return err
	}
	out.line("%s, %s, %d people", server.URI(), slapdtest.BaseDN, people)

	out.title("listenerd and its initial load")
	d, err := newDaemon(dir, server)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && ctx.Err() == nil {
			out.text(d.log())
		}
		if stopErr := d.stop(); err == nil {
			err = stopErr
		}
	}()
	if err := d.start(); err != nil {
		return err
	}
	out.line("%s run -c %s", d.program, d.config)
	for _, m := range modules {
		out.line("%s", m.describe())
	}
	followCtx, stopFollowing := context.WithCancel(ctx)
	calls := newFollower(followCtx, d)
	defer calls.wait()
	defer stopFollowing()
	if err := calls.initialLoad(out, initial); err != nil {
		return err
	}

	for _, step := range story(directory, d) {
		out.title("%s", step.title)
		expected, err := step.do()
		if err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
		for _, line := range step.change {
			out.change(line)
		}
		if err := calls.expect(out, expected); err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
	}

	out.title("What the daemon says of itself: listenerd status")
	status, err := d.status(ctx)
	if err != nil {
		return err
	}
	out.text(status)

	if os.Getenv("KEEP") != "" {
		out.title("It keeps running; press Ctrl-C to stop it and remove everything")
		out.playground(server, d)
		if err := calls.show(out); err != nil {
			return err
		}
	}

	out.title("The end")
	if err := d.stop(); err != nil {
		return err
	}
	out.line("SIGTERM: listenerd ended with exit status 0")
	// What the calls of the shutdown (post_run) wrote is read before the end.
	if err := calls.drain(out); err != nil {
		return err
	}
	if err := server.Stop(); err != nil {
		return err
	}
	out.line("slapd stopped, %s removed", dir)
	out.whatNext()
	return nil
}
