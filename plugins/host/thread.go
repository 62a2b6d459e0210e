package host

import (
	"runtime"
	"time"

	"github.com/hashicorp/go-plugin"
)

// startOnOwnThread starts the client's process from a thread that lives as long
// as the process: the kernel sends Pdeathsig when the starting thread ends, and
// Go ends idle threads.
func startOnOwnThread(c *plugin.Client) (plugin.ClientProtocol, error) {
	type result struct {
		rpc plugin.ClientProtocol
		err error
	}
	out := make(chan result)
	go func() {
		runtime.LockOSThread()
		rpc, err := c.Client()
		out <- result{rpc, err}
		if err != nil {
			runtime.UnlockOSThread()
			return
		}
		for !c.Exited() {
			time.Sleep(500 * time.Millisecond)
		}
	}()
	r := <-out
	return r.rpc, r.err
}
