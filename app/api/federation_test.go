package api

import (
	"net/http"
	"strings"
	"testing"

	"tresor/app/gateway"
)

func TestOperatorsAndLeadsOpenADoorTogether(t *testing.T) {
	w := newWorld(t)
	w.ingest(t)
	var p gateway.Principal
	w.as(t, "operator", "POST", "/federation/principals", `{"name":"Workflow engine"}`).want(t, 201).into(t, &p)
	one := "/federation/principals/" + p.ID
	lend := `{"sponsor":"` + w.people["researcher"].ID + `","datasets":["health"]}`
	w.play(t, []scenario{
		{"a hub is not made by hand", "operator", "POST", "/federation/principals", `{"name":"Hub","kind":"hub"}`, 400, []string{"outside clients"}, nil},
		{"a key cannot be given by hand", "operator", "POST", "/federation/principals", `{"name":"Hub","hub_key":"x"}`, 400, []string{"hub_key"}, nil},
		{"the lead sees none that does not use the project", "lead", "GET", one, "", 404, nil, []string{"Workflow"}},
		{"an operator cannot lend", "operator", "PUT", one + "/projects/aurora", lend, 403, nil, nil},
		{"a researcher cannot lend", "researcher", "PUT", one + "/projects/aurora", lend, 403, nil, nil},
		{"the sponsor has to be a member", "lead", "PUT", one + "/projects/aurora", `{"sponsor":"` + w.people["extra"].ID + `"}`, 400, []string{"member"}, nil},
		{"a dataset that is not granted", "lead", "PUT", one + "/projects/aurora", `{"sponsor":"` + w.people["researcher"].ID + `","datasets":["other"]}`, 400, []string{"granted"}, nil},
		{"the lead lends", "lead", "PUT", one + "/projects/aurora", lend, 200, []string{`"slug":"aurora"`, `"handle":"rosa"`}, nil},
		{"now the lead sees it", "lead", "GET", one, "", 200, []string{"Workflow"}, nil},
		{"the lead sees it on the page", "lead", "GET", "/federation", "", 200, []string{"Workflow", `"plugins":[]`, `"hubs":[]`}, nil},
		{"another lead's list is empty", "outsider", "GET", "/federation/principals", "", 403, nil, []string{"Workflow"}},
		{"the operator sees plugins", "operator", "GET", "/federation", "", 200, []string{`"name":"tes"`}, []string{pluginSecret}},
		{"it is no hub", "operator", "POST", "/federation/hubs/" + p.ID + "/confirm", "", 409, []string{"not a hub"}, nil},
		{"a paused door", "operator", "POST", one + "/pause", `{"paused":true}`, 200, []string{`"paused":true`}, nil},
		{"an open door", "operator", "POST", one + "/pause", `{"paused":false}`, 200, []string{`"paused":false`}, nil},
		{"all are paused", "operator", "POST", "/federation/pause", `{"paused":true,"reason":"A hub behaves oddly."}`, 200, []string{`"paused":true`}, nil},
		{"the page says so", "operator", "GET", "/federation", "", 200, []string{`"paused":true`}, nil},
		{"a quota", "operator", "PATCH", one, `{"quotas":{"tasks_per_hour":5,"open_tasks":2,"cores":1}}`, 200, []string{`"tasks_per_hour":5`}, nil},
		{"a policy that is none", "operator", "PATCH", one, `{"approval":"never"}`, 400, nil, nil},
		{"an empty ledger", "lead", "GET", one + "/ledger", "", 200, []string{`"items":[`}, nil},
		{"a ledger from nowhere", "lead", "GET", one + "/ledger?before=x", "", 400, nil, nil},
		{"taken back without a reason", "lead", "POST", one + "/projects/aurora/take-back", `{}`, 400, []string{"reason is missing"}, nil},
		{"the lead takes it back", "lead", "POST", one + "/projects/aurora/take-back", `{"reason":"The study is over."}`, 200, []string{`"projects":[]`}, nil},
		{"it is ended", "operator", "POST", one + "/revoke", `{"reason":"The agreement has ended."}`, 200, []string{`"state":"revoked"`}, nil},
		{"it gets no token", "operator", "POST", one + "/token", "", 409, nil, []string{"trs_"}},
		{"a source that is no prefix", "operator", "POST", "/federation/sources", `{"prefix":"file:///etc/","kind":"https"}`, 400, nil, nil},
		{"no request waits", "lead", "GET", "/federation/requests", "", 200, []string{`"items":[]`}, nil},
	})
}

