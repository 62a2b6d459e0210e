package gateway

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"tresor/app/fault"
	"tresor/app/job"
	"tresor/plugins/protocol"
)

// TestChangesBetweenArrivalAndStart: whatever ends while a task waits in the queue, the
// task does not run, whoever sent it, and nothing of it is left open.
func TestChangesBetweenArrivalAndStart(t *testing.T) {
	callers := map[string]func(h *house) Caller{
		"hub":    func(h *house) Caller { _, who := h.hub("North hub"); return who },
		"client": func(h *house) Caller { _, who, _ := h.client("Lab"); return who },
		"person": func(h *house) Caller { who, _ := h.person("rosa", "aurora"); return who },
	}
	for name, change := range map[string]func(h *house){
		"the project is closed":      func(h *house) { h.close() },
		"the project's end has come": func(h *house) { h.end() },
		"who answers has left":       func(h *house) { h.leave("rosa") },
		"the account is disabled":    func(h *house) { h.disable("rosa") },
		"the project's dataset was revoked": func(h *house) {
			_, err := h.projects.Revoke(ctx, h.as("stefan"), "aurora", "health", "Over.")
			h.must(err)
		},
		"the image was revoked": func(h *house) {
			h.images.mu.Lock()
			defer h.images.mu.Unlock()
			h.images.refuse = fault.New("image.Resolve", fault.Conflict, "The image tools was revoked.")
		},
	} {
		for kind, caller := range callers {
			t.Run(name+", "+kind, func(t *testing.T) {
				h := newHouse(t)
				who := caller(h)
				r := request()
				r.Inputs = []protocol.Input{{Path: "/work/in/visits.csv", Source: "tresor://dataset/health@1/visits.csv"}}
				st := h.submit(who, r)
				change(h)
				h.run()
				h.wait("the job has ended", func() bool {
					return h.number(`SELECT count(*) FROM gateway_task WHERE id = ? AND ended_at IS NOT NULL`, st.ID) == 1
				})
				if n := h.number(`SELECT count(*) FROM audit_leaf WHERE verb = 'job.started' AND subject = ?`, "job:"+st.ID); n != 0 {
					t.Error("its command was started")
				}
				j, err := h.jobs.Get(ctx, h.as("olga"), st.ID)
				if err != nil || j.State != job.Refused && j.State != job.Failed || j.Reason == "" {
					t.Errorf("%s: %q (%v)", j.State, j.Reason, err)
				}
			})
		}
	}
}

// TestOneKeyOfManyCallers: the id that a caller gives a request is its own. Nobody
// finds another's task by it, or keeps another from using it.
func TestOneKeyOfManyCallers(t *testing.T) {
	h := newHouse(t)
	_, north := h.hub("North hub")
	_, south := h.hub("South hub")
	_, lab, _ := h.client("Lab")
	rosa, _ := h.person("rosa", "aurora")
	lena, _ := h.person("lena", "aurora")
	otto, _ := h.person("otto", "borealis")
	h.run()
	_, inside := h.working(rosa)
	seen := map[string]string{}
	for name, who := range map[string]Caller{"north": north, "south": south, "lab": lab, "rosa": rosa, "lena": lena, "otto": otto, "inside": inside} {
		r := request("true")
		r.RemoteID, r.Outputs, r.Name = "the-same-id", nil, "of "+name
		st := h.submit(who, r)
		if other := seen[st.ID]; other != "" {
			t.Errorf("%s got the task of %s", name, other)
		}
		seen[st.ID] = name
		if again := h.submit(who, r); again.ID != st.ID {
			t.Errorf("%s: the same request is another task", name)
		}
	}
	// A second token of the same person is the same caller: the key is theirs, and in
	// another project it is refused rather than answered with a task of this one.
	_, err := h.projects.SetMember(ctx, h.as("olga"), "borealis", h.people["rosa"].ID, "researcher")
	h.must(err)
	second, _ := h.person("rosa", "borealis")
	r := request("true")
	r.RemoteID, r.Outputs, r.Name = "the-same-id", nil, "of rosa"
	if st, err := h.host(second).Submit(ctx, r); err == nil && seen[st.ID] != "" {
		t.Errorf("a token of another project was given the task %s", st.ID)
	}
}

