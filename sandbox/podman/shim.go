package podman

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// shimName is the word after which the program becomes the service's launcher.
const shimName = "podman-shim"

// shim is what ShimMain is told, as one JSON argument.
type shim struct {
	Podman  string `json:"podman"`
	Socket  string `json:"socket"`
	Home    string `json:"home"`
	User    string `json:"user"`
	XDG     string `json:"xdg"`
	Bus     string `json:"bus,omitempty"`
	UID     int    `json:"uid"`
	GID     int    `json:"gid"`
	Mount   bool   `json:"mount,omitempty"`   // we are in a mount namespace of our own: show only cgroup v2 in it
	Migrate bool   `json:"migrate,omitempty"` // end a pause process that holds a wrong namespace first
}

// ShimMain is `tresor podman-shim JSON`: it becomes `podman system service` under the
// sandbox account, with a clean environment. args are what follows the word. It answers
// only when that failed.
func ShimMain(args []string) int {
	if err := runShim(args); err != nil {
		fmt.Fprintln(os.Stderr, "podman-shim:", err)
	}
	return 1
}

func runShim(args []string) error {
	if len(args) != 1 {
		return errors.New("this is started by the server, not by hand")
	}
	var s shim
	if err := json.Unmarshal([]byte(args[0]), &s); err != nil {
		return err
	}
	runtime.LockOSThread() // PR_SET_PDEATHSIG belongs to the thread that becomes Podman
	if s.Mount {
		if err := showCgroup2(); err != nil {
			return err
		}
	}
	if err := s.drop(); err != nil {
		return err
	}
	// After the change of account, which clears it: the service ends with the server.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	unix.Umask(0o022)
	if s.Migrate {
		c := exec.Command(s.Podman, "system", "migrate")
		c.Env, c.Stdout, c.Stderr = s.env(), os.Stdout, os.Stderr
		if err := c.Run(); err != nil {
			return fmt.Errorf("podman system migrate: %w", err)
		}
	}
	return syscall.Exec(s.Podman, []string{"podman", "system", "service", "--time=0", "unix://" + s.Socket}, s.env())
}

func (s shim) env() []string {
	env := []string{"HOME=" + s.Home, "USER=" + s.User, "LOGNAME=" + s.User, "XDG_RUNTIME_DIR=" + s.XDG, "LANG=C.UTF-8",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if s.Bus != "" {
		env = append(env, "DBUS_SESSION_BUS_ADDRESS="+s.Bus)
	}
	return env
}

func (s shim) drop() error {
	if os.Geteuid() != 0 {
		return nil
	}
	if s.UID == 0 || s.GID == 0 {
		return errors.New("refusing to run podman as root")
	}
	return errors.Join(syscall.Setgroups(nil), syscall.Setresgid(s.GID, s.GID, s.GID), syscall.Setresuid(s.UID, s.UID, s.UID))
}

// showCgroup2 replaces a v1 or hybrid tree in this mount namespace, because crun refuses
// it. Mounts of the host still arrive (slave), ours stay here, and Podman's reach its containers (shared).
func showCgroup2() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	mounts, err := mountPoints("self")
	if err != nil {
		return err
	}
	for i := len(mounts) - 1; i >= 0; i-- {
		if p := mounts[i].point; p == cgroupRoot || strings.HasPrefix(p, cgroupRoot+"/") {
			if err := unix.Unmount(p, unix.MNT_DETACH); err != nil {
				return fmt.Errorf("unmount %s: %w", p, err)
			}
		}
	}
	if err := unix.Mount("cgroup2", cgroupRoot, "cgroup2", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount cgroup v2: %w", err)
	}
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
}

const cgroupRoot = "/sys/fs/cgroup"

type mountPoint struct{ point, fs string }

// mountPoints lists the mounts that a process sees, oldest first.
func mountPoints(pid string) ([]mountPoint, error) {
	b, err := os.ReadFile(filepath.Join("/proc", pid, "mountinfo"))
	if err != nil {
		return nil, err
	}
	var out []mountPoint
	for _, line := range strings.Split(string(b), "\n") {
		left, right, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(left), strings.Fields(right)
		if ok && len(f) > 4 && len(g) > 0 {
			out = append(out, mountPoint{f[4], g[0]})
		}
	}
	return out, nil
}
