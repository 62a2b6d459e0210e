package api

import (
	"net/http"
	"strings"
	"testing"

	"tresor/app/job"
)

// scenario is one request of the whole-path fixture with what has to come back.
type scenario struct {
	name         string
	actor        string
	method, path string
	body         string
	status       int
	has, hasNot  []string
}

func (w *world) play(t *testing.T, list []scenario) {
	t.Helper()
	for _, sc := range list {
		t.Run(sc.name, func(t *testing.T) {
			var r reply
			if sc.body == "" {
				r = w.as(t, sc.actor, sc.method, sc.path, nil)
			} else {
				r = w.as(t, sc.actor, sc.method, sc.path, sc.body)
			}
			if r.status != sc.status {
				t.Errorf("got %d %s, want %d", r.status, r.body, sc.status)
			}
			for _, s := range sc.has {
				if !strings.Contains(r.body, s) {
					t.Errorf("%q is missing in %s", s, r.body)
				}
			}
			for _, s := range append(sc.hasNot, "/tmp/", "sqlite", "SQL logic", ".go:", "goroutine") {
				if strings.Contains(r.body, s) {
					t.Errorf("%q must not be in %s", s, r.body)
				}
			}
		})
	}
}

func TestReviewsAreBlind(t *testing.T) {
	w := newWorld(t)
	w.ingest(t)
	w.job = w.submit(t, "blind")
	w.awaitHeld(t)
	w.request = w.askRelease(t)
	view := "/airlock/" + w.request + "/items/" + w.item + "/view"
	vote := "/airlock/" + w.request + "/votes"
	get := "/airlock/" + w.request
	const secret, note = "opinion-of-carl", "private-remark-of-carl"
	w.play(t, []scenario{
		{"a vote before looking", "checker", "POST", vote, `{"decision":"approve","comment":"Unseen."}`, 409, nil, nil},
		{"a decision that is none", "checker", "POST", vote, `{"decision":"maybe","comment":"x"}`, 400, nil, nil},
		{"carl looks", "checker", "GET", view, "", 200, []string{`"good"`, `"120"`}, nil},
		{"carl comments", "checker", "POST", get + "/comments", `{"text":"` + note + `"}`, 200, []string{note}, nil},
		{"carl votes", "checker", "POST", vote, `{"decision":"approve","comment":"` + secret + `"}`, 200, []string{secret}, nil},
		{"carl sees his own vote", "checker", "GET", get, "", 200, []string{secret}, nil},
		{"cemile sees nothing of it", "checker2", "GET", get, "", 200, []string{`"reviews_needed":2`}, []string{secret, note, "Person carl"}},
		{"the requester sees nothing of it", "researcher", "GET", get, "", 200, nil, []string{secret, note, "Person carl"}},
		{"the steward sees nothing of it", "steward", "GET", get, "", 200, nil, []string{secret, "Person carl"}},
		{"the list tells nothing of it", "researcher", "GET", "/airlock", "", 200, nil, []string{secret, note, "Person carl"}},
		{"home tells nothing of it", "researcher", "GET", "/home", "", 200, nil, []string{secret, note, "carl"}},
		{"an outsider sees nothing at all", "outsider", "GET", get, "", 404, nil, []string{"Visits by health"}},
		{"the requester cannot review", "researcher", "POST", vote, `{"decision":"approve","comment":"Mine."}`, 403, nil, nil},
		{"the request cannot be released yet", "researcher", "POST", get + "/release", "", 409, nil, nil},
		{"cemile looks", "checker2", "GET", view, "", 200, nil, []string{secret}},
		{"cemile votes", "checker2", "POST", vote, `{"decision":"approve","comment":"Counts are fine."}`, 200, []string{secret}, nil},
		{"now the requester sees both", "researcher", "GET", get, "", 200, []string{secret, "Counts are fine."}, nil},
		{"it is the requester's turn", "researcher", "GET", "/home", "", 200, []string{"Visits by health"}, nil},
		{"a vote too late", "checker", "POST", vote, `{"decision":"reject","comment":"Changed my mind."}`, 409, nil, nil},
	})
}

func (w *world) awaitHeld(t *testing.T) {
	t.Helper()
	var j job.Job
	w.until(t, "the job is held", func() bool {
		w.as(t, "researcher", "GET", "/jobs/"+w.job, nil).into(t, &j)
		if j.State == job.Failed {
			t.Fatalf("the job failed: %s", j.Reason)
		}
		return j.State == job.Held
	})
	w.output = j.Outputs[0].ID
}

