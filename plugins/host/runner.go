package host

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tresor/plugins/host/confine"
)

// runner starts the process for go-plugin: through the shim that confines it, on a
// thread that lives as long as the process, in a folder made for this one start.
type runner struct {
	o      Options
	dir    string // the process's own folder
	env    []string
	cmd    *exec.Cmd
	stdout io.ReadCloser
	stderr *said
	folder *os.File // dir, for addresses that would be too long by name
	exited chan struct{}
	report confine.Report
}

// DefaultMemory bounds a plugin's memory, in bytes.
const DefaultMemory = 512 << 20

// newRunner prepares a start; env is what the two ends of go-plugin tell each other by.
func newRunner(o Options, dir string, env []string) (*runner, error) {
	if err := o.Command.check(); err != nil {
		return nil, err
	}
	r := &runner{o: o, dir: dir, exited: make(chan struct{})}
	// Half of the processors: a translator's work is short, and a process that
	// wakes fewer threads answers sooner.
	r.env = []string{"PATH=/nonexistent", "GOMAXPROCS=" + strconv.Itoa(max(1, runtime.NumCPU()/2)), "GOTRACEBACK=single"}
	r.env = append(r.env, "PLUGIN_UNIX_SOCKET_DIR=.", "TMPDIR=.") // relative: a plugin may not be able to reach its folder by name
	for _, e := range env {                                       // a name that stands twice would be read the first time only
		if !strings.HasPrefix(e, "PLUGIN_UNIX_SOCKET_DIR=") && !strings.HasPrefix(e, "TMPDIR=") {
			r.env = append(r.env, e)
		}
	}
	if o.Memory > 0 {
		r.env = append(r.env, "GOMEMLIMIT="+strconv.FormatInt(o.Memory/5*4, 10))
	}
	return r, nil
}

// command is the process to start, and the account that it is to have.
func (r *runner) command() (*exec.Cmd, error) {
	if r.o.Unconfined {
		return exec.Command(r.o.Command.Path, r.o.Command.Args...), nil
	}
	spec := confine.Spec{Path: r.o.Command.Path, Args: r.o.Command.Args, Env: r.env, Dir: r.dir, Memory: max(0, r.o.Memory), Parent: os.Getpid(), Own: r.o.Command.sum == ""}
	if confine.MayChangeAccount() {
		if id := account(r.o.Name); os.Chown(r.dir, id, id) == nil { // else: a root that owns no other accounts
			spec.Account = id
		}
	}
	exe := r.o.Exe
	if exe == "" {
		return nil, errors.New("the server did not say which program confines plugins")
	}
	return exec.Command(exe, confine.Word, spec.Arg()), nil
}

// account is the number of a plugin's own account: one that no system gives to a
// person or a service, the same at every start, and another for each name.
func account(name string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return 0x70000000 + int(h.Sum32()%0x10000)
}

// Start starts the process and reads what holds for it.
func (r *runner) Start(ctx context.Context) (err error) {
	if r.cmd, err = r.command(); err != nil {
		return err
	}
	r.cmd.Dir, r.cmd.Env = r.dir, []string{} // the shim's own is empty; it has the plugin's in its argument
	if r.o.Unconfined {
		r.cmd.Env = r.env
	}
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if r.stdout, err = r.cmd.StdoutPipe(); err != nil {
		return err
	}
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		return err
	}
	r.stderr = &said{ReadCloser: stderr}
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	if r.folder, err = os.Open(r.dir); err != nil {
		return err
	}
	if !r.o.Unconfined {
		r.cmd.ExtraFiles = []*os.File{out}
	}
	err = r.begin()
	_ = out.Close()
	if err != nil || r.o.Unconfined {
		r.report.Text = "Nothing holds this plugin: the server was told to start it without confinement."
		return err
	}
	if at, ok := ctx.Deadline(); ok {
		_ = in.SetReadDeadline(at)
	}
	if r.report, err = confine.Read(in); err != nil {
		_ = r.cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, io.LimitReader(r.stderr, maxSaid)) // the shim's own words, when it got no further
		_ = r.Wait(ctx)
		return err
	}
	return nil
}

// begin starts the command on a thread that stays until the process has ended: the
// kernel sends the child its death signal when the starting thread ends, and Go
// ends idle threads.
func (r *runner) begin() error {
	out := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := r.cmd.Start()
		out <- err
		if err == nil {
			<-r.exited
		}
	}()
	return <-out
}

// Wait returns when the process has ended.
func (r *runner) Wait(context.Context) error {
	err := r.cmd.Wait()
	select {
	case <-r.exited:
	default:
		close(r.exited)
		_ = r.folder.Close()
	}
	return err
}

// pipeTime is how long the pipes of a process that was ended may stay open.
const pipeTime = time.Second

// Kill ends the process at once, and what it started where the kernel could not
// keep it from starting anything. A process that got away keeps our pipes open; we
// do not wait for it.
func (r *runner) Kill(context.Context) error {
	if r.cmd == nil || r.cmd.Process == nil {
		return nil
	}
	err := r.cmd.Process.Kill()
	if !errors.Is(err, os.ErrProcessDone) {
		_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL) // not reaped yet, so the number is still its own
	}
	time.AfterFunc(pipeTime, func() {
		_ = r.stdout.Close()
		_ = r.stderr.Close()
	})
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

func (r *runner) Stdout() io.ReadCloser { return r.stdout }
func (r *runner) Stderr() io.ReadCloser { return r.stderr }
func (r *runner) Name() string          { return r.o.Name }

func (r *runner) ID() string {
	if r.cmd == nil || r.cmd.Process == nil {
		return ""
	}
	return strconv.Itoa(r.cmd.Process.Pid)
}

// Diagnose has nothing to add to what Start and the log say.
func (r *runner) Diagnose(context.Context) string { return "" }

// maxAddress is how long a socket's name may be, in bytes.
const maxAddress = 107

// PluginToHost turns the address that the plugin gives into one that the host can
// dial. Only a socket in the plugin's own folder will do: the host is not to be
// sent elsewhere.
func (r *runner) PluginToHost(network, address string) (string, string, error) {
	name := filepath.Base(address)
	if dir := filepath.Dir(address); network != "unix" || name == "." || name == "/" || name == ".." || (dir != "." && dir != r.dir) {
		return "", "", errors.New("the plugin has to listen on a unix socket in its working directory")
	}
	full := filepath.Join(r.dir, name)
	if len(full) > maxAddress {
		full = fmt.Sprintf("/proc/self/fd/%d/%s", r.folder.Fd(), name)
	}
	if st, err := os.Lstat(full); err != nil || st.Mode().Type() != os.ModeSocket {
		return "", "", errors.New("the plugin named a socket that is not in its working directory")
	}
	return network, full, nil
}

// HostToPlugin refuses: a plugin has nothing to dial.
func (r *runner) HostToPlugin(string, string) (string, string, error) {
	return "", "", errors.New("a plugin has nothing to dial")
}