// TestSecretsAreShownOnce: a token stands in the answer that made it and nowhere else.
func TestSecretsAreShownOnce(t *testing.T) {
	w := newWorld(t)
	w.ingest(t)
	w.connect(t)
	var mine NewToken
	w.as(t, "researcher", "POST", "/tokens", `{"name":"laptop","project":"aurora","days":3}`).want(t, 201).into(t, &mine)
	var p gateway.Principal
	w.as(t, "operator", "POST", "/federation/principals", `{"name":"Engine"}`).want(t, 201).into(t, &p)
	var client Secret
	w.as(t, "operator", "POST", "/federation/principals/"+p.ID+"/token", nil).want(t, 200).into(t, &client)
	w.as(t, "operator", "PUT", "/plugins/tes/settings", `{"settings":{"token":"`+pluginSecret+`"}}`).want(t, 200)
	if !strings.HasPrefix(mine.Secret.Token, "trs_") || !strings.HasPrefix(client.Token, "trs_") || mine.Secret.Token == client.Token {
		t.Fatalf("tokens %+v %+v", mine, client)
	}
	secrets := []string{mine.Secret.Token, client.Token, mine.Secret.Token[4:], pluginSecret}
	for _, path := range []string{"/tokens", "/federation", "/federation/principals", "/federation/principals/" + p.ID, "/federation/principals/" + p.ID + "/ledger",
		"/federation/sources", "/federation/requests", "/plugins", "/plugins/tes", "/metrics", "/audit?limit=500", "/audit/export", "/session", "/system"} {
		for _, column := range []string{"operator", "lead", "researcher", "auditor"} {
			r := w.as(t, column, "GET", path, nil)
			for _, secret := range secrets {
				if strings.Contains(r.body, secret) {
					t.Errorf("%s as %s tells a secret", path, column)
				}
			}
		}
	}
	for _, secret := range secrets {
		if strings.Contains(w.log.String(), secret) {
			t.Error("the log tells a secret")
		}
	}
	w.play(t, []scenario{
		{"another's list", "lead", "GET", "/tokens", "", 200, []string{`"items":[]`}, []string{"laptop"}},
		{"another's token", "lead", "POST", "/tokens/" + mine.ID + "/revoke", "", 404, nil, nil},
		{"a token for another project", "researcher", "POST", "/tokens", `{"name":"x","project":"borealis"}`, 404, nil, []string{"trs_"}},
		{"a token for ever", "researcher", "POST", "/tokens", `{"name":"x","project":"aurora","days":91}`, 400, []string{"90"}, []string{"trs_"}},
		{"a token for no day", "researcher", "POST", "/tokens", `{"name":"x","project":"aurora","days":0}`, 400, []string{"1 to 90 days"}, []string{"trs_"}},
		{"a token without a name", "researcher", "POST", "/tokens", `{"project":"aurora"}`, 400, nil, []string{"trs_"}},
		{"another's token without a reason", "operator", "POST", "/tokens/" + mine.ID + "/revoke", "", 400, []string{"reason is missing"}, nil},
		{"one's own token ends", "researcher", "POST", "/tokens/" + mine.ID + "/revoke", "", 204, nil, nil},
		{"it says so", "researcher", "GET", "/tokens", "", 200, []string{`"revoked":true`}, nil},
	})
}

