// Package shared keeps the variables and locks that the workers of a module have in
// common: [listener.Shared] in memcached ([NewMemcached]) and in the memory of the
// process ([NewLocal]).
//
// Both are a [Store] over a small set of atomic operations (backend). What those
// don't offer is built above them, once: locks, Update, the comparison of values. So
// the two can differ only in the operations, and one suite of tests,
// listenertest.TestShared, runs over both.
//
// A lock is a key that its holder adds with a token of its own and an expiration,
// extends while it works, and removes if the token is still there. The workers of one
// process line up in a queue first (gates), so that a lock costs the server one
// question at a time per process, however many goroutines wait.
package shared
