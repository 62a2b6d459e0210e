package doctor

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// reach looks whether the account that runs Podman can pass through every folder
// above the data folder: containers get their datasets by that path. A clone
// under /root, which is closed to everybody else, is the usual mistake.
func reach(dir, name string) Check {
	const check = "path to the data"
	if os.Geteuid() != 0 {
		return ok(check, "the server's own account runs the containers")
	}
	u, err := user.Lookup(name)
	if err != nil {
		return warn(check, "Run scripts/sandbox-account as root.", "was not looked at: there is no account %s.", name)
	}
	closed, err := closedAbove(dir, passerOf(u))
	if err != nil {
		return warn(check, "Check the path and its owner.", "could not be looked at: %v", err)
	}
	if closed != "" {
		return fail(check, "Choose a data folder below /var/lib with --data, or as root: chmod o+x "+closed,
			"%s, which runs the containers, cannot pass through %s: no job can read its data.", name, closed)
	}
	return ok(check, "open to %s", name)
}

// passer is an account that wants to pass through folders.
type passer struct {
	uid  uint32
	gids []uint32
}

func passerOf(u *user.User) passer {
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	// The shim starts Podman without supplementary groups.
	return passer{uint32(uid), []uint32{uint32(gid)}}
}

// passes is the kernel's rule: the first class that fits decides alone.
func (p passer) passes(mode fs.FileMode, uid, gid uint32) bool {
	switch {
	case p.uid == uid:
		return mode&0o100 != 0
	case slices.Contains(p.gids, gid):
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}

// closedAbove is the first folder above dir that p cannot pass, or "". Folders
// that do not exist are made by the server, open enough. An access list is more
// than mode bits say; a folder that has one is taken to be open.
func closedAbove(dir string, p passer) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	var above []string
	for d := filepath.Dir(dir); ; d = filepath.Dir(d) {
		above = append(above, d)
		if d == filepath.Dir(d) {
			break
		}
	}
	slices.Reverse(above)
	for _, d := range above {
		st, err := os.Stat(d)
		if os.IsNotExist(err) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		owner := st.Sys().(*syscall.Stat_t)
		if !p.passes(st.Mode(), owner.Uid, owner.Gid) && !hasACL(d) {
			return d, nil
		}
	}
	return "", nil
}

func hasACL(dir string) bool {
	n, err := unix.Getxattr(dir, "system.posix_acl_access", nil)
	return err == nil && n > 0
}