// TestStepUpWhereItMatters: in a server that is no demo, what opens a door needs a
// fresh proof, and the brake does not.
func TestStepUpWhereItMatters(t *testing.T) {
	for _, rt := range newWorld(t).server.Routes() {
		key := rt.Method + " " + rt.Path
		want, listed := map[string]bool{
			"POST /federation/principals": true, "POST /federation/principals/{principal}/token": true, "POST /federation/hubs": true,
			"POST /federation/hubs/{principal}/confirm": true, "PUT /federation/principals/{principal}/projects/{project}": true,
			"POST /federation/sources": true, "PUT /federation/sources/{source}/credential": true, "DELETE /federation/sources/{source}/credential": true, "POST /federation/rotate": true, "POST /plugins": true, "PUT /plugins/{plugin}/settings": true, "POST /tokens": true,
			"PUT /projects/{project}/members/{person}": true,
			"POST /federation/pause":                   false, "POST /federation/principals/{principal}/pause": false, "POST /federation/hubs/{principal}/test": false,
			"POST /tokens/{token}/revoke": false,
		}[key]
		if listed && rt.Access.StepUp != want {
			t.Errorf("%s: step-up is %v", key, rt.Access.StepUp)
		}
	}
}

func TestResumingNeedsAProof(t *testing.T) {
	s := &Server{}
	stale := &call{s: s}
	if _, err := s.pauseAll(stale, pausedIn{}); err == nil || !strings.Contains(err.Error(), codeStepUp) {
		t.Errorf("%v", err)
	}
	if _, err := s.pausePrincipal(stale, pausedIn{}); err == nil || !strings.Contains(err.Error(), codeStepUp) {
		t.Errorf("%v", err)
	}
}

func TestPluginsAreTrustedAtTheServerOnly(t *testing.T) {
	w := newWorld(t)
	sum := strings.Repeat("ab", 32)
	w.play(t, []scenario{
		{"through the public address", "operator", "POST", "/plugins", `{"path":"/opt/plugin","sha256":"` + sum + `"}`, 403, []string{codeLocal, "tresor"}, nil},
		{"at the server", "local", "POST", "/plugins", `{"path":"/opt/plugin","sha256":"` + sum + `"}`, 201, []string{sum}, nil},
		{"a path that is not absolute", "local", "POST", "/plugins", `{"path":"plugin","sha256":"` + sum + `"}`, 400, []string{"absolute"}, nil},
		{"a plugin that is none", "operator", "GET", "/plugins/none", "", 404, nil, nil},
		{"a test", "operator", "POST", "/plugins/tes/test", "", 200, []string{`"steps":[{"name":"clock","ok":true`, `"report":"ok clock"`}, nil},
		{"a plugin is forgotten", "operator", "POST", "/plugins/tes/forget", `{"reason":"Replaced."}`, 204, nil, nil},
	})
	for by, shown := range map[string]string{w.people["operator"].ID: w.people["operator"].Handle, "local:0": "local:0", "somebody": "somebody"} {
		w.server.Plugins.(*fakePlugins).by = by
		for _, path := range []string{"/plugins", "/plugins/tes"} {
			if r := w.as(t, "auditor", "GET", path, nil).want(t, 200); !strings.Contains(r.body, `"trusted_by":"`+shown+`"`) {
				t.Errorf("%s trusted by %s: %s", path, by, r.body)
			}
		}
	}
}

