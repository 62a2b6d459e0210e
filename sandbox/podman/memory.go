package podman

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tresor/sandbox"
)

// noteMemory writes down whether the kernel has ended a program of a container for its
// memory, while the agent waits and the counters are still there. Podman has it from
// conmon, which gives up at the first change of the counters that is no kill: a program
// that comes to its limit slowly would have ended by "signal 9" and nobody knew why.
func (r *Runner) noteMemory(ctx context.Context, ref sandbox.Ref) {
	st, err := r.inspect(ctx, string(ref))
	if err != nil || st.CgroupPath == "" {
		return
	}
	f, err := os.Open(filepath.Join(cgroupRoot, filepath.Join("/", st.CgroupPath), "memory.events"))
	if err != nil {
		return // no cgroup v2 here: there is no limit either
	}
	defer f.Close()
	if memoryKills(f) > 0 {
		_ = writeJSON(r.keep(ref).memory(), true, 0o600) // lost, it costs the reason of a failure
	}
}

// memoryKills is how many processes were ended for their memory, by the kernel's
// counters of a control group.
func memoryKills(r io.Reader) int {
	b, err := io.ReadAll(io.LimitReader(r, 4096))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			kills, _ := strconv.Atoi(n)
			return kills
		}
	}
	return 0
}

func (k keep) memory() string { return filepath.Join(k.dir, "memory.json") }

// outOfMemory is what noteMemory wrote down.
func (k keep) outOfMemory() bool {
	_, err := os.Stat(k.memory())
	return err == nil
}
