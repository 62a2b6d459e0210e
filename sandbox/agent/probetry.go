package agent

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// probeNamespaces tries to get each kind of new namespace in both ways, and to enter its own again.
func probeNamespaces() map[string]string {
	out := map[string]string{}
	for name, flag := range map[string]int{
		"user": unix.CLONE_NEWUSER, "mnt": unix.CLONE_NEWNS, "net": unix.CLONE_NEWNET, "pid": unix.CLONE_NEWPID,
		"ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS, "cgroup": unix.CLONE_NEWCGROUP, "time": unix.CLONE_NEWTIME,
	} {
		out["unshare "+name] = onThread(func() error { return unix.Unshare(flag) })
		out["setns "+name] = trySetns(name, flag)
		if name != "time" { // clone has no flag for it
			out["clone "+name] = tryClone(uintptr(flag))
			out["clone user and "+name] = tryClone(uintptr(flag) | unix.CLONE_NEWUSER)
		}
	}
	return out
}

// onThread runs fn on a system thread of its own, which ends with it: a namespace that was won is lost again.
func onThread(fn func() error) string {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		result <- fn()
	}()
	return outcome(<-result)
}

func tryClone(flags uintptr) string {
	p, err := os.StartProcess("/proc/self/exe", []string{"tresor", "probe", "child"}, &os.ProcAttr{Sys: &syscall.SysProcAttr{Cloneflags: flags}})
	if err != nil {
		return outcome(err)
	}
	_, _ = p.Wait()
	return "works"
}

func trySetns(name string, flag int) string {
	fd, err := unix.Open("/proc/self/ns/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "open " + outcome(err)
	}
	defer unix.Close(fd)
	return onThread(func() error { return unix.Setns(fd, flag) })
}

func call(number uintptr, args ...uintptr) string {
	var a [6]uintptr
	copy(a[:], args)
	_, _, e := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
	return outcome(e)
}

func text(s string) uintptr {
	b, _ := unix.BytePtrFromString(s)
	pinned = append(pinned, b)
	return uintptr(unsafe.Pointer(b))
}

// pinned keeps what text points at.
var pinned []*byte

var zeros [256]byte

func zero() uintptr { return uintptr(unsafe.Pointer(&zeros[0])) }

// probeAttempts makes the calls that a sandbox must refuse. Where one could do harm if it
// were allowed, its arguments are such that the kernel then refuses them differently.
func probeAttempts() map[string]string {
	const none = ^uintptr(0)
	return map[string]string{
		"keyctl":              call(unix.SYS_KEYCTL, 0, ^uintptr(2), 0), // get the session keyring
		"add_key":             call(unix.SYS_ADD_KEY, text("user"), text("tresor-probe"), text("x"), 1, ^uintptr(1)),
		"request_key":         call(unix.SYS_REQUEST_KEY, text("user"), text("tresor-probe"), 0, 0),
		"bpf":                 call(unix.SYS_BPF, 0, zero(), 48),
		"perf_event_open":     call(unix.SYS_PERF_EVENT_OPEN, zero(), 0, none, none, 0),
		"io_uring_setup":      call(unix.SYS_IO_URING_SETUP, 1, zero()),
		"userfaultfd":         call(unix.SYS_USERFAULTFD, 0),
		"ptrace attach 1":     call(unix.SYS_PTRACE, unix.PTRACE_ATTACH, 1, 0, 0),
		"process_vm_readv 1":  call(unix.SYS_PROCESS_VM_READV, 1, zero(), 1, zero(), 1, 0),
		"pidfd_getfd 1":       call(unix.SYS_PIDFD_GETFD, none, 0, 0),
		"name_to_handle_at":   call(unix.SYS_NAME_TO_HANDLE_AT, none, text("/"), zero(), zero(), 0),
		"open_by_handle_at":   call(unix.SYS_OPEN_BY_HANDLE_AT, none, zero(), 0),
		"mount tmpfs":         call(unix.SYS_MOUNT, text("x"), text("/tmp"), text("tmpfs"), 0, 0),
		"remount root rw":     call(unix.SYS_MOUNT, text("x"), text("/"), text(""), unix.MS_REMOUNT|unix.MS_BIND, 0),
		"umount /tmp":         call(unix.SYS_UMOUNT2, text("/tmp"), 0),
		"pivot_root":          call(unix.SYS_PIVOT_ROOT, text("/tmp"), text("/tmp")),
		"chroot":              call(unix.SYS_CHROOT, text("/")),
		"fsopen":              call(unix.SYS_FSOPEN, text("tmpfs"), 0),
		"open_tree":           call(unix.SYS_OPEN_TREE, none, text("/"), 1),
		"move_mount":          call(unix.SYS_MOVE_MOUNT, none, text("/"), none, text("/"), 0),
		"mount_setattr":       call(unix.SYS_MOUNT_SETATTR, none, text("/"), 0, zero(), 32),
		"setuid 0":            call(unix.SYS_SETUID, 0),
		"setgid 0":            call(unix.SYS_SETGID, 0),
		"setgroups":           call(unix.SYS_SETGROUPS, 0, 0),
		"sethostname":         call(unix.SYS_SETHOSTNAME, text("probe"), 5),
		"settimeofday":        call(unix.SYS_SETTIMEOFDAY, none, none),
		"init_module":         call(unix.SYS_INIT_MODULE, zero(), 0, zero()),
		"kexec_load":          call(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0),
		"reboot":              call(unix.SYS_REBOOT, 0, 0, 0, 0),
		"swapon":              call(unix.SYS_SWAPON, text("/tmp/none"), 0),
		"syslog":              call(unix.SYS_SYSLOG, 3, zero(), 10),
		"acct":                call(unix.SYS_ACCT, text("/tmp/none")),
		"quotactl":            call(unix.SYS_QUOTACTL, none, 0, 0, 0),
		"fanotify_init":       call(unix.SYS_FANOTIFY_INIT, 0, 0),
		"personality":         call(unix.SYS_PERSONALITY, 0x0400000),
		"clone3":              call(unix.SYS_CLONE3, 0, 0),
		"mbind":               call(unix.SYS_MBIND, 0, 0, 0, 0, 0, 0),
		"mknod device":        outcome(unix.Mknod("/tmp/.tresor-probe-dev", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))),
		"push into terminal":  call(unix.SYS_IOCTL, 0, unix.TIOCSTI, zero()),
		"raise core limit":    outcome(unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1})),
		"lower oom score":     outcome(os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0)),
		"kill first process":  tryKillFirst(),
		"gain by setuid file": trySetuidFile(),
	}
}

// tryKillFirst sends a signal that the kernel drops unless it may end the sandbox.
func tryKillFirst() string {
	if b, err := os.ReadFile("/proc/1/comm"); os.Getpid() == 1 || err != nil || string(b) != BinaryName+"\n" {
		return "not tried" // not in a sandbox of ours
	}
	if err := unix.Kill(1, unix.SIGKILL); err != nil {
		return outcome(err)
	}
	return "ignored" // we are still here
}

// trySetuidFile copies nothing and runs nothing: it looks whether the no-new-privileges bit stands.
func trySetuidFile() string {
	v, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil {
		return outcome(err)
	}
	if v == 1 {
		return "barred"
	}
	return "possible"
}
