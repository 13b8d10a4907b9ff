// Package syncrepl follows the content of an LDAP directory by the Content
// Synchronization Operation of RFC 4533, as a consumer.
//
// A [Consumer] connects to the first reachable of its providers, runs the sync
// search and tells a [Sink] what it learns. The sink keeps the content and the
// cookie; the consumer keeps nothing over sessions. Between them they promise that
// no change is lost and that nothing is deleted that the provider did not declare
// gone, whatever connection, provider or process breaks down when.
//
// # A session
//
// A session is one sync search on one connection. For the sink it looks like this:
//
//	Begin                        from which cookie?
//	  Entry, Present, Delete     the refresh: what differs, what is still there
//	  Sweep                      at most once: what was not mentioned is gone
//	RefreshDone, Cookie          the content is that of the provider
//	  Entry, Delete, Cookie      the persist stage (RefreshAndPersist): live changes
//
// with Flush in between whenever nothing more is waiting, and after so many
// messages. A session that breaks down before RefreshDone leaves the cookie as it
// was, so the next one repeats the refresh.
//
// # Concurrency
//
// All methods of the sink are called from the goroutine of [Consumer.Run], one at a
// time. Messages are read and decoded in a goroutine of their own; a slow sink makes
// it wait, then the provider, by TCP's flow control. Nothing is dropped.
//
// # Caveats
//
// A change of the provider's access rules does not converge (RFC 4533, section 4.4),
// and some content changes without notice, such as memberOf values that an overlay
// computes. A renamed or moved container is reported without its descendants by
// OpenLDAP. A cookie is good for one search only: drop it when base, scope, filter,
// attributes or bind identity change.
package syncrepl
