package tes_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"tresor/plugins/builtin/tes"
	"tresor/plugins/builtin/tes/model"
	"tresor/plugins/protocol"
	"tresor/plugins/protocoltest"
)

func TestHostileBodies(t *testing.T) {
	d := open(t)
	const secret = "SENDER-CANARY"
	deep := strings.Repeat(`{"a":`, 100_000)
	for name, c := range map[string]struct {
		status int
		body   string
	}{
		"a name of 1 MB":                {400, task(`"name":"` + strings.Repeat(secret, 80_000) + `"`)},
		"an image of 1 MB":              {400, `{"executors":[{"image":"` + strings.Repeat("i", 1<<20) + `","command":["a"]}]}`},
		"10,000 executors":              {400, `{"executors":[` + strings.Repeat(`{"image":"i","command":["a"]},`, 9_999) + `{"image":"i","command":["a"]}]}`},
		"100,000 deep":                  {400, deep},
		"lists 100,000 deep":            {400, strings.Repeat("[", 100_000)},
		"a flood of tags":               {400, task(`"tags":{` + flood(50_000) + `}`)},
		"a flood of unknown keys":       {413, task(flood(120_000))},
		"a megabyte of blanks and more": {413, strings.Repeat(" ", 2<<20) + plain},
		"nothing":                       {400, ""},
		"not JSON":                      {400, "<task/>"},
		"a document over 1 MB":          {413, task(`"inputs":[` + strings.TrimSuffix(strings.Repeat(`{"path":"/P","content":"`+strings.Repeat("c", 250<<10)+`"},`, 5), ",") + `]`)},
		"a terminal's escape":           {400, task(`"name":"\u001b[2J` + secret + `"`)},
		"the image a shell":             {400, `{"executors":[{"image":"a\nb","command":["a"]}]}`},
		"half a character":              {400, task("\"name\":\"\xc3\"")},
	} {
		t.Run(name, func(t *testing.T) {
			d.t = t
			body := c.body
			for i := range 5 {
				body = strings.Replace(body, `"/P"`, fmt.Sprintf(`"/p%d"`, i), 1)
			}
			begin := time.Now()
			d.refuses(c.status, "", "POST", "/v1/tasks", body)
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("refusing took %v", took)
			}
			if r := d.send("POST", "/v1/tasks", body); strings.Contains(r.body, secret) {
				t.Errorf("the refusal repeats what was sent: %.200s", r.body)
			}
		})
	}
}

