package hub

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"tresor/fed/task"
	"tresor/plugins/builtin/tes/model"
)

func printable(t *testing.T, what, s string, most int) {
	t.Helper()
	if !utf8.ValidString(s) || len(s) > most || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("%s: %q", what, s)
	}
}

// FuzzReport: whatever a node answers, what is kept is bounded, printable and
// holds nothing that a program wrote.
func FuzzReport(f *testing.F) {
	f.Add([]byte(`{"id":"r1","state":"RUNNING","logs":[{"logs":[{"exit_code":1,"stdout":"SECRET"}],"outputs":[{"url":"https://n/ga4gh/tes/releases/r/x","path":"/x","size_bytes":"1"}],"system_logs":["a\nb"]}]}`))
	f.Add([]byte(`{"id":"r1","state":"COMPLETE","logs":[{"metadata":{"release":"/ga4gh/tes/releases/../../x"}}]}`))
	f.Add([]byte(`{"id":"r1","state":"PAUSED"}`))
	f.Add([]byte("\xff\xfe{"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := readReport(body, "r1")
		if err != nil {
			if !r.empty() {
				t.Error("a refused answer was kept")
			}
			return
		}
		if !known(r.State) || len(r.Messages) > maxMessages || len(r.Outputs) > maxOutputs || len(r.Commands) > maxCommands {
			t.Errorf("%+v", r)
		}
		for _, m := range r.Messages {
			printable(t, "message", m, maxMessage)
		}
		for _, o := range r.Outputs {
			printable(t, "path", o.Path, maxPath)
		}
		if r.Release != "" && !releaseID.MatchString(r.Release) {
			t.Errorf("release %q", r.Release)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Error(err)
		}
	})
}

// FuzzAnswer: a node's answer to an order is a usable id or a refusal in plain words.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "no-dataset", "c-1", []byte(`{"id":"x"}`))
	f.Add(403, "no\ndataset", strings.Repeat("c", 200), []byte(`{"detail":"a\u0007b"}`))
	f.Fuzz(func(t *testing.T, status int, code, reference string, body []byte) {
		c, text, corr := problem(task.Answer{Status: status, Header: map[string][]string{"Tresor-Refusal": {code}, "Tresor-Correlation": {reference}}, Body: body})
		printable(t, "code", c, 40)
		printable(t, "text", text, maxMessage)
		printable(t, "reference", corr, 80)
		if c == "" || text == "" {
			t.Errorf("nothing is said: %q %q", c, text)
		}
	})
}

// FuzzCatalogue: what a node publishes is cleaned and bounded.
func FuzzCatalogue(f *testing.F) {
	f.Add([]byte(`{"node":"n","projects":[{"slug":"a","name":"A"}],"datasets":[{"slug":"d","name":"D\u202e","projects":["a"],"tables":[{"name":"t","columns":[{"name":"c"}]}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := task.DecodeCatalogue(body)
		if err != nil {
			return
		}
		out := tidy(c)
		for _, d := range out.Datasets {
			printable(t, "name", d.Name, maxTitle)
			printable(t, "description", d.Description, maxText)
			for _, x := range d.Tables {
				printable(t, "table", x.Name, maxTitle)
			}
		}
		if len(out.Datasets) > maxNamed || len(out.Projects) > maxNamed {
			t.Errorf("%d datasets, %d projects", len(out.Datasets), len(out.Projects))
		}
		if b, err := json.Marshal(out); err != nil || len(b) > 8*task.MaxCatalogue {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	})
}

// FuzzAddress: an address names one thing, and a query is read or refused.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"/ga4gh/tes/v1/tasks/a:cancel", "/ga4gh/tes/results/a/b/c%2fd", "/ga4gh/tes//v1//tasks/", "/ga4gh/tes/%zz", "/ga4gh/tes/v1/v1/tasks"} {
		f.Add(s, "view=FULL&page_size=3&tag_key=a&tag_value=b")
	}
	f.Fuzz(func(t *testing.T, path, raw string) {
		p := route(path)
		for _, word := range append(strings.Split(p.path, "/"), p.id, p.node) {
			if word == ".." || strings.ContainsAny(word, "\\\x00") {
				t.Errorf("%+v", p)
			}
		}
		q, err := readQuery(raw)
		if err != nil {
			return
		}
		if q.size < 1 || q.size > model.MaxPageSize || len(q.tags) > model.MaxQueryTags {
			t.Errorf("%+v", q)
		}
		text, args := q.where("p")
		if strings.Count(text, "?") != len(args) {
			t.Errorf("%s with %d", text, len(args))
		}
		mark := q.mark(caller{person: "p", project: "a"})
		if next, err := model.ReadPageToken(q.token, mark); err == nil && model.PageToken(next, mark) != q.token {
			t.Errorf("%q is no token and was taken", q.token)
		}
	})
}
