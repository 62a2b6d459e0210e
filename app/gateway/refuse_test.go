package gateway

import (
	"strings"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/identity"
	"tresor/app/project"
	"tresor/plugins/protocol"
)

// TestSubmitRefusals is every reason for which a task is not taken. Each answer has
// its code, and none holds a name or a fact of somebody else's.
func TestSubmitRefusals(t *testing.T) {
	input := func(source string) func(*protocol.JobRequest) {
		return func(r *protocol.JobRequest) {
			r.Inputs = []protocol.Input{{Path: "/work/in/x", Source: source}}
		}
	}
	folder := func(source string) func(*protocol.JobRequest) {
		return func(r *protocol.JobRequest) {
			r.Inputs = []protocol.Input{{Path: "/work/in/x", Source: source, Directory: true}}
		}
	}
	for _, c := range []struct {
		name string
		set  func(h *house, p Principal)
		req  func(*protocol.JobRequest)
		code string
		text string
	}{
		{"no such project", nil, func(r *protocol.JobRequest) { r.Project = "nowhere" }, CodeNoProject, "no such project, or you may not"},
		{"another's project by slug", nil, func(r *protocol.JobRequest) { r.Project = "boreali" + "s" }, CodeNoProject, "no such project, or you may not"},
		{"no project at all", func(h *house, p Principal) { h.drop(p) }, nil, CodeNoProject, "no such project"},
		{"the project was taken back", func(h *house, p Principal) { h.drop(p) }, func(r *protocol.JobRequest) { r.Project = "aurora" }, CodeNoProject, "no such project"},
		{"project closed", func(h *house, _ Principal) { h.close() }, nil, CodeClosed, "is closed"},
		{"project ended", func(h *house, _ Principal) { h.end() }, nil, CodeExpired, "has ended"},
		{"sponsor has left", func(h *house, _ Principal) { h.leave("rosa") }, nil, CodeNotMember, "Nobody who may work"},
		{"sponsor disabled", func(h *house, _ Principal) { h.disable("rosa") }, nil, CodeNotMember, "Nobody who may work"},
		{"paused", func(h *house, p Principal) { h.pause(p) }, nil, CodePaused, "paused"},
		{"all paused", func(h *house, _ Principal) { h.pauseAll() }, nil, CodePaused, "paused"},
		{"revoked", func(h *house, p Principal) { h.revoke(p) }, nil, CodeUnknown, "ended for good"},
		{"open tasks", func(h *house, p Principal) {
			h.quota(p, Quotas{OpenTasks: 1})
			h.submit(hubCaller(p), request("sleep"))
		}, nil, CodeQuota, "1 open tasks"},
		{"tasks an hour", func(h *house, p Principal) {
			h.quota(p, Quotas{TasksPerHour: 1})
			h.must(h.host(hubCaller(p)).Cancel(ctx, h.submit(hubCaller(p), request()).ID))
		}, nil, CodeQuota, "in the last hour"},
		{"processors", nil, func(r *protocol.JobRequest) { r.Resources.Cores = 5 }, CodeQuota, "4 processors"},
		{"a dataset that was not lent", nil, folder("tresor://dataset/genom" + "e"), CodeNoDataset, "no such dataset or file"},
		{"the same by id", nil, folder("tresor://dataset/" + datasetIDs["genome"]), CodeNoDataset, "no such dataset or file"},
		{"no such dataset", nil, folder("tresor://dataset/nothing"), CodeNoDataset, "no such dataset or file"},
		{"an empty dataset name", nil, folder("tresor://dataset/"), CodeNoDataset, "no such dataset or file"},
		{"a whole dataset as a file", nil, input("tresor://dataset/health"), CodeMalformed, "has to be a folder"},
		{"a version that is no number", nil, input("tresor://dataset/health@latest/visits.csv"), CodeMalformed, "version"},
		{"version 0", nil, input("tresor://dataset/health@0/visits.csv"), CodeMalformed, "version"},
		{"a path out of a dataset", nil, input("tresor://dataset/health/../x"), CodeMalformed, "not clean"},
		{"no such file of a dataset", nil, input("tresor://dataset/health/other.csv"), CodeMalformed, "no file"},
		{"a file of the host", nil, input("file:///etc/passwd"), CodeSource, "not one that this server fetches from"},
		{"an address", nil, input("https://data.example.org/x.csv"), CodeSource, "not one that this server fetches from"},
		{"an address with a secret", nil, input("https://user:hunter2@data.example.org/x?sig=hunter2"), CodeSource, "data.example.org/x?…"},
		{"a folder at an address", nil, folder("https://data.example.org/x/"), CodeSource, "one by one"},
		{"another scheme", nil, input("ftp://data.example.org/x"), CodeSource, "not one"},
		{"the whole tree", nil, folder("file:///project/"), CodeMalformed, "all of the project's files"},
		{"no such file in the tree", nil, input("file:///project/nothing.csv"), CodeMalformed, "nothing.csv"},
		{"the whole tree as target", nil, func(r *protocol.JobRequest) { r.Outputs[0].Target = "file:///project/" }, CodeMalformed, "all of the project's files"},
		{"a folder with content", nil, func(r *protocol.JobRequest) {
			r.Inputs = []protocol.Input{{Path: "/work/in", Directory: true, HasContent: true, Content: []byte("x")}}
		}, CodeMalformed, "folder and has content"},
		{"long content", nil, func(r *protocol.JobRequest) {
			r.Inputs = []protocol.Input{{Path: "/work/in/x", HasContent: true, Content: make([]byte, protocol.MaxContent+1)}}
		}, CodeTooLarge, "256 KiB"},
		{"a large document", nil, func(r *protocol.JobRequest) { r.Document = make([]byte, protocol.MaxDocument+1) }, CodeTooLarge, "1024 KiB"},
		{"a name of a megabyte", nil, func(r *protocol.JobRequest) { r.Name = strings.Repeat("n", 1<<20) }, CodeMalformed, "name is longer"},
		{"nothing to run", nil, func(r *protocol.JobRequest) { r.Tasks = nil }, CodeMalformed, "nothing to run"},
		{"a task without a command", nil, func(r *protocol.JobRequest) { r.Tasks[0].Argv = nil }, CodeMalformed, "no command"},
		{"a path in a system folder", nil, func(r *protocol.JobRequest) { r.Volumes = []string{"/proc/x"} }, CodeMalformed, "/proc"},
		{"too many tags", nil, func(r *protocol.JobRequest) {
			r.Tags = map[string]string{}
			for i := range maxTags + 1 {
				r.Tags[strings.Repeat("k", i+1)] = "v"
			}
		}, CodeMalformed, "more than 100 tags"},
		{"a tag without a name", nil, func(r *protocol.JobRequest) { r.Tags = map[string]string{"": "v"} }, CodeMalformed, "tag"},
		{"a long remote id", nil, func(r *protocol.JobRequest) { r.RemoteID = strings.Repeat("x", 201) }, CodeMalformed, "id is longer"},
		{"notes without end", nil, func(r *protocol.JobRequest) { r.Notes = []string{strings.Repeat("x", maxNotes+1)} }, CodeMalformed, "notes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			p, who := h.hub("North hub")
			if c.set != nil {
				c.set(h, p)
			}
			before := h.number(`SELECT count(*) FROM job`)
			r := request()
			r.Inputs = append(r.Inputs, protocol.Input{Path: "/work/in/script", HasContent: true, Content: []byte("CANARY-INPUT")})
			if c.req != nil {
				c.req(&r)
			}
			_, err := h.host(who).Submit(ctx, r)
			h.wantRefusal(err, c.code, c.text)
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret of the address is in %q", err)
			}
			if n := h.number(`SELECT count(*) FROM job`); n != before {
				t.Errorf("%d jobs, want %d", n, before)
			}
			if c.code == CodeUnknown {
				return // it is nobody's ledger
			}
			lines := h.ledger(p.ID)
			if len(lines) == 0 || lines[0].Outcome != Declined || lines[0].Code != c.code || lines[0].Task != "" {
				t.Fatalf("the ledger begins with %+v", lines)
			}
			h.clean(lines[0].Text)
			if n := h.number(`SELECT count(*) FROM audit_leaf WHERE verb = 'gateway.refused'`); n == 0 {
				t.Error("no audit event")
			}
		})
	}
}

