package confine

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// foreign are files that a plugin must not open: one that every host has, and the
// folder that holds the plugin's own.
var foreign = []string{"/etc/passwd", "/proc/self/environ", ".."}

// tryBefore returns those of foreign that open now, so that a file which is not
// there or has other modes is not taken as proof.
func tryBefore() (open []string) {
	for _, name := range foreign {
		if opens(name) {
			open = append(open, name)
		}
	}
	return open
}

func opens(name string) bool {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err == nil
}

// check tries what the locks forbid. A lock that is said to hold and does not is
// an error: the plugin does not start.
func check(s Spec, before []string, r *Report) error {
	for _, name := range before {
		if r.Landlock && opens(name) {
			return fmt.Errorf("the lock of files (Landlock) is on, but %s still opens", name)
		}
	}
	if err := os.WriteFile("check", nil, 0o600); err != nil {
		return fmt.Errorf("the plugin cannot write in its own folder: %w", err)
	}
	if err := os.Remove("check"); err != nil {
		return fmt.Errorf("the plugin cannot remove a file in its own folder: %w", err)
	}
	tries := []struct {
		what string
		try  func() unix.Errno
	}{
		{"an internet socket", tryCall(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 0)},
		{"an internet datagram socket", tryCall(unix.SYS_SOCKET, unix.AF_INET6, unix.SOCK_DGRAM, 0)},
		{"a kernel socket", tryCall(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, 0)},
		{"a datagram socket", tryCall(unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_DGRAM, 0)},
		{"signals by a descriptor", tryCall(unix.SYS_FCNTL, 0, unix.F_SETOWN, 0)},
		{"a connection", tryCall(unix.SYS_CONNECT, ^uintptr(0), 0, 0)},
		{"another process", tryFork},
		{"a namespace", tryCall(unix.SYS_UNSHARE, unix.CLONE_NEWUSER, 0, 0)},
		{"tracing", tryCall(unix.SYS_PTRACE, ^uintptr(0), 0, 0)},
		{"the key store", tryCall(unix.SYS_KEYCTL, ^uintptr(0), 0, 0)},
		{"another program", tryCall(unix.SYS_EXECVE, 0, 0, 0)},
	}
	if r.Seccomp {
		for _, t := range tries {
			if e := t.try(); e != unix.EPERM {
				return fmt.Errorf("seccomp is on, but %s is not refused (%v)", t.what, e)
			}
		}
	}
	r.Network = r.Seccomp
	if r.Memory {
		// One byte over the bound, without using any of it.
		if _, err := unix.Mmap(-1, 0, int(s.Memory)+1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE); err != unix.ENOMEM {
			return fmt.Errorf("the memory bound of %d bytes does not hold (%v)", s.Memory, err)
		}
	}
	if s.Account > 0 && (os.Geteuid() != s.Account || opens("/etc/shadow")) {
		return fmt.Errorf("the change of account did not take effect")
	}
	r.Checked = true
	return nil
}

func tryCall(nr, a, b, c uintptr) func() unix.Errno {
	return func() unix.Errno {
		fd, _, e := unix.RawSyscall(nr, a, b, c)
		if e == 0 && nr == unix.SYS_SOCKET {
			_ = unix.Close(int(fd))
		}
		return e
	}
}

// tryFork makes a process that ends at once, if it can be made.
func tryFork() unix.Errno {
	pid, _, e := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e == 0 && pid == 0 {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	if e == 0 {
		_, _ = unix.Wait4(int(pid), nil, 0, nil)
	}
	return e
}
