package podman

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/sandbox"
)

// account is who runs Podman.
type account struct {
	name     string
	uid, gid int
	home     string
	self     bool // it is the account of this process
}

// findAccount answers the sandbox account when we are root, and ourselves when not.
func findAccount(name string) (account, error) {
	u, err := user.Current()
	if os.Geteuid() == 0 {
		u, err = user.Lookup(name)
	}
	var unknown user.UnknownUserError
	if errors.As(err, &unknown) {
		return account{}, sandbox.Unfit(accountHelp, "the account %s, which runs the containers, does not exist", name)
	}
	if err != nil {
		return account{}, err
	}
	uid, uerr := strconv.Atoi(u.Uid)
	gid, gerr := strconv.Atoi(u.Gid)
	if err := errors.Join(uerr, gerr); err != nil {
		return account{}, err
	}
	if uid == 0 {
		return account{}, sandbox.Unfit("set sandbox.account to an unprivileged account, or "+accountHelp, "the account %s is root", u.Username)
	}
	return account{u.Username, uid, gid, u.HomeDir, os.Geteuid() != 0}, nil
}

// checkRanges refuses an account without enough subordinate ids, which Podman would use without user namespaces of its own.
func (a account) checkRanges() error {
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		n, err := countRange(file, a.name, strconv.Itoa(a.uid))
		if err != nil {
			return err
		}
		if n < wantIDs {
			return sandbox.Unfit(accountHelp, "the account %s has %d ids in %s, %d are needed", a.name, n, file, wantIDs)
		}
	}
	return nil
}

func countRange(file string, names ...string) (total int64, err error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		part := strings.Split(s.Text(), ":")
		if len(part) != 3 {
			continue
		}
		for _, name := range names {
			if part[0] == name {
				n, _ := strconv.ParseInt(strings.TrimSpace(part[2]), 10, 64)
				total += n
			}
		}
	}
	return total, nil
}

// findPodman answers where the program is.
func findPodman() (string, error) {
	path, err := exec.LookPath("podman")
	if err != nil {
		return "", sandbox.Unfit(accountHelp+", or install the packages podman, uidmap and crun", "Podman is not installed")
	}
	if _, err := exec.LookPath("newuidmap"); err != nil {
		return "", sandbox.Unfit(accountHelp+", or install the package uidmap", "newuidmap is not installed, without which Podman has no user namespaces")
	}
	return path, nil
}

// ensureStorage writes the account's storage.conf before Podman's first use, which could
// otherwise choose vfs and keep it. One that is there is the operator's.
func (a account) ensureStorage() error {
	dir := filepath.Join(a.home, ".config", "containers")
	file := filepath.Join(dir, "storage.conf")
	if _, err := os.Stat(file); err == nil || a.self {
		return nil
	}
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := a.own(d, os.Mkdir(d, 0o700)); err != nil {
			return err
		}
	}
	return a.own(file, os.WriteFile(file, []byte("[storage]\ndriver = \"overlay\"\n"), 0o644))
}

// own gives a path that was just made to the account; one that was there is left alone.
func (a account) own(path string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Lchown(path, a.uid, a.gid)
}

// home of cgroup limits on this host.
type cgroups int

const (
	cgroupsLegacy  cgroups = iota // v1 or hybrid: containers need a mount namespace in which only v2 is there
	cgroupsPlain                  // v2 without systemd
	cgroupsSystemd                // v2 with systemd: limits bind through the account's own user manager
)

func detectCgroups() cgroups {
	var st unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &st); err != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		return cgroupsLegacy
	}
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		return cgroupsSystemd
	}
	return cgroupsPlain
}
