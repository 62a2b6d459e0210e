package agent

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/sandbox"
)

// site is a volume at /work and a mount at /in, as folders of the test.
type site struct {
	t        *testing.T
	work, in string
	outside  string
	p        Placer
}

func newSite(t *testing.T) site {
	t.Helper()
	s := site{t: t, work: t.TempDir(), in: t.TempDir(), outside: t.TempDir()}
	s.p = Placer{Scratch: []string{"/work"}, Binds: []string{"/in"}, FileSize: 1000,
		Where: func(target string) string { return map[string]string{"/work": s.work, "/in": s.in}[target] }}
	return s
}

func (s site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestPlacer(t *testing.T) {
	for _, c := range []struct {
		name string
		lay  func(s site) // what an earlier task, or the input, is like
		do   func(s site) error
		want string // part of the refusal; empty: it works
	}{
		{"folder", func(site) {}, func(s site) error { return s.p.Folder("/work/a/b") }, ""},
		{"folder: the volume", func(site) {}, func(s site) error { return s.p.Folder("/work") }, ""},
		{"folder: outside", func(site) {}, func(s site) error { return s.p.Folder("/etc/x") }, "not there"},
		{"folder: link on the way", func(s site) { s.must(os.Symlink(s.outside, s.work+"/a")) }, func(s site) error { return s.p.Folder("/work/a/b") }, "link"},
		{"folder: link at the end", func(s site) { s.must(os.Symlink(s.outside, s.work+"/a")) }, func(s site) error { return s.p.Folder("/work/a") }, "link"},
		{"folder: the volume is a link", func(s site) { s.must(errors.Join(os.Remove(s.work), os.Symlink(s.outside, s.work))) }, func(s site) error { return s.p.Folder("/work/a") }, "link"},
		{"create: over a link", func(s site) { s.must(os.Symlink(s.outside+"/x", s.work+"/a")) }, func(s site) error { return closed(s.p.Create("/work/a")) }, ""},
		{"create: over a socket", func(s site) {
			l, err := net.Listen("unix", s.work+"/a")
			s.must(err)
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			s.must(l.Close())
		}, func(s site) error { return closed(s.p.Create("/work/a")) }, ""},
		{"create: over a folder", func(s site) { s.must(os.Mkdir(s.work+"/a", 0o755)) }, func(s site) error { return closed(s.p.Create("/work/a")) }, "folder is in its place"},
		{"create: link on the way", func(s site) { s.must(os.Symlink(s.outside, s.work+"/a")) }, func(s site) error { return closed(s.p.Create("/work/a/b")) }, "link"},
		{"open: file of a mount", func(s site) { s.must(os.WriteFile(s.in+"/f", nil, 0o644)) }, func(s site) error { return closed(s.p.Open("/in/f")) }, ""},
		{"open: link in a mount", func(s site) { s.must(os.Symlink("/etc/passwd", s.in+"/f")) }, func(s site) error { return closed(s.p.Open("/in/f")) }, "link"},
		{"open: through a link of a mount", func(s site) { s.must(os.Symlink("/etc", s.in+"/d")) }, func(s site) error { return closed(s.p.Open("/in/d/passwd")) }, "link"},
		{"open: own descriptor", func(s site) { s.must(os.Symlink("/proc/self/fd/2", s.work+"/f")) }, func(s site) error { return closed(s.p.Open("/work/f")) }, "link"},
		{"open: named pipe", func(s site) { s.must(unix.Mkfifo(s.work+"/f", 0o644)) }, func(s site) error { return closed(s.p.Open("/work/f")) }, "named pipe"},
		{"open: folder", func(s site) { s.must(os.Mkdir(s.work+"/f", 0o755)) }, func(s site) error { return closed(s.p.Open("/work/f")) }, "a folder"},
		{"open: absent", func(site) {}, func(s site) error { return closed(s.p.Open("/work/f")) }, "not there"},
		{"copy: file", func(s site) { s.must(os.WriteFile(s.in+"/f", []byte("x"), 0o400)) }, func(s site) error { return s.copy("/in/f", "/work/a/f") }, ""},
		{"copy: hard link in a mount", func(s site) { s.must(errors.Join(os.WriteFile(s.in+"/f", nil, 0o644), os.Link(s.in+"/f", s.in+"/g"))) }, func(s site) error { return s.copy("/in", "/work/a") }, ""},
		{"copy: too large", func(s site) { s.must(os.WriteFile(s.in+"/f", make([]byte, 1001), 0o644)) }, func(s site) error { return s.copy("/in", "/work/a") }, "/in/f: 1001 bytes are more"},
		{"copy: at the limit", func(s site) { s.must(os.WriteFile(s.in+"/f", make([]byte, 1000), 0o644)) }, func(s site) error { return s.copy("/in", "/work/a") }, ""},
		{"copy: link deep inside", func(s site) { s.must(errors.Join(os.MkdirAll(s.in+"/d/e", 0o755), os.Symlink("..", s.in+"/d/e/l"))) }, func(s site) error { return s.copy("/in", "/work/a") }, "/in/d/e/l: a symbolic link"},
		{"copy: pipe inside", func(s site) { s.must(unix.Mkfifo(s.in+"/p", 0o644)) }, func(s site) error { return s.copy("/in", "/work/a") }, "/in/p: a named pipe"},
		{"copy: folder over a file", func(s site) { s.must(errors.Join(os.Mkdir(s.in+"/d", 0o755), os.WriteFile(s.work+"/d", nil, 0o644))) }, func(s site) error { return s.copy("/in/d", "/work/d") }, ""},
		{"copy: folder over a link", func(s site) {
			s.must(errors.Join(os.WriteFile(s.in+"/f", nil, 0o644), os.Symlink(s.outside, s.work+"/d")))
		}, func(s site) error { return s.copy("/in", "/work/d") }, ""},
		{"copy: link inside the folder it joins", func(s site) {
			s.must(errors.Join(os.Mkdir(s.in+"/d", 0o755), os.WriteFile(s.in+"/d/f", nil, 0o644), os.Mkdir(s.work+"/a", 0o755), os.Symlink(s.outside, s.work+"/a/d")))
		}, func(s site) error { return s.copy("/in", "/work/a") }, ""},
		{"copy: deceiving names are escaped", func(s site) { s.must(os.Symlink("x", s.in+"/a\nb\u202e")) }, func(s site) error { return s.copy("/in", "/work/a") }, `/in/a\nb\u202e: a symbolic link`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			c.lay(s)
			err := c.do(s)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if left, _ := os.ReadDir(s.outside); len(left) != 0 {
				t.Fatalf("something was made outside: %v", left)
			}
		})
	}
}

