package agent

import (
	"os"
	"strconv"
	"strings"
	"time"

	"tresor/sandbox"
)

// usage adds up every process of the sandbox. It needs no cgroup, so it works on every host.
func usage() sandbox.Usage {
	var u sandbox.Usage
	page := int64(os.Getpagesize())
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		b, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		cpu, rss := parseStat(string(b))
		u.CPU += cpu
		u.Memory += rss * page
		u.Pids++
	}
	return u
}

// parseStat reads processor time (its own and that of children it has reaped) and resident pages from one /proc/PID/stat.
func parseStat(s string) (cpu time.Duration, rss int64) {
	_, after, ok := strings.Cut(s, ") ") // the name before may hold anything, but ends at the last ')'
	if i := strings.LastIndex(s, ") "); i >= 0 {
		after = s[i+2:]
	}
	f := strings.Fields(after)
	if !ok || len(f) < 22 {
		return 0, 0
	}
	var ticks int64
	for _, i := range []int{11, 12, 13, 14} {
		n, _ := strconv.ParseInt(f[i], 10, 64)
		ticks += n
	}
	rss, _ = strconv.ParseInt(f[21], 10, 64)
	return time.Duration(ticks) * time.Second / 100, rss
}