func TestTheTreeIsTheMembers(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"counts/a.csv", "counts/b.csv", "other/c.csv"} {
		w.plant(t, path)
	}
	w.play(t, []scenario{
		{"a member", "researcher", "GET", "/projects/aurora/tree", "", 200, []string{"counts/a.csv", "other/c.csv", `"used":33`, `"quota":`}, []string{"kept inside"}},
		{"a folder", "researcher", "GET", "/projects/aurora/tree?path=counts", "", 200, []string{"counts/a.csv"}, []string{"other"}},
		{"a page", "researcher", "GET", "/projects/aurora/tree?limit=2", "", 200, []string{`"next":"counts/b.csv"`}, []string{"other"}},
		{"the next page", "researcher", "GET", "/projects/aurora/tree?limit=2&after=counts/b.csv", "", 200, []string{"other"}, []string{"counts/", `"next"`}},
		{"an operator", "operator", "GET", "/projects/aurora/tree", "", 403, nil, []string{"counts"}},
		{"a checker", "checker", "GET", "/projects/aurora/tree", "", 403, nil, []string{"counts"}},
		{"an outsider", "outsider", "GET", "/projects/aurora/tree", "", 404, nil, []string{"counts"}},
		{"a path that climbs", "researcher", "GET", "/projects/aurora/tree?path=../x", "", 400, nil, nil},
		{"a researcher erases", "researcher", "DELETE", "/projects/aurora/tree?path=counts", "", 403, nil, nil},
		{"the lead erases a folder", "lead", "DELETE", "/projects/aurora/tree?path=counts", "", 200, []string{`"files":2`}, nil},
		{"it is gone", "lead", "DELETE", "/projects/aurora/tree?path=counts", "", 404, nil, nil},
	})
}

func TestMetricsCountAndNeverName(t *testing.T) {
	w := newWorld(t)
	w.fill(t)
	r := w.as(t, "operator", "GET", "/metrics", nil).want(t, 200)
	if r.header.Get("Content-Type") != metricsType {
		t.Errorf("content type %s", r.header.Get("Content-Type"))
	}
	for _, want := range []string{`tresor_jobs{state="released"} 1`, `tresor_plugin_up{plugin="tes"} 1`, `tresor_plugin_failures_total{plugin="tes"} 1`,
		`tresor_hub_attempts{hub="`, `tresor_hub_connects_total{hub="`, "tresor_airlock_waiting 0", "tresor_gateway_open_tasks 0", "# TYPE tresor_audit_events gauge"} {
		if !strings.Contains(r.body, want) {
			t.Errorf("%q is missing in\n%s", want, r.body)
		}
	}
	for _, name := range []string{"aurora", "borealis", "rosa", "Visits", "visits", w.job, w.dataset} {
		if strings.Contains(r.body, name) {
			t.Errorf("a metric names %s", name)
		}
	}
	families := map[string]bool{}
	for line := range strings.SplitSeq(strings.TrimSpace(r.body), "\n") {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			families[strings.Fields(name)[0]] = true
		} else if !strings.HasPrefix(line, "# HELP ") && !families[strings.FieldsFunc(line, func(r rune) bool { return r == '{' || r == ' ' })[0]] {
			t.Errorf("a sample before its family: %s", line)
		}
	}
	w.as(t, "researcher", "GET", "/metrics", nil).want(t, http.StatusForbidden)
}

func TestLabelsAreEscaped(t *testing.T) {
	var m exposition
	m.sample("x", 1, "a", "q\"b\\c\nd", "b", "2")
	if got, want := m.b.String(), `x{a="q\"b\\c\nd",b="2"} 1`+"\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
}

// TestRefusalsAreLoggedWithTheirCode: an operator learns why, and not what was typed.
func TestRefusalsAreLoggedWithTheirCode(t *testing.T) {
	w := newWorld(t)
	w.as(t, "researcher", "GET", "/jobs?state=flying-secret", nil).want(t, 400)
	w.as(t, "researcher", "GET", "/projects/borealis", nil).want(t, 404)
	w.as(t, "none", "GET", "/home", nil).want(t, 401)
	log := w.log.String()
	for _, want := range []string{`"code":"invalid","op":"api.jobs"`, `"code":"not-found","op":"`, `"code":"` + codeSignIn + `"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log misses %s", want)
		}
	}
	if strings.Contains(log, "flying-secret") || strings.Contains(log, "borealis") {
		t.Error("the log holds what somebody typed")
	}
}
