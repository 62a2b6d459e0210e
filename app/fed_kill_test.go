package app_test

import (
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"tresor/app/apptest/tesclient"
	"tresor/app/audit"
)

// TestKillsAcrossAFederation kills the hub, the node and the node's plugin, as
// processes, in every state that a task over the hub goes through. Each task is
// executed once and ends COMPLETE with its released file at the hub.
func TestKillsAcrossAFederation(t *testing.T) {
	f := startFederation(t)
	plugins := 0
	victims := map[string]func(){
		"hub":  func() { f.hub.kill(); f.hub.start() },
		"node": func() { f.node.kill(); f.node.start() },
		"plugin": func() {
			pid := f.node.plugin()
			for end := time.Now().Add(time.Minute); pid <= 0 && plugins < 3 && time.Now().Before(end); pid = f.node.plugin() {
				time.Sleep(50 * time.Millisecond) // it comes back after a pause
			}
			if pid > 0 {
				plugins++
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
			}
		},
	}
	began := time.Now()
	// Each state is reached once for each victim; the tasks go through together.
	type one struct{ name, id string }
	kill := func(victim string) { victims[victim]() }
	var tasks []one
	for _, victim := range []string{"hub", "node", "plugin"} {
		name := "killed-" + victim
		if victim != "plugin" {
			f.relay.Stall(true) // the task is at the hub and not yet at the node
		}
		id := f.send(workTask(name))
		kill(victim)
		f.relay.Stall(false)
		tasks = append(tasks, one{name, id})
		f.untilJob(name, "queued", "preparing", "running", "collecting", "held")
		kill(victim)
		f.untilJob(name, "running", "collecting", "held")
		kill(victim)
		j := f.untilJob(name, "held")
		kill(victim)
		f.vote(j.ID, "approve")
		kill(victim) // approved, and the release is made or about to be
		f.untilJob(name, "released")
		kill(victim) // the hub fetches, or has fetched
	}
	for _, x := range tasks {
		done := f.until(x.id, x.name+" is complete", func(x tesclient.Task) bool { return x.State.Over() })
		if done.State != tesclient.Complete || len(done.Logs) != 1 || len(done.Logs[0].Outputs) == 0 {
			t.Errorf("%s: %+v", x.name, done)
		}
	}
	f.startedOnce(len(tasks))
	if plugins < 3 {
		t.Errorf("the plugin was found and killed %d times", plugins)
	}
	t.Logf("%d kills in %s", 6*len(tasks), time.Since(began).Round(time.Second))
}

func workTask(name string) tesclient.Task {
	return tesclient.Task{Name: name, Volumes: []string{"/results"}, Executors: []tesclient.Executor{shell("sleep 1; printf 'group,n\\na,100\\nb,200\\n' > /results/table.csv")},
		Outputs: []tesclient.Output{{Path: "/results/table.csv", URL: "hub://table.csv"}}}
}

// startedOnce reads in the node's audit log that so many jobs were submitted, each was
// started once and released once, and that the log is whole.
func (f *federation) startedOnce(tasks int) {
	f.t.Helper()
	verbs := map[string]map[string]int{}
	for line := range strings.Lines(f.cli(f.node, "audit", "export")) {
		var e audit.Event
		if json.Unmarshal([]byte(line), &e) == nil && strings.HasPrefix(e.Verb, "job.") {
			if verbs[e.Verb] == nil {
				verbs[e.Verb] = map[string]int{}
			}
			verbs[e.Verb][e.Subject]++
		}
	}
	for _, verb := range []string{"job.submitted", "job.started", "job.held", "job.released"} {
		if len(verbs[verb]) != tasks {
			f.t.Errorf("%d jobs have %s, want %d", len(verbs[verb]), verb, tasks)
		}
		for job, n := range verbs[verb] {
			if n != 1 {
				f.t.Errorf("%s: %s %d times", job, verb, n)
			}
		}
	}
	if f.t.Failed() {
		for _, p := range []*program{f.hub, f.node} {
			b, _ := os.ReadFile(p.data + ".log")
			f.t.Logf("%s", b[max(0, len(b)-4000):])
		}
	}
}
