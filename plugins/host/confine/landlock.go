package confine

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights of Landlock by the kernel's version of it (ABI), oldest first.
const (
	fsV1 = unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1
	own  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_REFER | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	run     = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE
	library = run | unix.LANDLOCK_ACCESS_FS_READ_DIR
)

// handled returns what a kernel of this ABI can deny.
func handled(abi int) unix.LandlockRulesetAttr {
	a := unix.LandlockRulesetAttr{Handled_access_fs: fsV1}
	if abi >= 2 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 4 {
		a.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if abi >= 5 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= 6 {
		a.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	return a
}

// landlock denies every file but the plugin's folder and program, and TCP. lack
// says why the kernel cannot.
func landlock(p place, r *Report) (lack string, err error) {
	abi, _, e := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 || int(abi) < 1 {
		return "this kernel has no Landlock, so nothing but the file modes keeps it from other files", nil
	}
	attr := handled(int(abi))
	set, _, e := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if e != 0 {
		return "", fmt.Errorf("the kernel refuses the rules for files (Landlock): %w", e)
	}
	defer unix.Close(int(set))
	if err := allow(int(set), p.folder, own&attr.Handled_access_fs); err != nil {
		return "", err
	}
	if err := allow(int(set), p.program, run); err != nil {
		return "", err
	}
	if p.shared {
		allowLibraries(int(set))
	}
	if _, _, e := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, set, 0, 0); e != 0 {
		return "", fmt.Errorf("the lock of files (Landlock) does not take effect: %w", e)
	}
	r.Landlock = true
	return "", nil
}

func allow(set, fd int, access uint64) error {
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	if _, _, e := unix.RawSyscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(set), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0); e != 0 {
		return fmt.Errorf("the kernel refuses a rule for files (Landlock): %w", e)
	}
	return nil
}

// allowLibraries lets our own program, when it is not a static one, load its
// libraries. A folder that is not there is not needed.
func allowLibraries(set int) {
	for _, dir := range []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache"} {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		access := uint64(library)
		if dir == "/etc/ld.so.cache" {
			access = unix.LANDLOCK_ACCESS_FS_READ_FILE
		}
		_ = allow(set, fd, access) // without it the program does not start, which says so itself
		_ = unix.Close(fd)
	}
}
