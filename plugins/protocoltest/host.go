package protocoltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tresor/plugins/protocol"
)

// Host records what a plugin asks and answers from fixed values.
type Host struct {
	mu       sync.Mutex
	Calls    []string
	Asked    []string        // the questions of State and Jobs, see looksUp
	Refusal  *protocol.Error // when set, every call answers it
	Release  []byte
	Requests []protocol.JobRequest // what was submitted
}

func (h *Host) note(name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Calls = append(h.Calls, name)
	if h.Refusal != nil {
		return h.Refusal
	}
	return nil
}

// asked keeps a question.
func (h *Host) asked(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Asked = append(h.Asked, fmt.Sprintf(format, args...))
}

// Seen reports whether the plugin made the call.
func (h *Host) Seen(name string) bool { return h.Count(name) > 0 }

// Count is how often the plugin made the call; "" counts all.
func (h *Host) Count(name string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, c := range h.Calls {
		if name == "" || c == name {
			n++
		}
	}
	return n
}

// Visible answers one project and one dataset.
func (h *Host) Visible(context.Context) (protocol.Catalogue, error) {
	return protocol.Catalogue{
		Projects: []protocol.Named{{ID: "p1", Slug: "aurora", Title: "Aurora"}},
		Datasets: []protocol.Named{{ID: "d1", Slug: "randhie", Title: "RAND"}},
	}, h.note("visible")
}

// Submit accepts everything.
func (h *Host) Submit(_ context.Context, r protocol.JobRequest) (protocol.JobState, error) {
	err := h.note("submit")
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Requests = append(h.Requests, r)
	return protocol.JobState{ID: "job-" + r.RemoteID, State: "queued", Name: r.Name, Document: r.Document, Tags: r.Tags}, err
}

// State answers held.
func (h *Host) State(_ context.Context, id string, v protocol.View) (protocol.JobState, error) {
	h.asked("job %s %s", id, v)
	return protocol.JobState{ID: id, State: "held"}, h.note("state")
}

// Jobs answers one held job.
func (h *Host) Jobs(_ context.Context, q protocol.JobQuery) (protocol.JobPage, error) {
	h.asked("page %d %s", q.Limit, q.View)
	return protocol.JobPage{Jobs: []protocol.JobState{{ID: "job-1", State: "held"}}}, h.note("jobs")
}

// Cancel succeeds.
func (h *Host) Cancel(context.Context, string) error { return h.note("cancel") }

// ReadRelease reads Host.Release.
func (h *Host) ReadRelease(_ context.Context, _ string, offset int64) (protocol.Chunk, error) {
	n := int64(len(h.Release))
	at := min(max(offset, 0), n)
	return protocol.Chunk{Data: h.Release[at:min(at+1<<20, n)], Total: n}, h.note("read-release")
}

// Fetch answers an empty 204.
func (h *Host) Fetch(context.Context, protocol.Request) (protocol.Response, error) {
	return protocol.Response{Status: 204}, h.note("fetch")
}

// Health is noted.
func (h *Host) Health(context.Context, protocol.Health) error { return h.note("health") }

// Audit is noted.
func (h *Host) Audit(context.Context, string, map[string]string) error { return h.note("audit") }

// canary is in the texts of errors that were not written for the outside.
const canary = "CANARY-7f3a-do-not-tell"

// broken is a Host whose every call fails with an error outside the vocabulary.
type broken struct{ *Host }

var errBroken = errors.New("disk i/o error in " + canary)

func (broken) Visible(context.Context) (c protocol.Catalogue, err error) { return c, errBroken }
func (broken) Submit(context.Context, protocol.JobRequest) (s protocol.JobState, err error) {
	return s, errBroken
}
func (broken) State(context.Context, string, protocol.View) (s protocol.JobState, err error) {
	return s, errBroken
}
func (broken) Jobs(context.Context, protocol.JobQuery) (p protocol.JobPage, err error) {
	return p, errBroken
}
func (broken) Cancel(context.Context, string) error { return errBroken }
func (broken) ReadRelease(context.Context, string, int64) (c protocol.Chunk, err error) {
	return c, errBroken
}
func (broken) Fetch(context.Context, protocol.Request) (r protocol.Response, err error) {
	return r, errBroken
}

// odd is a Host whose answers are within the contract and unlike any other day's:
// pages that never end, states of a later version, times before the epoch, names
// of foreign scripts and none at all.
type odd struct{ *Host }

func oddJob(id string) protocol.JobState {
	return protocol.JobState{
		ID: id, State: "a-state-of-a-later-version", Name: strings.Repeat("€\u202e\x00", 300), Document: []byte("{\xff"),
		CreatedAt: time.Date(1969, 12, 31, 23, 59, 59, 1, time.UTC), FinishedAt: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
		Tags: map[string]string{"": "", "project": ""}, Tasks: []protocol.TaskState{{ExitCode: -1 << 31}}, Outputs: []protocol.OutputFile{{Size: -1}},
		Messages: []string{"", "\xff"},
	}
}

func (odd) State(_ context.Context, id string, _ protocol.View) (protocol.JobState, error) {
	return oddJob(id), nil
}

func (o odd) Jobs(context.Context, protocol.JobQuery) (protocol.JobPage, error) {
	return protocol.JobPage{Jobs: []protocol.JobState{oddJob(""), oddJob("2")}, Next: "on and on"}, o.note("jobs")
}

func (odd) Visible(context.Context) (protocol.Catalogue, error) { return protocol.Catalogue{}, nil }

func (odd) Submit(_ context.Context, r protocol.JobRequest) (protocol.JobState, error) {
	return oddJob("job-1"), nil
}

func (odd) Fetch(context.Context, protocol.Request) (protocol.Response, error) {
	return protocol.Response{Status: 999, Header: map[string][]string{"": nil, "Date": {"\x00"}}, Body: []byte("{\xff")}, nil
}

// codes is the vocabulary that an adapter's errors keep to.
func known(e *protocol.Error) bool { return slices.Contains(protocol.Codes(), e.Code) }

var _, _, _ protocol.Host = (*Host)(nil), broken{}, odd{}
