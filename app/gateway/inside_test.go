package gateway

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tresor/app/access"
	"tresor/app/job"
	"tresor/plugins/protocol"
)

// working starts a task of a caller that runs until it is cancelled, and returns
// the program inside it as a caller.
func (h *house) working(who Caller) (id string, inside Caller) {
	h.t.Helper()
	r := request("sleep")
	r.Outputs = nil
	st := h.submit(who, r)
	h.until(who, st.ID, "running")
	return st.ID, Caller{Kind: Inside, ID: st.ID}
}

// leaflet is a task whose every text is a secret that a program has read.
func leaflet() protocol.JobRequest {
	r := request("true")
	r.Name, r.Description, r.Outputs = "CANARY-NAME", "CANARY-TEXT", nil
	r.Tags, r.Notes, r.Document = map[string]string{"CANARY-KEY": "CANARY-VALUE"}, []string{"CANARY-NOTE"}, []byte(`{"name":"CANARY-DOCUMENT"}`)
	return r
}

// TestWordsOfProgramsStayInside: a task that a program inside made is there for
// programs inside only. Its texts would be a way out without an airlock.
func TestWordsOfProgramsStayInside(t *testing.T) {
	h := newHouse(t)
	h.run()
	_, hub := h.hub("North hub")
	_, client, _ := h.client("Outside")
	rosa, _ := h.person("rosa", "aurora")
	lena, _ := h.person("lena", "aurora")
	for name, maker := range map[string]Caller{"a hub's job": hub, "a client's job": client, "a person's job": rosa} {
		t.Run(name, func(t *testing.T) {
			_, inside := h.working(maker)
			st := h.submit(inside, leaflet())
			h.until(inside, st.ID, "completed")
			for who, c := range map[string]Caller{"hub": hub, "client": client, "its own person": rosa, "another person": lena} {
				_, err := h.host(c).State(ctx, st.ID, protocol.Full)
				h.wantRefusal(err, CodeNotFound, "no such task")
				h.wantRefusal(h.host(c).Cancel(ctx, st.ID), CodeNotFound, "no such task")
				for _, q := range []protocol.JobQuery{{}, {NamePrefix: "CANARY"}, {Tags: []protocol.Tag{{Key: "CANARY-KEY", Any: true}}}, {States: []string{"completed"}}} {
					q.View, q.Limit = protocol.Full, 100
					page, err := h.host(c).Jobs(ctx, q)
					if err != nil {
						t.Fatal(err)
					}
					if s := fmt.Sprintf("%+v", page); strings.Contains(s, "CANARY") || strings.Contains(s, st.ID) {
						t.Errorf("%s lists it with %+v: %s", who, q, s)
					}
				}
			}
			page, err := h.host(inside).Jobs(ctx, protocol.JobQuery{View: protocol.Full, Limit: 100, NamePrefix: "CANARY"})
			if err != nil || len(page.Jobs) == 0 || page.Jobs[0].ID != st.ID {
				t.Errorf("inside: %d tasks (%v)", len(page.Jobs), err)
			}
		})
	}
}

// TestInsideFetchesNothing: an address is words too; the host asks nobody outside
// for a program that has read data, whatever an operator allowed.
func TestInsideFetchesNothing(t *testing.T) {
	h := newHouse(t)
	asked := false
	h.world(t, map[string]http.HandlerFunc{"data.example.org/open/CANARY": func(http.ResponseWriter, *http.Request) { asked = true }})
	h.allow(Source{Prefix: "https://data.example.org/open/"})
	h.run()
	rosa, _ := h.person("rosa", "aurora")
	_, inside := h.working(rosa)
	r := request("true")
	r.Inputs, r.Outputs = []protocol.Input{{Path: "/in/x", Source: "https://data.example.org/open/CANARY?q=CANARY"}}, nil
	_, err := h.host(inside).Submit(ctx, r)
	h.wantRefusal(err, CodeSource, "A program inside cannot")
	if asked {
		t.Error("the source was asked")
	}
	h.until(rosa, h.submit(rosa, r).ID, "completed") // outside it works
	if !asked {
		t.Error("the source was not asked for a caller outside")
	}
}

// every is a plugin of each name; it notes which one was asked.
type every struct{ asked *string }

func (p every) Server(_ context.Context, name string) (protocol.Server, error) {
	return noting{fixed{resp: protocol.Response{Status: 200}}, p.asked, name}, nil
}

type noting struct {
	fixed
	asked *string
	name  string
}

func (p noting) ServeRequest(c context.Context, r protocol.Request, h protocol.Host) (protocol.Response, error) {
	*p.asked = p.name
	return p.fixed.ServeRequest(c, r, h)
}

