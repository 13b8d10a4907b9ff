package listener

import "context"

// Handler receives the changes of the entries that match a module's filter.
//
// For one entry the calls are serialized and in order: Create, any number of
// Modify, Remove. Different entries are handled one at a time by a synchronous
// module and in parallel by an asynchronous one.
//
// A nil error acknowledges the call; it is durable before it counts. Any other
// error repeats the call later with backoff, for ever unless max_attempts is
// configured; see [Permanent] and [RetryAfter] for other classes. A panic counts
// as an error. Because a crash may repeat a call that had succeeded, handlers
// should be idempotent.
//
// ctx ends when the call's timeout runs out, or with cause [ErrStopping] at
// shutdown; [CallInfo] tells what call this is. Entries are immutable and may be
// kept after the call returned.
type Handler interface {
	// Create is called when an entry begins to match the filter: it was added, it
	// changed so that it matches now, or the module was added to the daemon.
	Create(ctx context.Context, new *Entry) error

	// Modify is called when a matching entry changed in one of the listed
	// attributes (none listed: in any non-operational attribute) or moved, which
	// shows in old.DN() != new.DN(). [Diff] tells what changed.
	Modify(ctx context.Context, old, new *Entry) error

	// Remove is called when an entry was deleted or stopped to match the filter.
	// old is the last state the module was told of.
	Remove(ctx context.Context, old *Entry) error
}

// Initializer is implemented by handlers that prepare something once, before the
// first Create of a new module instance or of one that is resynchronized.
// It is repeated with backoff until it returns nil; no other call is made before.
type Initializer interface {
	Initialize(ctx context.Context) error
}

// Cleaner is implemented by handlers that can undo all they did, which a resync
// begins with. Repeated with backoff until it returns nil.
type Cleaner interface {
	Clean(ctx context.Context) error
}

// PreRunner is implemented by handlers that need a step before a run of calls:
// PreRun is called before the first Create, Modify or Remove after the start of
// the daemon and after each PostRun. Repeated with backoff until it returns nil;
// no call is made before. UDL calls it prerun().
type PreRunner interface {
	PreRun(ctx context.Context) error
}

// PostRunner is implemented by handlers that need a step after a run of calls:
// PostRun is called when the module had nothing to do for quiet_period (15 s unless
// configured), at the latest post_run_max_delay (5 m) after the first call of the
// run, and at shutdown. If the process died before it could be
// called it is made up for after the next start, after PreRun. UDL calls it
// postrun().
type PostRunner interface {
	PostRun(ctx context.Context) error
}

// ErrorHandler is implemented by handlers that classify the errors of their calls
// in one place. HandleError is called with each failed Create, Modify or Remove
// and returns the error to go on with: the same one, or one wrapped by
// [Permanent] or [RetryAfter]. It cannot turn a failure into success: on nil the
// original error stands. It runs in the goroutine of the failed call, and so under
// the same serialization.
type ErrorHandler interface {
	HandleError(ctx context.Context, call Call, err error) error
}

// Base can be embedded in a handler that implements only some of the three
// methods: the others acknowledge without doing anything.
type Base struct{}

// Create does nothing.
func (Base) Create(context.Context, *Entry) error { return nil }

// Modify does nothing.
func (Base) Modify(context.Context, *Entry, *Entry) error { return nil }

// Remove does nothing.
func (Base) Remove(context.Context, *Entry) error { return nil }

var _ Handler = Base{}
