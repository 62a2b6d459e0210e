package hub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/fed/node"
	"tresor/fed/task"
	"tresor/fed/wire"
)

// only the addresses that hold part get the lie.
func lieAt(part string, with http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, part) {
			return false
		}
		with(w, r)
		return true
	}
}

// impatientFor makes the hub wait only briefly when that is what the trouble has to say.
func impatientFor(says string) func(*rig) {
	return func(r *rig) {
		if says == "in time" {
			r.pace.Call = 200 * time.Millisecond
		}
	}
}

// TestLyingStates: a node that answers wrongly makes trouble for itself alone, and
// is believed again when it answers well.
func TestLyingStates(t *testing.T) {
	for _, c := range []struct {
		name string
		lie  http.HandlerFunc
		says string
	}{
		{"another task", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"id":"other","state":"COMPLETE"}`) }, "another task"},
		{"no task", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `[]`) }, "not a task"},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "\xff\x00<html>") }, "not a task"},
		{"a state of no kind", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"id":%q,"state":"PAUSED"}`, r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
		}, "no task of this kind"},
		{"three megabytes", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte(" "), 3<<20)) }, "longer than"},
		{"a refusal", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(503)
			_, _ = w.Write(wire.Refuse(wire.CodePaused, "paused by ada").Encode())
		}, "Paused by ada."},
		{"500 with bad words", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			fmt.Fprint(w, "{\"detail\":\"line\\nbreak \\u202e and bell \\u0007\"}")
		}, "500: line break"},
		{"gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, "404"},
		{"it never ends", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "in time"},
		{"it breaks off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"id":`)
		}, "link ended"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, impatientFor(c.says))
			liar, good := newFakeNode(t, "north"), newFakeNode(t, "east")
			for _, n := range []*fakeNode{liar, good} {
				r.enrol(n)
				n.connect(r)
			}
			id := r.create("")
			liar.only()
			liar.do(func() { liar.lie = lieAt("/tasks/", c.lie) })
			good.release("e")
			r.untilPart(id, "east", "is complete", func(p Part) bool { return p.State == "COMPLETE" })
			r.untilPart(id, "north", "is in trouble", func(p Part) bool { return strings.Contains(p.Trouble, c.says) })
			if p := r.part(id, "north"); strings.ContainsAny(p.Trouble, "\n\a\u202e") || len(p.Trouble) > 2*maxMessage {
				t.Errorf("trouble %q", p.Trouble)
			}
			liar.do(func() { liar.lie = nil })
			liar.release("n")
			r.until(id, "COMPLETE")
		})
	}
}

// TestWrongResults: what is not the zip that was asked for is not kept.
func TestWrongResults(t *testing.T) {
	for _, c := range []struct {
		name string
		zip  http.HandlerFunc
		says string
	}{
		{"no zip", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "rows of persons") }, "not a released zip"},
		{"another release", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "PLAIN rel-other a") }, "another release"},
		{"too large", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(append([]byte("PLAIN rel-north "), bytes.Repeat([]byte("x"), 2<<20)...))
		}, "larger than"},
		{"nothing comes", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "in time"},
		{"not even a header comes", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "in time"},
		{"it is refused again and again", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) }, "410"},
		{"empty", func(http.ResponseWriter, *http.Request) {}, "not a released zip"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, impatientFor(c.says), func(r *rig) { r.pace.Retry = 5 * time.Millisecond })
			liar, good := newFakeNode(t, "north"), newFakeNode(t, "east")
			for _, n := range []*fakeNode{liar, good} {
				r.enrol(n)
				n.connect(r)
			}
			id := r.create("")
			liar.do(func() { liar.lie = lieAt("/releases/", c.zip) })
			liar.release("n")
			good.release("e")
			r.until(id, "SYSTEM_ERROR")
			if p := r.part(id, "north"); p.Result == nil || p.Result.State != "refused" || !strings.Contains(p.Result.Trouble, c.says) {
				t.Errorf("%+v %+v", p, p.Result)
			}
			if status, _, body := r.get("/ga4gh/tes/results/" + id + "/north"); status != 409 {
				t.Errorf("%d %s", status, body)
			}
			if status, _, body := r.get("/ga4gh/tes/results/" + id + "/east"); status != 200 || string(body) != "PLAIN rel-east e" {
				t.Errorf("the result of the good node: %d %s", status, body)
			}
			left, err := filepath.Glob(filepath.Join(r.dir, "results", ".in-*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// TestRefusals: each node's answer to a create is shown with its code and the
// reference by which its operator finds it.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name              string
		answer            *task.Answer
		broken            error
		code, text, refer string
	}{
		{"a refusal of the gateway", &task.Answer{Status: 403, Header: map[string][]string{"Tresor-Refusal": {"no-dataset"}, "Tresor-Correlation": {"c-77"}},
			Body: []byte(`{"detail":"The project has no such dataset."}`)}, nil, "no-dataset", "no such dataset", "c-77"},
		{"a refusal in plain words", &task.Answer{Status: 500, Header: map[string][]string{"Content-Type": {"text/plain"}}, Body: []byte("The node broke.\n")},
			nil, "refused", "node broke", ""},
		{"a bare status", &task.Answer{Status: 500}, nil, "refused", "gave no reason", ""},
		{"no id", &task.Answer{Status: 200, Body: []byte(`{}`)}, nil, "malformed", "no usable id", ""},
		{"an id that is an address", &task.Answer{Status: 200, Body: []byte(`{"id":"../../x?y"}`)}, nil, "malformed", "no usable id", ""},
		{"a refusal of the link", nil, wire.Refuse(wire.CodeUnknown, "this node does not know the kind"), "unknown", "does not know", ""},
		{"it broke", nil, fmt.Errorf("secret path /srv/data"), "failed", "node broke", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			n := newFakeNode(t, "north")
			r.enrol(n)
			n.refuse = c.answer
			if c.broken != nil {
				n.broken = func(node.Order) error { return c.broken }
			}
			n.connect(r)
			id := r.create("")
			r.until(id, "SYSTEM_ERROR")
			p := r.part(id, "north")
			if p.Code != c.code || !strings.Contains(p.Text, c.text) || p.Correlation != c.refer || p.Delivery != denied {
				t.Errorf("%+v", p)
			}
			full, err := r.client().Get(t.Context(), id, "FULL")
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Join(full.Logs[0].SystemLogs, "\n")
			if !strings.Contains(lines, c.text) || !strings.Contains(lines, c.code) || !strings.Contains(lines, c.refer) || strings.Contains(lines, "/srv") {
				t.Errorf("system_logs: %s", lines)
			}
		})
	}
}

// TestNothingUnreleasedStays plants secrets where a careless or hostile node could
// send them and looks for them in everything that the hub keeps and says.
func TestNothingUnreleasedStays(t *testing.T) {
	r := newRig(t)
	n := newFakeNode(t, "north")
	r.enrol(n)
	n.connect(r)
	id := r.create("")
	n.set("RUNNING")
	r.until(id, "RUNNING")
	n.release("released")
	r.until(id, "COMPLETE")
	full, err := r.client().Get(t.Context(), id, "FULL")
	if err != nil {
		t.Fatal(err)
	}
	said, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(said, []byte("SECRET")) {
		t.Errorf("in the answer: %s", said)
	}
	r.crash()
	found := 0
	err = filepath.Walk(r.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte("SECRET")) {
			t.Errorf("in %s", path)
		}
		found++
		return err
	})
	if err != nil || found < 4 {
		t.Errorf("looked at %d files, %v", found, err)
	}
}
