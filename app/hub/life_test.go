package hub

import (
	"strings"
	"testing"

	"tresor/app/apptest/tesclient"
)

// TestLife takes one task through three nodes to its results.
func TestLife(t *testing.T) {
	r := newRig(t)
	nodes := r.three()
	id := r.create("")
	for _, n := range nodes {
		x := n.only()
		tags := x.body["tags"].(map[string]any)
		if tags["project"] != n.remote() || tags["tres"] != nil || x.onBehalf != "Rosa Lind (rosa)" {
			t.Errorf("%s got tags %v on behalf of %q", n.name, tags, x.onBehalf)
		}
	}
	if got := r.state(id); got != "QUEUED" {
		t.Errorf("state %s", got)
	}
	nodes[0].set("RUNNING")
	r.until(id, "RUNNING")
	for _, n := range nodes {
		n.release("a,b of " + n.name)
	}
	r.until(id, "COMPLETE")
	full, err := r.client().Get(t.Context(), id, "FULL")
	if err != nil {
		t.Fatal(err)
	}
	if len(full.Logs) != 3 {
		t.Fatalf("%d logs", len(full.Logs))
	}
	for i, name := range []string{"east", "north", "south"} {
		l := full.Logs[i]
		if l.Metadata["node"] != name || len(l.Outputs) != 1 {
			t.Fatalf("log %d: %+v", i, l)
		}
		if !strings.HasSuffix(l.Outputs[0].URL, "/ga4gh/tes/results/"+id+"/"+name+"/x.csv") {
			t.Errorf("address %s", l.Outputs[0].URL)
		}
		status, head, body := r.get("/ga4gh/tes/results/" + id + "/" + name)
		if status != 200 || string(body) != "PLAIN rel-"+name+" a,b of "+name || head.Get("Tresor-SHA256") != l.Metadata["sha256"] {
			t.Errorf("%s: %d %q %v", name, status, body, head)
		}
	}
	for _, n := range nodes {
		if n.count() != 1 {
			t.Errorf("%s made %d tasks", n.name, n.count())
		}
	}
	for _, verb := range []string{"task.created", "part.accepted", "result.stored", "task.moved", "result.opened"} {
		if !has(r.verbs(id), verb) {
			t.Errorf("no event %s in %v", verb, r.verbs(id))
		}
	}
	if _, err := r.client().Get(t.Context(), id, "MINIMAL"); err != nil {
		t.Error(err)
	}
	var _ tesclient.Task = full
}