// TestInsideReachesOnePlugin: another one may have a way to the outside.
func TestInsideReachesOnePlugin(t *testing.T) {
	h := newHouse(t)
	h.run()
	rosa, _ := h.person("rosa", "aurora")
	id, _ := h.working(rosa)
	got := ""
	door := h.g.InsideDoor(every{&got}, id)
	for path, want := range map[string]string{"/ga4gh/tes/v1/service-info": "tes", "/v1/tasks": "tes", "/ga4gh/carrier/v1/x": "", "/ga4gh/carrier": "", "/ga4gh/tes2/x": ""} {
		got = ""
		rec := httptest.NewRecorder()
		door.ServeHTTP(rec, httptest.NewRequest("POST", path, strings.NewReader("CANARY")))
		if got != want || want == "" && rec.Code != http.StatusNotFound {
			t.Errorf("%s: %d, answered by %q", path, rec.Code, got)
		}
	}
}

// TestAHubGainsNothingInside: what binds a machine binds the programs of its jobs,
// and theirs.
func TestAHubGainsNothingInside(t *testing.T) {
	h := newHouse(t)
	h.run()
	p, hub := h.hub("North hub")
	four, decided := Quotas{TasksPerHour: 100, OpenTasks: 4, Cores: 1}, ApprovalEvery
	if _, err := h.g.Change(ctx, h.as("olga"), p.ID, Change{Quotas: &four}); err != nil {
		t.Fatal(err)
	}
	first, inside := h.working(hub)
	sleep := request("sleep")
	sleep.Outputs = nil
	child := h.submit(inside, sleep)
	h.until(inside, child.ID, "running")
	deep := Caller{Kind: Inside, ID: child.ID}
	third := h.submit(deep, sleep)
	h.submit(deep, sleep)
	full := func(who Caller) {
		t.Helper()
		_, err := h.host(who).Submit(ctx, sleep)
		h.wantRefusal(err, CodeQuota, "open tasks")
	}
	full(inside)
	full(deep)
	full(hub)
	h.fresh() // a start of the server counts the same
	full(deep)
	full(hub)
	cores := sleep
	cores.Resources.Cores = 2
	_, err := h.host(deep).Submit(ctx, cores)
	h.wantRefusal(err, CodeQuota, "processors")
	if err := h.host(deep).Cancel(ctx, third.ID); err != nil {
		t.Fatal(err)
	}
	h.until(deep, third.ID, "cancelled")
	t.Run("another's task is not there", func(t *testing.T) {
		rosa, _ := h.person("rosa", "aurora")
		st := h.submit(rosa, request())
		h.until(rosa, st.ID, "held")
		_, err := h.host(inside).State(ctx, st.ID, protocol.Full)
		h.wantRefusal(err, CodeNotFound, "no such task")
		h.wantRefusal(h.host(inside).Cancel(ctx, st.ID), CodeNotFound, "no such task")
		if page, err := h.host(deep).Jobs(ctx, protocol.JobQuery{View: protocol.Minimal, Limit: 10}); err != nil || len(page.Jobs) != 2 {
			t.Errorf("it lists %d tasks (%v)", len(page.Jobs), err)
		}
	})
	t.Run("each task needs a decision", func(t *testing.T) {
		if _, err := h.g.Change(ctx, h.as("olga"), p.ID, Change{Approval: &decided}); err != nil {
			t.Fatal(err)
		}
		st := h.submit(deep, sleep)
		j, err := h.jobs.Get(ctx, h.as("lena"), st.ID)
		if err != nil || j.State != job.Submitted {
			t.Fatalf("%s, %v", j.State, err)
		}
		if _, err := h.g.Pause(ctx, h.as("olga"), p.ID, true, ""); err != nil {
			t.Fatal(err)
		}
		_, err = h.host(deep).Submit(ctx, sleep)
		h.wantRefusal(err, CodePaused, "paused")
		if got := h.state(deep, st.ID, protocol.Minimal).State; got != "submitted" {
			t.Errorf("a paused hub's running program reads %q", got)
		}
		if _, err := h.g.Pause(ctx, h.as("olga"), p.ID, false, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := h.g.Revoke(ctx, h.as("olga"), p.ID, "The agreement ended."); err != nil {
			t.Fatal(err)
		}
		_, err = h.host(deep).Submit(ctx, sleep)
		h.wantRefusal(err, CodeNoProject, "any more")
		if _, err := h.jobs.Approve(ctx, h.as("lena"), st.ID, "Fine."); err != nil {
			t.Fatal(err)
		}
		h.wait("it is refused at its start", func() bool {
			j, err := h.jobs.Get(ctx, h.as("lena"), st.ID)
			return err == nil && j.State == job.Refused
		})
	})
	if _, err := h.jobs.Cancel(ctx, access.System, first, "The test is over."); err != nil {
		t.Fatal(err)
	}
}

// TestTreeIsNoOracle: whether a file is there is a bit of the program that named it,
// so a caller outside asks so often and no oftener.
func TestTreeIsNoOracle(t *testing.T) {
	h := newHouse(t)
	_, hub := h.hub("North hub")
	rosa, _ := h.person("rosa", "aurora")
	for name, who := range map[string]Caller{"hub": hub, "person": rosa} {
		t.Run(name, func(t *testing.T) {
			limited := false
			for n := range 200 {
				r := request("true")
				r.Inputs, r.Outputs = []protocol.Input{{Path: "/in/x", Source: fmt.Sprintf("file:///project/bit-%d", n)}}, nil
				_, err := h.host(who).Submit(ctx, r)
				if err == nil {
					t.Fatal("a file that is not there was taken")
				}
				if strings.Contains(err.Error(), CodeQuota) {
					limited = true
					if n < probeBurst {
						t.Errorf("refused after %d", n)
					}
					break
				}
			}
			if !limited {
				t.Error("200 questions were answered")
			}
			r := request("true")
			r.Outputs = nil
			h.submit(who, r) // other work goes on
		})
	}
}

// TestOthersFilesStayOthers: a machine that was not lent all data finds in the tree
// what its own jobs made, and replaces nothing else, from outside and from inside.
func TestOthersFilesStayOthers(t *testing.T) {
	h := newHouse(t)
	h.run()
	_, hub := h.hub("North hub")
	_, all := h.principal(Draft{Name: "East hub", Kind: Hub, HubKey: "key of east", HubURL: "https://east.example"}, "*")
	rosa, _ := h.person("rosa", "aurora")
	into := func(path string) protocol.JobRequest {
		r := request()
		r.Outputs[0].Target = "file:///project/" + path
		return r
	}
	from := func(path string, folder bool) protocol.JobRequest {
		r := request("true")
		r.Outputs, r.Inputs = nil, []protocol.Input{{Path: "/in/x", Source: "file:///project/" + path, Directory: folder}}
		return r
	}
	h.until(rosa, h.submit(rosa, into("shared/local.csv")).ID, "completed")
	h.until(hub, h.submit(hub, into("shared/hub.csv")).ID, "completed")
	_, inside := h.working(hub)
	for name, who := range map[string]Caller{"outside": hub, "inside": inside} {
		_, err := h.host(who).Submit(ctx, from("shared/local.csv", false))
		_, absent := h.host(who).Submit(ctx, from("shared/never.csv", false))
		if err == nil || absent == nil || beforeReference(err) != strings.Replace(beforeReference(absent), "never", "local", 1) {
			t.Errorf("%s: another's file answers %v, none %v", name, err, absent)
		}
		st := h.submit(who, from("shared", true))
		h.until(who, st.ID, "completed")
		j, err := h.jobs.Get(ctx, h.as("rosa"), st.ID)
		if err != nil || len(j.Places) != 1 || j.Places[0].Size == 0 {
			t.Fatalf("%+v, %v", j.Places, err)
		}
		var files []string
		for _, f := range j.Places[0].Files {
			files = append(files, f.Path)
		}
		if fmt.Sprint(files) != "[hub.csv]" {
			t.Errorf("%s: the folder holds %v", name, files)
		}
		h.until(who, h.submit(who, into("shared/local.csv")).ID, "failed")
		h.until(who, h.submit(who, into("shared/hub.csv")).ID, "completed") // its own it replaces
	}
	h.until(all, h.submit(all, from("shared/local.csv", false)).ID, "completed")
	h.until(all, h.submit(all, into("shared/local.csv")).ID, "failed")
	h.until(rosa, h.submit(rosa, into("shared/hub.csv")).ID, "completed")
	h.until(rosa, h.submit(rosa, from("shared", true)).ID, "completed")
}

// TestExitCodesAreOneBit: for a machine outside a command succeeded or did not; a
// person's token and programs inside read the code.
func TestExitCodesAreOneBit(t *testing.T) {
	h := newHouse(t)
	h.run()
	_, hub := h.hub("North hub")
	_, client, _ := h.client("Outside")
	rosa, _ := h.person("rosa", "aurora")
	for name, c := range map[string]struct {
		who  Caller
		want int
	}{"hub": {hub, 1}, "client": {client, 1}, "person": {rosa, 3}} {
		r := request("true")
		r.Outputs, r.Tasks = nil, []protocol.Task{{Image: "tools", Argv: []string{"false"}, IgnoreError: true}, {Image: "tools", Argv: []string{"true"}}, {Image: "tools", Argv: []string{"false"}}}
		st := h.until(c.who, h.submit(c.who, r).ID, "failed")
		if len(st.Tasks) != 3 || st.Tasks[0].ExitCode != c.want || st.Tasks[1].ExitCode != 0 || st.Tasks[2].ExitCode != c.want {
			t.Errorf("%s: %+v", name, st.Tasks)
		}
		told := strings.Join(st.Messages, "\n")
		if c.want == 1 && (strings.Contains(told, "3") || !strings.Contains(told, codesInside)) || c.want == 3 && !strings.Contains(told, "exit code 3") {
			t.Errorf("%s: %s", name, told)
		}
		for _, ts := range st.Tasks {
			if (c.want == 1) != (ts.StartedAt.IsZero() && ts.FinishedAt.IsZero()) || st.StartedAt.IsZero() {
				t.Errorf("%s: %+v", name, ts)
			}
		}
		if end := st.FinishedAt; c.want == 1 && (end.Before(st.StartedAt) || end.Second() != 0 && !end.Equal(st.StartedAt)) {
			t.Errorf("%s: from %v to %v", name, st.StartedAt, end)
		}
	}
}
