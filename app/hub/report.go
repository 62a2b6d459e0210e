package hub

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"time"

	"tresor/fed/wire"
	"tresor/plugins/builtin/tes/model"
)

// What the hub keeps of one node's answer, at most.
const (
	maxAnswer   = 2 << 20 // bytes of it that are read
	maxCommands = 64
	maxOutputs  = 2000
	maxMessages = 100
	maxMessage  = 1000 // bytes
	maxPath     = 1024 // bytes
)

// report is what a node says of a task, cleaned: nothing that a program wrote
// (stdout, stderr) is in it, whatever the node sends.
type report struct {
	State    model.State `json:"state,omitempty"`
	Start    string      `json:"start,omitempty"`
	End      string      `json:"end,omitempty"`
	Commands []command   `json:"commands,omitempty"`
	Outputs  []output    `json:"outputs,omitempty"`
	Messages []string    `json:"messages,omitempty"`
	Release  string      `json:"release,omitempty"` // id, when its outputs are released
}

type command struct {
	Start string `json:"start,omitempty"`
	End   string `json:"end,omitempty"`
	Exit  int32  `json:"exit"`
}

type output struct {
	Path string `json:"path"` // in the container
	Size int64  `json:"size"`
}

func (r report) empty() bool { return r.State == "" }

// readReport reads the answer of GET /v1/tasks/{remote}?view=FULL.
func readReport(body []byte, remote string) (report, error) {
	if len(body) > maxAnswer {
		return report{}, wire.Refuse(wire.CodeSize, "the node's answer is longer than %d bytes", maxAnswer)
	}
	var t model.Task
	if err := json.Unmarshal(body, &t); err != nil {
		return report{}, wire.Refuse(wire.CodeMalformed, "the node's answer is not a task")
	}
	if t.ID != remote {
		return report{}, wire.Refuse(wire.CodeMalformed, "the node answered for another task than the one that was asked for")
	}
	if !known(t.State) {
		return report{}, wire.Refuse(wire.CodeMalformed, "the node gave a state that no task of this kind has: %s", clip(string(t.State), 40))
	}
	r := report{State: t.State}
	if len(t.Logs) > 0 {
		r.take(t.Logs[len(t.Logs)-1]) // the last attempt
	}
	return r, nil
}

// known says which states a node shows; the others mean an end to some clients
// and none to others.
func known(s model.State) bool {
	switch s {
	case model.Queued, model.Initializing, model.Running, model.Complete, model.ExecutorError, model.SystemError, model.Canceled:
		return true
	}
	return false
}

func (r *report) take(l model.TaskLog) {
	r.Start, r.End, r.Release = stamp(l.StartTime), stamp(l.EndTime), releaseOf(l.Metadata["release"])
	for _, c := range l.Logs[:min(len(l.Logs), maxCommands)] {
		r.Commands = append(r.Commands, command{Start: stamp(c.StartTime), End: stamp(c.EndTime), Exit: c.ExitCode})
	}
	for _, o := range l.Outputs[:min(len(l.Outputs), maxOutputs)] {
		if len(o.Path) > maxPath || clean(o.Path) != o.Path || o.SizeBytes < 0 {
			continue
		}
		r.Outputs = append(r.Outputs, output{Path: o.Path, Size: o.SizeBytes})
		if id := releaseOf(o.URL); r.Release == "" {
			r.Release = id
		}
	}
	for _, m := range l.SystemLogs[:min(len(l.SystemLogs), maxMessages)] {
		if m = clip(m, maxMessage); m != "" {
			r.Messages = append(r.Messages, m)
		}
	}
}

// stamp keeps a moment as this program writes it, or nothing.
func stamp(s string) string {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() < 2000 || t.Year() > 9999 {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

var releaseID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// releaseOf finds the release in the address of a released file at a node:
// …/ga4gh/tes/releases/<id>[/…].
func releaseOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || len(address) > 4*maxPath {
		return ""
	}
	_, rest, ok := strings.Cut(u.EscapedPath(), "/ga4gh/tes/releases/")
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	if !releaseID.MatchString(id) {
		return ""
	}
	return id
}
