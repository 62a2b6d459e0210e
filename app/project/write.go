package project

import (
	"context"
	"strconv"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

// Create makes an open project without members. A taken slug is fault.Conflict.
func (s *Service) Create(ctx context.Context, actor access.Actor, d Draft) (Project, error) {
	const op = "project.Create"
	d.complete()
	if err := mayCreate(actor, d); err != nil {
		return Project{}, err
	}
	var made Project
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		p := Project{ID: s.ids(), Slug: d.Slug, Name: d.Name, Purpose: d.Purpose, State: Active, EndsAt: d.EndsAt, Approval: d.Approval,
			Threshold: d.Threshold, Reviewers: d.Reviewers, Reason: d.Reason, CreatedAt: tx.Now(), CreatedBy: actor.ID}
		p.Waiver = waiver(d.Reviewers, d.Reason, d.WaiverUntil)
		if err := checkEnd(op, p.EndsAt, tx.Now()); err != nil {
			return err
		}
		if err := p.check(op, tx.Now()); err != nil {
			return err
		}
		if err := insert(tx, p); err != nil {
			return err
		}
		if err := s.note(tx, actor, "project.created", p.ID, p.facts()...); err != nil {
			return err
		}
		var err error
		made, err = s.Lookup(tx, p.ID)
		return err
	})
	return made, fault.Wrap(op, err)
}

func mayCreate(actor access.Actor, d Draft) error {
	if err := access.May(actor, access.ProjectCreate, access.Thing{}); err != nil || d.standard() {
		return err
	}
	return access.May(actor, access.ProjectPolicy, access.Thing{})
}

func waiver(reviewers int, reason string, until *time.Time) *Waiver {
	if reviewers >= DefaultReviewers {
		return nil
	}
	w := &Waiver{Reviewers: reviewers, Reason: reason}
	if until != nil {
		w.Until = until.UTC()
	}
	return w
}

// facts is the part of a project that the audit log keeps: no free text.
func (p Project) facts() []string {
	kv := []string{"state", string(p.State), "approval", string(p.Approval),
		"threshold", strconv.Itoa(p.Threshold), "reviewers", strconv.Itoa(p.Reviewers)}
	if p.EndsAt != nil {
		kv = append(kv, "ends_at", p.EndsAt.UTC().Format(time.RFC3339))
	}
	if p.Waiver != nil {
		kv = append(kv, "waiver_until", p.Waiver.Until.UTC().Format(time.RFC3339))
	}
	return kv
}

func (s *Service) note(tx *store.Tx, actor access.Actor, verb, project string, kv ...string) error {
	_, err := s.log.Append(tx, audit.By(actor, verb, Subject(project), project, kv...))
	return err
}

// noteWhy is note with a person's reason.
func (s *Service) noteWhy(tx *store.Tx, actor access.Actor, reason, verb, project string, kv ...string) error {
	_, err := s.log.Append(tx, audit.By(actor, verb, Subject(project), project, kv...).Because(reason))
	return err
}

// Change changes what c names. Facts and state need project.change, the policy
// needs project.policy. Closing, reopening and weakening need a reason.
func (s *Service) Change(ctx context.Context, actor access.Actor, idOrSlug string, c Change) (Project, error) {
	const op = "project.Change"
	var now Project
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		was, err := s.visible(tx, actor, idOrSlug)
		if err != nil {
			return err
		}
		if err := mayChange(op, actor, was.ID, c); err != nil {
			return err
		}
		next, err := apply(op, was, c, tx.Now())
		if err != nil {
			return err
		}
		if err := update(tx, next); err != nil {
			return err
		}
		if err := s.noteWhy(tx, actor, strings.TrimSpace(c.Reason), verb(was, next, c), was.ID, next.facts()...); err != nil {
			return err
		}
		now, err = s.Lookup(tx, was.ID)
		return err
	})
	return now, fault.Wrap(op, err)
}

func mayChange(op string, actor access.Actor, id string, c Change) error {
	thing := access.Thing{Project: id}
	if !c.facts() && !c.policy() {
		return invalid(op, "Nothing to change was given.")
	}
	if c.facts() {
		if err := access.May(actor, access.ProjectChange, thing); err != nil {
			return err
		}
	}
	if c.policy() {
		return access.May(actor, access.ProjectPolicy, thing)
	}
	return nil
}

func verb(was, next Project, c Change) string {
	switch {
	case was.State != next.State && next.State == Closed:
		return "project.closed"
	case was.State != next.State:
		return "project.reopened"
	case c.policy():
		return "project.policy-changed"
	}
	return "project.changed"
}

// apply returns the project after the change, or why it must not be.
func apply(op string, p Project, c Change, now time.Time) (Project, error) {
	set(&p.Name, c.Name)
	set(&p.Purpose, c.Purpose)
	if c.NoEnd {
		p.EndsAt = nil
	}
	if c.EndsAt != nil {
		p.EndsAt = c.EndsAt
	}
	if err := checkEnd(op, c.EndsAt, now); err != nil {
		return p, err
	}
	if err := applyState(op, &p, c, now); err != nil {
		return p, err
	}
	if c.policy() {
		applyPolicy(&p, c)
		return p, p.check(op, now)
	}
	return p, p.checkFacts(op)
}

func (p Project) checkFacts(op string) error {
	if err := checkText(op, "name", p.Name, 200); err != nil {
		return err
	}
	return checkText(op, "purpose", p.Purpose, maxText)
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func applyState(op string, p *Project, c Change, now time.Time) error {
	if c.State == nil || *c.State == p.State {
		return nil
	}
	if *c.State != Active && *c.State != Closed {
		return invalid(op, "%q is not a state of a project. Choose open or closed.", *c.State)
	}
	if *c.State == Active && p.EndsAt != nil && !p.EndsAt.After(now) {
		return fault.New(op, fault.Conflict, "The end date of this project has passed. Give it a later ends_at in the same change to reopen it.")
	}
	if err := checkText(op, "reason", c.Reason, maxText); err != nil {
		return err
	}
	p.State, p.Reason = *c.State, c.Reason
	return nil
}

func applyPolicy(p *Project, c Change) {
	set(&p.Approval, c.Approval)
	set(&p.Threshold, c.Threshold)
	if strings.TrimSpace(c.Reason) != "" {
		p.Reason = c.Reason
	}
	if c.Reviewers == nil && c.WaiverUntil == nil {
		if p.Waiver != nil && !p.Waiver.Expired {
			p.Reviewers = p.Waiver.Reviewers
		}
		return
	}
	set(&p.Reviewers, c.Reviewers)
	if c.Reviewers == nil && p.Waiver != nil {
		p.Reviewers = p.Waiver.Reviewers // extending a waiver
	}
	p.Waiver = waiver(p.Reviewers, c.Reason, c.WaiverUntil)
}
