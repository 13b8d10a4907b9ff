package listener

import "context"

// Kind says which method of a module a call is for.
type Kind string

// The kinds of calls.
const (
	KindCreate     Kind = "create"
	KindModify     Kind = "modify"
	KindRemove     Kind = "remove"
	KindPreRun     Kind = "pre_run"
	KindPostRun    Kind = "post_run"
	KindInitialize Kind = "initialize"
	KindClean      Kind = "clean"
)

// Cause says why a call is made.
type Cause string

// The causes of calls.
const (
	// CauseLive is a change that the provider reported.
	CauseLive Cause = "live"
	// CauseInitialize is the first walk of a new module through the mirror.
	CauseInitialize Cause = "initialize"
	// CauseResync is a walk that the operator asked for.
	CauseResync Cause = "resync"
	// CauseReconcile is a walk after the module's filter changed.
	CauseReconcile Cause = "reconcile"
)

// Call describes one call of a module.
type Call struct {
	// Module is the instance name from the configuration.
	Module string
	// Kind is the method called.
	Kind Kind
	// Seq names the task: it grows from task to task of one entry and stays the
	// same when a task is delivered again. Zero for steps without an entry
	// (pre_run, post_run, initialize, clean).
	Seq uint64
	// Attempt is 1 more than the number of failed calls for this task, over restarts of
	// the daemon too; those that asked for a repetition ([RetryAfter]) do not count.
	Attempt int
	// Cause says why the call is made; empty for steps without an entry.
	Cause Cause
	// Old and New are the entries of the call: New is nil for remove, Old is nil
	// for create, both are nil for steps without an entry.
	Old, New *Entry
}

type callKey struct{}

// WithCall returns a context from which [CallInfo] reads call. The engine uses it
// for every call; tests of handlers use it through package listenertest.
func WithCall(ctx context.Context, call *Call) context.Context {
	return context.WithValue(ctx, callKey{}, call)
}

// CallInfo returns the description of the call that ctx was given to, and the zero
// Call when ctx comes from elsewhere.
func CallInfo(ctx context.Context) Call {
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		return *c
	}
	return Call{}
}
