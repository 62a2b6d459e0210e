package app_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tresor/app/apptest"
)

// program is one server of the federation as a process of its own.
type program struct {
	t    *testing.T
	data string
	args []string
	cmd  *exec.Cmd
}

func startProgram(t *testing.T, data string, args ...string) *program {
	t.Helper()
	p := &program{t: t, data: data, args: append(args, "--data", data, "--set", "tls.mode=off", "--set", "log.level=debug")}
	p.start()
	t.Cleanup(p.kill)
	return p
}

func (p *program) start() {
	p.t.Helper()
	p.cmd = exec.Command(apptest.Binary(p.t), p.args...)
	log, err := os.OpenFile(p.data+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	p.cmd.Stderr = log
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "running: http") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return
		}
	}
	b, _ := os.ReadFile(p.data + ".log")
	p.t.Fatalf("%v did not come up:\n%s", p.args, b[max(0, len(b)-3000):])
}

func (p *program) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// plugin is the process of the server's plugin tes, 0 while there is none.
func (p *program) plugin() int {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range all {
		line, err := os.ReadFile(file)
		words := strings.Split(string(line), "\x00")
		if err != nil || len(words) < 3 || words[1] != "plugin" || words[2] != "tes" {
			continue
		}
		stat, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "stat")) // it may have ended
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(p.cmd.Process.Pid) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			return pid
		}
	}
	return 0
}

// seat speaks the JSON API of a server: over its socket in somebody's name, or as a
// signed-in person.
type seat struct {
	t      *testing.T
	http   *http.Client
	base   string
	as     string
	cookie *http.Cookie
}

func (p *program) seat(as string) *seat {
	socket := filepath.Join(p.data, "run", "admin.sock")
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &seat{t: p.t, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: 30 * time.Second}, base: "http://tresor.local/api/v1", as: as}
}

// signIn opens a one-time link of a person of the demonstration. The server makes new
// ones at its start, which ends those before: then it is asked again.
func (p *program) signIn(address, handle string) *seat {
	p.t.Helper()
	d := &seat{t: p.t, http: &http.Client{Timeout: 30 * time.Second}, base: "http://" + address + "/api/v1"}
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		out, err := exec.Command(apptest.Binary(p.t), "demo", "links", "--json", "--data", p.data).Output()
		var links map[string]string
		if err == nil {
			err = json.Unmarshal(out, &links)
		}
		u, perr := url.Parse(links[handle])
		if err == nil && perr == nil && u.Fragment != "" {
			if code, _ := d.do("POST", "/session/link", map[string]string{"token": u.Fragment}); code < 300 && code > 0 {
				return d
			}
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s cannot sign in: %v %v in %s", handle, err, perr, out)
		}
	}
}

func (d *seat) do(method, path string, in any) (int, []byte) {
	d.t.Helper()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			d.t.Fatal(err)
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.base+path, body)
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Content-Type", "application/json")
	if d.as != "" {
		r.Header.Set("Tresor-As", d.as)
	}
	if d.cookie != nil {
		r.AddCookie(d.cookie)
	}
	resp, err := d.http.Do(r)
	if err != nil {
		return 0, []byte(err.Error()) // the server is gone or coming back
	}
	defer resp.Body.Close()
	for _, c := range resp.Cookies() {
		d.cookie = &http.Cookie{Name: c.Name, Value: c.Value}
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	return resp.StatusCode, b
}

func (d *seat) must(method, path string, in, out any) {
	d.t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		code, b := d.do(method, path, in)
		switch {
		case (code == 0 || code == http.StatusTooManyRequests) && time.Now().Before(end):
			continue
		case code == 0 || code >= 300:
			d.t.Fatalf("%s %s %s: %d %s", d.as, method, path, code, b)
		case out != nil:
			if err := json.Unmarshal(b, out); err != nil {
				d.t.Fatalf("%s %s: %v in %s", method, path, err, b)
			}
		}
		return
	}
}
