package host_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tresor/plugins/host"
	"tresor/plugins/host/confine"
	"tresor/plugins/protocoltest"
)

// TestTrustRefusals: what Fingerprint and Trusted refuse, each with its reason and
// its next step.
func TestTrustRefusals(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir string) (path string) // dir belongs to us and is private
		want string                                       // in the refusal; "" is well
	}{
		{"a private file", func(_ *testing.T, dir string) string { return program(t, dir) }, ""},
		{"a link", func(t *testing.T, dir string) string {
			must(t, os.Symlink(program(t, dir), filepath.Join(dir, "link")))
			return filepath.Join(dir, "link")
		}, "is a link. Name the file itself"},
		{"through a linked folder", func(t *testing.T, dir string) string {
			must(t, os.Mkdir(filepath.Join(dir, "real"), 0o700))
			program(t, filepath.Join(dir, "real"))
			must(t, os.Symlink("real", filepath.Join(dir, "alias")))
			return filepath.Join(dir, "alias", "plugin")
		}, "is a link. Name the real folder"},
		{"others may write the file", func(t *testing.T, dir string) string {
			must(t, os.Chmod(program(t, dir), 0o722))
			return filepath.Join(dir, "plugin")
		}, "chmod go-w"},
		{"its group may write the file", func(t *testing.T, dir string) string {
			must(t, os.Chmod(program(t, dir), 0o770))
			return filepath.Join(dir, "plugin")
		}, "chmod go-w"},
		{"others may write the folder", func(t *testing.T, dir string) string {
			must(t, os.Chmod(dir, 0o777))
			return program(t, dir)
		}, "chmod go-w"},
		{"others may write a folder further up", func(t *testing.T, dir string) string {
			deep := filepath.Join(dir, "a", "b", "c")
			must(t, os.MkdirAll(deep, 0o700))
			must(t, os.Chmod(filepath.Join(dir, "a"), 0o707))
			return program(t, deep)
		}, "chmod go-w"},
		{"a folder where everybody's files are safe", func(t *testing.T, dir string) string {
			must(t, os.Chmod(dir, 0o777|os.ModeSticky))
			return program(t, dir)
		}, ""},
		{"another account's file", func(t *testing.T, dir string) string {
			file := program(t, dir)
			if os.Chown(file, 12345, -1) != nil {
				t.Skip("only root can give a file away")
			}
			return file
		}, "belongs to account 12345"},
		{"another account's folder", func(t *testing.T, dir string) string {
			if os.Chown(dir, 12345, -1) != nil {
				t.Skip("only root can give a folder away")
			}
			return program(t, dir)
		}, "belongs to account 12345"},
		{"a folder as a file", func(_ *testing.T, dir string) string { return dir }, "not a plain file"},
		{"a pipe", func(t *testing.T, dir string) string {
			must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
			return filepath.Join(dir, "pipe")
		}, "not a plain file"},
		{"absent", func(_ *testing.T, dir string) string { return filepath.Join(dir, "absent") }, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, copies := t.TempDir(), t.TempDir()
			must(t, os.Chmod(dir, 0o700))
			path := c.make(t, dir)
			sum, size, err := host.Fingerprint(path)
			refusal(t, "Fingerprint", err, c.want)
			if c.want == "" && (size != int64(len(content)) || sum != hash(t, path)) {
				t.Errorf("fingerprint %s of %d bytes", sum, size)
			}
			_, err = host.Trusted(path, hash(t, program(t, copies)), filepath.Join(copies, "."))
			must(t, os.Remove(filepath.Join(copies, "plugin")))
			refusal(t, "Trusted", err, c.want)
			if left, _ := os.ReadDir(copies); c.want != "" && len(left) > 0 {
				t.Errorf("a refused file was left behind: %v", left)
			}
		})
	}
}

const content = "#!/bin/false\n"

func program(t *testing.T, dir string) string {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, "plugin"), []byte(content), 0o700))
	return filepath.Join(dir, "plugin")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refusal(t *testing.T, who string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", who, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: %v, want %q", who, err, want)
	case want != "" && want != "no such file" && !errors.Is(err, host.ErrUntrusted):
		t.Errorf("%s: %v is not ErrUntrusted", who, err)
	}
}

func TestTrustedHash(t *testing.T) {
	file := program(t, t.TempDir())
	sum := hash(t, file)
	flipped := map[byte]string{'0': "1"}[sum[0]]
	if flipped == "" {
		flipped = "0"
	}
	for name, trusted := range map[string]string{"none": "", "short": sum[:40], "not hexadecimal": strings.Repeat("z", 64), "a path": "../../" + sum[6:], "one digit differs": flipped + sum[1:]} {
		dir := t.TempDir()
		_, err := host.Trusted(file, trusted, dir)
		refusal(t, name, err, "tresor plugin trust "+file)
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s: %v was left behind", name, left)
		}
	}
}

