package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/image"
	"tresor/app/job"
	"tresor/app/store"
	"tresor/plugins/protocol"
)

// The most that a request may hold besides what a job bounds itself.
const (
	maxRemote = 200  // bytes of a remote id
	maxLabel  = 1000 // bytes of a task's name
	maxTags   = 100
	maxKey    = 256      // bytes of a tag's name
	maxValue  = 4096     // bytes of a tag's value
	maxNotes  = 64 << 10 // bytes of all notes
)

// order is a request on its way to become a job.
type order struct {
	p      *party
	l      lent
	r      protocol.JobRequest
	remote string
	sum    string // of the bytes that came
	form   string // of what the plugin understood, which does not depend on their spelling; empty: nobody asks
	size   int64
	plugin string
	who    Caller

	fetched int // MiB that were fetched for it
}

// Submit asks for a job. The local decision is final: project, member, end date,
// datasets and sources are looked at here, and once more when the job starts.
func (h *host) Submit(ctx context.Context, r protocol.JobRequest) (protocol.JobState, error) {
	p, err := h.party(ctx)
	if err == nil {
		err = h.mayChange()
	}
	if err != nil {
		h.account(ctx, p, Entry{What: WhatCreate}, err)
		return protocol.JobState{}, h.fail(err)
	}
	o := order{p: p, r: r, remote: h.remoteOr(r.RemoteID), sum: h.sum, size: h.size, plugin: h.plugin, who: h.who}
	if r.RemoteID != "" {
		o.remote = r.RemoteID
	}
	st, fresh, err := h.s.accept(ctx, &o)
	h.mu.Lock()
	h.wrote, h.project = true, o.l.project.ID
	h.mu.Unlock()
	switch {
	case err != nil:
		h.s.vain.spend(p.key, h.s.Now(), o.fetched)
		h.account(ctx, p, Entry{What: WhatCreate, RemoteID: o.remote}, err)
		return protocol.JobState{}, h.fail(err)
	case !fresh:
		h.s.tally.add(Entry{Principal: p.key, Project: o.l.project.ID, Direction: In, What: WhatCreate, Outcome: Answered, Bytes: o.size}, nil)
	}
	return st, nil
}

// accept makes the job, or finds the one that the same request made before.
func (s *Service) accept(ctx context.Context, o *order) (protocol.JobState, bool, error) {
	if err := o.check(); err != nil {
		return protocol.JobState{}, false, err
	}
	if err := o.identify(); err != nil {
		return protocol.JobState{}, false, err
	}
	if st, err := s.again(ctx, s.DB.View, o); err != nil || st.ID != "" {
		return st, false, err
	}
	if o.p.barred != nil {
		return protocol.JobState{}, false, o.p.barred
	}
	var err error
	if o.l, err = o.p.in(o.r.Project); err != nil {
		return protocol.JobState{}, false, err
	}
	if err := o.l.ready(s.Now()); err != nil {
		return protocol.JobState{}, false, err
	}
	sub, err := s.submission(ctx, o)
	if err != nil {
		return protocol.JobState{}, false, err
	}
	if o.asksForTree() && s.probes.dry(o.p.key, s.Now()) {
		return protocol.JobState{}, false, refuse(CodeQuota, fault.Exhausted, "Wait some minutes, and name files that are there.", "Too many of your requests named files that are not in the project's tree.")
	}
	return s.hand(ctx, o, sub)
}

// identify names what is asked for, so that the same request is known again.
func (o *order) identify() error {
	if o.sum != "" && o.remote == "" {
		return nil
	}
	b, err := json.Marshal(o.r)
	if err != nil {
		return fault.Wrap("gateway.identify", err)
	}
	o.form = digest(b)
	if o.sum == "" {
		o.sum, o.size = o.form, int64(len(b))
	}
	return nil
}

// asksForTree reports whether a caller outside names files of the project's tree.
// Programs choose their names, so each answer whether one is there is a bit of theirs.
func (o *order) asksForTree() bool {
	if o.p.kind == Inside {
		return false
	}
	for _, in := range o.r.Inputs {
		if strings.HasPrefix(in.Source, projectTree) {
			return true
		}
	}
	return false
}

