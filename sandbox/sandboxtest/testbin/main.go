// Command testbin is every program that a sandbox test needs, in one static file: the
// agent, the probe, the launcher of the service, and the workload in the image.
package main

import (
	"context"
	"os"

	"tresor/sandbox/agent"
	"tresor/sandbox/podman"
	"tresor/sandbox/sandboxtest/workload"
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "agent":
			os.Exit(agent.Main(os.Args[2:]))
		case "probe":
			os.Exit(agent.ProbeMain(os.Args[2:]))
		case "podman-shim":
			os.Exit(podman.ShimMain(os.Args[2:]))
		}
	}
	os.Exit(workload.Run(context.Background(), workload.World{Out: os.Stdout, Err: os.Stderr, In: os.Stdin, Env: os.Environ()}, os.Args[1:]))
}
