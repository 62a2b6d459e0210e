package confine

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Bounds of one plugin process.
const (
	MaxFiles   = 128      // open files
	MaxFile    = 16 << 20 // bytes of one file
	MaxThreads = 256      // in an account of its own
	maxStack   = 2 << 20  // bytes
	less       = 5        // steps of priority (nice) below the server
)

// bound sets the rlimits and the priority. Memory is bounded as data: a Go program reserves far
// more addresses than it ever uses, so a bound on addresses would say nothing.
func bound(s Spec, r *Report) error {
	limits := []struct {
		what  int
		value uint64
	}{
		{unix.RLIMIT_CORE, 0}, {unix.RLIMIT_NOFILE, MaxFiles}, {unix.RLIMIT_FSIZE, MaxFile},
		{unix.RLIMIT_STACK, maxStack}, {unix.RLIMIT_MEMLOCK, 0}, {unix.RLIMIT_MSGQUEUE, 0},
		{unix.RLIMIT_NICE, 0}, {unix.RLIMIT_RTPRIO, 0},
	}
	if s.Memory > 0 {
		limits = append(limits, struct {
			what  int
			value uint64
		}{unix.RLIMIT_DATA, uint64(s.Memory)})
		r.Memory = true
	}
	if s.Account > 0 {
		limits = append(limits, struct {
			what  int
			value uint64
		}{unix.RLIMIT_NPROC, MaxThreads})
	}
	for _, l := range limits {
		if err := unix.Setrlimit(l.what, &unix.Rlimit{Cur: l.value, Max: l.value}); err != nil {
			return fmt.Errorf("cannot set limit %d: %w", l.what, err)
		}
	}
	// The server comes first when both want the processors. The call answers 20 less the nice value.
	now, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err == nil {
		err = unix.Setpriority(unix.PRIO_PROCESS, 0, min(19, 20-now+less))
	}
	if err != nil {
		return fmt.Errorf("cannot lower the priority: %w", err)
	}
	unix.Umask(0o077)
	// When memory runs out, the kernel takes a plugin before the server. Where /proc is not there, it chooses itself.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("900"), 0)
	return nil
}

// MayChangeAccount reports whether this process can give a child another account:
// root can, unless whoever started it kept that from it, as in some containers.
func MayChangeAccount() bool {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var d [2]unix.CapUserData
	if os.Geteuid() != 0 || unix.Capget(&h, &d[0]) != nil {
		return false
	}
	for _, c := range []uint{unix.CAP_CHOWN, unix.CAP_SETUID, unix.CAP_SETGID} {
		if d[0].Effective&(1<<c) == 0 {
			return false
		}
	}
	return true
}

// leaveRoot gives up capabilities and, when an account is named, root. The calls
// bind this thread only, which is the one that becomes the plugin.
func leaveRoot(s Spec, r *Report) error {
	if os.Geteuid() == 0 {
		for c := uintptr(0); c <= unix.CAP_LAST_CAP+8; c++ {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && err != unix.EINVAL && err != unix.EPERM {
				return fmt.Errorf("cannot give up capability %d: %w", c, err)
			}
		}
	}
	if s.Account > 0 {
		id := uintptr(s.Account)
		if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); e != 0 {
			return fmt.Errorf("cannot give up groups: %w", e)
		}
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, id, id, id); e != 0 {
			return fmt.Errorf("cannot change the group: %w", e)
		}
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, id, id, id); e != 0 {
			return fmt.Errorf("cannot change the account: %w", e)
		}
		r.Account = true
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot give up gaining rights: %w", err)
	}
	return nil
}
