package gateway

import (
	"archive/zip"
	"bytes"
	"strings"
	"testing"

	"tresor/app/job"
	"tresor/app/store"
	"tresor/plugins/protocol"
)

// TestLife follows a hub's task from arrival to the released bytes.
func TestLife(t *testing.T) {
	h := newHouse(t)
	p, who := h.hub("North hub")
	h.run()
	st := h.submit(who, request())
	if st.ID == "" || st.Project != "aurora" {
		t.Fatalf("%+v", st)
	}
	held := h.until(who, st.ID, "held")
	if len(held.Outputs) != 0 || held.Release != "" {
		t.Errorf("a held output is told of: %+v", held)
	}
	text := strings.Join(held.Messages, "\n")
	if !strings.Contains(text, "held") || !strings.Contains(text, "stays inside") {
		t.Errorf("messages: %s", text)
	}
	for _, task := range held.Tasks {
		if task.Stdout != "" || task.Stderr != "" {
			t.Error("what the program wrote left")
		}
	}
	h.approve(st.ID)
	done := h.until(who, st.ID, "released")
	if len(done.Outputs) != 1 || done.Outputs[0].Path != "/work/out/visits.csv" || done.Outputs[0].Target != "s3://results/visits.csv" || done.Outputs[0].Release != done.Release {
		t.Fatalf("outputs: %+v", done.Outputs)
	}
	c, err := h.host(who).ReadRelease(ctx, done.Release, 0)
	if err != nil || int64(len(c.Data)) != c.Total {
		t.Fatalf("%d of %d (%v)", len(c.Data), c.Total, err)
	}
	z, err := zip.NewReader(bytes.NewReader(c.Data), c.Total)
	if err != nil || len(z.File) == 0 {
		t.Fatal(err)
	}
	var whats []string
	for _, e := range h.ledger(p.ID) {
		whats = append(whats, e.What+" "+e.Outcome)
	}
	for _, want := range []string{"task.create accepted", "release.sent sent"} {
		if !has(whats, want) {
			t.Errorf("the ledger lacks %q: %v", want, whats)
		}
	}
	j, err := h.jobs.Get(ctx, h.as("rosa"), st.ID)
	if err != nil || j.Submitter.Handle != "rosa" || j.Via != "hub:north-hub" {
		t.Errorf("%+v (%v)", j.Submitter, err)
	}
}

// TestBlockedStaysADraft: what the checks hold back waits for the sponsor.
func TestBlockedStaysADraft(t *testing.T) {
	h := newHouse(t)
	_, who := h.hub("North hub")
	h.run()
	st := h.submit(who, request("small", "/work/out/visits.csv"))
	h.wait("the way out is blocked", func() bool {
		return h.number(`SELECT count(*) FROM gateway_task WHERE id = ? AND way_out = 'blocked'`, st.ID) == 1
	})
	full := h.state(who, st.ID, protocol.Full)
	if full.State != "held" || !strings.Contains(strings.Join(full.Messages, " "), heldOutside) {
		t.Errorf("%s: %v", full.State, full.Messages)
	}
	var turns []job.Turn
	err := h.db.View(ctx, func(tx *store.Tx) (err error) { turns, err = h.airlock.Waiting(tx, h.as("rosa")); return err })
	if err != nil || len(turns) != 1 {
		t.Errorf("the sponsor is not told: %v (%v)", turns, err)
	}
}

// TestSponsorPolicy: nothing is asked for in the sponsor's name.
func TestSponsorPolicy(t *testing.T) {
	h := newHouse(t)
	p, who := h.hub("North hub")
	sponsor := AirlockSponsor
	if _, err := h.g.Change(ctx, h.as("olga"), p.ID, Change{Airlock: &sponsor}); err != nil {
		t.Fatal(err)
	}
	h.run()
	st := h.submit(who, request())
	h.until(who, st.ID, "held")
	h.wait("it is left to the sponsor", func() bool {
		return h.number(`SELECT count(*) FROM gateway_task WHERE id = ? AND way_out = 'sponsor'`, st.ID) == 1
	})
	if j, err := h.jobs.Get(ctx, h.as("rosa"), st.ID); err != nil || j.AirlockRequest != "" {
		t.Errorf("a request was made: %q (%v)", j.AirlockRequest, err)
	}
}

