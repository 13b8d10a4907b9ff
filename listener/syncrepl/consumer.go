package syncrepl

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Consumer follows a directory; see the package documentation. [New] makes one. Run
// may be called again when it has returned; Connect and Renew are safe for concurrent
// use.
type Consumer struct {
	cfg     Config
	filter  []byte        // in BER
	minWait time.Duration // between attempts

	standing atomic.Pointer[context.CancelCauseFunc] // ends the session in the persist stage; nil: there is none
}

// New checks the config and returns a consumer. It does not connect.
func New(cfg Config) (*Consumer, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("syncrepl: %w", err)
	}
	filter, err := ldap.CompileFilter(cfg.Filter)
	if err != nil {
		return nil, fmt.Errorf("syncrepl: filter %q: %w", cfg.Filter, err)
	}
	return &Consumer{cfg: cfg, filter: filter.Bytes(), minWait: minWait}, nil
}

// Run synchronizes the sink with the directory.
//
// In the mode [RefreshAndPersist] it blocks until ctx ends, and then returns nil. A
// session that fails is followed by one with the next provider, or, when all of them
// failed, after a delay of one second that doubles up to one minute and is reset by
// a minute of stable operation. Errors are reported as events, with two exceptions
// that end Run: an error of the sink, which is returned as it is, and credentials
// that are refused before any bind succeeded ([ErrInvalidCredentials]).
//
// In the mode [RefreshOnly] it returns nil after one complete refresh, and an error
// when each provider has failed once, or the cause of ctx.
func (c *Consumer) Run(ctx context.Context, sink Sink) error {
	return (&run{Consumer: c, sink: sink}).loop(ctx)
}

// Renew ends the session that is in the persist stage, and one with the same provider
// begins at once: for a sink that wants to begin from another cookie, or from none.
// What has arrived and was not handed to the sink yet comes again. In a refresh, and
// while no session stands, Renew does nothing: the sink's turn comes in Begin. It does
// not wait.
func (c *Consumer) Renew() {
	if end := c.standing.Load(); end != nil {
		(*end)(errRenewed)
	}
}

// errRenewed is the cause of the end of a session.
var errRenewed = errors.New("the session is to be renewed")

// Connect returns a bound connection to the first reachable provider, for operations
// other than the sync search. The caller closes it. Operations on it have no timeout;
// closing it ends them.
func (c *Consumer) Connect(ctx context.Context) (*ldap.Conn, error) {
	var errs []error
	for _, uri := range c.cfg.URIs {
		conn, err := c.connect(ctx, uri)
		if err == nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}