// hand gives the submission to app/job; everything of ours is in its transaction.
func (s *Service) hand(ctx context.Context, o *order, sub job.Submission) (protocol.JobState, bool, error) {
	var give func()
	sub.Also = func(tx *store.Tx, j job.Job) error {
		err := o.l.sound(j)
		if err == nil {
			err = s.running(tx, o)
		}
		if err != nil {
			return err
		}
		if give, err = s.quota(tx, o.p); err != nil {
			return err
		}
		return s.record(tx, o, j)
	}
	j, err := s.Jobs.Submit(ctx, o.l.actor, sub)
	if err == nil {
		return protocol.JobState{ID: j.ID, State: string(j.State), Project: o.l.project.Slug, Name: o.r.Name, CreatedAt: j.CreatedAt}, true, nil
	}
	if give != nil {
		give()
	}
	if o.remote != "" && store.Duplicate(err) { // another copy of the same request was faster
		if st, err := s.again(ctx, s.update, o); err != nil || st.ID != "" {
			return st, false, err
		}
	}
	if fault.KindOf(err) == fault.Internal {
		if now := s.lately(ctx, o); now != nil { // the table's own lock was faster than what we remembered
			err = now
		}
	}
	if fault.KindOf(err) == fault.NotFound && o.asksForTree() {
		s.probes.spend(o.p.key, s.Now(), 1)
	}
	return protocol.JobState{}, false, s.meaning(ctx, o, err)
}

// lately says what of the caller's rights has ended since they were last looked at. It
// looks in the writers' line: the change may not be committed yet.
func (s *Service) lately(ctx context.Context, o *order) error {
	var p *party
	err := s.update(ctx, func(tx *store.Tx) error {
		var err error
		p, err = s.meet(tx, Caller{Kind: o.who.Kind, ID: o.who.ID})
		return err
	})
	if err == nil {
		err = p.open(o.plugin)
	}
	if err == nil {
		err = p.barred
	}
	if err != nil {
		return err
	}
	l, err := p.in(o.r.Project)
	if err == nil {
		err = l.ready(s.Now())
	}
	return err
}

// meaning gives a refusal of app/job the code that callers know. Its words may name
// people; what this package says of the same does not.
func (s *Service) meaning(ctx context.Context, o *order, err error) error {
	var known *refusal
	if errors.As(err, &known) {
		return err
	}
	kind := fault.KindOf(err)
	unseen := kind == fault.NotFound && fault.Message(err) == access.NotSeen
	switch {
	case errors.Is(err, image.ErrRevoked) && o.p.machine(): // the reason was written for people of this server
		return refuse(CodeImage, fault.Conflict, "Choose another image, or ask the operator of this server.", "An image that the task names was revoked here.")
	case errors.Is(err, image.ErrRevoked):
		return coded(CodeImage, err)
	case kind == fault.Conflict, kind == fault.Denied, unseen:
		if err := s.afresh(ctx, o); err != nil {
			return err
		}
	}
	switch {
	case kind == fault.Conflict:
		return coded(CodeClosed, err)
	case kind == fault.Denied:
		return nobodyAnswers()
	case unseen: // the sponsor has just left the project
		return noProject()
	case kind == fault.NotFound: // a file that the request names
		return refuse(CodeMalformed, fault.Invalid, "Correct the request and send it again.", "%s", fault.Message(err))
	}
	return coded(codeOf(err), err)
}

// afresh looks once more, and not at what is remembered, whether the caller may send
// work to the project.
func (s *Service) afresh(ctx context.Context, o *order) error {
	s.parties.drop(Caller{Kind: o.who.Kind, ID: o.who.ID})
	p, err := s.party(ctx, o.who)
	if err != nil {
		return err
	}
	l, err := p.in(o.r.Project)
	if err != nil {
		return err
	}
	return l.ready(s.Now())
}

// running refuses a program whose job has just ended.
func (s *Service) running(tx *store.Tx, o *order) error {
	if o.p.kind != Inside {
		return nil
	}
	j, err := s.Jobs.Find(tx, o.who.ID)
	if err == nil && !j.State.Active() {
		return unknown()
	}
	return err
}

// quota counts the task under each of the party's quotas, or under none.
func (s *Service) quota(tx *store.Tx, p *party) (func(), error) {
	var all []func()
	give := func() {
		for _, g := range all {
			g()
		}
	}
	for _, c := range p.counts {
		g, err := s.counts.take(tx, c.key, c.quotas)
		if err != nil {
			give()
			return nil, err
		}
		all = append(all, g)
	}
	return give, nil
}

