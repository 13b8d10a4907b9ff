package main

import (
	"context"

	"go.uber.org/zap"

	"github.com/listenerd/listenerd/listener"
)

// Module says what the module is called, which entries it is called for, and how to
// open it.
var Module = listener.Define(
	listener.Spec{
		Name:        "template",
		Description: "Logs the changes of the user named example.",
		LDAPFilter:  "(&(objectClass=inetOrgPerson)(uid=example))",
		Attributes:  []string{"sn", "givenName"}, // Modify: only when one of these changed, or the DN

		// Synchronous: one call at a time. For up to four at a time, of different
		// entries, these two fields are all that changes, here or in the YAML:
		//	RunAsynchronously: true,
		//	Parallelism:       4,
	},
	struct{}{}, // the module has no configuration of its own
	func(_ context.Context, env listener.Env, _ struct{}) (listener.Handler, error) {
		return &handler{log: env.Log}, nil
	},
)

// handler logs every call. All its methods may be called again with the same
// entries: after they returned an error, and after a crash.
type handler struct {
	log *zap.Logger
}

var (
	_ listener.Handler    = (*handler)(nil)
	_ listener.PreRunner  = (*handler)(nil)
	_ listener.PostRunner = (*handler)(nil)
)

// Create is called when the entry appears: it was added, or begins to match the
// filter, or was there already when the module started for the first time.
func (h *handler) Create(_ context.Context, new *listener.Entry) error {
	h.log.Info("created", zap.String("dn", new.DN()),
		zap.String("givenName", new.Get("givenName")), zap.String("sn", new.Get("sn")))
	return nil
}

// Modify is called when the entry changed, moved, or both. old is what the module
// was told last.
func (h *handler) Modify(_ context.Context, old, new *listener.Entry) error {
	if old.DN() != new.DN() {
		h.log.Info("moved", zap.String("dn", new.DN()), zap.String("old_dn", old.DN()))
	}
	for _, change := range listener.Diff(old, new, "sn", "givenName") {
		h.log.Info("changed", zap.String("dn", new.DN()), zap.String("attribute", change.Name),
			zap.Strings("removed", change.Removed), zap.Strings("added", change.Added))
	}
	return nil
}

// Remove is called when the entry is gone: it was deleted, or stopped to match the
// filter.
func (h *handler) Remove(_ context.Context, old *listener.Entry) error {
	h.log.Info("removed", zap.String("dn", old.DN()))
	return nil
}

// PreRun is called before the first of a run of calls: the place to open what they
// share.
func (h *handler) PreRun(context.Context) error {
	h.log.Info("changes are coming")
	return nil
}

// PostRun is called when there has been nothing to do for 15 seconds, and when the
// daemon stops: the place for what is done once for many changes, such as
// reloading a service.
func (h *handler) PostRun(context.Context) error {
	h.log.Info("no more changes for now")
	return nil
}