func (s site) copy(from, to string) error {
	return s.p.Copy(s.t.Context(), sandbox.Copy{From: from, To: to})
}

func closed(f *os.File, err error) error {
	if err == nil {
		f.Close()
	}
	return err
}

// TestPlacerStopped: a copy ends soon after it is told to.
func TestPlacerStopped(t *testing.T) {
	s := newSite(t)
	s.must(os.WriteFile(s.in+"/f", nil, 0o644))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.p.Copy(ctx, sandbox.Copy{From: "/in", To: "/work/a"}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// TestPlacerSwaps: while folders turn into links and back as fast as they can, nothing is ever made outside.
func TestPlacerSwaps(t *testing.T) {
	s := newSite(t)
	s.must(os.WriteFile(s.in+"/f", []byte("x"), 0o644))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			a := filepath.Join(s.work, "a")
			_ = os.RemoveAll(a)
			_ = os.Symlink(s.outside, a)
			_ = os.Remove(a)
			_ = os.Mkdir(a, 0o755)
		}
	})
	done := 0
	for range 3000 {
		for _, err := range []error{s.p.Folder("/work/a/b"), closed(s.p.Create("/work/a/c")), s.copy("/in", "/work/a/d"), s.copy("/in/f", "/work/a")} {
			if err == nil {
				done++
			}
		}
	}
	close(stop)
	wg.Wait()
	if left, _ := os.ReadDir(s.outside); len(left) != 0 {
		t.Fatalf("made outside: %v", left)
	}
	if done == 0 {
		t.Error("nothing ever worked, so nothing was tried")
	}
}

