package confine

import (
	"debug/elf"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// place is what the process holds open of the file system while it locks itself.
type place struct {
	program int // O_PATH
	folder  int
	shared  bool // the program needs the system's shared libraries
}

// open enters the plugin's folder and opens the program: after the change of
// account neither may be reachable by name.
func open(s Spec) (p place, err error) {
	if err := unix.CloseRange(reportFile, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		for fd := reportFile; fd < 1024; fd++ { // a kernel before 5.11
			unix.CloseOnExec(fd)
		}
	}
	if err := unix.Chdir(s.Dir); err != nil {
		return p, fmt.Errorf("cannot enter the plugin's folder: %w", err)
	}
	if p.folder, err = unix.Open(".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return p, fmt.Errorf("cannot open the plugin's folder: %w", err)
	}
	if p.shared, err = dynamic(s.Path); err != nil {
		return p, err
	}
	if p.shared && !s.Own {
		return p, fmt.Errorf("the plugin's program needs shared libraries, which a confined plugin cannot read; build it as a static program (for Go: CGO_ENABLED=0)")
	}
	if p.program, err = unix.Open(s.Path, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
		return p, fmt.Errorf("cannot open the plugin's program: %w", err)
	}
	return p, nil
}

// dynamic reports whether the program names a loader. A file that is no program is refused.
func dynamic(path string) (bool, error) {
	f, err := elf.Open(path)
	if err != nil {
		return false, fmt.Errorf("the plugin's file is not a program for this system (scripts cannot be plugins): %w", err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return true, nil
		}
	}
	return false, nil
}

// exec becomes the program. It returns only when that failed.
func (p place) exec(s Spec) error {
	argv, err := syscall.SlicePtrFromStrings(append([]string{s.Path}, s.Args...))
	if err != nil {
		return err
	}
	envp, err := syscall.SlicePtrFromStrings(s.Env)
	if err != nil {
		return err
	}
	empty, _ := unix.BytePtrFromString("")
	_, _, e := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(p.program), uintptr(unsafe.Pointer(empty)),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envp[0])), unix.AT_EMPTY_PATH, 0)
	if e == unix.EACCES {
		return fmt.Errorf("the plugin's account may not run the program; give its file mode 755")
	}
	return fmt.Errorf("cannot become the plugin: %w", e)
}
