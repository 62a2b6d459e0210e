package app_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/app/apptest"
	"tresor/app/apptest/address"
	"tresor/app/apptest/tesclient"
	"tresor/embed/demo"
	"tresor/fed/fedtest"
)

// federation is a hub and a node as processes, joined through a relay that keeps
// what crosses, with a project that spans them.
type federation struct {
	t                  *testing.T
	hub, node          *program
	hubAt, nodeAt      string
	relay              *fedtest.Relay
	principal, atHub   string // the hub at the node; the node at the hub
	client             *tesclient.Client
	rosa, carl, cemile *seat
	mu                 sync.Mutex
	crossed            bytes.Buffer // guarded by mu
}

func startFederation(t *testing.T) *federation {
	t.Helper()
	archive := apptest.Busybox(t)
	dir := apptest.Folder(t)
	f := &federation{t: t, hubAt: address.Free(t), nodeAt: address.Free(t)}
	f.relay = fedtest.NewRelay(t, "ws://"+f.hubAt)
	t.Cleanup(f.relay.Close)
	f.relay.Change(func(m fedtest.Message) [][]byte {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.crossed.Write(m.Data)
		return [][]byte{m.Data}
	})
	f.hub = startProgram(t, filepath.Join(dir, "hub"), "hub", "serve", "--listen", f.hubAt, "--set", "url=http://"+f.relay.Host())
	f.node = startProgram(t, filepath.Join(dir, "node"), "serve", "--demo", "--listen", f.nodeAt, "--set", "federation.plain=true", "--set", "sandbox.allow_unlimited=true", "--set", "sandbox.cores=2", "--set", "name=North")
	f.people()
	f.join()
	f.image(archive, filepath.Join(dir, "busybox.tar"))
	return f
}

func (d *seat) person(handle, name string, roles ...string) string {
	d.t.Helper()
	var p struct{ ID string }
	d.must("POST", "/people", map[string]any{"handle": handle, "name": name, "roles": append([]string{}, roles...)}, &p)
	return p.ID
}

// people makes the hub's researcher and lets those of the node sign in.
func (f *federation) people() {
	var p struct{ ID string }
	hub := f.hub.seat("")
	hanna := hub.person("hanna", "Hanna Brandt")
	hub.must("POST", "/hub/projects", map[string]string{"slug": demo.ProjectSlug, "name": "Aurora"}, &p)
	hub.must("PUT", "/hub/projects/"+p.ID+"/members/"+hanna, map[string]string{"role": "researcher"}, nil)
	var tk struct{ Token string }
	f.hub.seat("hanna").must("POST", "/hub/tokens", map[string]any{"name": "test", "project": p.ID, "days": 1}, &tk)
	f.client = &tesclient.Client{Base: "http://" + f.hubAt + "/ga4gh/tes/v1", Token: tk.Token, HTTP: &http.Client{Timeout: time.Minute}}
	var list struct {
		Items []struct{ Handle string }
	}
	fedtest.Until(f.t, "the demonstration's people are there", func() bool {
		f.node.seat("").must("GET", "/people", nil, &list)
		return len(list.Items) > 4
	})
	f.rosa, f.carl, f.cemile = f.node.signIn(f.nodeAt, "rosa"), f.node.signIn(f.nodeAt, "carl"), f.node.signIn(f.nodeAt, "cemile")
}

// join enrols the node at the hub and lets the hub into the node's project.
func (f *federation) join() {
	hub, node := f.hub.seat(""), f.node.seat("")
	var code struct{ Code string }
	hub.must("POST", "/hub/codes", map[string]string{"name": "north"}, &code)
	var here struct{ ID, Words string }
	node.must("POST", "/federation/hubs", map[string]string{"url": "http://" + f.relay.Host(), "code": code.Code, "name": "Hub"}, &here)
	f.principal = here.ID
	var there struct{ ID, Words string }
	hub.must("GET", "/hub/nodes/north", nil, &there)
	f.atHub = there.ID
	if here.Words != there.Words || here.Words == "" {
		f.t.Fatalf("words %q and %q", here.Words, there.Words)
	}
	node.must("POST", "/federation/hubs/"+f.principal+"/confirm", map[string]any{}, nil)
	hub.must("POST", "/hub/nodes/north/confirm", map[string]any{}, nil)
	hub.must("PUT", "/hub/projects/"+demo.ProjectSlug+"/nodes/north", map[string]string{"remote": demo.ProjectSlug}, nil)
	lena := node.person("lena", "Lena Vogt")
	var p struct{ ID string }
	node.must("GET", "/projects/"+demo.ProjectSlug, nil, &p)
	node.must("PUT", "/projects/"+p.ID+"/members/"+lena, map[string]string{"role": "lead"}, nil)
	var me struct{ Person struct{ ID string } }
	f.rosa.must("GET", "/session", nil, &me)
	f.node.seat("lena").must("PUT", "/federation/principals/"+f.principal+"/projects/"+p.ID, map[string]any{"sponsor": me.Person.ID, "datasets": []string{"*"}}, nil)
}

