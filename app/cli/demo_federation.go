package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tresor/app/dataset/sqlrun"
	"tresor/app/fault"
	"tresor/embed/demo"
)

// The people of the federation demonstration beside those of each node.
const (
	hubResearcher = "hanna" // at the hub: sends the task
	nodeLead      = "lena"  // at each node: lets the hub into the project
)

func demoFederation(e *env) *cobra.Command {
	var nodes []string
	var wait time.Duration
	c := &cobra.Command{Use: "federation", Short: "Send one task over a hub to several nodes, release at each, pool the results", Args: cobra.NoArgs,
		Long: `Works with a hub (--data) that was started by ` + "`tresor hub serve`" + ` and nodes (--node) that were
started by ` + "`tresor serve --demo`" + ` on this machine. It enrols the nodes, lets each node's project
lead admit the hub, sends one task as a researcher of the hub, has each node's checkers
review and release, verifies every release from outside and prints the pooled table
and the root of each node's audit log.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if len(nodes) == 0 {
				return fault.WithNext(fault.New("cli.demo", fault.Invalid, "There is no node."), "Name each node's data folder with --node.")
			}
			ctx, cancel := context.WithTimeout(c.Context(), 15*time.Minute)
			defer cancel()
			f := &fedRun{e: e, began: time.Now()}
			for i, dir := range nodes {
				abs, err := filepath.Abs(dir)
				if err != nil {
					return fault.Kinded("cli.demo", fault.Invalid, err, "%q is not a usable folder.", dir)
				}
				f.nodes = append(f.nodes, f.node(fmt.Sprintf("node-%d", i+1), abs))
			}
			return f.run(ctx, wait)
		}}
	c.Flags().StringArrayVar(&nodes, "node", nil, "data folder of a node (repeat)")
	c.Flags().DurationVar(&wait, "wait", 60*time.Second, "how long to wait for each server")
	return c
}

// fedRun is one unattended pass: a hub, its researcher, and nodes.
type fedRun struct {
	e       *env
	began   time.Time
	hub     *client
	address string // of the hub, for nodes and for the task service
	project string // id at the hub
	token   string
	task    string
	nodes   []*fedNode
}

// fedNode is one node with its own people.
type fedNode struct {
	*demoRun
	name string
	id   string // at the hub
	pool []pooled
	root string
}

// pooled is one row of a node's result.
type pooled struct {
	group               string
	personYears, visits int64
}

func (f *fedRun) node(name, dir string) *fedNode {
	e := *f.e
	e.data, e.client, e.out = dir, newClient(filepath.Join(dir, "run", "admin.sock"), ""), &prefixed{w: f.e.out, prefix: name}
	return &fedNode{demoRun: &demoRun{e: &e, began: f.began}, name: name}
}

// prefixed says which node a line is about.
type prefixed struct {
	w      io.Writer
	prefix string
}

func (p *prefixed) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		if len(line) > 9 && strings.Contains(line[:9], "s  ") {
			line = line[:9] + p.prefix + ": " + line[9:]
		}
		if _, err := io.WriteString(p.w, line); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func (f *fedRun) say(format string, args ...any) {
	fmt.Fprintf(f.e.out, "%6.1fs  %s\n", time.Since(f.began).Seconds(), fmt.Sprintf(format, args...))
}

func (f *fedRun) run(ctx context.Context, wait time.Duration) error {
	f.hub = f.e.client
	if err := f.awaitHub(ctx, wait); err != nil {
		return err
	}
	for _, n := range f.nodes {
		if err := n.await(ctx, wait); err != nil {
			return err
		}
	}
	for _, step := range []func(context.Context) error{f.prepareHub, f.enrol, f.admit, f.send, f.releaseAll, f.gather, f.roots} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	f.print()
	return nil
}

func (f *fedRun) awaitHub(ctx context.Context, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		var over struct {
			Name    string `json:"name"`
			Address string `json:"address"`
		}
		err := f.hub.do(ctx, http.MethodGet, "/hub", nil, &over)
		if err == nil {
			f.address = over.Address
			f.say("the hub is ready: %s at %s", over.Name, over.Address)
			return nil
		}
		if !pause(ctx, 200*time.Millisecond) {
			return fault.WithNext(fault.Kinded("cli.demo", fault.Unavailable, err, "The hub was not ready after %s: %s", wait, fault.Message(err)), "Read its log.")
		}
	}
}

// pause reports whether the time went by before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// as is the client of the same server that acts for somebody.
func (c *client) actingAs(handle string) *client {
	other := *c
	other.as = handle
	return &other
}

// person makes somebody at a server, or finds them there.
func person(ctx context.Context, c *client, handle, name string, roles ...string) (string, error) {
	var all page[personView]
	if err := c.do(ctx, http.MethodGet, "/people", nil, &all); err != nil {
		return "", err
	}
	for _, p := range all.Items {
		if p.Handle == handle {
			return p.ID, nil
		}
	}
	var p personView
	if roles == nil {
		roles = []string{}
	}
	err := c.do(ctx, http.MethodPost, "/people", map[string]any{"handle": handle, "name": name, "roles": roles}, &p)
	return p.ID, err
}

// prepareHub makes the hub's researcher, project and token.
func (f *fedRun) prepareHub(ctx context.Context) error {
	who, err := person(ctx, f.hub, hubResearcher, "Hanna Brandt")
	if err != nil {
		return err
	}
	var p struct {
		ID string `json:"id"`
	}
	if err := f.hub.do(ctx, http.MethodGet, "/hub/projects/"+demo.ProjectSlug, nil, &p); err != nil {
		if err := f.hub.do(ctx, http.MethodPost, "/hub/projects", map[string]string{"slug": demo.ProjectSlug, "name": demo.ProjectName}, &p); err != nil {
			return err
		}
	}
	f.project = p.ID
	if err := f.hub.do(ctx, http.MethodPut, "/hub/projects/"+esc(p.ID)+"/members/"+esc(who), map[string]string{"role": "researcher"}, nil); err != nil {
		return err
	}
	var t struct {
		Token string `json:"token"`
	}
	if err := f.hub.actingAs(hubResearcher).do(ctx, http.MethodPost, "/hub/tokens", map[string]any{"name": "demonstration", "project": p.ID, "days": 1}, &t); err != nil {
		return err
	}
	f.token = t.Token
	f.say("the hub has a project, a researcher and a token for its task service")
	return nil
}

// enrol pins the keys at both ends of each link and compares the words.
func (f *fedRun) enrol(ctx context.Context) error {
	for _, n := range f.nodes {
		if err := n.enrol(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

type hubView struct {
	ID    string `json:"id"`
	Slug  string `json:"slug"`
	Words string `json:"words"`
	State string `json:"state"`
	URL   string `json:"hub_url"`
}

func (n *fedNode) enrol(ctx context.Context, f *fedRun) error {
	if known, err := n.enrolled(ctx, f); known || err != nil {
		return err
	}
	var code struct {
		Code string `json:"code"`
	}
	if err := f.hub.do(ctx, http.MethodPost, "/hub/codes", map[string]string{"name": n.name}, &code); err != nil {
		return err
	}
	var h hubView
	if err := n.e.client.do(ctx, http.MethodPost, "/federation/hubs", map[string]string{"url": f.address, "code": code.Code, "name": "demo-hub"}, &h); err != nil {
		return err
	}
	words, err := n.atHub(ctx, f)
	if err != nil {
		return err
	}
	if words == "" || words != h.Words {
		return fault.New("cli.demo", fault.Conflict, "The hub shows the words %q, the node %q: somebody stands between them.", words, h.Words)
	}
	if err := n.e.client.do(ctx, http.MethodPost, "/federation/hubs/"+esc(h.ID)+"/confirm", map[string]any{}, nil); err != nil {
		return err
	}
	if err := f.hub.do(ctx, http.MethodPost, "/hub/nodes/"+esc(n.id)+"/confirm", map[string]any{}, nil); err != nil {
		return err
	}
	n.say("enrolled; both ends show the words: %s", words)
	return nil
}

// enrolled finds the link of an earlier run on the same folders.
func (n *fedNode) enrolled(ctx context.Context, f *fedRun) (bool, error) {
	h, err := n.hubHere(ctx)
	if err != nil || h.ID == "" {
		return false, err
	}
	_, err = n.atHub(ctx, f)
	return n.id != "", err
}

// hubHere is the demonstration's hub as this node knows it.
func (n *fedNode) hubHere(ctx context.Context) (hubView, error) {
	var all struct {
		Hubs []hubView `json:"hubs"`
	}
	if err := n.e.client.do(ctx, http.MethodGet, "/federation", nil, &all); err != nil {
		return hubView{}, err
	}
	for _, h := range all.Hubs {
		if h.State != "revoked" {
			return h, nil
		}
	}
	return hubView{}, nil
}

// atHub finds this node at the hub and gives the words that the hub shows.
func (n *fedNode) atHub(ctx context.Context, f *fedRun) (string, error) {
	var all page[struct {
		ID    string `json:"id"`
		Name  string `json:"name"`
		Words string `json:"words"`
		State string `json:"state"`
	}]
	if err := f.hub.do(ctx, http.MethodGet, "/hub/nodes", nil, &all); err != nil {
		return "", err
	}
	for _, x := range all.Items {
		if x.Name == n.name && x.State != "revoked" {
			n.id = x.ID
			return x.Words, nil
		}
	}
	return "", nil
}

// admit lets each node's project lead admit the hub, and the hub use the node.
func (f *fedRun) admit(ctx context.Context) error {
	for _, n := range f.nodes {
		if err := n.admit(ctx); err != nil {
			return err
		}
		path := "/hub/projects/" + esc(f.project) + "/nodes/" + esc(n.id)
		if err := f.hub.do(ctx, http.MethodPut, path, map[string]string{"remote": demo.ProjectSlug}, nil); err != nil {
			return err
		}
	}
	f.say("each node's project lead has admitted the hub, with a researcher of the node who answers for its work")
	return nil
}

func (n *fedNode) admit(ctx context.Context) error {
	lead, err := person(ctx, n.e.client, nodeLead, "Lena Vogt")
	if err != nil {
		return err
	}
	sponsor, err := person(ctx, n.e.client, demo.ResearcherHandle, "")
	if err != nil {
		return err
	}
	if err := n.e.client.do(ctx, http.MethodPut, "/projects/"+esc(n.project.ID)+"/members/"+esc(lead), map[string]string{"role": "lead"}, nil); err != nil {
		return err
	}
	h, err := n.hubHere(ctx)
	if err != nil {
		return err
	}
	path := "/federation/principals/" + esc(h.ID) + "/projects/" + esc(n.project.ID)
	return n.e.client.actingAs(nodeLead).do(ctx, http.MethodPut, path, map[string]any{"sponsor": sponsor, "datasets": []string{demo.DatasetSlug}}, nil)
}

// tes asks the hub's task service as any TES client does.
func (f *fedRun) tes(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fault.Wrap("cli.demo", err)
		}
		body = bytes.NewReader(b)
	}
	address := path
	if !strings.Contains(path, "://") {
		address = f.address + "/ga4gh/tes/v1" + path
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return fault.Wrap("cli.demo", err)
	}
	req.Header.Set("Authorization", "Bearer "+f.token)
	req.Header.Set("Content-Type", "application/json")
	h, err := publicHTTP(f.e.data)
	if err != nil {
		return err
	}
	resp, err := h.Do(req)
	if err != nil {
		return fault.Kinded("cli.demo", fault.Unavailable, err, "The hub's task service does not answer at %s.", address)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fault.Kinded("cli.demo", fault.Unavailable, err, "The hub's answer broke off.")
	}
	if resp.StatusCode != http.StatusOK {
		return fault.New("cli.demo", fault.Conflict, "The hub's task service answered %d: %s", resp.StatusCode, strings.TrimSpace(string(b)))
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = b
		return nil
	}
	return json.Unmarshal(b, out)
}

// send hands the one task to the hub, for every node of the project.
func (f *fedRun) send(ctx context.Context) error {
	script, err := sqlrun.Script([]sqlrun.Query{{Output: demo.Federated.Output, SQL: demo.Federated.SQL}})
	if err != nil {
		return err
	}
	task := map[string]any{
		"name": demo.Federated.Name, "description": demo.Federated.Context,
		"inputs": []map[string]string{
			{"path": "/data/" + demo.DatasetSlug, "type": "DIRECTORY", "url": "tresor://dataset/" + demo.DatasetSlug},
			{"path": sqlrun.ScriptPath, "content": string(script)},
		},
		"outputs":   []map[string]string{{"path": sqlrun.OutDir + "/" + demo.Federated.Output, "url": "hub://" + demo.Federated.Output}},
		"executors": []map[string]any{{"image": "tresor/sql", "command": sqlrun.Argv()}},
	}
	var made struct {
		ID string `json:"id"`
	}
	if err := f.tes(ctx, http.MethodPost, "/tasks", task, &made); err != nil {
		return err
	}
	f.task = made.ID
	f.say("sent the task %q to %d nodes through the hub", demo.Federated.Name, len(f.nodes))
	return nil
}

// releaseAll lets the checkers of each node look at what the task left there.
func (f *fedRun) releaseAll(ctx context.Context) error {
	for _, n := range f.nodes {
		if err := n.signIn(ctx); err != nil {
			return err
		}
		if err := n.awaitRequest(ctx, f); err != nil {
			return err
		}
		if err := n.review(ctx); err != nil {
			return err
		}
	}
	return nil
}

// awaitRequest waits for the airlock request that the node makes of the task's output.
func (n *fedNode) awaitRequest(ctx context.Context, f *fedRun) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	checker := n.people["carl"]
	for {
		var all page[requestView]
		if err := checker.do(ctx, http.MethodGet, "/airlock?state=submitted,in-review", nil, &all); err != nil {
			return err
		}
		if len(all.Items) > 0 {
			if err := checker.do(ctx, http.MethodGet, "/airlock/"+esc(all.Items[0].ID), nil, &n.request); err != nil {
				return err
			}
			n.say("ran; %d output waits for two checkers", len(n.request.Items))
			return nil
		}
		if !pause(ctx, 300*time.Millisecond) {
			return fault.WithNext(fault.New("cli.demo", fault.Unavailable, "Nothing came to review at %s within 3 minutes.%s", n.name, f.messages(context.WithoutCancel(ctx))), "Read the node's log.")
		}
	}
}

type tesTask struct {
	State string `json:"state"`
	Logs  []struct {
		Metadata map[string]string `json:"metadata"`
		Outputs  []struct {
			URL  string `json:"url"`
			Path string `json:"path"`
		} `json:"outputs"`
		System []string `json:"system_logs"`
	} `json:"logs"`
}

// messages is what the hub knows about the task, for an error.
func (f *fedRun) messages(ctx context.Context) string {
	var t tesTask
	if err := f.tes(ctx, http.MethodGet, "/tasks/"+esc(f.task)+"?view=FULL", nil, &t); err != nil {
		return " " + fault.Message(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, " The hub says %s.", t.State)
	for _, l := range t.Logs {
		fmt.Fprintf(&b, " %v", l.System)
	}
	return b.String()
}

// gather waits for the task's end and fetches what each node released.
func (f *fedRun) gather(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		var t tesTask
		if err := f.tes(ctx, http.MethodGet, "/tasks/"+esc(f.task)+"?view=FULL", nil, &t); err != nil {
			return err
		}
		switch t.State {
		case "COMPLETE":
			f.say("the hub shows COMPLETE: every node has released")
			return f.results(ctx)
		case "QUEUED", "INITIALIZING", "RUNNING":
		default:
			return fault.New("cli.demo", fault.Conflict, "The task did not end well.%s", f.messages(ctx))
		}
		if !pause(ctx, 300*time.Millisecond) {
			return fault.New("cli.demo", fault.Unavailable, "The task was not complete after 3 minutes.%s", f.messages(context.WithoutCancel(ctx)))
		}
	}
}

// results downloads one zip per node from the hub and verifies each from outside,
// with the key of the node that released it.
func (f *fedRun) results(ctx context.Context) error {
	dir := filepath.Join(f.e.data, "demo")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fault.Kinded("cli.demo", fault.Invalid, err, "Cannot make %s: %v.", dir, err)
	}
	for _, n := range f.nodes {
		resp, err := f.hub.actingAs(hubResearcher).send(ctx, http.MethodGet, "/hub/tasks/"+esc(f.task)+"/results/"+esc(n.id), "", nil)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
		resp.Body.Close()
		if err != nil {
			return fault.Kinded("cli.demo", fault.Unavailable, err, "The result of %s broke off.", n.name)
		}
		n.zip = filepath.Join(dir, f.task+"-"+n.name+".zip")
		if err := os.WriteFile(n.zip, b, 0o600); err != nil {
			return fault.Kinded("cli.demo", fault.Invalid, err, "Cannot write %s: %v.", n.zip, err)
		}
		if _, err := verifyZip(n.zip, readKey(n.e, "")); err != nil {
			return err
		}
		if n.pool, err = readPool(b); err != nil {
			return err
		}
		n.say("released %d rows; the zip verifies against the node's own key", len(n.pool))
	}
	return nil
}

// roots verifies each node's audit log and keeps its root.
func (f *fedRun) roots(ctx context.Context) error {
	for _, n := range f.nodes {
		var own logSource
		report, err := own.verify(ctx, n.e)
		if err != nil {
			return tampered(err)
		}
		n.root = fmt.Sprintf("%s (%d events)", report.Root, report.Events)
	}
	return nil
}
