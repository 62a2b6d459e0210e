// Package workload is the program that the conformance suite runs in a sandbox: a set of
// small behaviours, good and bad, chosen by the first argument. In a container it is a
// program; under the fake the same function runs in the test.
package workload

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// World is what differs between a container and the fake.
type World struct {
	Out  io.Writer
	Err  io.Writer           // nil: Out
	In   io.Reader           // nil: empty
	Path func(string) string // nil: paths are themselves
	Env  []string
	Dial func(context.Context) (net.Conn, error) // to the task service; nil: as TRESOR_TES says
}

// Run does what args say and answers the exit code. Several steps are joined by "then".
func Run(ctx context.Context, w World, args []string) int {
	if w.Path == nil {
		w.Path = func(p string) string { return p }
	}
	if w.Err == nil {
		w.Err = w.Out
	}
	if w.In == nil {
		w.In = strings.NewReader("")
	}
	for len(args) > 0 {
		step := args
		if i := index(args, "then"); i >= 0 {
			step, args = args[:i], args[i+1:]
		} else {
			args = nil
		}
		code, err := w.step(ctx, step)
		if err != nil {
			fmt.Fprintln(w.Out, "workload:", err)
			return 1
		}
		if code != 0 {
			return code
		}
	}
	return 0
}

func index(list []string, s string) int {
	for i, v := range list {
		if v == s {
			return i
		}
	}
	return -1
}

func (w World) step(ctx context.Context, a []string) (int, error) {
	if len(a) == 0 {
		return 0, nil
	}
	arg := func(i int) string {
		if i < len(a) {
			return a[i]
		}
		return ""
	}
	n, _ := strconv.ParseInt(arg(1), 10, 64)
	switch a[0] {
	case "noop":
		return 0, nil
	case "exit":
		return int(n), nil
	case "say":
		_, err := fmt.Fprintln(w.Out, strings.Join(a[1:], " "))
		return 0, err
	case "err":
		_, err := fmt.Fprintln(w.Err, strings.Join(a[1:], " "))
		return 0, err
	case "stdin":
		_, err := io.Copy(w.Out, w.In)
		return 0, err
	case "append":
		return 0, w.extend(arg(1), arg(2))
	case "pwd":
		return 0, w.pwd(ctx, arg(1))
	case "link":
		return 0, w.link(arg(1), arg(2))
	case "fifo":
		return 0, w.fifo(arg(1))
	case "links":
		return 0, w.links(arg(2), int(n))
	case "get":
		return 0, w.ask(ctx, http.MethodGet, arg(1))
	case "post":
		return 0, w.ask(ctx, http.MethodPost, arg(1))
	case "dial":
		return 0, w.dialMany(ctx, int(n))
	case "linger":
		return 0, w.linger(ctx)
	case "env":
		_, err := fmt.Fprintln(w.Out, strings.Join(w.Env, "\n"))
		return 0, err
	case "cat":
		b, err := os.ReadFile(w.Path(arg(1)))
		fmt.Fprintf(w.Out, "%s", b)
		return 0, err
	case "write":
		return 0, w.write(arg(1), []byte(arg(2)))
	case "put":
		return 0, os.WriteFile(w.Path(arg(1)), []byte(arg(2)), 0o644)
	case "flood":
		return 0, w.flood(ctx, n)
	case "tick":
		return 0, w.tick(ctx, n)
	case "sleep":
		return w.sleep(ctx, time.Duration(n)*time.Millisecond), nil
	case "signal":
		return w.signal(ctx, n)
	case "many":
		return 0, w.many(arg(2), int(n))
	case "hostile":
		return 0, w.hostile(arg(1))
	case "fill":
		return 0, w.fill(arg(2), n)
	case "memory":
		return 0, memory(ctx, n)
	case "impostor":
		return 0, w.impostor()
	case "usurp":
		return 0, w.usurp(ctx, time.Duration(n)*time.Millisecond)
	case "spin":
		return 0, w.spin(time.Duration(n) * time.Millisecond)
	case "fork":
		return 0, w.fork(ctx, int(n))
	case "orphan":
		return 0, w.orphan(arg(1))
	case "stubborn":
		return 0, w.stubborn(ctx)
	}
	return 0, fmt.Errorf("unknown step %q", a[0])
}

