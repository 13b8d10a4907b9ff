// Package listener is what the author of a handler module sees.
//
// A module follows an LDAP directory: listenerd keeps a durable mirror of the
// directory's content and calls the module's [Handler] with every change of the
// entries that its filter matches, with the old and the new entry. The smallest
// module is a type with three methods, made known with [Define]:
//
//	var Module = listener.Define(
//		listener.Spec{
//			Name:       "greeter",
//			LDAPFilter: "(objectClass=inetOrgPerson)",
//			Attributes: []string{"sn", "givenName"},
//		},
//		struct{}{}, // no configuration
//		func(ctx context.Context, env listener.Env, _ struct{}) (listener.Handler, error) {
//			return &greeter{log: env.Log}, nil
//		})
//
// # What a handler can rely on
//
//   - No change is lost: a call is repeated until it returns nil, over restarts
//     and crashes (at-least-once). A repeated call has the same sequence number
//     and the same content; see [CallInfo].
//   - The calls for one entry form a chain: Create first, then Modify with each
//     old being the previous call's new (on the listed attributes and the DN),
//     Remove last. They never overlap and never change their order.
//   - Entries are identified by their sync UUID (RFC 4533, section 2.3.2 calls it
//     the entryUUID), never by their DN, which may change.
//   - An entry whose call fails waits for its retry together with its later
//     changes. Other entries and other modules go on.
//
// # Concurrency
//
// A synchronous module (the default) gets one call at a time, and all synchronous
// modules share one lane. An asynchronous module ([Spec.RunAsynchronously]) gets
// up to [Spec.Parallelism] calls at a time, never two for one entry. The optional
// steps [Initializer], [Cleaner], [PreRunner] and [PostRunner] run alone: no other
// call of that module is in flight.
//
// With isolation: process the calls are made in as many processes as there would be
// goroutines. The rules are the same; the handler is opened in each of them, the steps
// run in the first one, and a process may end in the middle of a call, which is repeated.
package listener
