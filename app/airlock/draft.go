package airlock

import (
	"context"
	"path"
	"strings"
	"unicode/utf8"

	"tresor/app/access"
	"tresor/app/airlock/check"
	"tresor/app/fault"
	"tresor/app/job"
	"tresor/app/output"
	"tresor/app/store"
)

// Text is what the requester writes; all of it but Exception is needed to submit.
type Text struct {
	Title      string   `json:"title"`
	Context    string   `json:"context"`    // what the files show and why they are safe
	Population string   `json:"population"` // who is counted, and how many
	Controls   string   `json:"controls"`   // disclosure controls applied
	Exception  string   `json:"exception"`  // why it should leave despite findings that block
	Outputs    []string `json:"outputs"`    // ids of outputs; none: all of the job
}

// Edits changes a draft or a returned request; nil fields stay.
type Edits struct {
	Title      *string  `json:"title"`
	Context    *string  `json:"context"`
	Population *string  `json:"population"`
	Controls   *string  `json:"controls"`
	Exception  *string  `json:"exception"`
	Outputs    []string `json:"outputs"` // nil: keep
}

const (
	maxTitle = 200  // characters
	maxText  = 5000 // characters
)

// Draft starts a request for outputs of a held job and checks them at once, so
// that the requester sees what the reviewers will ask. Errors: Conflict when the
// job is not held or has an open request, Invalid for texts and outputs.
func (s *Service) Draft(ctx context.Context, actor access.Actor, job string, t Text) (Request, error) {
	const op = "airlock.Draft"
	var id string
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		j, err := s.Jobs.Lookup(tx, job)
		if err != nil {
			return err
		}
		if err := access.May(actor, access.AirlockCreate, access.Thing{Project: j.Project}); err != nil {
			return err
		}
		r, items, err := s.start(tx, j, t)
		if err != nil {
			return err
		}
		r.ID, r.Requester, id = s.IDs(), personOf(actor), ""
		if err := insertRequest(tx, r); err != nil {
			return err
		}
		if err := putItems(tx, r.ID, 1, items); err != nil {
			return err
		}
		if err := s.Jobs.LinkRequest(tx, j.ID, r.ID); err != nil {
			return err
		}
		id = r.ID
		s.announce(tx, Request{ID: r.ID, Project: r.Project, State: Draft})
		_, err = s.note(tx, actor, "airlock.drafted", r, "job", j.ID)
		return err
	})
	if err != nil {
		return Request{}, fault.Wrap(op, err)
	}
	if err := s.preview(ctx, actor, id); err != nil {
		return Request{}, fault.Wrap(op, err)
	}
	return s.Get(ctx, actor, id)
}

func (s *Service) start(tx *store.Tx, j job.Job, t Text) (Request, []Item, error) {
	const op = "airlock.Draft"
	if j.State != job.Held {
		return Request{}, nil, fault.New(op, fault.Conflict, "The job is %s. Only the outputs of a held job can be sent to review.", j.State)
	}
	var open string
	err := tx.QueryRow(`SELECT id FROM airlock_request WHERE job = ? AND state NOT IN ('rejected', 'released', 'withdrawn') LIMIT 1`, j.ID).Scan(&open)
	if err == nil {
		return Request{}, nil, fault.New(op, fault.Conflict, "The job already has an open request. Change that one, or withdraw it first.")
	} else if !store.NotFound(err) {
		return Request{}, nil, err
	}
	if strings.TrimSpace(t.Title) == "" {
		t.Title = clip(j.Name, maxTitle)
	}
	r := Request{Project: j.Project, Job: j.ID, JobName: j.Name, producer: j.Submitter.ID,
		Title: t.Title, Context: t.Context, Population: t.Population, Controls: t.Controls, Exception: t.Exception}
	if err := r.cleanTexts(op); err != nil {
		return r, nil, err
	}
	items, err := s.choose(tx, j.ID, t.Outputs)
	return r, items, err
}

func (r *Request) cleanTexts(op string) error {
	for _, t := range []struct {
		what string
		text *string
		max  int
	}{{"title", &r.Title, maxTitle}, {"context", &r.Context, maxText}, {"population", &r.Population, maxText}, {"controls", &r.Controls, maxText}, {"exception", &r.Exception, maxText}} {
		*t.text = strings.TrimSpace(*t.text)
		if !utf8.ValidString(*t.text) || utf8.RuneCountInString(*t.text) > t.max {
			return fault.New(op, fault.Invalid, "The %s is longer than %d characters. Shorten it.", t.what, t.max)
		}
	}
	if r.Title == "" {
		return fault.New(op, fault.Invalid, "The request has no title. Say in a few words what the files show.")
	}
	return nil
}