func hubCaller(p Principal) Caller { return Caller{Kind: p.Kind, ID: p.ID} }

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) drop(p Principal) {
	_, err := h.g.DropProject(ctx, h.as("lena"), p.ID, "aurora", "Over.")
	h.must(err)
}

func (h *house) close() {
	closed := project.Closed
	_, err := h.projects.Change(ctx, h.as("olga"), "aurora", project.Change{State: &closed, Reason: "Over."})
	h.must(err)
	h.g.parties.forget()
}

func (h *house) end() {
	at := h.now().Add(time.Second)
	_, err := h.projects.Change(ctx, h.as("olga"), "aurora", project.Change{EndsAt: &at})
	h.must(err)
	h.skew.Store(int64(time.Hour))
}

func (h *house) leave(handle string) {
	_, err := h.projects.DropMember(ctx, h.as("olga"), "aurora", h.people[handle].ID, "Left.")
	h.must(err)
	h.g.parties.forget()
}

func (h *house) disable(handle string) {
	yes := true
	_, err := h.identity.ChangePerson(ctx, access.System, h.people[handle].ID, identity.Change{Disabled: &yes, Reason: "Left."})
	h.must(err)
	h.g.parties.forget()
}

func (h *house) pause(p Principal) {
	_, err := h.g.Pause(ctx, h.as("olga"), p.ID, true, "")
	h.must(err)
}