func TestBytesStayInside(t *testing.T) {
	w := newWorld(t)
	w.fill(t)
	log, preview := "/jobs/"+w.job+"/log", "/jobs/"+w.job+"/outputs/"+w.output+"/preview"
	const sum = "29ff1ece2accc69a9c5d3be56e08c135eec193bbdc821c4bbe4947bd4cf97159" // of the output: whoever has it can try what a small table holds
	w.play(t, []scenario{
		{"a member reads the log", "researcher", "GET", log, "", 200, []string{"counting visits"}, nil},
		{"a member reads the log from its end", "researcher", "GET", log + "?from=16", "", 200, nil, []string{"counting"}},
		{"from is negative", "researcher", "GET", log + "?from=-1", "", 400, nil, nil},
		{"an operator", "operator", "GET", log, "", 403, []string{`"code":"denied"`}, []string{"counting"}},
		{"a checker", "checker", "GET", log, "", 403, nil, []string{"counting"}},
		{"the local operator", "local", "GET", log, "", 403, nil, []string{"counting"}},
		{"an outsider", "outsider", "GET", log, "", 404, nil, []string{"counting"}},
		{"a member looks at an output", "lead", "GET", preview, "", 200, []string{`"columns":["health","people"]`, "120"}, nil},
		{"a page of it", "lead", "GET", preview + "?offset=1&limit=1", "", 200, []string{"fair"}, []string{"good", "poor"}},
		{"a page too large", "lead", "GET", preview + "?limit=501", "", 400, nil, nil},
		{"an output of no job", "lead", "GET", "/jobs/" + w.job + "/outputs/none/preview", "", 404, nil, nil},
		{"an operator looks", "operator", "GET", preview, "", 403, nil, []string{"good", `"120"`}},
		{"an operator sees the record and no log", "operator", "GET", "/jobs/" + w.job, "", 200, []string{`"state":"released"`}, []string{"counting", "good", `"120"`}},
		{"an operator sees no shape and no hash of an output", "operator", "GET", "/jobs/" + w.job, "", 200, []string{"visits.csv", `"sha256":""`}, []string{sum, `"rows":3`}},
		{"nor does an auditor", "auditor", "GET", "/jobs/" + w.job, "", 200, []string{"visits.csv"}, []string{sum, `"rows":3`}},
		{"a member does", "lead", "GET", "/jobs/" + w.job, "", 200, []string{sum, `"rows":3`}, nil},
		{"an operator sees no figures of the data", "operator", "GET", "/datasets/health", "", 200, []string{"visits"}, []string{`"max":"6"`}},
		{"a researcher finds the job", "researcher", "GET", "/search?q=visits", "", 200, []string{`"kind":"job"`, `"kind":"airlock"`}, nil},
		{"an outsider finds nothing", "outsider", "GET", "/search?q=visits", "", 200, []string{`"items":[]`}, nil},
		{"a search too short", "researcher", "GET", "/search?q=v", "", 200, []string{`"items":[]`}, nil},
		{"a search too long", "researcher", "GET", "/search?q=" + strings.Repeat("v", 300), "", 400, nil, nil},
	})
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	w := newWorld(t)
	w.ingest(t)
	w.play(t, []scenario{
		{"a job without a name", "researcher", "POST", "/projects/aurora/jobs", `{"sql":[{"output":"a","sql":"SELECT 1"}]}`, 400, []string{"name"}, nil},
		{"SQL that writes", "researcher", "POST", "/projects/aurora/jobs", `{"name":"x","purpose":"y","sql":[{"output":"a","sql":"DROP TABLE people"}]}`, 400, nil, nil},
		{"a field that is none", "researcher", "POST", "/projects/aurora/jobs", `{"nam":"x"}`, 400, []string{`\"nam\"`, "openapi.json"}, nil},
		{"another project in the body", "researcher", "POST", "/projects/aurora/jobs", `{"project":"borealis","name":"x"}`, 400, []string{"address"}, nil},
		{"a project that is not mine", "researcher", "POST", "/projects/borealis/jobs", `{"name":"x","purpose":"y","sql":[{"output":"a","sql":"SELECT 1"}]}`, 404, nil, nil},
		{"a project that is none", "researcher", "POST", "/projects/nothing/jobs", `{"name":"x","purpose":"y","sql":[{"output":"a","sql":"SELECT 1"}]}`, 404, nil, nil},
		{"a state that is none", "researcher", "GET", "/jobs?state=flying", "", 400, []string{"flying"}, nil},
		{"a state of a request that is none", "checker", "GET", "/airlock?state=flying", "", 400, []string{"flying"}, nil},
		{"a limit too large", "researcher", "GET", "/jobs?limit=1000", "", 400, []string{"1 to 500"}, nil},
		{"a version that is none", "steward", "GET", "/datasets/health/versions/7", "", 404, nil, nil},
		{"a version that is no number", "steward", "GET", "/datasets/health/versions/x", "", 404, nil, nil},
		{"a taken short name", "operator", "POST", "/projects", `{"slug":"aurora","name":"Again","purpose":"x"}`, 409, []string{"aurora"}, nil},
		{"a lead appoints a lead", "lead", "PUT", "/projects/aurora/members/" + w.people["extra"].ID, `{"role":"lead"}`, 403, nil, nil},
		{"a checker becomes operator too", "operator", "PATCH", "/people/" + w.people["checker"].ID, `{"roles":["checker","operator"]}`, 409, nil, nil},
		{"oneself", "operator", "PATCH", "/people/" + w.people["operator"].ID, `{"roles":["operator","steward"]}`, 403, nil, nil},
		{"a demo link of a kind that is none", "operator", "POST", "/people/" + w.people["extra"].ID + "/link", `{"kind":"forever"}`, 400, nil, nil},
		{"an image that is none", "operator", "POST", "/images/sha256:00/approve", `{"reason":"x"}`, 404, nil, nil},
		{"an event that is none", "auditor", "GET", "/audit/proof/999999", "", 404, nil, nil},
		{"events of one thing", "auditor", "GET", "/audit?subject=dataset:" + w.dataset, "", 200, []string{"dataset.ingested"}, []string{"session.opened"}},
		{"what one person did", "auditor", "GET", "/audit?actor=" + w.people["steward"].ID, "", 200, []string{"dataset.ingested"}, []string{"project.created", "Person olga"}},
		{"events of one verb", "auditor", "GET", "/audit?verb=dataset.ingested", "", 200, []string{"dataset.ingested"}, []string{"dataset.registered", "session."}},
		{"events of one noun", "auditor", "GET", "/audit?verb=dataset.", "", 200, []string{"dataset.ingested", "dataset.registered"}, []string{"session."}},
		{"events since a time that has not come", "auditor", "GET", "/audit?since=2999-01-01T00:00:00Z", "", 200, []string{`"items":[]`}, nil},
		{"events until then", "auditor", "GET", "/audit?until=2999-01-01T00:00:00Z&verb=dataset.", "", 200, []string{"dataset.ingested"}, nil},
		{"a time that is none", "auditor", "GET", "/audit?since=yesterday", "", 400, []string{"has to be a time", "2026-11-24T15:04:05Z"}, nil},
		{"a verb that is none", "auditor", "GET", "/audit?verb=%27%20OR%201=1", "", 200, []string{`"items":[]`}, nil},
	})
}

