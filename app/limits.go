package app

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"tresor/app/config"
	"tresor/app/gateway"
	"tresor/app/job"
)

// jobLimits turns settings into the limits of a job.
func jobLimits(l config.JobLimits) job.Limits {
	return job.Limits{
		Memory: l.Memory.Int64(), Cores: l.Cores, Pids: l.Pids, WallSeconds: int64(l.Wall.Seconds()),
		FileSize: l.FileSize.Int64(), LogSize: l.LogSize.Int64(), OutputFiles: l.OutputFiles, OutputBytes: l.OutputBytes.Int64(),
	}
}

// personQuotas turns settings into what one person may send with tokens.
func personQuotas(l config.PersonLimits) gateway.Quotas {
	return gateway.Quotas{TasksPerHour: l.TasksPerHour, OpenTasks: l.OpenTasks, Cores: l.Cores}
}

// budget is what all running jobs together may use. Without a setting it is
// every core and three quarters of the memory: the rest keeps the server alive.
func (a *App) budget() job.Budget {
	b := job.Budget{Cores: float64(a.cfg.Sandbox.Cores), Memory: a.cfg.Sandbox.Memory.Int64()}
	if b.Cores <= 0 {
		b.Cores = float64(runtime.NumCPU())
	}
	if b.Memory <= 0 {
		b.Memory = memTotal() / 4 * 3
	}
	return b
}

// memTotal is the host's memory in bytes; 4 GiB where it cannot be read.
func memTotal() int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err == nil {
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
				if kb, err := strconv.ParseInt(f[1], 10, 64); err == nil {
					return kb << 10
				}
			}
		}
	}
	return 4 << 30
}
