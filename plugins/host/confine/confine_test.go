package confine

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain lets the test binary be the shim.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Word {
		os.Exit(Main(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// shim runs Main as a process and returns what it reported and the error output.
func shim(t *testing.T, args ...string) (Report, string, error) {
	t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	cmd := exec.Command(os.Args[0], append([]string{Word}, args...)...)
	var stderr bytes.Buffer
	cmd.ExtraFiles, cmd.Stderr = []*os.File{out}, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	r, err := Read(in)
	_ = cmd.Wait()
	return r, stderr.String(), err
}

// static builds the smallest program that Main can become.
func static(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	src := filepath.Join(dir, "main.go")
	if err := os.WriteFile(src, []byte("package main\nfunc main() { println(\"became\") }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "program")
	cmd := exec.Command("go", "build", "-o", file, src)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GO111MODULE=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Chmod(file, 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRefusals(t *testing.T) {
	file := static(t)
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	fine := func(dir string) Spec { return Spec{Path: file, Dir: dir, Memory: 1 << 30, Parent: os.Getpid()} }
	for _, c := range []struct {
		name   string
		change func(*Spec)
		want   string
	}{
		{"a folder that is not there", func(s *Spec) { s.Dir += "/absent" }, "cannot enter the plugin's folder"},
		{"a program that is not there", func(s *Spec) { s.Path += ".absent" }, "not a program for this system"},
		{"a script", func(s *Spec) { s.Path = script }, "scripts cannot be plugins"},
		{"a program with shared libraries", func(s *Spec) { s.Path = "/bin/true" }, "build it as a static program"},
		{"a host that has ended", func(s *Spec) { s.Parent = 1 << 30 }, "the server ended"},
		{"a folder that is a file", func(s *Spec) { s.Dir = script }, "cannot enter the plugin's folder"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := fine(t.TempDir())
			c.change(&s)
			if r, out, err := shim(t, s.Arg()); err == nil || !strings.Contains(err.Error(), c.want) || r.Checked || out != "" {
				t.Errorf("report %+v, error %v, output %q", r, err, out)
			}
		})
	}
	for name, args := range map[string][]string{"no argument": nil, "garbage": {"{"}, "two arguments": {"{}", "{}"}} {
		if _, _, err := shim(t, args...); err == nil || !strings.Contains(err.Error(), "not by hand") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBecomes(t *testing.T) {
	file := static(t)
	for _, c := range []struct {
		name    string
		memory  int64
		account int
	}{{"as it is", 1 << 30, 0}, {"without a bound on memory", 0, 0}, {"in an account of its own", 1 << 30, 0x70001234}} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if c.account > 0 && os.Chown(dir, c.account, c.account) != nil {
				t.Skip("only root can give an account")
			}
			r, out, err := shim(t, Spec{Path: file, Dir: dir, Memory: c.memory, Account: c.account, Parent: os.Getpid()}.Arg())
			if err != nil || !r.Checked || r.Memory != (c.memory > 0) || r.Account != (c.account > 0) || r.Text == "" {
				t.Errorf("report %+v, error %v", r, err)
			}
			if strings.TrimSpace(out) != "became" {
				t.Errorf("it wrote %q", out)
			}
			for _, word := range []string{"memory is not bounded", "server's account"} {
				if lacks := map[string]bool{"memory is not bounded": c.memory == 0, "server's account": c.account == 0}[word]; strings.Contains(r.Text, word) != lacks {
					t.Errorf("text %q, %q", r.Text, word)
				}
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("the check left %v", left)
			}
		})
	}
}

// TestTextNamesWhatIsMissing: on a kernel without the locks the reader is told.
func TestTextNamesWhatIsMissing(t *testing.T) {
	out := text(Spec{}, Report{}, []string{"this kernel has no Landlock"})
	if !strings.HasPrefix(out, "Nothing holds this plugin.") || !strings.Contains(out, "no Landlock") || !strings.Contains(out, "not bounded") {
		t.Error(out)
	}
}

func TestRead(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"nothing":   {"", "ended before it reported"},
		"garbage":   {"{", "ended before it reported"},
		"a refusal": {`{"error":"no"}`, "was not started: no"},
		"endless":   {strings.Repeat(" ", 100<<10) + "{}", "ended before it reported"},
	} {
		if _, err := Read(strings.NewReader(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r, err := Read(strings.NewReader(`{"landlock":true,"checked":true}`)); err != nil || !r.Landlock || !r.Checked {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestHandled: an older kernel is not asked for what it does not know.
func TestHandled(t *testing.T) {
	for _, c := range []struct {
		abi        int
		newest     uint64
		net, scope uint64
	}{
		{1, unix.LANDLOCK_ACCESS_FS_MAKE_SYM, 0, 0}, {2, unix.LANDLOCK_ACCESS_FS_REFER, 0, 0}, {3, unix.LANDLOCK_ACCESS_FS_TRUNCATE, 0, 0},
		{4, unix.LANDLOCK_ACCESS_FS_TRUNCATE, 3, 0}, {5, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV, 3, 0}, {6, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV, 3, 3}, {99, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV, 3, 3},
	} {
		a := handled(c.abi)
		if a.Handled_access_fs != c.newest<<1-1 || a.Handled_access_net != c.net || a.Scoped != c.scope {
			t.Errorf("version %d: %+v", c.abi, a)
		}
	}
}

// TestFilter runs the program that the kernel is given, on calls of every kind.
func TestFilter(t *testing.T) {
	prog := filter(0xc000003e, []uintptr{0, 1}, []rule{
		{10, []argCheck{{0, all, []uint32{1}}, {1, 0xf, []uint32{1, 5}}}},
		{11, []argCheck{{3, 1, []uint32{0}}}},
	})
	for _, c := range []struct {
		name string
		arch uint32
		nr   uint32
		args [6]uint32
		want uint32
	}{
		{"allowed", 0xc000003e, 0, [6]uint32{}, unix.SECCOMP_RET_ALLOW},
		{"allowed, the last", 0xc000003e, 1, [6]uint32{}, unix.SECCOMP_RET_ALLOW},
		{"not in the list", 0xc000003e, 2, [6]uint32{}, unix.SECCOMP_RET_ERRNO | 1},
		{"another machine's call", 0x40000003, 0, [6]uint32{}, unix.SECCOMP_RET_KILL_PROCESS},
		{"the x32 form of an allowed call", 0xc000003e, 0x40000000, [6]uint32{}, unix.SECCOMP_RET_ERRNO | 1},
		{"clone3", 0xc000003e, unix.SYS_CLONE3, [6]uint32{}, unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{"checked, first value", 0xc000003e, 10, [6]uint32{1, 0x801}, unix.SECCOMP_RET_ALLOW},
		{"checked, second value", 0xc000003e, 10, [6]uint32{1, 5}, unix.SECCOMP_RET_ALLOW},
		{"checked, first fails", 0xc000003e, 10, [6]uint32{2, 1}, unix.SECCOMP_RET_ERRNO | 1},
		{"checked, second fails", 0xc000003e, 10, [6]uint32{1, 2}, unix.SECCOMP_RET_ERRNO | 1},
		{"masked", 0xc000003e, 11, [6]uint32{0, 0, 0, 2}, unix.SECCOMP_RET_ALLOW},
		{"masked, set", 0xc000003e, 11, [6]uint32{0, 0, 0, 3}, unix.SECCOMP_RET_ERRNO | 1},
	} {
		if got := interpret(prog, c.nr, c.arch, c.args); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
	if n := len(filter(arch, append(calls, oldCalls...), guardedCalls(5))); arch != 0 && n > 4096 {
		t.Errorf("%d instructions, the kernel takes 4096", n)
	}
}

// interpret is the part of the kernel's machine that filter uses.
func interpret(prog []unix.SockFilter, nr, arch uint32, args [6]uint32) uint32 {
	var a uint32
	for pc := 0; ; pc++ {
		switch i := prog[pc]; i.Code & 7 {
		case unix.BPF_LD:
			switch {
			case i.K == offNr:
				a = nr
			case i.K == offArch:
				a = arch
			default:
				a = args[(i.K-offArgs)/8]
			}
		case unix.BPF_ALU:
			a &= i.K
		case unix.BPF_JMP:
			if a == i.K {
				pc += int(i.Jt)
			} else {
				pc += int(i.Jf)
			}
		case unix.BPF_RET:
			return i.K
		default:
			panic(fmt.Sprint("instruction ", i))
		}
	}
}