func TestTheAuditLogThroughTheDoor(t *testing.T) {
	w := newWorld(t)
	w.ingest(t)
	w.play(t, []scenario{
		{"the proof of an event", "auditor", "GET", "/audit/proof/0", "", 200, []string{`"hashes"`, `"checkpoint"`}, nil},
		{"the checkpoint", "researcher", "GET", "/audit/checkpoint", "", 200, []string{"tresor/test\n"}, nil},
		{"the export", "auditor", "GET", "/audit/export", "", 200, []string{"dataset.ingested", "tresor/test"}, nil},
		{"the verification", "auditor", "GET", "/audit/verify", "", 200, []string{`"root"`}, nil},
	})
	req, err := http.NewRequestWithContext(t.Context(), "GET", w.http.URL+prefix+"/audit/checkpoint", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	req.AddCookie(&http.Cookie{Name: cookieName, Value: w.token(t, "researcher")})
	var cp Checkpoint
	if w.do(t, req).want(t, 200).into(t, &cp); cp.Size == 0 || !strings.Contains(cp.Note, cp.Root) {
		t.Errorf("got %+v", cp)
	}
	var first, second List[struct{ Seq int64 }]
	w.as(t, "auditor", "GET", "/audit?limit=3", nil).want(t, 200).into(t, &first)
	w.as(t, "auditor", "GET", "/audit?limit=3&before="+first.Next, nil).want(t, 200).into(t, &second)
	if len(first.Items) != 3 || len(second.Items) != 3 || second.Items[0].Seq != first.Items[2].Seq-1 {
		t.Errorf("pages do not follow: %+v %+v", first, second)
	}
}

func TestListsPageThrough(t *testing.T) {
	w := newWorld(t)
	w.ingest(t)
	want := map[string]bool{}
	for range 5 {
		want[w.submit(t, "one of five")] = true
	}
	seen := map[string]bool{}
	next := ""
	for range 5 {
		var page List[job.Job]
		w.as(t, "researcher", "GET", "/jobs?limit=2&project=aurora&before="+next, nil).want(t, 200).into(t, &page)
		for _, j := range page.Items {
			if seen[j.ID] {
				t.Errorf("%s comes twice", j.ID)
			}
			seen[j.ID] = true
		}
		if next = page.Next; next == "" {
			break
		}
	}
	if len(seen) != len(want) {
		t.Errorf("saw %d of %d", len(seen), len(want))
	}
}

func TestTheSameKeyIsTheSameJob(t *testing.T) {
	w := newWorld(t)
	w.ingest(t)
	send := func() string {
		req, err := http.NewRequestWithContext(t.Context(), "POST", w.http.URL+prefix+"/projects/aurora/jobs",
			strings.NewReader(`{"name":"once","purpose":"To count.","sql":[{"output":"a.csv","sql":"SELECT 1 AS one"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", "key-1")
		req.AddCookie(&http.Cookie{Name: cookieName, Value: w.token(t, "researcher")})
		var j job.Job
		w.do(t, req).want(t, 201).into(t, &j)
		return j.ID
	}
	if a, b := send(), send(); a != b {
		t.Errorf("two jobs: %s %s", a, b)
	}
}
