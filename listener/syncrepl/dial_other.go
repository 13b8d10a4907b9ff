//go:build !linux

package syncrepl

import (
	"net"
	"time"
)

// setUserTimeout does nothing where TCP_USER_TIMEOUT is unknown; keepalive remains.
func setUserTimeout(*net.TCPConn, time.Duration) {}
