// Command listenerd follows an LDAP directory and calls handler modules with every
// change.
package main

import (
	"os"

	"github.com/listenerd/listenerd/listener/daemon"
	"github.com/listenerd/listenerd/modules"
)

func main() {
	os.Exit(daemon.Main(modules.All()...))
}
