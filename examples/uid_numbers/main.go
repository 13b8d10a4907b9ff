// Command uid_numbers is a listenerd with a module that gives each person a number of its
// own, by many workers at a time, in one process or in several.
package main

import (
	"os"

	"github.com/listenerd/listenerd/listener/daemon"
)

func main() {
	os.Exit(daemon.Main(Module))
}
