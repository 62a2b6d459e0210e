package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// misdeeds are tried with the body of the request as their argument; each answers
// the error that it met, or "DONE".
var misdeeds = map[string]func(string) string{
	"/read": func(name string) string {
		b, err := os.ReadFile(name)
		return done(err, string(b))
	},
	"/list": func(name string) string {
		d, err := os.ReadDir(name)
		return done(err, fmt.Sprint(d))
	},
	"/write":    func(name string) string { return done(os.WriteFile(name, []byte("x"), 0o600), "") },
	"/chmod":    func(name string) string { return done(os.Chmod(name, 0o777), "") },
	"/chown":    func(name string) string { return done(unix.Lchown(name, 0, 0), "") },
	"/link":     func(name string) string { return done(os.Link(name, "link"), "") },
	"/symlink":  func(name string) string { return done(os.Symlink(name, "sym"), "") },
	"/chdir":    func(name string) string { return done(os.Chdir(name), "") },
	"/truncate": func(name string) string { return done(os.Truncate(name, 0), "") },
	"/remove":   func(name string) string { return done(os.Remove(name), "") },
	"/tcp":      dial("tcp"),
	"/udp":      dial("udp"),
	"/unix":     dial("unix"),
	"/unixgram": dial("unixgram"),
	"/pairgram": func(name string) string { // a datagram socket that is connected already sends elsewhere, too
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
		if err == nil {
			err = unix.Sendto(fds[0], []byte("x"), 0, &unix.SockaddrUnix{Name: name})
		}
		return done(err, "")
	},
	"/listen": func(string) string {
		_, err := net.Listen("tcp", "127.0.0.1:0")
		return done(err, "")
	},
	"/netlink": func(string) string {
		_, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, 0)
		return done(err, "")
	},
	"/vsock": func(string) string {
		_, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
		return done(err, "")
	},
	"/start": func(name string) string {
		p, err := os.StartProcess(name, []string{name}, &os.ProcAttr{})
		if err == nil {
			_, _ = p.Wait()
		}
		return done(err, "")
	},
	"/exec": func(name string) string { return done(syscall.Exec(name, []string{name}, nil), "") },
	"/fork": func(string) string {
		pid, _, e := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
		if e == 0 && pid == 0 {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
		return errno(e)
	},
	"/unshare": func(string) string { return done(unix.Unshare(unix.CLONE_NEWUSER|unix.CLONE_NEWNET), "") },
	"/mount":   func(string) string { return done(unix.Mount("none", ".", "tmpfs", 0, ""), "") },
	"/ptrace":  func(pid string) string { return done(unix.PtraceAttach(number(pid)), "") },
	"/signal":  func(pid string) string { return done(unix.Kill(number(pid), unix.SIGTERM), "") },
	"/owner": func(pid string) string { // the kernel signals the owner of a descriptor
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err == nil {
			_, err = unix.FcntlInt(uintptr(fds[0]), unix.F_SETOWN, number(pid))
		}
		return done(err, "")
	},
	"/memfd": func(string) string {
		_, err := unix.MemfdCreate("x", 0)
		return done(err, "")
	},
	"/shared": func(string) string {
		_, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
		return done(err, "")
	},
	"/keyctl":  func(string) string { _, err := unix.KeyctlGetKeyringID(-3, true); return done(err, "") },
	"/bpf":     func(string) string { _, _, e := syscall.RawSyscall(unix.SYS_BPF, 0, 0, 0); return errno(e) },
	"/uring":   func(string) string { _, _, e := syscall.RawSyscall(unix.SYS_IO_URING_SETUP, 1, 0, 0); return errno(e) },
	"/undying": func(string) string { return done(unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0), "") },
	"/setsid":  func(string) string { _, err := unix.Setsid(); return done(err, "") },
	"/leave": func(string) string { // a child that goes its own way and keeps our pipes
		_, err := os.StartProcess("/bin/sleep", []string{"sleep", "20"}, &os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.NewFile(2, "stderr")}, Sys: &syscall.SysProcAttr{Setsid: true}})
		return done(err, "")
	},
	"/setuid": func(string) string { _, _, e := syscall.RawSyscall(unix.SYS_SETUID, 0, 0, 0); return errno(e) },
	"/limit": func(string) string {
		return done(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}), "")
	},
	"/environ": func(string) string { return strings.Join(os.Environ(), "\n") },
	"/files": func(string) string {
		var out []string
		for fd := range 64 {
			var st unix.Stat_t
			if unix.Fstat(fd, &st) == nil {
				out = append(out, fmt.Sprintf("%d:%o", fd, st.Mode&unix.S_IFMT))
			}
		}
		return strings.Join(out, " ")
	},
	"/big": func(string) string { // one file over the bound
		f, err := os.Create("big")
		defer f.Close()
		for err == nil {
			_, err = f.Write(make([]byte, 1<<20))
		}
		return done(err, "")
	},
	"/many": func(string) string { // more names than a folder may hold
		for i := range 5000 {
			if err := os.WriteFile(fmt.Sprint("many", i), nil, 0o600); err != nil {
				return done(err, "")
			}
		}
		return "DONE"
	},
	"/spin": func(string) string { // works on after it has answered
		go func() {
			for {
			}
		}()
		return "DONE"
	},
	"/work": func(string) string { // a second of processor time for its caller
		var now unix.Rusage
		for now.Utime.Nano()+now.Stime.Nano() < int64(time.Second) {
			if err := unix.Getrusage(unix.RUSAGE_SELF, &now); err != nil {
				return done(err, "")
			}
		}
		return "DONE"
	},
	"/urgent": func(string) string { return done(unix.Setpriority(unix.PRIO_PROCESS, 0, 0), "") },
	"/memory": func(string) string {
		var all [][]byte
		for {
			b := make([]byte, 8<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
			runtime.KeepAlive(all)
		}
	},
	"/threads": func(string) string {
		for range 2000 {
			go func() {
				runtime.LockOSThread()
				ts := unix.NsecToTimespec(int64(time.Hour))
				_ = unix.Nanosleep(&ts, nil)
			}()
		}
		time.Sleep(2 * time.Second)
		return "DONE"
	},
	"/flood": func(string) string {
		line := strings.Repeat("flood ", 200) + "\n"
		for range 20_000 {
			_, _ = os.Stderr.WriteString(line)
			_, _ = os.Stdout.WriteString(line)
		}
		_, _ = os.Stderr.Write(make([]byte, 1<<20))
		return "DONE"
	},
	"/exit":  func(string) string { os.Exit(0); return "" },
	"/abort": func(string) string { go func() { panic("on purpose") }(); select {} },
	"/kill":  func(string) string { _ = unix.Kill(os.Getpid(), unix.SIGKILL); select {} },
	"/self":  func(string) string { return done(unix.Kill(os.Getpid(), 0), "") },
}

func dial(network string) func(string) string {
	return func(address string) string {
		c, err := net.DialTimeout(network, address, time.Second)
		if err == nil {
			_, err = c.Write([]byte("x"))
		}
		return done(err, "")
	}
}

func done(err error, got string) string {
	if err != nil {
		return err.Error()
	}
	return "DONE " + got
}

func errno(e syscall.Errno) string {
	if e != 0 {
		return e.Error()
	}
	return "DONE"
}

func number(s string) (n int) {
	_, _ = fmt.Sscan(s, &n)
	return n
}
