package tes_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tresor/plugins/protocol"
)

// memory is a whole host in memory: it keeps jobs, finds them again by remote id,
// filters, pages, cancels and releases, as the contract of protocol.Host says. Its
// caller may see the jobs of its own principal only.
type memory struct {
	mu        sync.Mutex
	principal string
	jobs      *[]*record // shared by the hosts of several principals
	releases  map[string]map[string]string
	now       time.Time
	refusal   error // when set, every call answers it
	most      int   // more jobs than this in one page are refused as too many; 0: none
	calls     []string
	lastQuery protocol.JobQuery
}

type record struct {
	owner string
	req   protocol.JobRequest
	state protocol.JobState
}

func newMemory() *memory {
	return &memory{principal: "p1", jobs: &[]*record{}, releases: map[string]map[string]string{}, now: time.Date(2026, 5, 4, 3, 2, 1, 500e6, time.UTC)}
}

// as is the same appliance for another principal.
func (m *memory) as(principal string) *memory {
	return &memory{principal: principal, jobs: m.jobs, releases: m.releases, now: m.now}
}

func (m *memory) enter(call string) error {
	m.calls = append(m.calls, call)
	return m.refusal
}

func refused(code, text string) error { return &protocol.Error{Code: code, Text: text} }

func (m *memory) Visible(context.Context) (protocol.Catalogue, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return protocol.Catalogue{Projects: []protocol.Named{{ID: "1", Slug: "aurora", Title: "Aurora"}}}, m.enter("visible")
}

func (m *memory) Submit(_ context.Context, r protocol.JobRequest) (protocol.JobState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("submit"); err != nil {
		return protocol.JobState{}, err
	}
	if r.Project != "" && r.Project != "aurora" {
		return protocol.JobState{}, refused(protocol.CodeDenied, "There is no such project, or you may not send work to it.")
	}
	if len(r.Document) > protocol.MaxDocument {
		return protocol.JobState{}, refused(protocol.CodeInvalid, "document too large")
	}
	for _, j := range *m.jobs {
		if r.RemoteID != "" && j.owner == m.principal && j.req.RemoteID == r.RemoteID {
			if string(j.req.Document) != string(r.Document) {
				return protocol.JobState{}, refused(protocol.CodeConflict, "Another task was sent under this key.")
			}
			return protocol.JobState{ID: j.state.ID, State: j.state.State}, nil
		}
	}
	m.now = m.now.Add(time.Second)
	s := protocol.JobState{ID: fmt.Sprintf("job-%06d", len(*m.jobs)+1), State: "queued", Project: "aurora", Name: r.Name, CreatedAt: m.now, Tags: r.Tags, Document: r.Document, Messages: slices.Clone(r.Notes)}
	*m.jobs = append(*m.jobs, &record{m.principal, r, s})
	return protocol.JobState{ID: s.ID, State: s.State}, nil
}

func (m *memory) find(id string) (*record, error) {
	for _, j := range *m.jobs {
		if j.state.ID == id && j.owner == m.principal {
			return j, nil
		}
	}
	return nil, refused(protocol.CodeNotFound, "There is no such task, or it is not yours.")
}

// move changes a job as the appliance would.
func (m *memory) move(id string, change func(*protocol.JobState)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	j, err := m.find(id)
	if err != nil {
		panic(err)
	}
	change(&j.state)
}

func shown(s protocol.JobState, v protocol.View) protocol.JobState {
	if v == protocol.Minimal {
		return protocol.JobState{ID: s.ID, State: s.State}
	}
	if v == protocol.Basic {
		s.Messages = nil
		s.Tasks = slices.Clone(s.Tasks)
		for i := range s.Tasks {
			s.Tasks[i].Stdout, s.Tasks[i].Stderr = "", ""
		}
	}
	return s
}

func (m *memory) State(_ context.Context, id string, v protocol.View) (protocol.JobState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("state"); err != nil {
		return protocol.JobState{}, err
	}
	j, err := m.find(id)
	if err != nil {
		return protocol.JobState{}, err
	}
	return shown(j.state, v), nil
}

func matches(j *record, q protocol.JobQuery) bool {
	if !strings.HasPrefix(j.req.Name, q.NamePrefix) || len(q.States) > 0 && !slices.Contains(q.States, j.state.State) {
		return false
	}
	for _, t := range q.Tags {
		if v, ok := j.req.Tags[t.Key]; !ok || !t.Any && v != t.Value {
			return false
		}
	}
	return true
}

func (m *memory) Jobs(_ context.Context, q protocol.JobQuery) (p protocol.JobPage, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lastQuery = q
	if err := m.enter("jobs"); err != nil {
		return p, err
	}
	if m.most > 0 && q.Limit > m.most {
		return p, refused(protocol.CodeExhausted, "the answer is too large")
	}
	at := len(*m.jobs)
	if q.After != "" {
		if at, err = strconv.Atoi(q.After); err != nil || at > len(*m.jobs) {
			return p, refused(protocol.CodeInvalid, "This is no page.")
		}
	}
	for at--; at >= 0; at-- {
		j := (*m.jobs)[at]
		if j.owner != m.principal || !matches(j, q) {
			continue
		}
		if len(p.Jobs) == q.Limit {
			p.Next = strconv.Itoa(at + 1)
			return p, nil
		}
		p.Jobs = append(p.Jobs, shown(j.state, q.View))
	}
	return p, nil
}

var ended = []string{"released", "completed", "rejected", "refused", "failed", "broken", "cancelled"}

func (m *memory) Cancel(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("cancel"); err != nil {
		return err
	}
	j, err := m.find(id)
	if err == nil && !slices.Contains(ended, j.state.State) {
		j.state.State, j.state.FinishedAt = "cancelled", m.now
	}
	return err
}

func (m *memory) ReadRelease(_ context.Context, id string, offset int64) (protocol.Chunk, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("read-release"); err != nil {
		return protocol.Chunk{}, err
	}
	files, ok := m.releases[id]
	if !ok {
		return protocol.Chunk{}, refused(protocol.CodeNotFound, "There is no such release, or it is not yours.")
	}
	all, _ := json.Marshal(files)
	return protocol.Chunk{Data: all[min(offset, int64(len(all))):], Total: int64(len(all))}, nil
}

func (m *memory) Fetch(context.Context, protocol.Request) (protocol.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return protocol.Response{}, m.enter("fetch")
}

func (m *memory) Health(context.Context, protocol.Health) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.enter("health")
}

func (m *memory) Audit(context.Context, string, map[string]string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.enter("audit")
}

func (m *memory) last() protocol.JobRequest {
	m.mu.Lock()
	defer m.mu.Unlock()
	return (*m.jobs)[len(*m.jobs)-1].req
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(*m.jobs)
}

var _ protocol.Host = (*memory)(nil)