// TestTwoPrincipals: neither sees, cancels or reads what the other has.
func TestTwoPrincipals(t *testing.T) {
	h := newHouse(t)
	_, north := h.hub("North hub")
	_, south := h.hub("South hub")
	foreign, _ := h.person("otto", "borealis")
	h.run()
	st := h.submit(north, request())
	h.approve(st.ID)
	released := h.until(north, st.ID, "released").Release
	for name, who := range map[string]Caller{"another hub": south, "a person elsewhere": foreign} {
		t.Run(name, func(t *testing.T) {
			x := h.host(who)
			_, err := x.State(ctx, st.ID, protocol.Full)
			h.wantRefusal(err, CodeNotFound, "no such task, or it is not yours")
			_, absent := x.State(ctx, ids(), protocol.Full)
			if beforeReference(err) != beforeReference(absent) {
				t.Errorf("another's task %q reads differently from none %q", err, absent)
			}
			h.wantRefusal(x.Cancel(ctx, st.ID), CodeNotFound, "no such task")
			_, err = x.ReadRelease(ctx, released, 0)
			h.wantRefusal(err, CodeNotFound, "no such task")
			page, err := x.Jobs(ctx, protocol.JobQuery{View: protocol.Full, Limit: 10, Tags: []protocol.Tag{{Key: "study", Value: "rand"}}})
			if err != nil || len(page.Jobs) != 0 {
				t.Errorf("it sees %d tasks (%v)", len(page.Jobs), err)
			}
		})
	}
	member, _ := h.person("rosa", "aurora") // of the project: everything that came through the gateway
	if page, err := h.host(member).Jobs(ctx, protocol.JobQuery{View: protocol.Basic, Limit: 10}); err != nil || len(page.Jobs) != 1 {
		t.Errorf("a member sees %d tasks (%v)", len(page.Jobs), err)
	}
	if _, err := h.g.HostFor(north, "beacon").State(ctx, st.ID, protocol.Minimal); err == nil {
		t.Error("another plugin sees the task")
	}
}

func beforeReference(err error) string { s, _, _ := strings.Cut(err.Error(), "reference"); return s }

// TestProjectTree: what is asked to stay inside is there when the task is complete,
// and a program inside sees what programs wrote.
func TestProjectTree(t *testing.T) {
	h := newHouse(t)
	who, _ := h.person("rosa", "aurora")
	h.run()
	r := request()
	r.Outputs[0].Target = "file:///project/results/visits.csv"
	st := h.submit(who, r)
	done := h.until(who, st.ID, "completed")
	if len(done.Outputs) != 1 || done.Outputs[0].Release != "" || done.Outputs[0].Size != 0 || done.Outputs[0].SHA256 != "" {
		t.Fatalf("%+v", done.Outputs)
	}
	next := request("sleep")
	next.Inputs = []protocol.Input{{Path: "/work/in/visits.csv", Source: "file:///project/results/visits.csv"}}
	next.Outputs = nil
	running := h.submit(who, next)
	h.until(who, running.ID, "running")
	inside := Caller{Kind: Inside, ID: running.ID}
	seen := h.state(inside, st.ID, protocol.Full)
	if len(seen.Outputs) != 1 || seen.Outputs[0].Size == 0 || seen.Outputs[0].SHA256 == "" {
		t.Errorf("inside: %+v", seen.Outputs)
	}
	if len(seen.Tasks) != 1 || !strings.Contains(seen.Tasks[0].Stdout, "CANARY-STDOUT") || !strings.Contains(seen.Tasks[0].Stderr, "CANARY-STDERR") {
		t.Errorf("inside: %+v", seen.Tasks)
	}
	sub := h.submit(inside, r)
	if h.state(inside, sub.ID, protocol.Basic).Project != "aurora" {
		t.Error("the program's task is in another project")
	}
	if err := h.host(who).Cancel(ctx, running.ID); err != nil {
		t.Fatal(err)
	}
	h.until(who, running.ID, "cancelled")
	_, err := h.host(inside).Submit(ctx, r)
	h.wantRefusal(err, CodeUnknown, "no token")
	if err := h.host(who).Cancel(ctx, running.ID); err != nil {
		t.Errorf("cancelling an ended task: %v", err)
	}
}
