package tes_test

import (
	"context"
	"strings"
	"testing"

	"tresor/plugins/builtin/tes"
	"tresor/plugins/protocol"
	"tresor/plugins/protocoltest"
)

// released makes a task whose outputs are released and gives its FULL view.
func released(d *door) string {
	id := d.create(rich)
	d.host.releases["rel-1"] = map[string]string{"/out/out.csv": "a,b\n", "/out/logs/ä b#?.txt": "LOG"}
	for _, l := range life {
		d.host.move(id, l.step)
	}
	return d.get("/v1/tasks/" + id + "?view=FULL")
}

func TestOutputsAreWhereTheyAreSaidToBe(t *testing.T) {
	d := open(t)
	body := released(d)
	outputs, _ := protocoltest.At(t, body, "logs", 0, "outputs").([]any)
	if len(outputs) != 3 || protocoltest.At(t, body, "logs", 0, "outputs", 0, "url") != "file:///project/parts/a.part" {
		t.Fatalf("%v", outputs)
	}
	base := d.server.URL + "/ga4gh/tes"
	for i, want := range map[int]string{1: "a,b\n", 2: "LOG"} {
		u := protocoltest.At(t, body, "logs", 0, "outputs", i, "url").(string)
		path, ok := strings.CutPrefix(u, base)
		if !ok {
			t.Fatalf("the output lies at %s", u)
		}
		for _, prefix := range []string{"", "/v1"} {
			if r := d.send("GET", prefix+path, ""); r.status != 200 || r.body != want || r.header.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(r.header.Get("Content-Disposition"), "attachment") {
				t.Errorf("%s: %+v", u, r)
			}
		}
	}
	zip := protocoltest.At(t, body, "logs", 0, "metadata", "release").(string)
	if r := d.send("GET", strings.TrimPrefix(zip, base), ""); r.body != "zip of rel-1" || r.header.Get("Content-Type") != "application/zip" {
		t.Errorf("%s: %+v", zip, r)
	}
	if protocoltest.At(t, body, "logs", 0, "metadata", "project") != "aurora" {
		t.Error(body)
	}
}

func TestReleasesThatAreNone(t *testing.T) {
	d := open(t)
	released(d)
	for _, path := range []string{"/releases/", "/releases/rel-1/%2e%2e/x", "/releases/rel-1/..%2fx", "/releases/rel%2F1", "/releases/rel-1/a%00b", "/releases/rel-1/a%5Cb", "/releases/" + strings.Repeat("r", 200)} {
		d.refuses(404, "no such address", "GET", path, "")
	}
	for _, path := range []string{"/releases/rel-2", "/releases/rel-1/other"} {
		if r := d.send("GET", path, ""); r.status != 404 {
			t.Errorf("%s: %+v", path, r)
		}
	}
}

// The plugin names a release and never holds its bytes.
func TestThePluginDoesNotTouchReleasedBytes(t *testing.T) {
	h := newMemory()
	resp, err := tes.New().ServeRequest(context.Background(), protocol.Request{Method: "GET", Path: "/v1/releases/rel-1/out/a%20b.csv"}, h)
	if err != nil || resp.Release == nil || *resp.Release != (protocol.ReleaseFile{ID: "rel-1", Path: "/out/a b.csv"}) || len(resp.Body) != 0 || len(h.calls) != 0 {
		t.Errorf("%v %+v %v", err, resp, h.calls)
	}
	if got := resp.Header["Content-Disposition"][0]; got != "attachment; filename*=UTF-8''a%20b.csv" {
		t.Error(got)
	}
}

func TestWithoutABaseAddressesAreOfTheDoor(t *testing.T) {
	h := newMemory()
	state, _ := h.Submit(context.Background(), protocol.JobRequest{Document: []byte(plain)})
	h.move(state.ID, func(s *protocol.JobState) {
		s.State, s.Release, s.Outputs = "released", "r", []protocol.OutputFile{{Path: "/a", Target: "x", Release: "r"}}
	})
	resp, err := tes.New().ServeRequest(context.Background(), protocol.Request{Path: "/tasks/" + state.ID, Query: "view=BASIC"}, h)
	if err != nil || protocoltest.At(t, string(resp.Body), "logs", 0, "outputs", 0, "url") != "/ga4gh/tes/releases/r/a" {
		t.Errorf("%v %s", err, resp.Body)
	}
}

func TestServiceInfo(t *testing.T) {
	d := open(t)
	body := d.get("/service-info")
	if protocoltest.At(t, body, "id") != "tresor.tes" || protocoltest.At(t, body, "organization", "url") != d.server.URL || protocoltest.At(t, body, "documentationUrl") != d.server.URL+"/docs/pages/tes" || protocoltest.At(t, body, "contactUrl") != nil {
		t.Error(body)
	}
	d.set = protocol.Settings{"service_name": "Nord", "organisation_name": "Clinic", "organisation_url": "https://clinic.example", "contact": "mailto:a@clinic.example", "documentation_url": "https://clinic.example/tre"}
	body = d.get("/service-info")
	if strict("info", body) != nil || protocoltest.At(t, body, "name") != "Nord" || protocoltest.At(t, body, "organization", "name") != "Clinic" || protocoltest.At(t, body, "contactUrl") != "mailto:a@clinic.example" || protocoltest.At(t, body, "documentationUrl") != "https://clinic.example/tre" {
		t.Error(body)
	}
	for base, id := range map[string]string{"https://tre.Clinic.example:8443/ga4gh/tes": "example.clinic.tre.tes", "https://[::1]:8443/ga4gh/tes": "tresor.tes", "": "local.tes.tes", "http://tes.local/ga4gh/tes": "local.tes.tes", "::bad": "local.tes.tes"} {
		resp, err := tes.New().ServeRequest(context.Background(), protocol.Request{Path: "/service-info", Base: base}, newMemory())
		if err != nil || strict("info", string(resp.Body)) != nil || protocoltest.At(t, string(resp.Body), "id") != id {
			t.Errorf("%s: %v %s", base, err, resp.Body)
		}
	}
}

func TestConnectionSteps(t *testing.T) {
	for name, c := range map[string]struct {
		set    protocol.Settings
		refuse error
		bad    string // the step that is not well
	}{
		"nothing set":     {nil, nil, ""},
		"all set":         {protocol.Settings{"organisation_url": "https://a.example", "contact": "mailto:a@b.example", "documentation_url": "http://a/x"}, nil, ""},
		"half a URL":      {protocol.Settings{"organisation_url": "a.example"}, nil, "settings"},
		"mail as a site":  {protocol.Settings{"organisation_url": "mailto:a@b"}, nil, "settings"},
		"no such setting": {protocol.Settings{"other": "x"}, nil, "settings"},
		"half a contact":  {protocol.Settings{"contact": "help"}, nil, "settings"},
		"a script":        {protocol.Settings{"documentation_url": "javascript:alert(1)"}, nil, "settings"},
		"host refuses":    {nil, refused(protocol.CodeDenied, "not for you"), "host"},
	} {
		h := newMemory()
		h.refusal = c.refuse
		steps, err := tes.New().TestConnection(context.Background(), c.set, h)
		if err != nil || len(steps) != 3 {
			t.Fatalf("%s: %v %v", name, err, steps)
		}
		for _, s := range steps {
			if s.OK != (s.Name != c.bad) || s.Detail == "" || !s.OK && s.Next == "" {
				t.Errorf("%s: %+v", name, s)
			}
		}
	}
}