// choose makes items of the chosen outputs of a job; all of them when ids is empty.
func (s *Service) choose(tx *store.Tx, job string, ids []string) ([]Item, error) {
	const op = "airlock.choose"
	all, err := s.Outputs.ListByJob(tx, job)
	if err != nil {
		return nil, err
	}
	want := map[string]bool{}
	for _, id := range ids {
		want[id] = true
	}
	list := []Item{}
	for _, o := range all {
		if len(ids) > 0 && !want[o.ID] {
			continue
		}
		delete(want, o.ID)
		if o.State == output.Erased || o.State == output.Released {
			if len(ids) == 0 {
				continue
			}
			return nil, fault.New(op, fault.Conflict, "The output %s is %s. Leave it out of the request.", o.Path, o.State)
		}
		list = append(list, s.itemOf(o))
	}
	if len(want) > 0 {
		return nil, fault.New(op, fault.Invalid, "%d of the chosen outputs do not belong to this job. Choose from the job's own outputs.", len(want))
	}
	if len(list) == 0 {
		return nil, fault.New(op, fault.Invalid, "The job has no output that could be sent to review.")
	}
	return list, nil
}

func (s *Service) itemOf(o output.Output) Item {
	return Item{ID: s.IDs(), Output: o.ID, Path: path.Clean(o.Path), SourceSHA256: o.SHA256, SHA256: o.SHA256, Size: o.Size,
		Kind: check.KindOf(o.Path), Rows: int(o.Rows), Cols: o.Cols, Findings: []check.Finding{}}
}

// Edit changes a draft or a returned request. Errors: Conflict in other states.
func (s *Service) Edit(ctx context.Context, actor access.Actor, id string, e Edits) (Request, error) {
	const op = "airlock.Edit"
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		r, err := s.allowed(tx, actor, access.AirlockEdit, id)
		if err != nil {
			return err
		}
		if !r.State.Editable() {
			return fault.New(op, fault.Conflict, "The request is %s and its files are fixed. Withdraw it to start anew.", r.State)
		}
		return s.edit(tx, actor, r, e)
	})
	if err != nil {
		return Request{}, fault.Wrap(op, err)
	}
	if e.Outputs != nil {
		if err := s.preview(ctx, actor, id); err != nil {
			return Request{}, fault.Wrap(op, err)
		}
	}
	return s.Get(ctx, actor, id)
}

func (s *Service) edit(tx *store.Tx, actor access.Actor, r Request, e Edits) error {
	for to, from := range map[*string]*string{&r.Title: e.Title, &r.Context: e.Context, &r.Population: e.Population, &r.Controls: e.Controls, &r.Exception: e.Exception} {
		if from != nil {
			*to = *from
		}
	}
	if err := r.cleanTexts("airlock.Edit"); err != nil {
		return err
	}
	if e.Outputs != nil {
		items, err := s.choose(tx, r.Job, e.Outputs)
		if err != nil {
			return err
		}
		if err := putItems(tx, r.ID, r.pending(), items); err != nil {
			return err
		}
	}
	_, err := tx.Exec(`UPDATE airlock_request SET title = ?, context = ?, population = ?, controls = ?, exception = ?, edits = edits + 1 WHERE id = ?`,
		r.Title, r.Context, r.Population, r.Controls, r.Exception, r.ID)
	if err != nil {
		return err
	}
	s.announce(tx, r)
	_, err = s.note(tx, actor, "airlock.edited", r)
	return err
}

// allowed loads a request and asks whether the actor may do action to it. A
// draft exists only for the members of its project.
func (s *Service) allowed(tx *store.Tx, actor access.Actor, action access.Action, id string) (Request, error) {
	r, err := find(tx, id)
	if err != nil {
		return r, err
	}
	if r.Round == 0 && actor.In(r.Project) == "" && !actor.IsSystem() {
		return r, fault.New("airlock.allowed", fault.NotFound, access.NotSeen)
	}
	return r, access.May(actor, action, r.thing())
}

func clip(text string, max int) string {
	if r := []rune(text); len(r) > max {
		return string(r[:max])
	}
	return text
}
