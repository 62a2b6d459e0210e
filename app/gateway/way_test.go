package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tresor/app/access"
	"tresor/app/airlock"
	"tresor/app/live"
	"tresor/app/release"
	"tresor/app/store"
	"tresor/plugins/protocol"
	"tresor/sandbox/fake"
)

// shaky stands for a way out of which one step fails, or fails after it was done.
type shaky struct {
	Airlock
	Releases
	step  string
	after bool
	mu    sync.Mutex
	hit   bool
}

var errCrash = errors.New("killed")

// at reports whether this step fails now; once only.
func (s *shaky) at(step string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hit || s.step != step {
		return false
	}
	s.hit = true
	return true
}

func (s *shaky) Draft(c context.Context, a access.Actor, job string, t airlock.Text) (airlock.Request, error) {
	if s.at("draft") {
		if s.after {
			_, _ = s.Airlock.Draft(c, a, job, t)
		}
		return airlock.Request{}, errCrash
	}
	return s.Airlock.Draft(c, a, job, t)
}

func (s *shaky) Submit(c context.Context, a access.Actor, id string) (airlock.Request, error) {
	if s.at("submit") {
		if s.after {
			_, _ = s.Airlock.Submit(c, a, id)
		}
		return airlock.Request{}, errCrash
	}
	return s.Airlock.Submit(c, a, id)
}

func (s *shaky) Make(c context.Context, a access.Actor, id string) (release.Release, error) {
	if s.at("release") {
		if s.after {
			_, _ = s.Releases.Make(c, a, id)
		}
		return release.Release{}, errCrash
	}
	return s.Releases.Make(c, a, id)
}

type airlockPart struct{ *shaky }

func (p airlockPart) Get(c context.Context, a access.Actor, id string) (airlock.Request, error) {
	return p.Airlock.Get(c, a, id)
}

type releasePart struct {
	Releases
	s *shaky
}

func (p releasePart) Make(c context.Context, a access.Actor, id string) (release.Release, error) {
	return p.s.Make(c, a, id)
}

// TestWayOutFaults: each step of the way out fails, or fails after it was done, or its
// note does; a later look goes on, and there is one request and one release.
func TestWayOutFaults(t *testing.T) {
	for _, step := range []string{"draft", "submit", "release", "note"} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s fails, after it was done %v", step, after), func(t *testing.T) {
				h := newHouse(t)
				bad := &shaky{Airlock: h.g.Airlock, Releases: h.g.Releases, step: step, after: after}
				h.g.Airlock, h.g.Releases = airlockPart{bad}, releasePart{h.releases, bad}
				if step == "note" {
					real := h.g.update
					h.g.update = func(c context.Context, fn func(*store.Tx) error) error {
						if h.number(`SELECT count(*) FROM airlock_request WHERE state NOT IN ('draft', 'released')`) > 0 && bad.at("note") {
							return (&faulty{after: after, real: real}).update(c, fn)
						}
						return real(c, fn)
					}
				}
				h.g.times.way = 5e6
				_, who := h.hub("North hub")
				h.run()
				st := h.submit(who, request())
				h.approve(st.ID)
				h.until(who, st.ID, "released")
				if !bad.hit {
					t.Error("the step was never taken")
				}
				if n := h.number(`SELECT count(*) FROM airlock_request`); n != 1 {
					t.Errorf("%d requests", n)
				}
				if n := h.number(`SELECT count(*) FROM release`); n != 1 {
					t.Errorf("%d releases", n)
				}
			})
		}
	}
}

// TestWayOutLimits: the sponsor has left, another sponsor was named, somebody took the
// request in hand.
func TestWayOutLimits(t *testing.T) {
	for name, set := range map[string]func(h *house, p Principal, id string){
		"the sponsor has left": func(h *house, _ Principal, _ string) { h.leave("rosa") },
		"another sponsor": func(h *house, p Principal, _ string) {
			_, err := h.g.AddProject(ctx, h.as("lena"), p.ID, "aurora", "lena", nil)
			h.must(err)
		},
		"taken back": func(h *house, p Principal, _ string) { h.drop(p) },
		"revoked": func(h *house, p Principal, _ string) {
			_, err := h.g.Revoke(ctx, h.as("olga"), p.ID, "Its key leaked.")
			h.must(err)
		},
		"lena has it": func(h *house, _ Principal, id string) {
			_, err := h.airlock.Draft(ctx, h.as("lena"), id, airlock.Text{Title: "Mine"})
			h.must(err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			p, who := h.hub("North hub")
			c, cancel := context.WithCancel(ctx)
			defer cancel()
			go func() { _ = h.jobs.Run(c) }() // without the gateway's loop
			st := h.submit(who, request())
			h.wait("it is held", func() bool { return h.number(`SELECT count(*) FROM job WHERE state = 'held'`) == 1 })
			set(h, p, st.ID)
			h.g.wayOut(ctx)
			if n := h.number(`SELECT count(*) FROM gateway_task WHERE way_out = 'sponsor'`); n != 1 {
				t.Error("it is not left to the sponsor")
			}
			if n := h.number(`SELECT count(*) FROM airlock_request WHERE state <> 'draft'`); n != 0 {
				t.Error("it was submitted")
			}
			h.g.wayOut(ctx) // and not looked at again
			if n := h.number(`SELECT count(*) FROM audit_leaf WHERE verb = 'gateway.way-out'`); n != 1 {
				t.Errorf("%d events", n)
			}
		})
	}
}

