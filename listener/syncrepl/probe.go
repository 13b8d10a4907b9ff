package syncrepl

import (
	"context"
	"fmt"

	"github.com/go-ldap/ldap/v3"

	"github.com/listenerd/listenerd/listener/internal/wire"
)

// next waits for the next chunk. In the persist stage silence is normal, and also all
// that a broken connection has to offer: when it has lasted for the probe interval, the
// provider is asked whether it is still there.
func (s *session) next(ctx context.Context) (*wire.Chunk, error) {
	if !s.persist || s.c.cfg.ProbeInterval < 0 {
		return s.link.wire.Next(ctx)
	}
	for {
		quiet, cancel := context.WithTimeout(ctx, s.c.cfg.ProbeInterval)
		k, err := s.link.wire.Next(quiet)
		cancel()
		if err != context.DeadlineExceeded || ctx.Err() != nil {
			return k, err
		}
		if k, err := s.ask(ctx); k != nil || err != nil {
			return k, err
		}
	}
}

// ask probes the provider. It returns what ends the silence meanwhile, nothing if the
// provider has answered, and an error if it has not. The goroutine of the probe has
// ended when it returns.
func (s *session) ask(ctx context.Context) (*wire.Chunk, error) {
	probing, stop := context.WithCancel(ctx)
	defer stop()
	var failed error // of the goroutine until done
	done := make(chan struct{})
	go func() {
		defer close(done)
		failed = s.c.probe(probing, s.URI)
		stop()
	}()
	k, err := s.link.wire.Next(probing)
	stop()
	<-done
	if err != context.Canceled || ctx.Err() != nil {
		return k, err
	}
	if failed != nil {
		text := fmt.Sprintf("the provider does not answer: nothing has arrived for %v, and a search on a second connection failed: %v",
			s.c.cfg.ProbeInterval, failed)
		return nil, &described{text, []error{ErrDisconnected, failed}}
	}
	return nil, nil
}

// probe searches for the root DSE on a connection of its own. Whatever the provider
// answers will do, even that it wants a bind first or that its certificate has
// expired: that is for the next session to complain about.
func (c *Consumer) probe(ctx context.Context, uri string) error {
	nc, err := c.dial(ctx, uri, asIs)
	if answered(err) {
		return nil
	}
	if err != nil {
		return err
	}
	client := startClient(nc, nc)
	defer client.Close()
	err = c.within(ctx, nc, "search", func(context.Context) error {
		_, err := client.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
			"(objectClass=*)", []string{"1.1"}, nil))
		return err
	})
	if answered(err) {
		return nil
	}
	return err
}
