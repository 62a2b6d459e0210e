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

	"tresor/app/dataset/sqlrun"
	"tresor/app/fault"
	"tresor/embed/demo"
)

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
