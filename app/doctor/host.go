package doctor

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Smallest figures the checks accept.
const (
	minKernel   = "5.12"  // native rootless overlay
	minSubIDs   = 65536   // one container's user namespace
	lowDisk     = 5 << 30 // bytes: warn below
	stopDisk    = 1 << 30 // bytes: fail below
	cgroup2Type = 0x63677270
)

func kernel() Check {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return warn("kernel", "", "could not be read: %v", err)
	}
	release := string(bytes.TrimRight(u.Release[:], "\x00"))
	if versionLess(release, minKernel) {
		return fail("kernel", "Upgrade the operating system to one with Linux "+minKernel+" or newer.", "Linux %s is older than %s, where rootless containers cannot mount overlay.", release, minKernel)
	}
	return ok("kernel", "Linux %s", release)
}

// versionLess compares the first two numbers of dotted versions.
func versionLess(a, b string) bool {
	x, y := numbers(a), numbers(b)
	return x[0] < y[0] || (x[0] == y[0] && x[1] < y[1])
}

func numbers(v string) (n [2]int) {
	for i, part := range strings.SplitN(v, ".", 3) {
		if i == 2 {
			break
		}
		end := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' })
		if end < 0 {
			end = len(part)
		}
		n[i], _ = strconv.Atoi(part[:end])
	}
	return n
}

func account(name string) Check {
	if os.Geteuid() != 0 {
		return warn("accounts", "Install it as root: then the containers belong to "+name+", an account that holds no keys.", "one account (uid %d) runs both the server and the containers.", os.Geteuid())
	}
	if _, err := user.Lookup(name); err != nil {
		return fail("accounts", "Run scripts/sandbox-account as root; it creates the account with its id ranges.", "the account %s, which runs the containers, does not exist.", name)
	}
	return ok("accounts", "the server runs as root, Podman and the containers under %s", name)
}

func runner(name string) string {
	if os.Geteuid() == 0 {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return name
}

func subordinateIDs(name string) Check {
	name = runner(name)
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		n, err := subIDs(file, name)
		next := fmt.Sprintf("Add one as root: usermod --add-subuids 200000-265535 --add-subgids 200000-265535 %s", name)
		if err != nil {
			return fail("subordinate ids", next, "%s cannot be read: %v", file, err)
		}
		if n < minSubIDs {
			return fail("subordinate ids", next, "%s gives %s %d ids; a container needs %d.", file, name, n, minSubIDs)
		}
	}
	return ok("subordinate ids", "%s has its own id ranges", name)
}

func subIDs(file, name string) (int, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	total := 0
	for sc := bufio.NewScanner(f); sc.Scan(); {
		part := strings.Split(sc.Text(), ":")
		if len(part) == 3 && part[0] == name {
			n, _ := strconv.Atoi(part[2])
			total += n
		}
	}
	return total, nil
}

func cgroups() Check {
	var s unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &s); err != nil {
		return warn("cgroups", "", "could not be read: %v", err)
	}
	if int64(s.Type) != cgroup2Type {
		return warn("cgroups", "Boot with systemd.unified_cgroup_hierarchy=1; without cgroup v2 no limit on memory or processes can bind.", "this host uses cgroup v1 or a mixture.")
	}
	return ok("cgroups", "version 2")
}

func dataFolder(dir string) Check {
	st, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return warn("data folder", "Run `tresor init`.", "%s does not exist yet.", dir)
	}
	if err != nil {
		return fail("data folder", "Check the path and its owner.", "%s: %v", dir, err)
	}
	if st.Mode().Perm()&0o022 != 0 {
		return fail("data folder", "chmod go-w "+dir, "%s may be written by other accounts (%s).", dir, st.Mode().Perm())
	}
	return ok("data folder", "%s (%s)", dir, st.Mode().Perm())
}

func disk(dir string) Check {
	var s unix.Statfs_t
	for unix.Statfs(dir, &s) != nil {
		parent := dir[:strings.LastIndexByte(dir, '/')+1]
		if dir = strings.TrimSuffix(parent, "/"); dir == "" {
			dir = "/"
		}
	}
	free := int64(s.Bavail) * int64(s.Bsize)
	next := "Make room or move the data folder to a larger volume."
	switch {
	case free < stopDisk:
		return fail("disk", next, "%.1f GiB free", float64(free)/(1<<30))
	case free < lowDisk:
		return warn("disk", next, "%.1f GiB free", float64(free)/(1<<30))
	}
	return ok("disk", "%.1f GiB free", float64(free)/(1<<30))
}

// clock asks the kernel whether something keeps the clock right: certificates,
// one-time codes and the audit log need it.
func clock() Check {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return warn("clock", "", "could not be read: %v", err)
	}
	const unsync = 0x40 // STA_UNSYNC
	if state == 5 || t.Status&unsync != 0 {
		return warn("clock", "Run a time service: apt-get install systemd-timesyncd.", "no time service keeps the clock of this host right.")
	}
	return ok("clock", "synchronised")
}

func swap() Check {
	b, err := os.ReadFile("/proc/swaps")
	if err != nil {
		return warn("swap", "", "could not be read: %v", err)
	}
	if lines := strings.Count(strings.TrimSpace(string(b)), "\n"); lines > 0 {
		if crypted() {
			return ok("swap", "on an encrypted device")
		}
		return warn("swap", "Turn it off (swapoff -a) or encrypt it: data in memory may be written there.", "is on and not known to be encrypted.")
	}
	return ok("swap", "off")
}

func crypted() bool {
	out, err := exec.Command("lsblk", "-rno", "TYPE,MOUNTPOINT").Output()
	if err != nil {
		return false
	}
	for _, line := range strings.Split(string(out), "\n") {
		if strings.HasSuffix(line, "[SWAP]") && !strings.HasPrefix(line, "crypt") {
			return false
		}
	}
	return strings.Contains(string(out), "[SWAP]")
}