func (h *house) pauseAll() { h.must(h.g.PauseAll(ctx, h.as("olga"), true, "")) }

func (h *house) revoke(p Principal) {
	_, err := h.g.Revoke(ctx, h.as("olga"), p.ID, "It is over.")
	h.must(err)
}

func (h *house) quota(p Principal, q Quotas) {
	_, err := h.g.Change(ctx, h.as("olga"), p.ID, Change{Quotas: &q})
	h.must(err)
}

// TestRightsAreFresh: what a caller may do is remembered for a moment only.
func TestRightsAreFresh(t *testing.T) {
	h := newHouse(t)
	_, who := h.hub("North hub")
	h.submit(who, request())
	_, err := h.projects.DropMember(ctx, h.as("olga"), "aurora", h.people["rosa"].ID, "Left.")
	h.must(err)
	h.skew.Store(int64(2 * time.Second))
	_, err = h.host(who).Submit(ctx, request())
	h.wantRefusal(err, CodeNotMember, "Nobody who may work")
}

// TestTwiceChecked: what was true on arrival has to be true at the start.
func TestTwiceChecked(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(h *house, p Principal)
		want string
	}{
		{"revoked", func(h *house, p Principal) { h.revoke(p) }, "may not send work to this project any more"},
		{"taken back", func(h *house, p Principal) { h.drop(p) }, "may not send work to this project any more"},
		{"another sponsor", func(h *house, p Principal) {
			_, err := h.g.AddProject(ctx, h.as("lena"), p.ID, "aurora", "lena", []string{"health"})
			h.must(err)
		}, "Another person answers"},
		{"without the dataset", func(h *house, p Principal) {
			_, err := h.g.AddProject(ctx, h.as("lena"), p.ID, "aurora", "rosa", nil)
			h.must(err)
		}, "may not use the dataset health"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			p, who := h.hub("North hub")
			r := request()
			r.Inputs = []protocol.Input{{Path: "/work/in/visits.csv", Source: "tresor://dataset/health@1/visits.csv"}}
			st := h.submit(who, r)
			c.set(h, p)
			h.run()
			h.wait("the job is refused", func() bool {
				j, err := h.jobs.Get(ctx, h.as("lena"), st.ID)
				return err == nil && j.State.Terminal()
			})
			j, err := h.jobs.Get(ctx, h.as("lena"), st.ID)
			if err != nil || j.State == "released" || !strings.Contains(j.Reason, c.want) {
				t.Errorf("%s: %q (%v)", j.State, j.Reason, err)
			}
			if n := h.number(`SELECT count(*) FROM job_task WHERE job = ? AND attempt > 0 AND state = 'succeeded'`, st.ID); n != 0 {
				t.Error("it ran")
			}
		})
	}
}

// TestWaits: who sees what a task waits for.
func TestWaits(t *testing.T) {
	h := newHouse(t)
	p, who := h.hub("North hub")
	r := request()
	r.Tasks[0].Image = "lab/model:2"
	st := h.submit(who, r)
	if m := h.state(who, st.ID, protocol.Full).Messages; len(m) == 0 || !strings.Contains(m[0], "lab/model:2") {
		t.Errorf("messages %v", m)
	}
	every := ApprovalEvery
	_, err := h.g.Change(ctx, h.as("olga"), p.ID, Change{Approval: &every})
	h.must(err)
	st = h.submit(who, request())
	full := h.state(who, st.ID, protocol.Full)
	if full.State != "submitted" || len(full.Messages) == 0 || !strings.Contains(full.Messages[0], "lead of the project") {
		t.Errorf("%s %v", full.State, full.Messages)
	}
	list, err := h.g.Requests(ctx, h.as("lena"), "")
	if err != nil || len(list) != 2 || list[0].Name != "North hub" || list[1].Job != st.ID {
		t.Errorf("%+v (%v)", list, err)
	}
	if list, err := h.g.Requests(ctx, h.as("otto"), ""); err != nil || len(list) != 0 {
		t.Errorf("somebody else sees %+v (%v)", list, err)
	}
	if _, err := h.jobs.Refuse(ctx, h.as("lena"), st.ID, "Not this one."); err != nil {
		t.Fatal(err)
	}
	if full := h.state(who, st.ID, protocol.Full); full.State != "refused" || !strings.Contains(strings.Join(full.Messages, " "), "Not this one.") {
		t.Errorf("%s %v", full.State, full.Messages)
	}
}
