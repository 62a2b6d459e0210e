package api

import (
	"strings"
	"testing"

	"tresor/app/gateway"
	"tresor/app/job"
	"tresor/plugins/protocol"
)

// ask sends a job as a hub would, through the gateway.
func (w *world) ask(t testing.TB, r protocol.JobRequest) string {
	t.Helper()
	host := w.server.Gateway.HostFor(gateway.Caller{Kind: gateway.Hub, ID: w.principal, OnBehalf: "Dr. Far <far@elsewhere.example>"}, "tes")
	state, err := host.Submit(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return state.ID
}

func wish(image string) protocol.JobRequest {
	return protocol.JobRequest{Project: "aurora", Name: "visits by health", Tasks: []protocol.Task{{Image: image, Argv: []string{"/tresor", "sql", "--script", "/in/q.json"}}},
		Inputs:  []protocol.Input{{Path: "/in/q.json", HasContent: true, Content: []byte(`{"secret-content":1}`)}, {Path: "/data/health", Directory: true, Source: "tresor://dataset/health"}},
		Outputs: []protocol.Output{{Path: "/work/out/visits.csv", Target: "hub://results/visits.csv"}}}
}

// TestApproversSeeEverything: what a machine asked for stands on the page of
// whoever decides, and on nobody else's.
func TestApproversSeeEverything(t *testing.T) {
	w := newWorld(t)
	w.ingest(t)
	w.connect(t)
	w.as(t, "operator", "PATCH", "/federation/principals/"+w.principal, `{"approval":"every"}`).want(t, 200)
	id := w.ask(t, wish("tresor/sql"))
	digest := w.digest(t)
	whole := []string{id, `"can_decide":true`, `"from":"Hub `, `"on_behalf":"Dr. Far`, `"kind":"hub"`, `"handle":"rosa"`, digest, `"state":"approved"`, `"runs":0`,
		"--script", "/in/q.json", "/data/health", `"target":"hub://results/visits.csv"`, `"dataset":"health"`, `"waiting_since":"`}
	w.play(t, []scenario{
		{"the lead decides", "lead", "GET", "/federation/requests", "", 200, whole, []string{"secret-content"}},
		{"a steward decides", "steward", "GET", "/federation/requests", "", 200, whole, []string{"secret-content"}},
		{"the sponsor sees and does not decide", "researcher", "GET", "/federation/requests", "", 200, []string{id, `"can_decide":false`}, nil},
		{"an outsider sees nothing", "outsider", "GET", "/federation/requests", "", 200, []string{`"items":[]`}, []string{id, "far@"}},
		{"the page counts it", "operator", "GET", "/federation", "", 200, []string{`"waiting":1`}, nil},
		{"the job's own page", "lead", "GET", "/jobs/" + id, "", 200, []string{digest, `"images":[{`, `"places":[{`, `"wants":[{`, `"via":"hub:`, `"sha256":"`}, []string{"secret-content"}},
	})
	w.play(t, []scenario{
		{"what a small file says", "lead", "GET", "/jobs/" + id + "/inputs/0/text", "", 200, []string{`"path":"/in/q.json"`, `secret-content`, `"truncated":false`, `"escaped":0`}, nil},
		{"not for who does not decide", "researcher", "GET", "/jobs/" + id + "/inputs/0/text", "", 403, nil, []string{"secret-content"}},
		{"nor for an outsider", "outsider", "GET", "/jobs/" + id + "/inputs/0/text", "", 403, nil, []string{"secret-content"}},
		{"a dataset was not sent", "lead", "GET", "/jobs/" + id + "/inputs/1/text", "", 409, []string{"was not sent"}, nil},
		{"an input that is none", "lead", "GET", "/jobs/" + id + "/inputs/99999999999/text", "", 404, nil, nil},
		{"each look is written down", "auditor", "GET", "/audit?verb=input.read", "", 200, []string{"input.read", id}, []string{"secret-content"}},
	})
	later := w.ask(t, wish("tresor/sql"))
	var page, rest List[Waiting]
	w.as(t, "lead", "GET", "/federation/requests?limit=1", nil).into(t, &page)
	w.as(t, "lead", "GET", "/federation/requests?limit=1&after="+page.Next, nil).into(t, &rest)
	if len(page.Items) != 1 || page.Items[0].Job != id || len(rest.Items) != 1 || rest.Items[0].Job != later || rest.Next != "" {
		t.Errorf("pages do not follow: %+v %+v", page, rest)
	}
	w.as(t, "lead", "POST", "/jobs/"+later+"/refuse", `{"reason":"Twice."}`).want(t, 200)
	var list List[Waiting]
	w.as(t, "lead", "GET", "/federation/requests", nil).into(t, &list)
	for _, p := range list.Items[0].Places {
		if p.SHA256 == "" || p.Size == 0 {
			t.Errorf("an input without a hash: %+v", p)
		}
	}
	w.as(t, "lead", "POST", "/jobs/"+id+"/refuse", `{"reason":"Not in this study."}`).want(t, 200)
	w.as(t, "lead", "GET", "/federation/requests", nil).into(t, &list)
	if len(list.Items) != 0 {
		t.Errorf("a refused job still waits: %+v", list.Items)
	}
}

func TestAnImageThatIsNotHere(t *testing.T) {
	w := newWorld(t)
	w.ingest(t)
	w.connect(t)
	id := w.ask(t, wish("registry.example/stranger:1"))
	w.play(t, []scenario{
		{"the lead reads what it waits for", "lead", "GET", "/federation/requests", "", 200,
			[]string{id, `"waiting_image":"registry.example/stranger:1"`, `"state":"absent"`, `"can_decide":false`}, nil},
		{"the operator too, who can import it", "operator", "GET", "/federation/requests", "", 200, []string{id, "registry.example/stranger:1"}, nil},
		{"the list of jobs says it", "lead", "GET", "/jobs?state=" + string(job.Submitted), "", 200, []string{id}, nil},
	})
	if log := w.log.String(); strings.Contains(log, "stranger:1") {
		t.Error("the log holds what a machine typed")
	}
}
