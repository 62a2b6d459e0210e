package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// ProbeMain is `tresor probe`: a program that tries, from inside a sandbox, what a
// hostile one would try, and prints what it could do as JSON with sorted keys. Nothing
// in the answer depends on the host when the sandbox is right. It does no harm outside
// one either: what it manages to do it undoes, or does to itself.
func ProbeMain(args []string) int {
	if len(args) == 1 && args[0] == "child" { // what the namespace attempts start
		return 0
	}
	runtime.LockOSThread()
	report := map[string]any{
		"account":      probeAccount(),
		"privileges":   probePrivileges(),
		"network":      probeNetwork(),
		"namespaces":   probeNamespaces(),
		"mounts":       probeMounts(),
		"writable":     probeWritable("/"),
		"proc_and_sys": probeFiles(),
		"descriptors":  probeDescriptors(),
		"environment":  probeEnvironment(),
		"attempts":     probeAttempts(),
		"host":         probeHost(),
	}
	b, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return trouble(err)
	}
	fmt.Println(string(b))
	return 0
}

// outcome names what a system call answered: "works", or the error's symbol.
func outcome(err error) string {
	if err == nil {
		return "works"
	}
	if e, ok := err.(unix.Errno); ok {
		if e == 0 {
			return "works"
		}
		if name := unix.ErrnoName(e); name != "" {
			return name
		}
	}
	for _, e := range []unix.Errno{unix.EPERM, unix.EACCES, unix.ENOENT, unix.EROFS, unix.ENOSYS, unix.EINVAL, unix.ENOSPC} {
		if strings.HasSuffix(err.Error(), e.Error()) {
			return unix.ErrnoName(e)
		}
	}
	return err.Error()
}

func probeAccount() map[string]any {
	groups, _ := os.Getgroups()
	sort.Ints(groups)
	return map[string]any{
		"uid": os.Getuid(), "gid": os.Getgid(), "groups": groups,
		"uid_map": fields("/proc/self/uid_map"), "gid_map": fields("/proc/self/gid_map"), "setgroups": fields("/proc/self/setgroups"),
	}
}

// fields is a small file with its white space made single.
func fields(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return outcome(err)
	}
	return strings.Join(strings.Fields(string(b)), " ")
}

// probePrivileges reads what the kernel says about this process.
func probePrivileges() map[string]string {
	out := map[string]string{}
	b, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(b), "\n") {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp":
			out[name] = strings.TrimSpace(value)
		}
	}
	return out
}

func probeEnvironment() []string {
	var names []string
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// probeDescriptors lists open files: standard input, and the pipe of the log twice.
func probeDescriptors() map[string]string {
	out := map[string]string{}
	d, err := os.Open("/proc/self/fd")
	if err != nil {
		return map[string]string{"error": outcome(err)}
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	for _, n := range names {
		target, err := os.Readlink("/proc/self/fd/" + n)
		if err != nil || n == fmt.Sprint(d.Fd()) || strings.Contains(target, "eventpoll") || strings.Contains(target, "eventfd") || strings.HasPrefix(target, "/sys/fs/cgroup/") {
			continue // ours, or the Go runtime's
		}
		kind, _, _ := strings.Cut(target, ":")
		out[n] = kind
	}
	return out
}

func probeHost() map[string]any {
	var u unix.Utsname
	_ = unix.Uname(&u)
	visible := 0
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if strings.Trim(e.Name(), "0123456789") == "" {
			visible++
		}
	}
	return map[string]any{
		"hostname": unix.ByteSliceToString(u.Nodename[:]), "domain": unix.ByteSliceToString(u.Domainname[:]),
		"first_process": fields("/proc/1/comm"), "visible_processes": visible, "sees_only_own_cgroup": ownCgroup(),
		"core_limit": limitOf(unix.RLIMIT_CORE), "file_size_limited": limitOf(unix.RLIMIT_FSIZE) != "unlimited", "files_limited": limitOf(unix.RLIMIT_NOFILE) != "unlimited",
	}
}

// ownCgroup says whether every cgroup path is the root: nothing of the host's tree shows.
func ownCgroup() bool {
	for _, f := range strings.Fields(fields("/proc/self/cgroup")) {
		if !strings.HasSuffix(f, ":/") {
			return false
		}
	}
	return true
}

func limitOf(resource int) string {
	var l unix.Rlimit
	if err := unix.Getrlimit(resource, &l); err != nil {
		return outcome(err)
	}
	if l.Max == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return fmt.Sprint(l.Max)
}
