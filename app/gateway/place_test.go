package gateway

import (
	"strings"
	"testing"
	"time"

	"tresor/app/job"
	"tresor/app/project"
	"tresor/plugins/protocol"
	"tresor/sandbox"
)

func grant(id, slug string) project.Grant { return project.Grant{DatasetID: id, Slug: slug} }

// TestPlaces: how inputs and outputs are translated.
func TestPlaces(t *testing.T) {
	l := lent{datasets: []string{"*"}}
	l.project.Datasets = []project.Grant{grant("d1", "health")}
	for source, want := range map[string]struct {
		dataset, file, tree, origin string
		version                     int
	}{
		"tresor://dataset/health/visits.csv":          {dataset: "d1", file: "visits.csv"},
		"tresor://dataset/d1@3/sub/visits.csv":        {dataset: "d1", file: "sub/visits.csv", version: 3},
		"file:///project/a/b%20c.csv":                 {tree: "a/b%20c.csv"},
		"https://data.example.org/x":                  {origin: "https://data.example.org/x"},
		"file:///etc/passwd":                          {origin: "file:///etc/passwd"},
		"tresor://dataset/health/presentation.sqlite": {dataset: "d1", file: "presentation.sqlite"},
	} {
		p, err := l.place(protocol.Input{Path: "/work/in/x", Source: source})
		if err != nil || p.Dataset != want.dataset || p.File != want.file || p.Tree != want.tree || p.Origin != want.origin || p.Version != want.version {
			t.Errorf("%s: %+v (%v)", source, p, err)
		}
	}
	if p, err := l.place(protocol.Input{Path: "/data/health", Source: "tresor://dataset/health", Directory: true}); err != nil || p.Dataset != "d1" || p.File != "" || !p.Directory {
		t.Errorf("%+v (%v)", p, err)
	}
	if p, err := l.place(protocol.Input{Path: "/x", HasContent: true}); err != nil || p.Content == nil || len(p.Content) != 0 {
		t.Errorf("empty content: %+v (%v)", p, err)
	}
	if w, err := want(protocol.Output{Path: "/work/out", Directory: true, Target: "file:///project/results/"}); err != nil || w.Tree != "results" {
		t.Errorf("%+v (%v)", w, err)
	}
	for _, target := range []string{"s3://b/x", "hub://x", "file:///etc/x", "file:///projects/x", ""} {
		if w, err := want(protocol.Output{Path: "/work/out", Target: target}); err != nil || w.Tree != "" || w.Target != target {
			t.Errorf("%q: %+v (%v)", target, w, err)
		}
	}
}

// TestLimits: resources become limits, and nothing asked for is not more than the quota.
func TestLimits(t *testing.T) {
	o := order{p: &party{kind: Hub, cores: 2}}
	o.r.Resources = protocol.Resources{RAM: 1.5, Disk: 2, WallMS: 1001, Cores: 1}
	if l := o.limits(job.Limits{Cores: 8}); l.Memory != 1_500_000_000 || l.FileSize != 2_000_000_000 || l.WallSeconds != 2 || l.Cores != 1 {
		t.Errorf("%+v", l)
	}
	for disk, want := range map[float64]int64{0: 0, 2: 2_000_000_000, 4: 4_000_000_000, 8: 0} {
		o.r.Resources = protocol.Resources{Disk: disk}
		if l := o.limits(job.Limits{OutputBytes: 5_000_000_000}); l.OutputBytes != want || l.FileSize != bytesOf(disk) {
			t.Errorf("%v GB: %+v", disk, l)
		}
	}
	o.r.Resources = protocol.Resources{}
	if l := o.limits(job.Limits{Cores: 8}); l.Cores != 2 || l.Memory != 0 {
		t.Errorf("%+v", l)
	}
	if l := o.limits(job.Limits{Cores: 1}); l.Cores != 0 {
		t.Errorf("%+v", l)
	}
	for _, gb := range []float64{-1, 0} {
		if bytesOf(gb) != 0 {
			t.Errorf("%v GB", gb)
		}
	}
	if bytesOf(1e300) <= 0 {
		t.Error("an endless size overflows")
	}
}

