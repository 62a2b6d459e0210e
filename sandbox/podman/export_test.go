package podman

import (
	"context"
	"net/http"
	"time"

	"tresor/sandbox"
)

// HostPID answers the process id that a container's first process has on this host.
func HostPID(ctx context.Context, r *Runner, ref sandbox.Ref) (int, error) {
	var out struct{ State struct{ Pid int } }
	err := r.api.do(ctx, request{method: http.MethodGet, path: "/containers/%s/json", args: []string{string(ref)}, out: &out})
	return out.State.Pid, err
}

// ServicePID answers the process of the Podman service, 0 while there is none.
func ServicePID(s *Service) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return 0
	}
	return s.proc.Pid
}

// Quick has services that are started until restore is called given up after misses
// unanswered pulses.
func Quick(every time.Duration, misses int) (restore func()) {
	old := pulses
	pulses = pulse{every: every, limit: every, misses: misses}
	return func() { pulses = old }
}

// CallsBeforeRestart is how many unanswered calls end the service.
const CallsBeforeRestart = hungCalls

// SetMuteAgent changes how long a container may run without its agent.
func SetMuteAgent(d time.Duration) (undo func()) {
	old := muteAgent
	muteAgent = d
	return func() { muteAgent = old }
}
