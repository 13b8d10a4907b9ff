package syncrepl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Consumer follows a directory; see the package documentation. [New] makes one. Run
// may be called again when it has returned; Connect is safe for concurrent use.
type Consumer struct {
	cfg     Config
	filter  []byte        // in BER
	minWait time.Duration // between attempts
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