func TestTexts(t *testing.T) {
	for in, want := range map[string]string{"a\nb": "a b", "a\u202eb": "ab", "\x00x\xff": "x", "  a   b ": "a b", "é": "é", strings.Repeat("x", 11): strings.Repeat("x", 9) + "…"} {
		if got := line(in, 10); got != want {
			t.Errorf("line(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"https://u:p@h/x?s=1": "https://h/x?…", "https://h/x": "https://h/x", "h@x": "h@x", "https://h/a@b": "https://h/a@b", "https://u@h": "https://h"} {
		if got := shown(in); got != want {
			t.Errorf("shown(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestStateOf tells whose fault a failure was.
func TestStateOf(t *testing.T) {
	zero, three := 0, 3
	for name, c := range map[string]struct {
		tasks []job.TaskRun
		want  string
	}{
		"exit code":                           {[]job.TaskRun{{State: job.TaskFailed, ExitCode: &three}}, "failed"},
		"the second":                          {[]job.TaskRun{{State: job.TaskSucceeded, ExitCode: &zero}, {State: job.TaskFailed, ExitCode: &three}}, "failed"},
		"nothing left":                        {[]job.TaskRun{{State: job.TaskSucceeded, ExitCode: &zero}}, "failed"},
		"never ran":                           {[]job.TaskRun{{State: job.TaskFailed}}, broken},
		"the second never ran":                {[]job.TaskRun{{State: job.TaskSucceeded, ExitCode: &zero}, {State: job.TaskFailed}}, broken},
		"no task":                             {nil, broken},
		"one that was ignored, then the host": {[]job.TaskRun{{State: job.TaskFailed, ExitCode: &three, IgnoreError: true}, {State: job.TaskFailed}}, broken},
		"one that was ignored, then another":  {[]job.TaskRun{{State: job.TaskFailed, ExitCode: &three, IgnoreError: true}, {State: job.TaskFailed, ExitCode: &three}}, "failed"},
	} {
		if got := stateOf(job.Job{State: job.Failed, Tasks: c.tasks}); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	full := job.Job{State: job.Failed, Reason: job.NotKept + "They are full.", Tasks: []job.TaskRun{{State: job.TaskSucceeded, ExitCode: &zero}}}
	if got := stateOf(full); got != "failed" {
		t.Errorf("the project's files are full: %s", got)
	}
	missing := job.Job{State: job.Failed, Reason: job.Unplaced + "could not be put in place.", Tasks: []job.TaskRun{{State: job.TaskFailed}}}
	if got := stateOf(missing); got != broken {
		t.Errorf("a file could not be put in place: %s", got)
	}
	missing.Tasks = append([]job.TaskRun{{State: job.TaskSucceeded, ExitCode: &zero}}, missing.Tasks...)
	if got := stateOf(missing); got != "failed" {
		t.Errorf("a file could not be put in place after a command ran: %s", got)
	}
	if got := stateOf(job.Job{State: job.Running}); got != "running" {
		t.Error(got)
	}
}

// TestWhatAProgramCanSay: of all that a program can bring about, a machine tells few ends
// apart, and nothing more from the texts.
func TestWhatAProgramCanSay(t *testing.T) {
	one, zero, early := 1, 0, time.Now()
	ended := func(state string, code *int) job.TaskRun {
		return job.TaskRun{State: state, ExitCode: code, StartedAt: &early}
	}
	good, bad := []job.TaskRun{ended(job.TaskSucceeded, &zero)}, []job.TaskRun{ended(job.TaskFailed, &one)}
	odd := []sandbox.Refusal{{Path: "/w/link", Reason: "a link"}}
	much := []sandbox.Refusal{{Path: "/w/big", Reason: sandbox.OutputsTooLarge + "1 byte"}}
	seen := map[string][]string{}
	for name, j := range map[string]job.Job{
		"a command fails":              {State: job.Failed, Tasks: bad, Reason: "The command ended with exit code 1."},
		"by a signal":                  {State: job.Failed, Tasks: bad, Reason: "The command of task 2 was ended by signal 9."},
		"too long":                     {State: job.Failed, Tasks: bad, Reason: "It ran longer than its limit of 1 minute and was stopped."},
		"too much memory":              {State: job.Failed, Tasks: bad, Reason: "It needed more memory than its limit of 1 GiB and was stopped."},
		"an output is missing":         {State: job.Failed, Tasks: good, Reason: "The output /w/a was not produced."},
		"it is a link":                 {State: job.Failed, Tasks: good, Refused: odd, Reason: "The output /w/a may not be taken: a link."},
		"all of them are large":        {State: job.Failed, Tasks: good, Refused: much, Reason: "The output /w/a was not produced."},
		"the tree cannot keep it":      {State: job.Failed, Tasks: good, Reason: job.NotKept + "They are full."},
		"standard input is gone":       {State: job.Failed, Tasks: append(good[:1:1], ended(job.TaskFailed, nil)), Reason: job.Unplaced + "could not be put in place."},
		"done":                         {State: job.Completed, Tasks: good},
		"done, and nothing was there":  {State: job.Completed, Tasks: good, Reason: job.NothingFound + "/w."},
		"done, and a link was there":   {State: job.Completed, Tasks: good, Refused: odd},
		"held":                         {State: job.Held, Tasks: good},
		"held, and something is large": {State: job.Held, Tasks: good, Refused: much},
		"held, and nothing was there":  {State: job.Held, Tasks: good, Reason: job.NothingFound + "/w."},
		"held, and in a request":       {State: job.Held, Tasks: good, AirlockRequest: "r"},
	} {
		for _, note := range []string{"", noteBlocked, noteSubmitted, noteSponsor} {
			said := stateOf(j) + ": " + strings.Join(messages(&party{kind: Hub}, task{wayNote: note}, j), " ")
			seen[said] = append(seen[said], name)
		}
	}
	for _, refused := range [][]sandbox.Refusal{nil, odd, much} { // people have released the rest
		m := strings.Join(messages(&party{kind: Hub}, task{}, job.Job{State: job.Released, Tasks: good, Refused: refused}), " ")
		if strings.Contains(m, "larger than its disk_gb") != (refused != nil) || strings.Contains(m, "/w/") {
			t.Errorf("released, %d not taken: %s", len(refused), m)
		}
	}
	if len(seen) != 6 { // exit code, time, memory, outputs, done, held
		t.Errorf("a machine tells %d ends apart: %v", len(seen), seen)
	}
}

// TestOutcome: no name of a person or a file, and no word of a program, is passed on.
func TestOutcome(t *testing.T) {
	code := 1
	ran := []job.TaskRun{{State: job.TaskFailed, ExitCode: &code}}
	for name, c := range map[string]struct {
		j    job.Job
		want string
	}{
		"exit code":  {job.Job{State: job.Failed, Tasks: ran, Reason: "The command ended with exit code 1."}, "exit code 1"},
		"time":       {job.Job{State: job.Failed, Tasks: ran, Reason: "It ran longer than its limit of 1 hour and was stopped."}, "1 hour"},
		"an output":  {job.Job{State: job.Failed, Tasks: ran, Reason: "The output CANARY may not be taken: CANARY."}, "not produced or may not"},
		"the tree":   {job.Job{State: job.Failed, Tasks: ran, Reason: job.NotKept + "CANARY is a folder."}, "could not be kept"},
		"the host":   {job.Job{State: job.Failed, Reason: "This server cannot run it safely: CANARY."}, "could not run it"},
		"an input":   {job.Job{State: job.Failed, Tasks: []job.TaskRun{{State: job.TaskFailed}}, Reason: "An input, a folder or a file of a standard stream could not be put in place, so the command never ran."}, "never ran. Correct the task"},
		"a person":   {job.Job{State: job.Refused, Reason: "Name of lena refused it: Not this one."}, "It was refused here: Not this one."},
		"any more":   {job.Job{State: job.Refused, Reason: "It may not start any more. Name of rosa is no longer a member of the project."}, "any more"},
		"cancelled":  {job.Job{State: job.Cancelled, Reason: "Name of lena cancelled it: CANARY"}, "It was cancelled."},
		"rejected":   {job.Job{State: job.Rejected, Reason: "CANARY"}, "Reviewers rejected"},
		"it goes on": {job.Job{State: job.Running, Reason: "CANARY"}, ""},
	} {
		got := outcome(&party{kind: Human}, c.j)
		if !strings.Contains(got, c.want) || strings.Contains(got, "CANARY") || strings.Contains(got, "Name of") {
			t.Errorf("%s: %q", name, got)
		}
	}
}
