package confine

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rule allows one system call when all its checks hold.
type rule struct {
	nr     uintptr
	checks []argCheck
}

// argCheck holds when the low 32 bits of an argument, masked, are one of values.
type argCheck struct {
	arg    int
	mask   uint32
	values []uint32
}

const all = ^uint32(0)

// Requests of ioctl that any descriptor may get.
const (
	fionread = 0x541B
	fionbio  = 0x5421
	fioclex  = 0x5451
	fionclex = 0x5450
)

// fcntls are the commands of fcntl: flags, copies and locks. Not here, among others:
// F_SETOWN and F_SETSIG, by which the kernel sends another process any signal.
var fcntls = []uint32{
	unix.F_DUPFD, unix.F_DUPFD_CLOEXEC, unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL,
	unix.F_GETLK, unix.F_SETLK, unix.F_SETLKW, unix.F_OFD_GETLK, unix.F_OFD_SETLK, unix.F_OFD_SETLKW,
}

// namespaces are the flags of clone that make new ones.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// guardedCalls are allowed with some arguments only.
func guardedCalls(program int) []rule {
	pid := uint32(os.Getpid()) // the plugin has our pid
	return []rule{
		{unix.SYS_CLONE, []argCheck{{0, unix.CLONE_THREAD | namespaces, []uint32{unix.CLONE_THREAD}}}}, // threads, no processes
		{unix.SYS_SOCKET, []argCheck{{0, all, []uint32{unix.AF_UNIX}}, {1, 0xf, []uint32{unix.SOCK_STREAM}}}},
		{unix.SYS_SOCKETPAIR, []argCheck{{0, all, []uint32{unix.AF_UNIX}}, {1, 0xf, []uint32{unix.SOCK_STREAM}}}}, // a datagram socket sends to any other, such as the system's log
		{unix.SYS_FCNTL, []argCheck{{1, all, fcntls}}},
		{unix.SYS_EXECVEAT, []argCheck{{0, all, []uint32{uint32(program)}}, {4, all, []uint32{unix.AT_EMPTY_PATH}}}}, // ours, into the plugin
		{unix.SYS_MMAP, []argCheck{{3, unix.MAP_SHARED, []uint32{0}}}},                                               // shared memory is outside the bound
		{unix.SYS_TGKILL, []argCheck{{0, all, []uint32{pid}}}},
		{unix.SYS_KILL, []argCheck{{0, all, []uint32{pid}}}},
		{unix.SYS_PRLIMIT64, []argCheck{{0, all, []uint32{0, pid}}}},
		{unix.SYS_PRCTL, []argCheck{{0, all, []uint32{unix.PR_SET_NAME, unix.PR_GET_NAME, unix.PR_SET_VMA}}}},
		{unix.SYS_IOCTL, []argCheck{{1, all, []uint32{unix.TCGETS, unix.TIOCGWINSZ, fionread, fionbio, fioclex, fionclex}}}},
	}
}

// calls are allowed with any argument: what a program needs to compute, to keep
// files in its folder and to answer on a socket. Not here, among others: connect,
// ptrace, mount, unshare, setns, bpf, keyctl, io_uring, memfd_create, and calls that
// change modes, owners or times, which Landlock does not cover.
var calls = []uintptr{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_PREADV, unix.SYS_PWRITEV,
	unix.SYS_CLOSE, unix.SYS_CLOSE_RANGE, unix.SYS_LSEEK, unix.SYS_FSTAT, unix.SYS_STATX, unix.SYS_OPENAT, unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2,
	unix.SYS_READLINKAT, unix.SYS_GETDENTS64, unix.SYS_GETCWD, unix.SYS_MKDIRAT, unix.SYS_UNLINKAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2,
	unix.SYS_FTRUNCATE, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FLOCK, unix.SYS_DUP, unix.SYS_DUP3, unix.SYS_PIPE2, unix.SYS_FALLOCATE,
	unix.SYS_PPOLL, unix.SYS_PSELECT6, unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2, unix.SYS_EVENTFD2,
	unix.SYS_TIMERFD_CREATE, unix.SYS_TIMERFD_SETTIME, unix.SYS_TIMERFD_GETTIME,
	unix.SYS_MPROTECT, unix.SYS_MUNMAP, unix.SYS_MREMAP, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK, unix.SYS_MEMBARRIER,
	unix.SYS_FUTEX, unix.SYS_SET_ROBUST_LIST, unix.SYS_GET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_SET_TID_ADDRESS,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RT_SIGTIMEDWAIT,
	unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES, unix.SYS_GETTIMEOFDAY,
	unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_DELETE, unix.SYS_SETITIMER,
	unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETPPID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID,
	unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_GETCPU, unix.SYS_GETRANDOM, unix.SYS_UNAME, unix.SYS_SYSINFO, unix.SYS_GETRUSAGE,
	unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT, unix.SYS_ACCEPT4, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME, unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT,
	unix.SYS_SHUTDOWN, unix.SYS_RECVFROM, unix.SYS_SENDTO, unix.SYS_RECVMSG, unix.SYS_SENDMSG,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_RESTART_SYSCALL,
}

// Offsets in the kernel's struct seccomp_data.
const (
	offNr   = 0
	offArch = 4
	offArgs = 16
)

func load(off int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: uint32(off)}
}

func jump(op uint16, k uint32, yes, no int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | op | unix.BPF_K, K: k, Jt: uint8(yes), Jf: uint8(no)}
}

func ret(action uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
}

// filter builds the program: a call of the lists is allowed, clone3 is said not to
// exist (its flags cannot be read here; libraries then use clone), and every other
// call fails with EPERM.
func filter(arch uint32, plain []uintptr, rules []rule) []unix.SockFilter {
	deny := ret(unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM))
	out := []unix.SockFilter{
		load(offArch), jump(unix.BPF_JEQ, arch, 1, 0), ret(unix.SECCOMP_RET_KILL_PROCESS),
		load(offNr),
		jump(unix.BPF_JEQ, uint32(unix.SYS_CLONE3), 0, 1), ret(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)),
	}
	for _, nr := range plain {
		out = append(out, jump(unix.BPF_JEQ, uint32(nr), 0, 1), ret(unix.SECCOMP_RET_ALLOW))
	}
	for _, r := range rules {
		var body []unix.SockFilter
		for _, c := range r.checks {
			body = append(body, load(offArgs+8*c.arg), unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: c.mask})
			for i, v := range c.values {
				body = append(body, jump(unix.BPF_JEQ, v, len(c.values)-i, 0)) // past the refusal
			}
			body = append(body, deny)
		}
		body = append(body, ret(unix.SECCOMP_RET_ALLOW))
		out = append(append(out, jump(unix.BPF_JEQ, uint32(r.nr), 0, len(body))), body...)
	}
	return append(out, deny)
}

// seccomp installs the filter on this thread. lack says why the kernel cannot.
func seccomp(program int, r *Report) (lack string, err error) {
	if arch == 0 {
		return "the list of system calls is not written for " + runtime.GOARCH, nil
	}
	prog := filter(arch, append(calls, oldCalls...), guardedCalls(program))
	p := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&p)))
	switch e {
	case 0:
		r.Seccomp = true
		return "", nil
	case unix.ENOSYS:
		return "this kernel has no seccomp, so the network and other processes stay open to it", nil
	}
	return "", fmt.Errorf("seccomp refuses the list of system calls: %w", e)
}
