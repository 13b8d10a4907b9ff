package syncrepl_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/listenerd/listenerd/listener/syncrepl"
)

// printer is a sink that wants to be told, and nothing more: it keeps the cookie in
// memory, so each start begins with the full content.
type printer struct {
	out    io.Writer
	cookie []byte
}

func (p *printer) Begin(_ context.Context, s syncrepl.Session) ([]byte, error) {
	fmt.Fprintf(p.out, "following %s (%v)\n", s.URI, s.Vendor)
	return p.cookie, nil
}

func (p *printer) Entry(_ context.Context, e *syncrepl.Entry) error {
	fmt.Fprintf(p.out, "%s is %s\n", e.UUID, e.DN)
	for name, values := range e.All() {
		fmt.Fprintf(p.out, "  %s: %q\n", name, values)
	}
	return nil
}

func (p *printer) Present(_ context.Context, ids []syncrepl.UUID) error {
	fmt.Fprintf(p.out, "%d entries are unchanged\n", len(ids))
	return nil
}

func (p *printer) Delete(_ context.Context, ids []syncrepl.UUID) error {
	fmt.Fprintln(p.out, "gone:", ids)
	return nil
}

func (p *printer) Sweep(context.Context) error {
	fmt.Fprintln(p.out, "gone: all that was not mentioned")
	return nil
}

func (p *printer) RefreshDone(context.Context) error {
	fmt.Fprintln(p.out, "up to date")
	return nil
}

func (p *printer) Cookie(_ context.Context, cookie []byte) error {
	fmt.Fprintf(p.out, "cookie %q\n", cookie)
	p.cookie = cookie
	return nil
}

func (p *printer) ResetCookie(_ context.Context, cookie []byte, reason error) error {
	fmt.Fprintln(p.out, "starting over:", reason)
	p.cookie = cookie
	return nil
}

func (p *printer) Flush(context.Context) error { return nil }

var _ syncrepl.Sink = (*printer)(nil)

// event is told what happens between the calls of the sink.
func (p *printer) event(e syncrepl.Event) {
	switch e.Kind {
	case syncrepl.EventBound:
		fmt.Fprintln(p.out, "bound at", e.URI)
	default:
		fmt.Fprintln(p.out, e)
	}
}

// printChanges follows a directory until ctx ends.
func printChanges(ctx context.Context, cfg syncrepl.Config, out io.Writer) error {
	p := &printer{out: out}
	cfg.Notify = p.event
	consumer, err := syncrepl.New(cfg)
	if err != nil {
		return err
	}
	return consumer.Run(ctx, p)
}

// A program that only wants to be called follows a directory until it is stopped.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := printChanges(ctx, syncrepl.Config{
		URIs:     []string{"ldap://ldap1.example.com", "ldap://ldap2.example.com"},
		Base:     "dc=example,dc=com",
		Filter:   "(objectClass=inetOrgPerson)",
		BindDN:   "cn=listener,dc=example,dc=com",
		Password: "secret",
	}, os.Stdout)
	if err != nil {
		log.Fatal(err)
	}
}