// slowAirlock is one whose first answer takes as long as the test wants.
type slowAirlock struct {
	Airlock
	once    sync.Once
	in, out chan struct{}
}

func (w *slowAirlock) Draft(c context.Context, a access.Actor, job string, t airlock.Text) (airlock.Request, error) {
	w.once.Do(func() { close(w.in); <-w.out })
	return w.Airlock.Draft(c, a, job, t)
}

// TestNewsAfterALongLook: when so much happens during one look that its events are lost,
// the loop hears again what happens afterwards.
func TestNewsAfterALongLook(t *testing.T) {
	h := newHouse(t)
	slow := &slowAirlock{Airlock: h.airlock, in: make(chan struct{}), out: make(chan struct{})}
	h.g.Airlock = slow
	_, who := h.hub("North hub")
	h.run()
	st := h.submit(who, request())
	<-slow.in
	for range 1000 {
		h.live.Publish("home", live.Event{Type: "job"})
	}
	if n := h.live.Readers("home"); n != 0 {
		t.Fatalf("%d readers kept up", n)
	}
	close(slow.out)
	h.wait("it listens again", func() bool { return h.live.Readers("home") == 1 })
	h.approve(st.ID)
	h.until(who, st.ID, "released")
}

// TestCanaries plants secrets in what programs write, in inputs, outputs and names of
// people, and looks for them in every answer to callers outside, in ledgers, in the
// audit log and in texts of errors.
func TestCanaries(t *testing.T) {
	const n = 1000
	secrets := make([]string, n)
	for i := range secrets {
		secrets[i] = fmt.Sprintf("CANARY-%06d-%s", i, ids()[24:])
	}
	h := newHouse(t)
	h.runner.Handle("leak", func(_ context.Context, tk *fake.Task) int {
		var out bytes.Buffer
		out.WriteString("name,value\n")
		for _, s := range secrets {
			fmt.Fprintln(tk.Log, s)
			fmt.Fprintln(tk.Err, s)
			fmt.Fprintf(&out, "%s,1\n", s)
		}
		_ = tk.WriteFile("/work/out/"+secrets[0]+".csv", out.Bytes()) // a name nobody asked for
		_ = tk.WriteFile("/work/tree/"+secrets[1]+"/"+secrets[2], out.Bytes())
		if tk.Argv[len(tk.Argv)-1] == "missing" {
			return 0
		}
		if tk.WriteFile("/work/out/visits.csv", out.Bytes()) != nil {
			return 1
		}
		return map[bool]int{true: 9}[tk.Argv[len(tk.Argv)-1] == "fail"]
	})
	p, who, token := h.client("Lab client")
	_, hub := h.hub("North hub")
	h.run()
	var crossed strings.Builder
	keep := func(v any, err error) { fmt.Fprintf(&crossed, "%+v %v\n", v, err) }
	for _, argv := range [][]string{{"leak"}, {"leak", "fail"}, {"leak", "missing"}, {"leak", "tree"}} {
		for _, c := range []Caller{who, hub} {
			r := request(argv...)
			how := argv[len(argv)-1]
			r.Outputs = append(r.Outputs, protocol.Output{Path: "/work/out/*.csv", Prefix: "/work/out/", Target: "s3://all/"},
				protocol.Output{Path: "/work/tree", Directory: true, Target: "file:///project/" + string(c.Kind) + "/all-" + how})
			if how == "tree" {
				r.Outputs = r.Outputs[2:]
			}
			st := h.submit(c, r)
			end := map[string]string{"leak": "held", "fail": "failed", "missing": "failed", "tree": "completed"}[how]
			h.until(c, st.ID, end)
			h.g.wayOut(ctx)
			for _, v := range []protocol.View{protocol.Minimal, protocol.Basic, protocol.Full} {
				keep(h.host(c).State(ctx, st.ID, v))
				keep(h.host(c).Jobs(ctx, protocol.JobQuery{View: v, Limit: 10}))
			}
			for _, path := range []string{"/tasks/" + st.ID, "/tasks", "/releases/" + st.ID, "/releases/" + st.ID + "/work/out/visits.csv"} {
				w := h.call("GET", "/ga4gh/tes"+path, token, nil)
				keep(w.Body.String(), nil)
				keep(w.Header(), nil)
			}
			keep(h.host(c).ReadRelease(ctx, st.ID, 0))
			keep(h.host(c).Visible(ctx))
		}
	}
	keep(h.ledger(p.ID), nil)
	h.must(h.db.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT leaf FROM audit_leaf UNION ALL SELECT text || code FROM gateway_ledger UNION ALL SELECT way_note || tags || name FROM gateway_task`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				return err
			}
			crossed.WriteString(s)
		}
		return rows.Err()
	}))
	if all := crossed.String(); strings.Contains(all, "CANARY") {
		at := strings.Index(all, "CANARY")
		t.Errorf("a secret crossed: …%s…", all[max(0, at-200):min(len(all), at+100)])
	}
	planted := 0
	h.must(filepath.WalkDir(h.vaultDir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			b, _ := os.ReadFile(p)
			planted += bytes.Count(b, []byte("CANARY-"))
		}
		return err
	}))
	if planted < n {
		t.Errorf("only %d secrets were planted", planted)
	}
}
