// Command listener_module_template is a listenerd with one module of its own. To
// write yours, copy this directory and change handler.go.
package main

import (
	"os"

	"github.com/listenerd/listenerd/listener/daemon"
	"github.com/listenerd/listenerd/modules"
)

func main() {
	os.Exit(daemon.Main(append(modules.All(), Module)...))
}
