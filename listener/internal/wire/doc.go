// Package wire reads the messages of a sync search (RFC 4533) at the speed at which
// a directory server sends them.
//
// A [Conn] wraps a network connection. It cuts what arrives into LDAP messages and
// sorts them by message ID: those of the sync search it decodes itself, all others
// go to the LDAP library that was given the Conn as its connection. The library's
// message IDs count up from one, the sync search's lie at the far end of the range.
//
//	network -> buffer -> frames -+-> decode -> chunks -> queue -> Next, Poll
//	                             +-> copies -> Read (the library)
//
// Below it may be TLS, with [Buffer] and [Coalesce] below that.
//
// Messages are not copied: a [Chunk] holds views into the buffer that the network
// was read into, and gives it back by Release. The queue of chunks is bounded by
// bytes; when it is full, reading from the network stops.
//
// Nothing that arrives is trusted. Lengths are definite and checked against what
// contains them before anything is allocated, a buffer grows only as bytes arrive,
// and nothing recurses. A malformed message is an error that matches [ErrProtocol]
// and names the offset and the field; what came before it is still delivered.
package wire