// again finds the task of an earlier request with the same remote id.
func (s *Service) again(ctx context.Context, look func(context.Context, func(*store.Tx) error) error, o *order) (protocol.JobState, error) {
	if o.remote == "" {
		return protocol.JobState{}, nil
	}
	var t task
	var form string
	err := look(ctx, func(tx *store.Tx) error {
		var err error
		row := tx.QueryRow(`SELECT `+taskColumns+`, form_sha256 FROM gateway_task WHERE principal = ? AND plugin = ? AND remote_id = ?`, o.p.key, o.plugin, o.remote)
		t, err = scanTask(extra{row, []any{&form}})
		return err
	})
	if store.NotFound(err) {
		return protocol.JobState{}, nil
	}
	if err != nil {
		return protocol.JobState{}, fault.Wrap("gateway.again", err)
	}
	if t.sum != o.sum && form != o.form {
		return protocol.JobState{}, refuse(CodeConflict, fault.Conflict, "Use a new id for a new request.", "The id of this request was used before for another one.")
	}
	for _, l := range o.p.lent {
		if l.project.ID == t.project {
			o.l = l
			return t.state(l.project.Slug), nil
		}
	}
	return protocol.JobState{}, noProject() // it was taken back meanwhile
}

// record writes our side of a job: the task, its tags, the ledger and the event.
func (s *Service) record(tx *store.Tx, o *order, j job.Job) error {
	var remote any
	if o.remote != "" {
		remote = o.remote
	}
	if o.r.Tags == nil {
		o.r.Tags = map[string]string{}
	}
	_, err := tx.Exec(`INSERT INTO gateway_task (id, principal, kind, plugin, project, name, state, tags, remote_id, request_sha256, form_sha256, on_behalf, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		j.ID, o.p.key, string(o.p.kind), o.plugin, j.Project, o.r.Name, string(j.State), mustJSON(o.r.Tags), remote, o.sum, o.form, j.OnBehalf, store.Millis(tx.Now()))
	if err != nil {
		return err
	}
	if o.r.Notes == nil {
		o.r.Notes = []string{}
	}
	if o.r.Document == nil {
		o.r.Document = []byte{}
	}
	if _, err := tx.Exec(`INSERT INTO gateway_document (task, document, notes) VALUES (?, ?, ?)`, j.ID, o.r.Document, mustJSON(o.r.Notes)); err != nil {
		return err
	}
	for k, v := range o.r.Tags {
		if _, err := tx.Exec(`INSERT INTO gateway_tag (key, value, task, principal, project) VALUES (?, ?, ?, ?, ?)`, k, v, j.ID, o.p.key, j.Project); err != nil {
			return err
		}
	}
	e := Entry{Principal: o.p.key, Project: j.Project, Direction: In, What: WhatCreate, RemoteID: o.remote, Task: j.ID, SHA256: o.sum, Bytes: o.size, Outcome: Accepted, Correlation: o.who.Correlation}
	if err := s.write(tx, e); err != nil {
		return err
	}
	for _, p := range j.Places {
		if p.Origin == "" {
			continue
		}
		f := Entry{Principal: o.p.key, Project: j.Project, Direction: In, What: WhatFetched, RemoteID: o.remote, Task: j.ID, SHA256: p.SHA256, Bytes: p.Size, Outcome: Accepted, Text: p.Origin, Correlation: o.who.Correlation}
		if err := s.write(tx, f); err != nil {
			return err
		}
	}
	_, err = s.Log.Append(tx, e.event(access.Actor{ID: o.l.actor.ID, Handle: o.l.actor.Handle}, o.p.via))
	tx.AfterCommit(func() { s.tally.accepted.Add(1) })
	s.announce(tx)
	return err
}

// Answered returns the task that an earlier request of a principal with this
// remote id became, through one plugin; "" when there was none.
func (s *Service) Answered(ctx context.Context, principal, plugin, remoteID string) (id string, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT id FROM gateway_task WHERE principal = ? AND plugin = ? AND remote_id = ?`, principal, plugin, remoteID).Scan(&id)
	})
	if store.NotFound(err) {
		return "", nil
	}
	return id, fault.Wrap("gateway.Answered", err)
}
