package api

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestGuessingNamesTeachesNothing: what is not there and what somebody may not
// see get the same answer, word for word, wherever a name can be given.
func TestGuessingNamesTeachesNothing(t *testing.T) {
	w := newWorld(t)
	w.fill(t)
	job := `{"name":"x","purpose":"y","sql":[{"output":"a.csv","sql":"SELECT 1"}]}`
	for _, c := range []struct{ method, before, there, after, body string }{
		{"GET", "/projects/", "aurora", "", ""},
		{"PATCH", "/projects/", "aurora", "", `{"name":"x"}`},
		{"GET", "/jobs?project=", "aurora", "", ""},
		{"GET", "/airlock?project=", "aurora", "", ""},
		{"GET", "/releases?project=", "aurora", "", ""},
		{"POST", "/projects/", "aurora", "/jobs", job},
		{"GET", "/datasets/", "health", "", ""},
		{"GET", "/jobs/", w.job, "", ""},
		{"POST", "/jobs/", w.job, "/cancel", `{}`},
		{"GET", "/jobs/", w.job, "/log", ""},
		{"POST", "/jobs/", w.job, "/airlock", `{}`},
		{"GET", "/airlock/", w.request, "", ""},
		{"POST", "/airlock/", w.request, "/comments", `{"text":"x"}`},
		{"GET", "/releases/", w.release, "", ""},
	} {
		t.Run(c.method+" "+c.before+"…"+c.after, func(t *testing.T) {
			ask := func(name string) (Problem, int) {
				var p Problem
				var body any
				if c.body != "" {
					body = c.body
				}
				r := w.as(t, "outsider", c.method, c.before+name+c.after, body)
				_ = json.Unmarshal([]byte(r.body), &p)
				return p, r.status
			}
			there, a := ask(c.there)
			absent, b := ask("nothing")
			// Some answers repeat the name that was asked for: that tells nothing.
			if there.Detail = strings.ReplaceAll(there.Detail, c.there, "nothing"); a != b || there.Detail != absent.Detail {
				t.Errorf("there: %d %q, absent: %d %q", a, there.Detail, b, absent.Detail)
			}
		})
	}
}
