package app_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/app/apptest"
	"tresor/sandbox/sandboxtest"
)

// What people and programs get wrong, against the real program. Each case has
// to end in a sentence with a next step, and leave nothing half-written.

func put(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func register(s *server) {
	s.t.Helper()
	s.must("dataset", "register", "--as", "stefan", "--slug", "bad", "--name", "Bad", "--controller", "C")
}

func TestBadFiles(t *testing.T) {
	dir := apptest.Folder(t)
	s := serve(t, filepath.Join(dir, "data"))
	register(s)
	for _, c := range []struct {
		name    string
		content []byte
		says    string
	}{
		{"ragged row", []byte("a,b,c\n1,2,3\n4,5\n"), "line 3: the row has 2 fields"},
		{"NUL byte", []byte("a,b\n1,x\x00y\n"), "line 2: byte 4"},
		{"Latin-1", []byte("name,v\nM\xfcller,1\n"), "line 2: byte 2"},
		{"UTF-16", []byte("\xff\xfea\x00,\x00b\x00\n\x00"), "UTF-16"},
		{"two million columns", []byte(strings.Repeat("c,", 2_000_000) + "c\n"), "more than 2000 columns"},
		{"one name twice", []byte("a,a\n1,2\n"), "line 1: columns 1 and 2"},
		{"open quote", []byte("a,b\n\"1,2\n"), "never closed"},
		{"empty", nil, "empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := s.run("dataset", "ingest", "bad", put(t, dir, "x.csv", c.content), "--as", "stefan")
			refusedWith(t, out, err, c.says)
		})
	}
	t.Run("then a good one is version 1", func(t *testing.T) {
		if out := s.must("dataset", "ingest", "bad", put(t, dir, "x.csv", []byte("a,b\n1,2\n")), "--as", "stefan"); !strings.Contains(out, "version 1: 1 row") {
			t.Error(out)
		}
	})
}

func refusedWith(t *testing.T, out string, err error, says string) {
	t.Helper()
	if err == nil || !strings.Contains(out, says) || !strings.Contains(out, "next:") {
		t.Errorf("%v\n%s\nwant %q and a next step", err, out, says)
	}
}

func TestBadPrograms(t *testing.T) {
	dir := apptest.Folder(t)
	s := serve(t, filepath.Join(dir, "data"))
	program, err := sandboxtest.BuildProgram(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	archive := sandboxtest.Archive(b, sandboxtest.ImageOptions{})
	t.Run("archive cut in half", func(t *testing.T) {
		out, err := s.run("image", "import", put(t, dir, "half.tar", archive[:len(archive)/2]))
		refusedWith(t, out, err, "cut short")
	})
	out := s.must("image", "import", put(t, dir, "whole.tar", archive), "--ref", "tools/bad:1")
	_, digest, _ := strings.Cut(out, "digest: ")
	digest, _, _ = strings.Cut(digest, "\n")
	s.must("image", "approve", digest, "--reason", "test")

	for _, c := range []struct {
		name  string
		argv  []string
		shows []string
	}{
		{"every kind of file that must not leave", []string{"/workload", "hostile", "/work/out"},
			[]string{"good.csv", "fifo: a named pipe", "passwd: a symbolic link", "hard link", "sparse: a sparse file", "U+202E"}},
		{"100,000 files", []string{"/workload", "many", "100000", "/work/out"}, []string{"000049.txt", "more than 50 files"}},
		{"a gigabyte of log", []string{"/workload", "flood", "1000000000", "then", "write", "/work/out/a.csv", "a,b"}, []string{"a.csv"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"job", "submit", "--as", "rosa", "--project", "aurora", "--name", "bad", "--image", digest, "--output", "*", "--wait", "--"}, c.argv...)
			out, err := s.run(insertData(args, s.data)...)
			if err != nil || !strings.Contains(out, "held") {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range c.shows {
				if !strings.Contains(out, want) {
					t.Errorf("%q is not in\n%.4000s", want, out)
				}
			}
			if c.argv[1] != "flood" {
				return
			}
			id := regexp.MustCompile(`(?m)^job:\s+(\S+)`).FindStringSubmatch(out)
			if id == nil {
				t.Fatalf("no job in\n%s", out)
			}
			if log := s.must("job", "log", id[1], "--as", "rosa"); !strings.Contains(log, "log cut after") {
				t.Errorf("the log of %d bytes does not say that it was cut", len(log))
			}
		})
	}
}

// insertData puts --data before the command of a job: server.run adds it behind,
// where it would be an argument of that command. Both name the same folder.
func insertData(args []string, data string) []string {
	return append([]string{"--data", data}, args...)
}

// The disk of the data folder fills up during an ingest and is freed again.
func TestFullDisk(t *testing.T) {
	dir := apptest.Folder(t)
	disk := filepath.Join(dir, "disk")
	if err := os.Mkdir(disk, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=128m,mode=0711"); err != nil {
		t.Skipf("a small disk needs root: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	data := filepath.Join(disk, "data")
	noEngine(t, data)
	s := serve(t, data)
	t.Cleanup(s.kill)
	// The demonstration comes first, its grant last: a start that finds the disk full ends.
	for end := time.Now().Add(2 * time.Minute); !strings.Contains(s.must("project", "show", "aurora"), "randhie"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the demonstration is not there after two minutes")
		}
	}
	register(s)
	rows := put(t, dir, "rows.csv", append([]byte("a,b\n"), bytes.Repeat([]byte("1234567,some text\n"), 5<<20)...))
	out, err := s.run("dataset", "ingest", "bad", rows, "--as", "stefan")
	refusedWith(t, out, err, "full, so nothing of this version was kept")

	filler := put(t, disk, "filler", nil)
	fill(t, filler)
	out, err = s.run("dataset", "register", "--as", "stefan", "--slug", "more", "--name", "More", "--controller", "C")
	refusedWith(t, out, err, "full, so nothing was saved")
	if out := s.must("dataset", "list"); strings.Contains(out, "More") {
		t.Errorf("a refused write is there:\n%s", out)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.must("dataset", "ingest", "bad", put(t, dir, "rows.csv", []byte("a,b\n1,2\n")), "--as", "stefan")
	s.must("audit", "verify")
}

func noEngine(t *testing.T, data string) {
	t.Helper()
	if err := os.Mkdir(data, 0o711); err != nil {
		t.Fatal(err)
	}
	put(t, data, "config.toml", []byte("[sandbox]\nsocket = \""+filepath.Join(data, "nothing.sock")+"\"\n"))
}

func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
}

// Nobody gets in by guessing, nobody waits long for a no, and the server goes on.
func TestThousandWrongPasswords(t *testing.T) {
	r := apptest.Start(t, apptest.Options{})
	rosa := r.SignIn("rosa")
	began, seen := time.Now(), map[int]int{}
	for range 1000 {
		resp, err := http.Post(r.URL+"/api/v1/session", "application/json", strings.NewReader(`{"handle":"rosa","password":"wrong"}`))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		seen[resp.StatusCode]++
	}
	if seen[401]+seen[429] != 1000 || seen[401] > 20 {
		t.Errorf("answers %v", seen)
	}
	if took := time.Since(began); took > 2*time.Minute {
		t.Errorf("it took %v", took)
	}
	rosa.Must("GET", "/projects", nil, nil)
}
