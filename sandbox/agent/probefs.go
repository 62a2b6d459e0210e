package agent

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// probeMounts lists every mount with its type and the options that restrict it. The
// host's own file system under a bind differs from host to host and is called "host".
func probeMounts() map[string]string {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return map[string]string{"error": outcome(err)}
	}
	out := map[string]string{}
	for _, line := range strings.Split(string(b), "\n") {
		left, right, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(left), strings.Fields(right)
		if !ok || len(f) < 6 || len(g) < 1 {
			continue
		}
		kind := describe(f[4], g[0], restrictions(f[5]))
		if masks(f[4], kind) {
			continue
		}
		out[f[4]] = kind
	}
	return out
}

// masks is true for a read-only mount inside /proc or /sys: it takes something away, and
// which ones there are depends on the kernel.
func masks(point, kind string) bool {
	inside := strings.HasPrefix(point, "/proc/") || strings.HasPrefix(point, "/sys/") && point != "/sys/fs/cgroup"
	return inside && (strings.HasSuffix(kind, " ro") || strings.Contains(kind, ",ro"))
}

// describe says what matters of a mount. Two things differ between engines and change
// nothing: whether /dev, which only root inside could write, is read-only, and whether a
// writable volume has nosuid and nodev, which no-new-privileges and the lack of mknod give anyway.
func describe(point, fs, options string) string {
	switch {
	case point == "/dev":
		return fs + " " + strings.Join(slices.DeleteFunc(strings.Split(options, ","), func(o string) bool { return o != "nosuid" }), ",")
	case point == "/" || point == "/tmp" || strings.HasPrefix(point, "/dev/") || strings.HasPrefix(point, "/proc") || strings.HasPrefix(point, "/sys"):
		return fs + " " + options
	case strings.Contains(options, "rw"):
		return "host rw"
	}
	return "host " + options
}

func restrictions(options string) string {
	var keep []string
	for _, o := range strings.Split(options, ",") {
		switch o {
		case "ro", "rw", "nosuid", "nodev", "noexec":
			keep = append(keep, o)
		}
	}
	sort.Strings(keep)
	return strings.Join(keep, ",")
}

// probeWritable lists the directories in which a file can be made.
func probeWritable(root string) []string {
	out := []string{}
	_ = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		if p == "/proc" || p == "/sys" {
			return fs.SkipDir // their files are tried one by one
		}
		name := filepath.Join(p, ".tresor-probe")
		if f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err == nil {
			f.Close()
			os.Remove(name)
			out = append(out, p)
		}
		return nil
	})
	return out
}

// sensitive are files that say something about the host or change it.
var sensitive = []string{
	"/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/kmsg", "/proc/kallsyms", "/proc/modules", "/proc/interrupts", "/proc/softirqs", "/proc/cmdline", "/proc/config.gz",
	"/proc/timer_list", "/proc/sched_debug", "/proc/latency_stats", "/proc/diskstats", "/proc/partitions", "/proc/swaps", "/proc/vmallocinfo", "/proc/slabinfo",
	"/proc/sysrq-trigger", "/proc/acpi", "/proc/scsi", "/proc/asound", "/proc/1/environ", "/proc/1/mem", "/proc/1/root", "/proc/1/fd", "/proc/1/maps",
	"/proc/sys/vm/drop_caches", "/sys/firmware", "/sys/devices", "/sys/class", "/sys/block", "/sys/module", "/sys/kernel",
	"/dev/mem", "/dev/kmsg", "/dev/fuse", "/dev/net/tun", "/dev/kvm", "/dev/vsock", "/dev/sda", "/dev/vda",
}

// settings may be read, and which there are depends on the kernel; none may be written.
var settings = []string{
	"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hostname", "/proc/sys/net/ipv4/ip_forward",
	"/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/pids.max",
}

// probeFiles answers, for each sensitive file, what reading and writing gives, and how many writable files there are besides.
func probeFiles() map[string]any {
	out := map[string]string{}
	for _, p := range sensitive {
		out[p] = "read " + tryRead(p) + ", write " + tryWrite(p)
	}
	for _, p := range settings {
		out[p] = "write " + tryWrite(p)
	}
	return map[string]any{"files": out, "writable_in_proc": writableFiles("/proc"), "writable_in_sys": writableFiles("/sys")}
}

// tryRead answers "works" or "closed": absent, empty, masked and forbidden are one, because
// which of them it is depends on the kernel.
func tryRead(p string) string {
	st, err := os.Stat(p)
	if err != nil || st.Mode()&os.ModeCharDevice != 0 && masked(p) {
		return "closed"
	}
	if st.IsDir() {
		entries, err := os.ReadDir(p)
		return worked(err == nil && len(entries) > 0)
	}
	f, err := os.OpenFile(p, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "closed"
	}
	defer f.Close()
	n, _ := f.Read(make([]byte, 1))
	return worked(n > 0)
}

func worked(yes bool) string {
	if yes {
		return "works"
	}
	return "closed"
}

// masked says whether a path is covered by /dev/null, which takes everything and keeps nothing.
func masked(p string) bool {
	var a, b unix.Stat_t
	return unix.Stat(p, &a) == nil && unix.Stat(os.DevNull, &b) == nil && a.Rdev == b.Rdev && a.Mode&unix.S_IFMT == unix.S_IFCHR
}

// tryWrite only opens: writing could do harm where the sandbox is wrong.
func tryWrite(p string) string {
	fd, err := unix.Open(p, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "closed"
	}
	unix.Close(fd)
	return worked(!masked(p))
}

// writableFiles lists files that can be opened for writing, without those of processes, which are a process's own.
func writableFiles(root string) []string {
	out := []string{}
	_ = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if d.IsDir() && filepath.Dir(p) == "/proc" && strings.Trim(d.Name(), "0123456789") == "" {
			return fs.SkipDir
		}
		if d.Type().IsRegular() && tryWrite(p) == "works" {
			out = append(out, p)
		}
		return nil
	})
	return out
}
