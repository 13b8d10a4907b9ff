package syncrepl_test

import (
	"context"
	"fmt"
	"log"
	"os/signal"
	"syscall"

	"github.com/listenerd/listenerd/listener/syncrepl"
)

// printer is a sink that wants to be told, and nothing more: it keeps the cookie in
// memory, so each start begins with the full content.
type printer struct{ cookie []byte }

func (p *printer) Begin(_ context.Context, s syncrepl.Session) ([]byte, error) {
	fmt.Printf("following %s (%v)\n", s.URI, s.Vendor)
	return p.cookie, nil
}

func (p *printer) Entry(_ context.Context, e *syncrepl.Entry) error {
	fmt.Printf("%s is %s\n", e.UUID, e.DN)
	for name, values := range e.All() {
		fmt.Printf("  %s: %q\n", name, values)
	}
	return nil
}

func (p *printer) Present(_ context.Context, ids []syncrepl.UUID) error {
	fmt.Printf("%d entries are unchanged\n", len(ids))
	return nil
}

func (p *printer) Delete(_ context.Context, ids []syncrepl.UUID) error {
	fmt.Println("gone:", ids)
	return nil
}

func (p *printer) Sweep(context.Context) error {
	fmt.Println("gone: all that was not mentioned")
	return nil
}

func (p *printer) RefreshDone(context.Context) error {
	fmt.Println("up to date")
	return nil
}

func (p *printer) Cookie(_ context.Context, cookie []byte) error {
	p.cookie = cookie
	return nil
}

func (p *printer) ResetCookie(_ context.Context, cookie []byte, reason error) error {
	p.cookie = cookie
	return nil
}

func (p *printer) Flush(context.Context) error { return nil }

var _ syncrepl.Sink = (*printer)(nil)

// A program that only wants to be called follows a directory until it is stopped.
func Example() {
	consumer, err := syncrepl.New(syncrepl.Config{
		URIs:     []string{"ldap://ldap1.example.com", "ldap://ldap2.example.com"},
		Base:     "dc=example,dc=com",
		Filter:   "(objectClass=inetOrgPerson)",
		BindDN:   "cn=listener,dc=example,dc=com",
		Password: "secret",
		Notify:   func(e syncrepl.Event) { log.Print(e) },
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := consumer.Run(ctx, &printer{}); err != nil {
		log.Fatal(err)
	}
}
