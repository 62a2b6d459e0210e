package cli

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tresor/app/apptest"
)

var update = flag.Bool("update", false, "write the shapes of JSON answers anew")

// TestMain turns the test binary into the program: `tresor` in a script runs
// this package's code. Servers are the static program, as containers need it.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"tresor": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

func TestScripts(t *testing.T) {
	shapes, err := filepath.Abs("testdata/shape")
	if err != nil {
		t.Fatal(err)
	}
	s := &scripts{program: apptest.Binary(t), shapes: shapes}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		Setup:               s.setup,
		RequireExplicitExec: true,
		ContinueOnError:     true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": s.serve, "stop": s.stop, "code": code, "jsonenv": jsonenv, "shape": s.shape, "flip": flip, "nobody": nobody,
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
	})
}

type scripts struct{ program, shapes string }

// setup gives each script a data folder that the account which runs Podman can
// pass through, and the program beside it.
func (s *scripts) setup(env *testscript.Env) error {
	dir, err := os.MkdirTemp("", "tresor-cli-")
	if err != nil {
		return err
	}
	env.Defer(func() { apptest.Sweep(dir); _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	env.Setenv("DATA", data)
	env.Setenv("TRESOR_DATA", data)
	env.Setenv("SOON", time.Now().AddDate(0, 0, 30).Format(time.DateOnly))
	env.Setenv("LATER", time.Now().AddDate(1, 0, 0).Format(time.DateOnly))
	if underRace {
		env.Setenv("PATH", dir+string(os.PathListSeparator)+env.Getenv("PATH"))
	}
	env.Setenv("PROGRAM", filepath.Join(dir, "tresor"))
	return copyFile(s.program, filepath.Join(dir, "tresor"), 0o755)
}

// copyFile copies a program. No child may begin meanwhile: it would hold the file open for
// writing until it has become its own program, and the system runs no file that is.
func copyFile(from, to string, mode os.FileMode) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// serve [flag…] starts a server on $DATA and returns when its local socket answers.
func (s *scripts) serve(ts *testscript.TestScript, neg bool, args []string) {
	log, err := os.Create(ts.MkAbs("server.log"))
	ts.Check(err)
	verb := []string{"serve"}
	if len(args) > 0 && args[0] == "hub" {
		verb, args = []string{"hub", "serve"}, args[1:]
	}
	args = append(append(verb, "--data", ts.Getenv("DATA"), "--listen", "127.0.0.1:0", "--set", "tls.mode=off", "--set", "sandbox.allow_unlimited=true"), args...)
	cmd := exec.Command(ts.Getenv("PROGRAM"), args...)
	cmd.Stdout, cmd.Stderr = log, log
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait(); log.Close() }()
	running.Store(ts.Name(), func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(2 * time.Minute):
			_ = cmd.Process.Kill()
		}
	})
	ts.Defer(func() { s.stop(ts, false, nil) })
	for range 2400 {
		if c, err := net.Dial("unix", filepath.Join(ts.Getenv("DATA"), "run", "admin.sock")); err == nil {
			c.Close()
			return
		}
		select {
		case <-ended:
			ts.Fatalf("the server ended:\n%s", ts.ReadFile("server.log"))
		case <-time.After(50 * time.Millisecond):
		}
	}
	ts.Fatalf("the server does not answer:\n%s", ts.ReadFile("server.log"))
}

func (s *scripts) stop(ts *testscript.TestScript, _ bool, _ []string) {
	if end, ok := running.LoadAndDelete(ts.Name()); ok {
		end.(func())()
	}
}

// running holds what ends the server of each script; scripts run beside each other.
var running sync.Map

// code N WORD… runs `tresor WORD…` and wants exactly this exit code.
func code(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec("tresor", args[1:]...)
	got := 0
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		got = ee.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("tresor %s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
	if stderr := ts.ReadFile("stderr"); want != 0 && !slices.Contains(args, "--json") && !strings.Contains(stderr, "\nnext: ") {
		ts.Fatalf("no next step in:\n%s", stderr)
	}
}

// jsonenv VAR PATH sets VAR to a value of the JSON on stdout; PATH is like items.0.id.
func jsonenv(ts *testscript.TestScript, _ bool, args []string) {
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	for part := range strings.SplitSeq(args[1], ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[part]
		case []any:
			i, err := strconv.Atoi(part)
			ts.Check(err)
			v = x[i]
		}
	}
	if v == nil {
		ts.Fatalf("no %s on stdout", args[1])
	}
	ts.Setenv(args[0], fmt.Sprint(v))
}

// shape NAME [stderr] compares names and types of the JSON on stdout with the golden file.
func (s *scripts) shape(ts *testscript.TestScript, _ bool, args []string) {
	from := "stdout"
	if len(args) > 1 {
		from = args[1]
	}
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(from)), &v))
	lines := map[string]bool{}
	outline("", v, lines)
	var all []string
	for l := range lines {
		all = append(all, l)
	}
	slices.Sort(all)
	got := strings.Join(all, "\n") + "\n"
	file := filepath.Join(s.shapes, args[0]+".txt")
	if *update {
		ts.Check(os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	ts.Check(err)
	if got != string(want) {
		ts.Fatalf("the JSON has another shape than %s (go test ./app/cli -update):\n%s", file, got)
	}
}

func outline(at string, v any, lines map[string]bool) {
	switch x := v.(type) {
	case map[string]any:
		if strings.HasSuffix(at, ".detail") {
			lines[at+" map"] = true // its keys belong to the event, not to the form
			return
		}
		lines[at+" object"] = true
		for k, in := range x {
			outline(at+"."+k, in, lines)
		}
	case []any:
		lines[at+" list"] = true
		for _, in := range x {
			outline(at+"[]", in, lines)
		}
	default:
		lines[fmt.Sprintf("%s %T", at, v)] = true
	}
}

// flip FILE TEXT changes one bit of the first byte of TEXT's first occurrence in FILE.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	i := strings.Index(string(b), args[1])
	if i < 0 {
		ts.Fatalf("%q does not stand in %s", args[1], args[0])
	}
	b[i] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
}

// nobody N WORD… runs the program as another account and wants this exit code.
func nobody(ts *testscript.TestScript, _ bool, args []string) {
	cmd := exec.Command(ts.Getenv("PROGRAM"), args[1:]...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		ts.Check(err)
	}
	if got := cmd.ProcessState.ExitCode(); strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s: %s", got, args[0], out)
	}
	ts.Logf("%s", out)
}
