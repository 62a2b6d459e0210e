package gateway

import (
	"context"
	"encoding/json"
	"time"

	"tresor/app/fault"
	"tresor/app/job"
	"tresor/app/output"
	"tresor/app/release"
	"tresor/app/store"
	"tresor/plugins/protocol"
)

// streamEnd is how much of what a program wrote a caller inside is shown.
const streamEnd = 64 << 10

// State answers one task of this caller, as much of it as view says.
func (h *host) State(ctx context.Context, id string, view protocol.View) (protocol.JobState, error) {
	p, err := h.party(ctx)
	if err != nil {
		return protocol.JobState{}, h.fail(err)
	}
	var st protocol.JobState
	err = h.s.DB.View(ctx, func(tx *store.Tx) error {
		t, err := h.s.mineTx(tx, p, h.plugin, id)
		if err != nil {
			return err
		}
		slug, _ := p.slug(t.project)
		st, err = h.s.view(tx, p, t, slug, view)
		return err
	})
	if err == nil && view == protocol.Full && p.kind == Inside {
		h.s.streams(ctx, &st)
	}
	return st, h.fail(err)
}

// view builds a task's state. Minimal needs no more than the row.
func (s *Service) view(tx *store.Tx, p *party, t task, slug string, view protocol.View) (protocol.JobState, error) {
	if view == protocol.Minimal {
		return protocol.JobState{ID: t.id, State: t.rawState}, nil
	}
	st := t.state(slug)
	if err := json.Unmarshal([]byte(t.tags), &st.Tags); err != nil {
		return st, fault.Wrap("gateway.view", err)
	}
	var notes string
	if err := tx.QueryRow(`SELECT document, notes FROM gateway_document WHERE task = ?`, t.id).Scan(&st.Document, &notes); err != nil {
		return st, fault.Wrap("gateway.view", err)
	}
	j := job.Job{State: job.State(t.rawState)}
	if !waits(t.rawState) || view == protocol.Full && j.State == job.Submitted { // otherwise nothing has begun: the job has no more to say
		var err error
		if j, err = s.Jobs.Brief(tx, t.id); err != nil {
			return st, err
		}
	} else if view == protocol.Full {
		j.Reason = s.Jobs.WaitsFor(t.id)
	}
	st.StartedAt, st.FinishedAt = at(j.StartedAt), at(j.FinishedAt)
	if !j.State.Terminal() && j.State != job.Held {
		st.FinishedAt = time.Time{}
	}
	st.Tasks = ended(j)
	if p.machine() {
		blunt(&st, j.State)
	}
	if err := s.outputs(tx, p, &st, j); err != nil {
		return st, err
	}
	if view == protocol.Full {
		if err := json.Unmarshal([]byte(notes), &st.Messages); err != nil {
			return st, fault.Wrap("gateway.view", err)
		}
		st.Messages = append(st.Messages, messages(p, t, j)...)
	}
	return st, nil
}

func waits(state string) bool {
	switch job.State(state) {
	case job.Submitted, job.Approved, job.Queued:
		return true
	}
	return false
}

func at(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// ended lists the tasks that ran to an end, in order.
func ended(j job.Job) []protocol.TaskState {
	var list []protocol.TaskState
	for _, t := range j.Tasks {
		if t.FinishedAt == nil || t.ExitCode == nil {
			break
		}
		list = append(list, protocol.TaskState{ExitCode: *t.ExitCode, StartedAt: at(t.StartedAt), FinishedAt: at(t.FinishedAt)})
	}
	return list
}

// blunt takes from a state what a program could write bits into for a machine outside: the
// digits of exit codes, when each command ended, and all but the minute of the whole end.
// Commands are shown together when the last is over, so that nobody can watch them either.
func blunt(st *protocol.JobState, state job.State) {
	if !state.Terminal() && state != job.Held {
		st.Tasks = nil
	}
	for i, t := range st.Tasks {
		if st.Tasks[i] = (protocol.TaskState{}); t.ExitCode != 0 {
			st.Tasks[i].ExitCode = 1
		}
	}
	st.StartedAt = st.StartedAt.Truncate(time.Second)
	if st.FinishedAt = st.FinishedAt.Truncate(time.Minute); !state.Terminal() {
		st.FinishedAt = time.Time{}
	} else if st.FinishedAt.Before(st.StartedAt) {
		st.FinishedAt = st.StartedAt
	}
}

// outputs lists files that are where they were asked for: in the project's tree, or
// in a release. What is held has no name, no size and no hash outside; what is in the
// tree has none either, beyond the very path that the caller asked for, because a
// program could write what it has read into a name or a size.
func (s *Service) outputs(tx *store.Tx, p *party, st *protocol.JobState, j job.Job) error {
	var r release.Release
	if j.State == job.Released {
		var err error
		if r, err = s.Releases.OfJob(tx, j.ID); err != nil {
			return err
		}
		st.Release = r.ID
	} else if !j.State.Terminal() && j.State != job.Held {
		return nil
	}
	found, err := s.Jobs.OutputsOf(tx, j.ID)
	if err != nil {
		return err
	}
	for _, f := range found {
		o, ok, err := s.file(tx, f, r)
		if err != nil {
			return err
		}
		if ok && o.Release == "" && p.kind != Inside {
			o, ok = asked(o, j.Wants)
		}
		if ok {
			st.Outputs = append(st.Outputs, o)
		}
	}
	return nil
}

// asked is a file of the tree as callers outside see it: in their own words.
func asked(o protocol.OutputFile, wants []job.WantInfo) (protocol.OutputFile, bool) {
	for _, w := range wants {
		if !w.Directory && w.Prefix == "" && w.Path == o.Path && w.Target == o.Target {
			return protocol.OutputFile{Path: w.Path, Target: w.Target}, true
		}
	}
	return o, false
}

// file is one output as a caller may know it; false for what is still held.
func (s *Service) file(tx *store.Tx, f job.Found, r release.Release) (protocol.OutputFile, bool, error) {
	if f.Tree {
		return protocol.OutputFile{Path: f.Path, Target: f.Target, Size: f.Size, SHA256: f.SHA256}, true, nil
	}
	if r.ID == "" || f.State != output.Released {
		return protocol.OutputFile{}, false, nil
	}
	rf, err := s.released(tx, f, r)
	if err != nil || rf.Path == "" {
		return protocol.OutputFile{}, false, err
	}
	return protocol.OutputFile{Path: f.Path, Target: f.Target, Size: rf.Size, SHA256: rf.SHA256, Release: r.ID}, true, nil
}

// released finds the output in the release, as it was reviewed.
func (s *Service) released(tx *store.Tx, f job.Found, r release.Release) (release.File, error) {
	o, err := s.Outputs.Get(tx, f.Output)
	if err != nil {
		return release.File{}, err
	}
	for _, rf := range r.Files {
		if rf.Path == o.Path {
			return rf, nil
		}
	}
	return release.File{}, nil
}

// streams adds the end of what each task wrote; for callers inside only.
func (s *Service) streams(ctx context.Context, st *protocol.JobState) {
	for i := range st.Tasks {
		for _, x := range []struct {
			to  *string
			err bool
		}{{&st.Tasks[i].Stdout, false}, {&st.Tasks[i].Stderr, true}} {
			text, err := s.Jobs.TaskOutput(ctx, st.ID, i, x.err, streamEnd)
			if err != nil {
				s.Logger.Warn("gateway: reading what a task wrote", "job", st.ID, "err", err)
				continue
			}
			*x.to = text
		}
	}
}
