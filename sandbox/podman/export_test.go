package podman

import (
	"context"
	"net/http"

	"tresor/sandbox"
)

// HostPID answers the process id that a container's first process has on this host.
func HostPID(ctx context.Context, r *Runner, ref sandbox.Ref) (int, error) {
	var out struct{ State struct{ Pid int } }
	err := r.api.do(ctx, request{method: http.MethodGet, path: "/containers/%s/json", args: []string{string(ref)}, out: &out})
	return out.State.Pid, err
}

// ServicePID answers the process of the Podman service.
func ServicePID(s *Service) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.Pid
}
