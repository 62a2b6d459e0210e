package app_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/app/apptest"
	"tresor/app/apptest/address"
	"tresor/app/audit"
	"tresor/app/release"
	"tresor/embed/demo"
)

// The whole path with real Podman, real SQLite and real HTTP: every test here is
// one thing that a person would notice if it broke.

type jobState struct {
	ID      string `json:"id"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
	Next    string `json:"next"`
	Outputs []struct {
		ID, Path, SHA256 string
		Size             int64
	} `json:"outputs"`
	Timeline []struct{ State string } `json:"timeline"`
}

type request struct {
	ID      string `json:"id"`
	State   string `json:"state"`
	Release string `json:"release"`
	Items   []struct {
		ID, Path, SHA256 string
		Findings         []struct{ Rule, Severity, Message string }
	} `json:"items"`
}

// project waits until the demonstration's project has its data and image.
func projectOf(t *testing.T, r *apptest.Rig, who *apptest.Person) string {
	t.Helper()
	var pr struct {
		ID       string
		Datasets []struct{ Slug string }
	}
	who.Must("GET", "/projects/"+demo.ProjectSlug, nil, &pr)
	return pr.ID
}

// submit submits SQL; it waits while the built-in image is being prepared.
func submit(t *testing.T, who *apptest.Person, project, output, sql string) jobState {
	t.Helper()
	body := map[string]any{"name": "test", "purpose": "test", "sql": []map[string]string{{"output": output, "sql": sql}}}
	for deadline := time.Now().Add(2 * time.Minute); ; {
		code, raw := who.Do("POST", "/projects/"+project+"/jobs", body)
		var j jobState
		if code < 300 {
			decode(t, raw, &j)
			return j
		}
		if time.Now().After(deadline) {
			t.Fatalf("submit: %d %s", code, raw)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func wait(t *testing.T, who *apptest.Person, id string, states ...string) jobState {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; {
		var j jobState
		who.Must("GET", "/jobs/"+id, nil, &j)
		for _, s := range states {
			if j.State == s {
				return j
			}
		}
		if time.Now().After(deadline) || j.State == "failed" {
			t.Fatalf("job is %s (%s), not %v", j.State, j.Reason, states)
		}
		time.Sleep(30 * time.Millisecond)
	}
}

func TestMainJob(t *testing.T) {
	r := apptest.Start(t, apptest.Options{})
	rosa, carl, cemile, olga := r.SignIn("rosa"), r.SignIn("carl"), r.SignIn("cemile"), r.SignIn("olga")
	project := projectOf(t, r, rosa)
	job := wait(t, rosa, submit(t, rosa, project, demo.Safe.Output, demo.Safe.SQL).ID, "held")
	if len(job.Outputs) != 1 || !strings.HasSuffix(job.Outputs[0].Path, demo.Safe.Output) {
		t.Fatalf("outputs %+v", job.Outputs)
	}
	out := job.Outputs[0]

	t.Run("before a release nobody takes bytes out", func(t *testing.T) {
		for _, c := range []struct {
			who  *apptest.Person
			path string
		}{
			{olga, "/jobs/" + job.ID + "/log"}, {olga, "/jobs/" + job.ID + "/outputs/" + out.ID + "/preview"},
			{carl, "/jobs/" + job.ID + "/log"}, {carl, "/jobs/" + job.ID + "/outputs/" + out.ID + "/preview"},
		} {
			if code, body := c.who.Do("GET", c.path, nil); code < 400 || bytes.Contains(body, []byte("excellent")) {
				t.Errorf("%s %s: %d %s", c.who.Handle, c.path, code, body)
			}
		}
	})

	var req request
	rosa.Must("POST", "/jobs/"+job.ID+"/airlock", map[string]any{"title": "Visits", "context": demo.Safe.Context, "population": demo.Safe.Population, "controls": demo.Safe.Controls}, &req)
	rosa.Must("POST", "/airlock/"+req.ID+"/submit", map[string]any{}, &req)
	vote := map[string]string{"decision": "approve", "comment": "carls-own-words"}
	t.Run("a checker who has not looked cannot approve", func(t *testing.T) {
		if code, body := carl.Do("POST", "/airlock/"+req.ID+"/votes", vote); code != http.StatusConflict {
			t.Errorf("%d %s", code, body)
		}
	})
	t.Run("the requester cannot vote", func(t *testing.T) {
		if code, _ := rosa.Do("POST", "/airlock/"+req.ID+"/votes", vote); code != http.StatusForbidden {
			t.Errorf("%d", code)
		}
	})
	look := func(who *apptest.Person) {
		for _, it := range req.Items {
			who.Must("GET", "/airlock/"+req.ID+"/items/"+it.ID+"/view", nil, nil)
		}
	}
	look(carl)
	carl.Must("POST", "/airlock/"+req.ID+"/votes", vote, nil)
	t.Run("the other's vote stays hidden", func(t *testing.T) {
		for _, who := range []*apptest.Person{cemile, rosa} {
			if _, body := who.Do("GET", "/airlock/"+req.ID, nil); bytes.Contains(body, []byte("carls-own-words")) || bytes.Contains(body, []byte(`"decision":"approve"`)) {
				t.Errorf("%s sees the vote: %s", who.Handle, body)
			}
		}
	})
	t.Run("one vote opens nothing", func(t *testing.T) {
		if code, _ := rosa.Do("POST", "/airlock/"+req.ID+"/release", map[string]any{}); code != http.StatusConflict {
			t.Errorf("%d", code)
		}
	})
	look(cemile)
	cemile.Must("POST", "/airlock/"+req.ID+"/votes", vote, &req)
	if req.State != "approved" {
		t.Fatalf("state %s", req.State)
	}
	var rel struct {
		ID, SHA256 string
		Size       int64
	}
	rosa.Must("POST", "/airlock/"+req.ID+"/release", map[string]any{}, &rel)
	if code, _ := olga.Do("GET", "/releases/"+rel.ID+"/download", nil); code < 400 {
		t.Errorf("the operator downloads a release: %d", code)
	}
	code, zipped := rosa.Do("GET", "/releases/"+rel.ID+"/download", nil)
	sum := sha256.Sum256(zipped)
	if code != 200 || hex.EncodeToString(sum[:]) != rel.SHA256 || int64(len(zipped)) != rel.Size {
		t.Fatalf("download: %d, %d bytes, hash %x, want %s", code, len(zipped), sum, rel.SHA256)
	}
	if _, err := release.Verify(bytes.NewReader(zipped), int64(len(zipped)), r.App.Audit.VerifierKey()); err != nil {
		t.Errorf("from outside: %v", err)
	}
	if got := fileIn(t, zipped, demo.Safe.Output); hex.EncodeToString(got) != out.SHA256 {
		t.Errorf("the released file has hash %x, the reviewed one %s", got, out.SHA256)
	}
	if final := wait(t, rosa, job.ID, "released"); final.State != "released" {
		t.Errorf("job is %s", final.State)
	}
	report, err := audit.VerifyDB(context.Background(), filepath.Join(r.Data, "tresor.db"), r.App.Audit.VerifierKey())
	if err != nil || report.Events < 20 {
		t.Errorf("audit: %+v, %v", report, err)
	}
}

// fileIn is the SHA-256 of the file of that name in a zip.
func fileIn(t *testing.T, zipped []byte, name string) []byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/"+name) {
			rc, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer rc.Close()
			h := sha256.New()
			if _, err := io.Copy(h, rc); err != nil {
				t.Fatal(err)
			}
			return h.Sum(nil)
		}
	}
	t.Fatalf("%s is not in the release", name)
	return nil
}

// Bad SQL ends in a job that says what was wrong, in words, to its submitter.
func TestBadSQL(t *testing.T) {
	r := apptest.Start(t, apptest.Options{})
	rosa := r.SignIn("rosa")
	project := projectOf(t, r, rosa)
	wait(t, rosa, submit(t, rosa, project, "a.csv", "SELECT 1 AS a").ID, "held") // the image is there from now on
	endless := `WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT COUNT(*) AS n FROM c`
	for _, c := range []struct{ name, sql, says string }{
		{"does not parse", "SELEC 1", "SELEC"},
		{"writes", "DELETE FROM randhie", "read"},
		{"two statements", "SELECT 1 AS a; SELECT 2 AS b", "one"},
		{"no such table", "SELECT * FROM randhi", "randhie"},
		{"never ends", endless, "time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := map[string]any{"name": c.name, "purpose": "x", "sql": []map[string]string{{"output": "a.csv", "sql": c.sql}}}
			if c.sql == endless {
				body["limits"] = map[string]int{"wall_seconds": 2}
			}
			code, raw := rosa.Do("POST", "/projects/"+project+"/jobs", body)
			text := string(raw)
			if code < 300 {
				var j jobState
				decode(t, raw, &j)
				j = waitAny(t, rosa, j.ID)
				if j.State != "failed" || len(j.Outputs) > 0 {
					t.Fatalf("job is %s with %d outputs", j.State, len(j.Outputs))
				}
				_, log := rosa.Do("GET", "/jobs/"+j.ID+"/log", nil)
				text = fmt.Sprint(j.Reason, " ", j.Next, " ", string(log))
			}
			if !strings.Contains(strings.ToLower(text), strings.ToLower(c.says)) {
				t.Errorf("it says %q, not %q", text, c.says)
			}
		})
	}
}

func waitAny(t *testing.T, who *apptest.Person, id string) jobState {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(30 * time.Millisecond) {
		var j jobState
		who.Must("GET", "/jobs/"+id, nil, &j)
		switch j.State {
		case "held", "failed", "cancelled", "refused":
			return j
		}
	}
	t.Fatal("the job does not end")
	return jobState{}
}

// A running job is cancelled for real: its container is gone.
func TestCancelStopsTheContainer(t *testing.T) {
	r := apptest.Start(t, apptest.Options{})
	rosa := r.SignIn("rosa")
	project := projectOf(t, r, rosa)
	j := submit(t, rosa, project, "n.csv", `WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT COUNT(*) AS n FROM c`)
	wait(t, rosa, j.ID, "running")
	rosa.Must("POST", "/jobs/"+j.ID+"/cancel", map[string]string{"reason": "changed my mind"}, nil)
	if end := waitAny(t, rosa, j.ID); end.State != "cancelled" {
		t.Fatalf("job is %s", end.State)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		left := r.Containers()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("containers left: %v", left)
		}
	}
}

// With an authority of its own the appliance speaks TLS, and its plain address
// only leads there.
func TestOwnAuthority(t *testing.T) {
	plain := address.Free(t)
	r := apptest.Start(t, apptest.Options{Set: []string{"tls.mode=local", "tls.http_listen=" + plain}})
	pem, err := os.ReadFile(filepath.Join(r.Data, "tls", "local-ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) || !strings.HasPrefix(r.URL, "https://") {
		t.Fatalf("address %s, authority %s", r.URL, pem)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, c := range []struct {
		url  string
		code int
	}{{r.URL + "/healthz", 200}, {"http://" + plain + "/projects", 308}} {
		resp, err := client.Get(c.url)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.code {
			t.Errorf("%s answers %d, want %d", c.url, resp.StatusCode, c.code)
		}
	}
	if _, err := http.Get(r.URL + "/healthz"); err == nil {
		t.Error("a client that does not know the authority is satisfied")
	}
}
