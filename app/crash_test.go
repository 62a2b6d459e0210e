package app_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tresor/app/apptest"
	"tresor/app/audit"
)

// server is the real program as a process of its own.
type server struct {
	t    *testing.T
	bin  string
	data string
	cmd  *exec.Cmd

	listen string
}

func serve(t *testing.T, data string) *server {
	t.Helper()
	return serveAt(t, data, "127.0.0.1:0")
}

// serveAt keeps one address over restarts.
func serveAt(t *testing.T, data, listen string) *server {
	t.Helper()
	s := &server{t: t, bin: apptest.Binary(t), data: data, listen: listen}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.bin, "serve", "--demo", "--data", s.data, "--listen", s.listen, "--set", "tls.mode=off", "--set", "sandbox.allow_unlimited=true")
	log, err := os.OpenFile(s.data+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd.Stderr = log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "is running: http") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return
		}
	}
	b, _ := os.ReadFile(s.data + ".log")
	s.t.Fatalf("the server did not come up:\n%s", b)
}

// kill is the power cut of the process alone: nothing of it runs any more code.
func (s *server) kill() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

// run runs the command line against the server and returns what it printed.
func (s *server) run(args ...string) (string, error) {
	cmd := exec.Command(s.bin, append(args, "--data", s.data)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *server) must(args ...string) string {
	s.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		out, err := s.run(args...)
		if err == nil {
			return out
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("tresor %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// slow takes a few seconds on any machine.
const slow = `WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 12000000) SELECT COUNT(*) AS n FROM c`

// TestKillNine kills the server in the middle of a running job. The job goes on,
// is found again, ends held and was run once; a clean stop does the same.
func TestKillNine(t *testing.T) {
	for name, end := range map[string]func(*server){
		"kill -9":      func(s *server) { s.kill() },
		"a clean stop": func(s *server) { _ = s.cmd.Process.Signal(syscall.SIGTERM); _ = s.cmd.Wait() },
	} {
		t.Run(name, func(t *testing.T) {
			dir := apptest.Folder(t)
			s := serve(t, filepath.Join(dir, "data"))
			query := filepath.Join(dir, "slow.sql")
			if err := os.WriteFile(query, []byte(slow), 0o600); err != nil {
				t.Fatal(err)
			}
			var j jobState
			raw := s.must("job", "submit", "--as", "rosa", "--project", "aurora", "--name", "slow", "--sql", "n.csv="+query, "--json")
			if err := json.Unmarshal([]byte(raw), &j); err != nil {
				t.Fatalf("%v in %s", err, raw)
			}
			for now := ""; !strings.Contains(now, `"state": "running"`); time.Sleep(20 * time.Millisecond) {
				if now = s.must("job", "show", j.ID, "--as", "rosa", "--json"); strings.Contains(now, `"state": "held"`) {
					t.Fatal("the job was over before it was seen to run")
				}
			}
			end(s)
			time.Sleep(300 * time.Millisecond) // the job works on without a server
			s.start()
			if out, err := s.run("job", "wait", j.ID, "--as", "rosa"); err != nil || !strings.Contains(out, "held") {
				t.Fatalf("%v\n%s", err, out)
			}
			var events struct {
				Items []audit.Event `json:"items"`
			}
			if err := json.Unmarshal([]byte(s.must("audit", "list", "--subject", "job:"+j.ID, "--json")), &events); err != nil {
				t.Fatal(err)
			}
			counts := map[string]int{}
			for _, e := range events.Items {
				counts[e.Verb]++
			}
			if counts["job.started"] != 1 || counts["job.held"] != 1 || counts["job.failed"] != 0 {
				t.Errorf("events %v: the job has to run once and be held once", counts)
			}
			log := s.must("job", "log", j.ID, "--as", "rosa")
			if n := strings.Count(log, "n.csv: 1 row"); n != 1 { // a slow machine adds lines of progress
				t.Errorf("the log tells of the output %d times:\n%s", n, log)
			}
			if _, err := audit.VerifyDB(context.Background(), filepath.Join(s.data, "tresor.db"), ""); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSecondServerIsRefused: one data folder, one server.
func TestSecondServerIsRefused(t *testing.T) {
	s := serve(t, filepath.Join(apptest.Folder(t), "data"))
	out, err := s.run("serve", "--listen", "127.0.0.1:0", "--set", "tls.mode=off")
	if err == nil || !strings.Contains(out, "already") || !strings.Contains(out, "next:") {
		t.Fatalf("%v\n%s", err, out)
	}
	s.must("project", "list") // the first one is unharmed
}
