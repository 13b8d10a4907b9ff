// Package slapdtest runs throwaway servers: a real OpenLDAP slapd with a database
// of its own, a real memcached, and a real Kerberos KDC, each on a free port of the
// loopback interface. For what lies between a server and its clients it has an
// [Authority] for certificates and a [Proxy] that can be a bad network.
//
// Tests call [Start] and [Memcached], which clean up after themselves and fail the
// test if the server's program is missing. Programs (the demo, the benchmarks) call
// [New] and own the directory and the end of the server.
//
// The programs are the ones that scripts/servers.sh found or unpacked; see [Locate].
//
// A server's content is what [WithLDIF] loads; [People] generates a realistic tree
// of any size. Its processes end with the process that started them, even if that
// one is killed.
package slapdtest
