// Package protocoltest holds the conformance suite that every adapter passes, in
// process and as a child, and the Host that it is tested against. Tests only.
package protocoltest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"tresor/plugins/protocol"
)

// Host records what a plugin asks and answers from fixed values.
type Host struct {
	mu      sync.Mutex
	Calls   []string
	Refusal *protocol.Error // when set, every call answers it
	Release []byte
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

// Seen reports whether the plugin made the call.
func (h *Host) Seen(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.Calls, name)
}

// Visible answers one project.
func (h *Host) Visible(context.Context) (protocol.Catalogue, error) {
	return protocol.Catalogue{Projects: []protocol.Named{{ID: "p1", Slug: "aurora", Title: "Aurora"}}}, h.note("visible")
}

// Submit accepts everything.
func (h *Host) Submit(_ context.Context, r protocol.JobRequest) (protocol.JobState, error) {
	return protocol.JobState{ID: "job-" + r.RemoteID, State: "queued"}, h.note("submit")
}

// State answers held.
func (h *Host) State(_ context.Context, id string, _ protocol.View) (protocol.JobState, error) {
	return protocol.JobState{ID: id, State: "held"}, h.note("state")
}

// Jobs answers one held job.
func (h *Host) Jobs(context.Context, protocol.JobQuery) (protocol.JobPage, error) {
	return protocol.JobPage{Jobs: []protocol.JobState{{ID: "job-1", State: "held"}}}, h.note("jobs")
}

// Cancel succeeds.
func (h *Host) Cancel(context.Context, string) error { return h.note("cancel") }

// ReadRelease reads Host.Release.
func (h *Host) ReadRelease(_ context.Context, _ string, offset int64) (protocol.Chunk, error) {
	n := int64(len(h.Release))
	return protocol.Chunk{Data: h.Release[min(offset, n):], Total: n}, h.note("read-release")
}

// Fetch answers an empty 204.
func (h *Host) Fetch(context.Context, protocol.Request) (protocol.Response, error) {
	return protocol.Response{Status: 204}, h.note("fetch")
}

// Health is noted.
func (h *Host) Health(context.Context, protocol.Health) error { return h.note("health") }

// Audit is noted.
func (h *Host) Audit(context.Context, string, map[string]string) error { return h.note("audit") }

var _ protocol.Host = (*Host)(nil)

// Suite is what every adapter passes. open returns the adapter under test.
func Suite(t *testing.T, open func(t *testing.T) protocol.Adapter) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	t.Run("describes itself without the host", func(t *testing.T) { describes(ctx, t, open(t)) })
	t.Run("connection test always says what was seen", func(t *testing.T) { tests(ctx, t, open(t)) })
	t.Run("connection test survives a host that refuses", func(t *testing.T) {
		h := &Host{Refusal: &protocol.Error{Code: protocol.CodeDenied, Text: "not for you"}}
		if steps, err := open(t).TestConnection(ctx, defaults(ctx, t, open(t)), h); err == nil && allOK(steps) {
			t.Error("every step is well although the host refuses everything")
		}
	})
	t.Run("parts are honest", func(t *testing.T) { honest(ctx, t, open(t)) })
}

func describes(ctx context.Context, t *testing.T, a protocol.Adapter) {
	d, err := a.Describe(ctx)
	if err != nil || d.Name == "" || d.Title == "" || d.Version == "" || d.Protocol == "" {
		t.Fatalf("description %+v, error %v", d, err)
	}
	kinds := []string{"text", "url", "secret", "number", "choice", "switch"}
	for _, s := range d.Settings {
		if s.Key == "" || s.Label == "" || !slices.Contains(kinds, s.Kind) || (s.Kind == "choice") != (len(s.Choices) > 0) {
			t.Errorf("setting %+v cannot be drawn as a form", s)
		}
	}
}

func defaults(ctx context.Context, t *testing.T, a protocol.Adapter) protocol.Settings {
	d, err := a.Describe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s := protocol.Settings{}
	for _, x := range d.Settings {
		s[x.Key] = x.Default
	}
	return s
}

func tests(ctx context.Context, t *testing.T, a protocol.Adapter) {
	for name, s := range map[string]protocol.Settings{"defaults": defaults(ctx, t, a), "none": {}} {
		steps, err := a.TestConnection(ctx, s, &Host{})
		if err != nil || len(steps) == 0 {
			t.Fatalf("%s: %d steps, error %v", name, len(steps), err)
		}
		for _, step := range steps {
			if step.Name == "" || step.Detail == "" || (!step.OK && step.Next == "") {
				t.Errorf("%s: step %+v leaves the reader guessing", name, step)
			}
		}
	}
}

func allOK(steps []protocol.Step) bool {
	return !slices.ContainsFunc(steps, func(s protocol.Step) bool { return !s.OK })
}

func honest(ctx context.Context, t *testing.T, a protocol.Adapter) {
	d, err := a.Describe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s, ok := a.(protocol.Server)
	if !ok {
		return
	}
	_, err = s.ServeRequest(ctx, protocol.Request{Method: "GET", Path: "/no-such-address"}, &Host{})
	var pe *protocol.Error
	unsupported := asError(err, &pe) && pe.Code == protocol.CodeUnsupported
	if remote, isRemote := a.(*protocol.Remote); isRemote && remote != nil && slices.Contains(d.Parts, "server") == unsupported {
		t.Errorf("parts %v, but serving answers %v", d.Parts, err)
	}
}
