//go:build !linux

package wire

import "net"

// Coalesce returns nc where the kernel can't be asked to wait for more.
func Coalesce(nc net.Conn) net.Conn { return nc }
