//go:build !linux && !darwin && !freebsd && !netbsd && !openbsd

package shared

import "net"

// stale is not known here: the first operation on a connection that the server has
// closed fails.
func stale(net.Conn) bool { return false }
