// Package builtin is the plugin side of the plugins inside this program: a table
// from name to adapter, and the dispatch that `tresor plugin NAME` reaches before
// anything else of the program is set up.
package builtin

import (
	"fmt"
	"io"
	"slices"

	"tresor/plugins/builtin/tes"
	"tresor/plugins/protocol"
)

// Adapters maps a built-in plugin's name to its adapter.
var Adapters = map[string]func() protocol.Adapter{
	"loopback": func() protocol.Adapter { return Loopback{} },
	"tes":      func() protocol.Adapter { return tes.New() },
}

// Names lists the built-in plugins in order.
func Names() []string {
	var out []string
	for n := range Adapters {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// Main serves the plugin that args names until the host ends it, and returns an
// exit code when there is none of that name.
func Main(args []string, errw io.Writer) int {
	if len(args) == 1 {
		if make, ok := Adapters[args[0]]; ok {
			protocol.Serve(make())
			return 0
		}
	}
	fmt.Fprintf(errw, "tresor plugin is started by the server, not by hand. Built-in plugins: %v\n", Names())
	return 2
}
