package job

import (
	"context"
	"strings"
	"unicode/utf8"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

// Approve lets a job run that waits for a decision. Errors: Conflict when it does
// not wait, Denied for its submitter and everybody who is not its lead or a steward.
func (s *Service) Approve(ctx context.Context, actor access.Actor, id, reason string) (Job, error) {
	return s.change(ctx, "job.Approve", actor, access.JobDecide, id, func(tx *store.Tx, j *Job) error {
		if j.State != Submitted {
			return fault.New("job.Approve", fault.Conflict, "The job is %s and does not wait for a decision.", j.State)
		}
		if j.WaitingImage != "" {
			return fault.New("job.Approve", fault.Conflict, "The job waits for the image %s. An operator has to approve that first; then the job can be decided about.", clip(j.WaitingImage))
		}
		if err := checkReason("job.Approve", reason, false); err != nil {
			return err
		}
		if err := s.Projects.Open(tx, j.Project); err != nil {
			return err
		}
		if err := s.pass(tx, j, step{to: Approved, by: actor, why: folded(reason), detail: []string{"mode", "person"}}); err != nil {
			return err
		}
		e := j.entry()
		tx.AfterCommit(func() { s.sched.add(e) })
		return nil
	})
}

// Refuse ends a job that waits for a decision; the reason is shown to its submitter.
func (s *Service) Refuse(ctx context.Context, actor access.Actor, id, reason string) (Job, error) {
	return s.change(ctx, "job.Refuse", actor, access.JobDecide, id, func(tx *store.Tx, j *Job) error {
		if j.State != Submitted {
			return fault.New("job.Refuse", fault.Conflict, "The job is %s and does not wait for a decision. Cancel it instead.", j.State)
		}
		if err := checkReason("job.Refuse", reason, true); err != nil {
			return err
		}
		return s.move(tx, j, step{to: Refused, by: actor, reason: actor.Name + " refused it: " + strings.TrimSpace(reason),
			next: "Change what the reason names and submit it again.", why: folded(reason)})
	})
}

// Cancel stops a job. One that waits ends at once. One that runs is told to stop
// and ends as cancelled when its container has: the returned job says Cancelling. One
// whose outputs are held ends with the request for their release, unless that is
// approved. Asking again is no error. Errors: Conflict when the job has ended already,
// or its outputs are approved for release.
func (s *Service) Cancel(ctx context.Context, actor access.Actor, id, reason string) (Job, error) {
	return s.change(ctx, "job.Cancel", actor, access.JobCancel, id, func(tx *store.Tx, j *Job) error {
		if err := checkReason("job.Cancel", reason, false); err != nil {
			return err
		}
		switch {
		case j.State == Cancelled:
			return nil
		case j.State.waits():
			tx.AfterCommit(func() { s.sched.remove(id) })
			return s.move(tx, j, cancelStep(actor, reason))
		case j.State.Active():
			return s.askToStop(tx, j, actor, reason)
		case j.State == Held:
			return s.giveUp(tx, j, actor, reason)
		}
		return fault.New("job.Cancel", fault.Conflict, "The job has ended already: it is %s.", j.State)
	})
}

// giveUp ends a held job: its outputs stay inside for good, and the request for their
// release is taken back in the same transaction.
func (s *Service) giveUp(tx *store.Tx, j *Job, actor access.Actor, reason string) error {
	st := cancelStep(actor, reason)
	if j.AirlockRequest != "" {
		if s.TakeBack == nil {
			return fault.New("job.Cancel", fault.Conflict, "The outputs are in a request for their release. Withdraw that first.")
		}
		if err := s.TakeBack(tx, j.AirlockRequest, actor); err != nil {
			return err
		}
		st.detail = []string{"request", j.AirlockRequest}
	}
	return s.move(tx, j, st)
}

// askToStop records the wish, so that it holds across a crash, and wakes the goroutine that runs the job.
func (s *Service) askToStop(tx *store.Tx, j *Job, actor access.Actor, reason string) error {
	if j.Cancelling {
		return nil
	}
	by := canceled{actor.ID, actor.Handle, actor.Name, actor.Via, actor.Session}
	if _, err := tx.Exec(`UPDATE job SET cancel_actor = ?, cancel_reason = ? WHERE id = ?`, mustJSON(by), strings.TrimSpace(reason), j.ID); err != nil {
		return fault.Wrap("job.Cancel", err)
	}
	if _, err := s.Log.Append(tx, audit.By(actor, "job.stopped", Subject(j.ID), j.Project, "state", string(j.State)).Because(folded(reason))); err != nil {
		return fault.Wrap("job.Cancel", err)
	}
	j.Cancelling, j.cancelBy, j.cancelReason = true, actor, strings.TrimSpace(reason)
	s.publish(tx, *j)
	tx.AfterCommit(func() { s.stop(j.ID, actor, reason) })
	return nil
}

func cancelStep(by access.Actor, reason string) step {
	text := by.Name + " cancelled it."
	if r := strings.TrimSpace(reason); r != "" {
		text = by.Name + " cancelled it: " + r
	}
	return step{to: Cancelled, by: by, reason: text, next: "Submit it again when it is wanted after all.", why: folded(reason)}
}

// change loads a job, asks whether the actor may, and does one thing to it.
func (s *Service) change(ctx context.Context, op string, actor access.Actor, action access.Action, id string, do func(*store.Tx, *Job) error) (Job, error) {
	var j Job
	err := s.update(ctx, func(tx *store.Tx) error {
		var err error
		if j, err = load(tx, id); err != nil {
			return err
		}
		if err := access.May(actor, action, j.thing()); err != nil {
			return err
		}
		if err := do(tx, &j); err != nil {
			return err
		}
		return s.complete(tx, &j)
	})
	if err != nil {
		s.doubt(err)
		return Job{}, fault.Wrap(op, err)
	}
	return s.shown(ctx, actor, j), nil
}

const maxReason = 500 // characters

// folded is a reason that checkReason has passed, in one line.
func folded(reason string) string { return strings.Join(strings.Fields(reason), " ") }

func checkReason(op, reason string, needed bool) error {
	switch reason = strings.TrimSpace(reason); {
	case needed && reason == "":
		return fault.New(op, fault.Invalid, "Give a reason, so that the submitter knows what to change.")
	case utf8.RuneCountInString(reason) > maxReason:
		return fault.New(op, fault.Invalid, "The reason is longer than %d characters. Shorten it.", maxReason)
	case unreadable(reason, true):
		return fault.New(op, fault.Invalid, "The reason holds control or invisible characters. Remove them.")
	}
	return nil
}