func flood(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"k%x":"",`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

// What a program wrote may be anything, also when the host sends a lot of it.
func TestHostileStreams(t *testing.T) {
	d := open(t)
	d.kind = protocol.CallerInside
	id := d.create(plain)
	d.host.move(id, func(s *protocol.JobState) {
		s.State, s.StartedAt = "running", s.CreatedAt
		for range 40 {
			s.Tasks = append(s.Tasks, protocol.TaskState{Stdout: strings.Repeat("é", 50<<10) + "THE-END", Stderr: "\x00\xff\x1b[2J\u2028"})
		}
	})
	body := d.get("/v1/tasks/" + id + "?view=FULL")
	if err := strict("task", body); err != nil || !utf8.ValidString(body) || len(body) > 2<<20 || !strings.Contains(body, "THE-END") || strings.ContainsAny(body, "\x00\x1b\u2028") {
		t.Errorf("%v, %d bytes", err, len(body))
	}
}

// A host that gives back a document that is none must not break an answer.
func TestDocumentsThatAreNone(t *testing.T) {
	d := open(t)
	id := d.create(task(`"name":"n"`))
	for _, doc := range []string{"", "{", "null", `{"a":1}{`, `{"content":1}`, "\xff"} {
		d.host.move(id, func(s *protocol.JobState) { s.Document = []byte(doc) })
		for _, v := range []string{"MINIMAL", "BASIC", "FULL"} {
			body := d.get("/v1/tasks?view=" + v)
			if protocoltest.At(t, body, "tasks", 0, "id") != id {
				t.Errorf("%q in %s: %s", doc, v, body)
			}
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	d := open(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 20 {
				id := d.create(task(fmt.Sprintf(`"name":"c%d-%d"`, i, j)))
				if protocoltest.At(t, d.get("/v1/tasks/"+id+"?view=BASIC"), "name") != fmt.Sprintf("c%d-%d", i, j) {
					t.Error("another client's task")
				}
			}
		})
	}
	wg.Wait()
	if ids, _ := d.walk("page_size=7"); len(ids) != 320 {
		t.Errorf("%d tasks", len(ids))
	}
}

// FuzzCreate holds for every body: an answer with a status of the protocol; a task
// that is taken comes back in a form that the strictest client reads.
func FuzzCreate(f *testing.F) {
	for _, s := range []string{plain, rich, "", "{}", task(`"inputs":[{"path":"/a","url":"file:///project/%2e%2e"}]`), task(`"resources":{"backend_parameters":{"x":"y"},"backend_parameters_strict":true}`)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		h := newMemory()
		resp, err := tes.New().ServeRequest(context.Background(), protocol.Request{Method: "POST", Path: "/v1/tasks", Body: body}, h)
		if err != nil || resp.Status != 200 && resp.Status != 400 && resp.Status != 413 && resp.Status != 403 {
			t.Fatalf("%v %d %s", err, resp.Status, resp.Body)
		}
		if resp.Status != 200 {
			if h.count() != 0 {
				t.Fatal("refused, but a job was made")
			}
			return
		}
		id := protocoltest.At(t, string(resp.Body), "id").(string)
		h.move(id, func(s *protocol.JobState) { s.StartedAt = s.CreatedAt })
		for v, kind := range map[string]string{"MINIMAL": "minimal", "BASIC": "task", "FULL": "task"} {
			resp, err := tes.New().ServeRequest(context.Background(), protocol.Request{Path: "/tasks/" + id, Query: "view=" + v}, h)
			if err != nil || strict(kind, string(resp.Body)) != nil {
				t.Fatalf("%v %v %s", err, strict(kind, string(resp.Body)), resp.Body)
			}
		}
		for _, in := range h.last().Inputs {
			if strings.HasPrefix(in.Source, "file:") && !strings.HasPrefix(in.Source, "file:///project/") || strings.Contains(in.Source, "/../") {
				t.Fatalf("source %q", in.Source)
			}
		}
	})
}

// FuzzAddress holds for every path and query: an answer, and nothing is made.
func FuzzAddress(f *testing.F) {
	for _, s := range [][2]string{{"/v1/tasks", "page_size=1&tag_key=a&tag_value=b"}, {"/tasks/job-1:cancel", ""}, {"/releases/a/b", "view=FULL"}, {"//%2e%2e/", "page_token=AAAA"}, {"/v1/tasks/%zz", "state=PAUSED&;"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, path, query string) {
		h := newMemory()
		resp, err := tes.New().ServeRequest(context.Background(), protocol.Request{Method: "GET", Path: path, Query: query}, h)
		if err != nil || resp.Status != 200 && resp.Status != 400 && resp.Status != 404 && resp.Status != 405 {
			t.Fatalf("%v %d", err, resp.Status)
		}
		if resp.Release != nil && (strings.Contains(resp.Release.Path, "/../") || strings.ContainsRune(resp.Release.Path, 0)) {
			t.Fatalf("release %+v", resp.Release)
		}
		if len(h.lastQuery.Tags) > model.MaxQueryTags || h.lastQuery.Limit > model.MaxPageSize {
			t.Fatalf("query %+v", h.lastQuery)
		}
	})
}

// FuzzToken holds for every token: it is refused, unless it is one that was given out.
func FuzzToken(f *testing.F) {
	h := newMemory()
	for range 3 {
		_, _ = h.Submit(context.Background(), protocol.JobRequest{Document: []byte(plain)})
	}
	ask := func(query string) protocol.Response {
		resp, err := tes.New().ServeRequest(context.Background(), protocol.Request{Method: "GET", Path: "/tasks", Query: query}, h)
		if err != nil {
			panic(err)
		}
		return resp
	}
	given := map[string]bool{"": true}
	for size := 1; size < 3; size++ {
		token, _ := protocoltest.At(f, string(ask(fmt.Sprintf("page_size=%d", size)).Body), "next_page_token").(string)
		given[token] = true
		f.Add(token)
	}
	f.Add("garbage")
	f.Fuzz(func(t *testing.T, token string) {
		if resp := ask("page_token=" + url.QueryEscape(token)); (resp.Status == 200) != given[token] {
			t.Fatalf("token %q: %d %s", token, resp.Status, resp.Body)
		}
	})
}
