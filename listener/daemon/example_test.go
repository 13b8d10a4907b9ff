package daemon_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log"
	"os"
	"os/signal"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/daemon"
)

// teller is a handler that tells what happens to entries.
type teller struct{ out io.Writer }

func (t teller) Create(_ context.Context, new *listener.Entry) error {
	_, err := fmt.Fprintln(t.out, "added", new.DN())
	return err // an error: it is called again, later
}

func (t teller) Modify(_ context.Context, old, new *listener.Entry) error {
	if old.DN() != new.DN() {
		fmt.Fprintln(t.out, "renamed", old.DN(), "to", new.DN())
	}
	for _, c := range listener.Diff(old, new) {
		fmt.Fprintf(t.out, "changed %s: %s is not %q but %q\n", new.DN(), c.Name, c.Removed, c.Added)
	}
	return nil
}

func (t teller) Remove(_ context.Context, old *listener.Entry) error {
	_, err := fmt.Fprintln(t.out, "deleted", old.DN())
	return err
}

// follow follows a directory until ctx ends.
func follow(ctx context.Context, config string, out io.Writer) error {
	people := listener.Define(
		listener.Spec{Name: "people", LDAPFilter: "(objectClass=inetOrgPerson)"}, struct{}{},
		func(context.Context, listener.Env, struct{}) (listener.Handler, error) { return teller{out}, nil })
	d, err := daemon.New(daemon.Options{
		Config: []byte(config),
		RefreshDone: func(entries iter.Seq2[*listener.Entry, error]) {
			for e, err := range entries {
				if err != nil {
					log.Print(err)
					return
				}
				fmt.Fprintln(out, "there is", e.DN())
			}
		},
		CookieChanged: func(cookie []byte) { fmt.Fprintf(out, "cookie %s\n", cookie) },
	}, people)
	if err != nil {
		return err
	}
	return d.Run(ctx)
}

// A program embeds the engine: its handler is told what is added, changed, renamed
// and deleted, and options tell of complete refreshes and cookies.
func Example_embedded() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := follow(ctx, `
ldap:
  uri: ldap://ldap.example.com
  base: dc=example,dc=com
state_dir: /var/lib/people
modules: [{name: people}]
`, os.Stdout)
	if err != nil {
		log.Fatal(err)
	}
}
