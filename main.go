// Command tresor is a Trusted Research Environment in one binary: server,
// command line, plugin host, in-container agent and SQL runner.
package main

import (
	"os"

	"tresor/app/cli"
	"tresor/app/dataset/sqlrun"
	"tresor/plugins/builtin"
	"tresor/plugins/host"
	"tresor/plugins/host/confine"
	"tresor/sandbox/agent"
	"tresor/sandbox/podman"
)

func main() {
	os.Exit(run(os.Args))
}

// run dispatches the roles that other processes start before anything else of
// the program is set up: they run in containers and children, and must be small.
func run(args []string) int {
	if len(args) > 1 {
		switch args[1] {
		case "agent":
			return agent.Main(args[2:])
		case "probe":
			return agent.ProbeMain(args[2:])
		case "sql":
			return sqlrun.Main(args[2:])
		case "plugin": // NAME of a built-in one; anything else is a verb of the command line
			if len(args) == 3 && builtin.Adapters[args[2]] != nil {
				return builtin.Main(args[2:], os.Stderr)
			}
		case confine.Word: // confines itself and becomes a plugin
			return host.ShimMain(args[2:])
		case "podman-shim":
			return podman.ShimMain(args[2:])
		}
	}
	return cli.Main(args[1:], os.Stdin, os.Stdout, os.Stderr)
}