// image imports and approves the busybox image at the node.
func (f *federation) image(archive []byte, file string) {
	if err := os.WriteFile(file, archive, 0o644); err != nil {
		f.t.Fatal(err)
	}
	var i struct{ Digest string }
	out := f.cli(f.node, "image", "import", file, "--ref", busybox, "--as", "olga", "--json")
	if err := json.Unmarshal([]byte(out), &i); err != nil || i.Digest == "" {
		f.t.Fatalf("%v in %s", err, out)
	}
	f.cli(f.node, "image", "approve", i.Digest, "--reason", "for tests", "--as", "olga")
}

// cli runs the command line against a server until it succeeds.
func (f *federation) cli(p *program, args ...string) string {
	f.t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		var stderr bytes.Buffer
		cmd := exec.Command(apptest.Binary(f.t), append(args, "--data", p.data)...)
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err == nil {
			return string(out)
		}
		if time.Now().After(end) {
			f.t.Fatalf("tresor %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
		}
	}
}

// send gives a task to the hub and returns its id.
func (f *federation) send(task tesclient.Task) string {
	f.t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		id, err := f.client.Create(f.t.Context(), task)
		if err == nil {
			return id
		}
		if time.Now().After(end) {
			f.t.Fatal(err)
		}
	}
}

// until waits for a condition of a task as the hub shows it. A node that has lost its hub
// waits up to two minutes before it dials again.
func (f *federation) until(id, what string, ok func(tesclient.Task) bool) tesclient.Task {
	f.t.Helper()
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(30 * time.Millisecond) {
		x, err := f.client.Get(f.t.Context(), id, "FULL")
		if err == nil && ok(x) {
			return x
		}
		if time.Now().After(end) {
			f.t.Fatalf("not: %s: %+v, %v", what, x, err)
		}
	}
}

type jobView struct {
	ID, Name, State, Reason string
	AirlockRequest          string `json:"airlock_request"`
}

// job is the node's job of a task's name, when there is one.
func (f *federation) job(name string) jobView {
	var list struct{ Items []jobView }
	if code, b := f.node.seat("").do("GET", "/jobs?limit=200", nil); code == 200 {
		_ = json.Unmarshal(b, &list)
	}
	for _, j := range list.Items {
		if j.Name == name {
			return j
		}
	}
	return jobView{}
}

// untilJob waits until the node's job of a name is in one of the states.
func (f *federation) untilJob(name string, states ...string) jobView {
	f.t.Helper()
	var j jobView
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		j = f.job(name)
		for _, s := range states {
			if j.State == s {
				return j
			}
		}
	}
	f.t.Fatalf("the job %q is %+v, not %v", name, j, states)
	return j
}

// request waits until the job's outputs are under review.
func (f *federation) request(job string) (id string, items []string) {
	f.t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var r struct {
			ID, State string
			Items     []struct{ ID string }
		}
		var j jobView
		if code, b := f.node.seat("").do("GET", "/jobs/"+job, nil); code != 200 || json.Unmarshal(b, &j) != nil || j.AirlockRequest == "" {
			continue
		}
		if code, b := f.carl.do("GET", "/airlock/"+j.AirlockRequest, nil); code != 200 || json.Unmarshal(b, &r) != nil || r.State == "draft" {
			continue
		}
		for _, i := range r.Items {
			items = append(items, i.ID)
		}
		return r.ID, items
	}
	f.t.Fatalf("no request of job %s is under review", job)
	return "", nil
}

// vote lets both checkers look at everything and decide.
func (f *federation) vote(job, decision string) {
	f.t.Helper()
	id, items := f.request(job)
	for _, c := range []*seat{f.carl, f.cemile} {
		for _, i := range items {
			c.must("GET", "/airlock/"+id+"/items/"+i+"/view", nil, nil)
		}
		code, b := c.do("POST", "/airlock/"+id+"/votes", map[string]string{"decision": decision, "comment": "Looked at."})
		if code >= 300 && !(decision == "reject" && c == f.cemile) { // one rejection ends it
			f.t.Fatalf("%d %s", code, b)
		}
	}
}
