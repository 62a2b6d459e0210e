package gateway

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tresor/plugins/protocol"
)

// files asks for the project's files as a program inside a job does.
func (h *house) files(inside Caller, method, path, body string) *httptest.ResponseRecorder {
	h.t.Helper()
	r := httptest.NewRequest(method, "http://tes.local"+path, strings.NewReader(body))
	w := httptest.NewRecorder()
	h.g.InsideDoor(nil, inside.ID).ServeHTTP(w, r)
	return w
}

// TestProgramsInsideShareFiles: a file that a program puts there is an input of the
// tasks that it makes, and what they leave there it reads.
func TestProgramsInsideShareFiles(t *testing.T) {
	h := newHouse(t)
	h.run()
	rosa, _ := h.person("rosa", "aurora")
	_, inside := h.working(rosa)
	if w := h.files(inside, "PUT", "/project/run/in.txt", "three\n"); w.Code != http.StatusNoContent {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	r := request("true")
	r.Inputs, r.Outputs = []protocol.Input{{Path: "/in/x", Source: "file:///project/run/in.txt"}}, nil
	h.until(inside, h.submit(inside, r).ID, "completed")
	if w := h.files(inside, "GET", "/project/run/in.txt", ""); w.Code != http.StatusOK || w.Body.String() != "three\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if w := h.files(inside, "HEAD", "/project/run/in.txt", ""); w.Code != http.StatusOK || w.Header().Get("Content-Length") != "6" {
		t.Errorf("HEAD: %d %v", w.Code, w.Header())
	}
	var list Listing
	w := h.files(inside, "GET", "/project/run/", "")
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || len(list.Files) != 1 || list.Files[0].Path != "run/in.txt" || list.Files[0].Size != 6 {
		t.Errorf("%v: %s", err, w.Body)
	}
}

func TestFilesInsideRefusals(t *testing.T) {
	h := newHouse(t)
	h.run()
	rosa, _ := h.person("rosa", "aurora")
	_, hub := h.hub("North hub")
	job, local := h.working(rosa)
	_, remote := h.working(hub)
	h.files(local, "PUT", "/project/mine.txt", "CANARY-CONTENT")
	for name, c := range map[string]struct {
		who          Caller
		method, path string
		code         int
		says         string
	}{
		"a file that is not there":         {local, "GET", "/project/none.txt", 404, "none.txt"},
		"a path that climbs":               {local, "GET", "/project/..%2Fx", 400, ""},
		"another method":                   {local, "DELETE", "/project/mine.txt", 405, "GET, HEAD, PUT or POST"},
		"a folder is no file":              {local, "PUT", "/project/a/", 400, ""},
		"a hub's program reads it":         {remote, "GET", "/project/mine.txt", 404, "mine.txt"},
		"a hub's program replaces it":      {remote, "PUT", "/project/mine.txt", 409, ""},
		"nobody's job":                     {Caller{Kind: Inside, ID: "none"}, "GET", "/project/mine.txt", 401, ""},
		"a file where a folder has to be":  {local, "PUT", "/project/mine.txt/below", 409, ""},
		"a name with control characters":   {local, "PUT", "/project/a%0Ab", 400, ""},
		"a name that is no UTF-8 (hidden)": {local, "PUT", "/project/%ff", 400, ""},
	} {
		w := h.files(c.who, c.method, c.path, "other")
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.says) || strings.Contains(w.Body.String(), "CANARY") {
			t.Errorf("%s: %d %s, want %d and %q", name, w.Code, w.Body, c.code, c.says)
		}
	}
	var list Listing
	if err := json.Unmarshal(h.files(remote, "GET", "/project/", "").Body.Bytes(), &list); err != nil || len(list.Files) != 0 {
		t.Errorf("a hub's program sees %v, %v", list, err)
	}
	if w := h.files(local, "GET", "/project/mine.txt", ""); w.Body.String() != "CANARY-CONTENT" {
		t.Errorf("the file was changed: %q", w.Body)
	}
	if err := h.host(rosa).Cancel(ctx, job); err != nil {
		t.Fatal(err)
	}
	h.until(rosa, job, "cancelled")
	for end := time.Now().Add(20 * time.Second); h.files(local, "GET", "/project/mine.txt", "").Code != 401; { // who is inside is forgotten right after the commit
		if time.Now().After(end) {
			t.Fatal("a job that is over still reads")
		}
	}
}

func TestFilesInsideAreBounded(t *testing.T) {
	h := newHouse(t)
	h.run()
	rosa, _ := h.person("rosa", "aurora")
	_, inside := h.working(rosa)
	refused := func(name, says string) {
		t.Helper()
		w := h.files(inside, "PUT", "/project/more.txt", "more")
		if w.Code != http.StatusTooManyRequests || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if w := h.files(inside, "PUT", "/project/a.txt", "a"); w.Code != http.StatusNoContent {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	used := h.g.puts.all["inside:"+inside.ID]
	used.bytes = putBytes
	refused("bytes", "as many bytes as it may")
	used.bytes, used.files = 0, putFiles
	refused("files", "which is as many as it may")
	used.files = 0
	quota := h.tree.Quota
	h.tree.Quota = 3
	refused("the project's quota", "may be put now")
	h.tree.Quota = quota
	for used.pace.TokensAt(h.now()) >= 1 {
		used.pace.AllowN(h.now(), 1)
	}
	refused("pace", "faster than ten a second")
	if w := h.files(inside, "GET", "/project/more.txt", ""); w.Code != http.StatusNotFound {
		t.Errorf("what was refused is there: %d", w.Code)
	}
}