func TestPoint(t *testing.T) {
	for _, c := range []struct {
		name      string
		lay       func(s site)
		directory bool
		fails     bool
	}{
		{"new file", func(site) {}, false, false},
		{"new folder", func(site) {}, true, false},
		{"file is there", func(s site) { s.must(os.WriteFile(s.work+"/d/x", []byte("keep"), 0o644)) }, false, false},
		{"folder is there", func(s site) { s.must(os.Mkdir(s.work+"/d/x", 0o755)) }, true, false},
		{"folder for a file", func(s site) { s.must(os.Mkdir(s.work+"/d/x", 0o755)) }, false, true},
		{"file for a folder", func(s site) { s.must(os.WriteFile(s.work+"/d/x", nil, 0o644)) }, true, false},
		{"link", func(s site) { s.must(os.Symlink(s.outside, s.work+"/d/x")) }, true, false},
		{"pipe", func(s site) { s.must(unix.Mkfifo(s.work+"/d/x", 0o644)) }, false, false},
		{"parent is a link", func(s site) { s.must(errors.Join(os.Remove(s.work+"/d"), os.Symlink(s.outside, s.work+"/d"))) }, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.must(os.Mkdir(s.work+"/d", 0o755))
			c.lay(s)
			err := s.p.in("/work/d/x", func(v *volume) error { return v.point("/work/d/x", c.directory) })
			if (err != nil) != c.fails {
				t.Fatal(err)
			}
			if err != nil {
				return
			}
			st, err := os.Lstat(s.work + "/d/x")
			s.must(err)
			if st.IsDir() != c.directory || !c.directory && !st.Mode().IsRegular() {
				t.Fatal(st.Mode())
			}
		})
	}
}

func TestParents(t *testing.T) {
	s := newSite(t)
	s.p.Parents([]string{"/work/a/b.csv", "/work/c/*", "/work/d/run-*/x", `/work/e/f\*/g`, "/work/h", "/elsewhere/x/y", "/work"})
	for dir, want := range map[string]bool{"a": true, "c": true, "d": true, "e": true, "h": false, "elsewhere": false, "d/run-": false} {
		if _, err := os.Stat(filepath.Join(s.work, dir)); (err == nil) != want {
			t.Errorf("%s: made %v", dir, !want)
		}
	}
}

type failing struct{ n int }

func (f *failing) Write(p []byte) (int, error) {
	if f.n -= len(p); f.n < 0 {
		return 0, unix.ENOSPC
	}
	return len(p), nil
}

// TestTee: the file ends at its limit or when it breaks; the log says so once, and the writer never learns of it.
func TestTee(t *testing.T) {
	for _, c := range []struct {
		name  string
		w     io.Writer
		limit int64
		says  string
	}{
		{"fits", io.Discard, 12, ""},
		{"too long", io.Discard, 11, "file size limit"},
		{"disk full", &failing{5}, 100, "no space left"},
		{"fails after it wrote", &failing{6}, 100, "no space left"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := newSpool(t, 1000)
			w := newTee(c.w, c.limit, "/work/o", log)
			for range 4 {
				if n, err := w.Write([]byte("abc")); n != 3 || err != nil {
					t.Fatal(n, err)
				}
			}
			log.End()
			if got := readAll(t, log); strings.Count(got, "ends here") != min(1, len(c.says)) || !strings.Contains(got, c.says) {
				t.Fatalf("%q", got)
			}
		})
	}
}