// TestRevokeWhileTasksCome: a task that came before the revocation is there, one that
// came after it is refused, and none runs that was not running.
func TestRevokeWhileTasksCome(t *testing.T) {
	h := newHouse(t)
	p, who := h.hub("North hub")
	var mu sync.Mutex
	var taken []string
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 50 {
				r := request("true")
				r.Outputs, r.RemoteID = nil, fmt.Sprintf("race-%d-%d", n, i)
				st, err := h.host(who).Submit(ctx, r)
				if err == nil {
					mu.Lock()
					taken = append(taken, st.ID)
					mu.Unlock()
					continue
				}
				var e *protocol.Error
				if !errors.As(err, &e) || e.Code != protocol.CodeDenied && e.Code != protocol.CodeExhausted {
					t.Errorf("%v", err)
				}
			}
		})
	}
	h.wait("some were taken", func() bool { mu.Lock(); defer mu.Unlock(); return len(taken) > 20 })
	h.revoke(p)
	_, err := h.host(who).Submit(ctx, request())
	h.wantRefusal(err, CodeUnknown, "ended for good")
	wg.Wait()
	h.run()
	h.wait("all have ended", func() bool {
		return h.number(`SELECT count(*) FROM gateway_task WHERE ended_at IS NULL`) == 0
	})
	if n := h.number(`SELECT count(*) FROM audit_leaf WHERE verb = 'job.started'`); n != 0 {
		t.Errorf("%d tasks of a revoked hub were started", n)
	}
	if n := h.number(`SELECT count(*) FROM gateway_task`); n != len(taken) {
		t.Errorf("%d tasks are there, %d were acknowledged", n, len(taken))
	}
}

// TestManyTokensAreOnePerson: what one person has open is counted over all their tokens,
// projects and programs, before and after a start of the server.
func TestManyTokensAreOnePerson(t *testing.T) {
	h := newHouse(t)
	h.personal = Quotas{OpenTasks: 4, TasksPerHour: 7, Cores: 2}
	h.fresh()
	h.run()
	_, err := h.projects.SetMember(ctx, h.as("olga"), "borealis", h.people["rosa"].ID, "researcher")
	h.must(err)
	one, _ := h.person("rosa", "aurora")
	two, _ := h.person("rosa", "borealis")
	lena, _ := h.person("lena", "aurora")
	waits := request("sleep")
	waits.Tasks[0].Image, waits.Outputs = "not/here:1", nil
	_, inside := h.working(one)
	h.submit(two, waits)
	h.submit(inside, waits)
	last := h.submit(one, waits)
	for range 2 {
		for name, who := range map[string]Caller{"one token": one, "another": two, "a program inside": inside} {
			_, err := h.host(who).Submit(ctx, waits)
			if err == nil {
				t.Fatalf("%s: taken", name)
			}
			h.wantRefusal(err, CodeQuota, "open tasks")
		}
		h.fresh()
	}
	h.submit(lena, waits)
	h.must(h.host(one).Cancel(ctx, last.ID))
	h.until(one, last.ID, "cancelled")
	last = h.submit(two, waits)
	h.must(h.host(two).Cancel(ctx, last.ID))
	h.until(two, last.ID, "cancelled")
	for name, who := range map[string]Caller{"a token": one, "a program inside": inside} {
		wide := waits
		wide.Resources.Cores = 3
		_, err := h.host(who).Submit(ctx, wide)
		h.wantRefusal(err, CodeQuota, "processors")
		wide.Resources.Cores = 2
		st, err := h.host(who).Submit(ctx, wide)
		if name == "a token" && err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err == nil {
			h.must(h.host(who).Cancel(ctx, st.ID))
			h.until(who, st.ID, "cancelled")
		}
	}
	var refused error
	for range 8 { // each one ends, and still counts in its hour
		st, err := h.host(one).Submit(ctx, waits)
		if refused = err; err != nil {
			break
		}
		h.must(h.host(one).Cancel(ctx, st.ID))
		h.until(one, st.ID, "cancelled")
	}
	h.wantRefusal(refused, CodeQuota, "in the last hour")
}