// TestFilesThatCannotBeConfined: a file that was trusted and is no program that can
// run alone.
func TestFilesThatCannotBeConfined(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"a script", program(t, t.TempDir()), "scripts cannot be plugins"},
		{"a program with shared libraries", "/bin/true", "build it as a static program"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := os.ReadFile(c.file)
			must(t, err)
			file := filepath.Join(t.TempDir(), "plugin")
			must(t, os.WriteFile(file, b, 0o700))
			command, err := host.Trusted(file, hash(t, file), t.TempDir())
			must(t, err)
			p := start(t, command)
			waitError(t, p, c.want)
		})
	}
	p := host.Start(context.Background(), host.Options{Name: "x", Command: self("spy"), Dir: t.TempDir(), Log: quiet(), Now: time.Now})
	t.Cleanup(p.Stop)
	waitError(t, p, "which program confines plugins")
}

func waitError(t *testing.T, p *host.Plugin, want string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if s := p.State(); strings.Contains(s.LastError, want) && !s.Running {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("state %+v, want %q", s, want)
		}
	}
}

// TestLongFolder: a unix socket's name has at most 107 bytes; a data folder's may have more.
func TestLongFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 40))
	must(t, os.MkdirAll(dir, 0o700))
	p := host.Start(context.Background(), host.Options{Name: "long", Command: self("spy"), Dir: dir, Exe: os.Args[0], Log: quiet(), Now: time.Now})
	t.Cleanup(p.Stop)
	if _, err := ask(t, p, "/host", "", &protocoltest.Host{}); err != nil {
		t.Error(err)
	}
}

// TestFoldersThatOthersCannotPass: the program, the trusted copy and the plugin's
// own folder may all lie below folders that the plugin's account cannot enter.
func TestFoldersThatOthersCannotPass(t *testing.T) {
	closed := filepath.Join(t.TempDir(), "closed")
	for _, dir := range []string{"bin", "copies", "run"} {
		must(t, os.MkdirAll(filepath.Join(closed, dir), 0o700))
	}
	b, err := os.ReadFile(os.Args[0])
	must(t, err)
	exe := filepath.Join(closed, "bin", "tresor")
	must(t, os.WriteFile(exe, b, 0o755))
	file, err := hostileFile()
	must(t, err)
	external, err := host.Trusted(file, hash(t, file), filepath.Join(closed, "copies"))
	must(t, err)
	for name, c := range map[string]host.Command{"built in": host.Builtin(exe, "spy"), "external": external} {
		t.Run(name, func(t *testing.T) {
			p := host.Start(context.Background(), host.Options{Name: "closed", Command: c, Dir: filepath.Join(closed, "run"), Exe: exe, Log: quiet(), Now: time.Now})
			t.Cleanup(p.Stop)
			if _, err := ask(t, p, "/pid", "", &protocoltest.Host{}); err != nil {
				t.Error(err)
			}
			if s := p.State(); os.Geteuid() == 0 && !s.Confined.Account {
				t.Errorf("no account of its own: %s", s.Confined.Text)
			}
		})
	}
}

// TestFoldersOfEarlierStartsAreRemoved: a server that is killed leaves one.
func TestFoldersOfEarlierStartsAreRemoved(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "plugin-dir-of-before"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "kept"), nil, 0o600))
	p := host.Start(context.Background(), host.Options{Name: "x", Command: self("spy"), Dir: dir, Exe: os.Args[0], Log: quiet(), Now: time.Now})
	adapter(t, p)
	if names, _ := os.ReadDir(dir); len(names) != 2 {
		t.Errorf("while it runs: %v", names)
	}
	p.Stop()
	if names, _ := os.ReadDir(dir); len(names) != 1 || names[0].Name() != "kept" {
		t.Errorf("afterwards: %v", names)
	}
}

func TestUnconfinedSaysSo(t *testing.T) {
	p := host.Start(context.Background(), host.Options{Name: "x", Command: self("spy"), Dir: t.TempDir(), Unconfined: true, Log: quiet(), Now: time.Now})
	t.Cleanup(p.Stop)
	adapter(t, p)
	if c := p.State().Confined; c != (confine.Report{Text: c.Text}) || !strings.Contains(c.Text, "without confinement") {
		t.Errorf("%+v", c)
	}
}