func (w World) write(p string, b []byte) error {
	p = w.Path(p)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		return err
	}
	return os.WriteFile(p, b, 0o644)
}

// flood writes n bytes of log as fast as it can.
func (w World) flood(ctx context.Context, n int64) error {
	block := bytes.Repeat([]byte("all work and no play makes a dull log\n"), 8192)
	for n > 0 && ctx.Err() == nil {
		m, err := w.Out.Write(block[:min(n, int64(len(block)))])
		if err != nil {
			return err
		}
		n -= int64(m)
	}
	return nil
}

// tick says a number every 20 ms.
func (w World) tick(ctx context.Context, n int64) error {
	for i := range n {
		fmt.Fprintf(w.Out, "tick %d\n", i)
		if w.sleep(ctx, 20*time.Millisecond) != 0 {
			return ctx.Err()
		}
	}
	return nil
}

func (w World) sleep(ctx context.Context, d time.Duration) int {
	select {
	case <-time.After(d):
		return 0
	case <-ctx.Done():
		return 128 + 15
	}
}

// signal ends itself by a signal; the fake cannot and answers the code that stands for it.
func (w World) signal(ctx context.Context, n int64) (int, error) {
	if inFake(ctx) {
		return 128 + int(n), nil
	}
	if err := syscall.Kill(os.Getpid(), syscall.Signal(n)); err != nil {
		return 1, err
	}
	time.Sleep(10 * time.Second)
	return 1, nil
}

func (w World) many(dir string, n int) error {
	d := w.Path(dir)
	if err := os.MkdirAll(d, 0o755); err != nil {
		return err
	}
	for i := range n {
		if err := os.WriteFile(filepath.Join(d, fmt.Sprintf("%06d.txt", i)), []byte("x"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// hostile makes one of every kind of file that must not leave.
func (w World) hostile(dir string) error {
	d := w.Path(dir)
	if err := os.MkdirAll(filepath.Join(d, "sub"), 0o755); err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(d, name) }
	put := func(name string) error { return os.WriteFile(in(name), []byte("data\n"), 0o644) }
	steps := []error{
		put("good.csv"), put("sub/good.txt"), put("linked"), put("-rf"), put("report\u202Evsc.exe"), put("zero\u200Bwidth"), put("tab\tname"), put("bad\xffutf8"),
		put("plain name.txt"), put("grüße.txt"),
		os.Link(in("linked"), in("hard")), os.Symlink("/etc/passwd", in("passwd")), os.Symlink("sub", in("dirlink")),
		syscall.Mkfifo(in("fifo"), 0o644), sparse(in("sparse"), 1<<40),
	}
	for _, err := range steps {
		if err != nil {
			return err
		}
	}
	return nil
}

func sparse(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	err = f.Truncate(size)
	for ; err != nil && size > 4<<20; size /= 2 { // file systems and fsize limits end earlier
		err = f.Truncate(size / 2)
	}
	return err
}

// fill writes one file of n bytes and says where that ended.
func (w World) fill(p string, n int64) error {
	f, err := os.Create(w.Path(p))
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for written := int64(0); written < n; {
		m, err := f.Write(block[:min(n-written, int64(len(block)))])
		written += int64(m)
		if err != nil {
			fmt.Fprintf(w.Out, "stopped at %d: %v\n", written, err)
			return nil
		}
	}
	return nil
}

type fakeKey struct{}

// InFake marks a context so that steps which need a process of their own pretend.
func InFake(ctx context.Context) context.Context { return context.WithValue(ctx, fakeKey{}, true) }

func inFake(ctx context.Context) bool { return ctx.Value(fakeKey{}) != nil }
