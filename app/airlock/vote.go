package airlock

import (
	"context"
	"strings"
	"unicode/utf8"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/output"
	"tresor/app/store"
)

// Vote records one reviewer's decision on the current round and, with the last
// vote, decides it. Reject and change need a comment. Errors: Denied for
// requesters, members and whoever is no checker; Conflict when the request is
// not under review, the actor has voted already, or wants to approve without
// having looked at every file.
func (s *Service) Vote(ctx context.Context, actor access.Actor, id, decision, comment string) (Request, error) {
	const op = "airlock.Vote"
	comment = strings.TrimSpace(comment)
	if err := checkVote(op, decision, comment); err != nil {
		return Request{}, err
	}
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		r, err := s.allowed(tx, actor, access.AirlockReview, id)
		if err != nil {
			return err
		}
		if !r.State.UnderReview() {
			return fault.New(op, fault.Conflict, "The request is %s, so there is nothing to vote on. Reload the page to see where it stands.", r.State)
		}
		if err := s.mayVote(tx, r, actor, decision); err != nil {
			return err
		}
		return s.vote(tx, r, actor, decision, comment)
	})
	if err != nil {
		return Request{}, fault.Wrap(op, err)
	}
	return s.Get(ctx, actor, id)
}

func checkVote(op, decision, comment string) error {
	switch {
	case decision != Approve && decision != Reject && decision != Change:
		return fault.New(op, fault.Invalid, "%q is not a vote. Choose approve, reject or change.", clip(decision, 20))
	case decision != Approve && comment == "":
		return fault.New(op, fault.Invalid, "A vote to reject or to change needs a comment that says why.")
	case !utf8.ValidString(comment) || utf8.RuneCountInString(comment) > maxText:
		return fault.New(op, fault.Invalid, "The comment is longer than %d characters. Shorten it.", maxText)
	}
	return nil
}

func (s *Service) mayVote(tx *store.Tx, r Request, actor access.Actor, decision string) error {
	const op = "airlock.Vote"
	var voted, unseen int
	err := tx.QueryRow(`SELECT count(*) FROM airlock_review WHERE request = ? AND round = ? AND reviewer = ?`, r.ID, r.Round, actor.ID).Scan(&voted)
	if err != nil {
		return err
	}
	if voted > 0 {
		return fault.New(op, fault.Conflict, "You have voted on this round. A vote cannot be changed.")
	}
	err = tx.QueryRow(`SELECT count(*) FROM airlock_item i WHERE i.request = ? AND i.round = ?
 AND NOT EXISTS (SELECT 1 FROM airlock_seen s WHERE s.item = i.id AND s.person = ? AND s.sha256 = i.sha256)`, r.ID, r.Round, actor.ID).Scan(&unseen)
	if err != nil {
		return err
	}
	if decision == Approve && unseen > 0 {
		return fault.New(op, fault.Conflict, "You have not looked at %d of the files. Open each of them before you approve.", unseen)
	}
	return nil
}

func (s *Service) vote(tx *store.Tx, r Request, actor access.Actor, decision, comment string) error {
	row, err := findRound(tx, r.ID, r.Round)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO airlock_review (id, request, round, reviewer, reviewer_handle, reviewer_name, decision, comment, manifest_sha256, rules_sha256, findings_sha256, voted_at)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, s.IDs(), r.ID, r.Round, actor.ID, actor.Handle, actor.Name, decision, comment, row.manifestSHA, row.rulesSHA, row.findingsSHA, store.Millis(tx.Now()))
	if err != nil {
		return err
	}
	// What was decided stands in the event that ends the round: until then
	// nobody learns it, not even from the audit log.
	if _, err := s.note(tx, actor, "airlock.voted", r, "round", itoa(r.Round), "manifest", row.manifestSHA, "rules", row.rulesSHA, "findings", row.findingsSHA); err != nil {
		return err
	}
	votes, err := reviewsOf(tx, r.ID)
	if err != nil {
		return err
	}
	return s.decide(tx, r, row, actor, votes)
}

// decide moves the request on when the round has all its votes.
func (s *Service) decide(tx *store.Tx, r Request, row roundRow, actor access.Actor, all []Review) error {
	var decisions, said []string
	for _, v := range all {
		if v.Round == r.Round {
			decisions = append(decisions, v.Decision)
			said = append(said, v.Reviewer.Handle+":"+v.Decision)
		}
	}
	to := outcome(decisions, row.needed)
	if to == "" {
		if r.State == InReview {
			return nil
		}
		to = InReview
	}
	seq, err := s.move(tx, &r, to, actor, "round", itoa(r.Round), "manifest", row.manifestSHA, "rules", row.rulesSHA, "findings", row.findingsSHA,
		"votes", strings.Join(said, " "), "needed", itoa(row.needed))
	if err != nil {
		return err
	}
	switch to {
	case Approved:
		_, err = tx.Exec(`UPDATE airlock_request SET approved_seq = ? WHERE id = ?`, seq, r.ID)
	case Returned:
		err = s.nextRound(tx, r)
	case Rejected:
		if err = s.letGo(tx, r); err == nil {
			err = s.Jobs.MarkRejected(tx, r.Job, actor)
		}
	}
	return err
}

// nextRound copies the files of a returned request for the requester to change.
func (s *Service) nextRound(tx *store.Tx, r Request) error {
	items, err := itemsOf(tx, r.ID, r.Round)
	if err != nil {
		return err
	}
	for i := range items {
		o, err := s.Outputs.Get(tx, items[i].Output)
		if err != nil {
			return err
		}
		findings := items[i].Findings
		items[i] = s.itemOf(o)
		items[i].Findings = findings
	}
	return putItems(tx, r.ID, r.pending(), items)
}

// letGo gives the files of a request back that ends without a release.
func (s *Service) letGo(tx *store.Tx, r Request) error {
	items, err := itemsOf(tx, r.ID, r.Round)
	if err != nil {
		return err
	}
	for _, it := range items {
		o, err := s.Outputs.Get(tx, it.Output)
		if err != nil {
			return err
		}
		if o.State == output.Requested {
			if err := s.Outputs.MarkState(tx, output.Held, o.ID); err != nil {
				return err
			}
		}
	}
	return unpin(tx, r.ID)
}

// Withdraw takes a request back, at any time before its release. The job stays
// held and its outputs can be asked for again.
func (s *Service) Withdraw(ctx context.Context, actor access.Actor, id string) (Request, error) {
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		r, err := s.allowed(tx, actor, access.AirlockWithdraw, id)
		if err != nil {
			return err
		}
		if _, err := s.move(tx, &r, Withdrawn, actor, "round", itoa(r.Round)); err != nil {
			return err
		}
		if err := s.letGo(tx, r); err != nil {
			return err
		}
		return s.Jobs.LinkRequest(tx, r.Job, "")
	})
	if err != nil {
		return Request{}, fault.Wrap("airlock.Withdraw", err)
	}
	return s.Get(ctx, actor, id)
}

// TakeBack withdraws a request because its job is cancelled, in the transaction that
// cancels the job; job.Deps.TakeBack. It asks nobody: whoever may cancel the job may do
// this. Errors: Conflict for a request that is approved or over.
func (s *Service) TakeBack(tx *store.Tx, id string, by access.Actor) error {
	const op = "airlock.TakeBack"
	r, err := find(tx, id)
	if err != nil {
		return fault.Wrap(op, err)
	}
	if r.State == Approved || r.State.Terminal() {
		return fault.New(op, fault.Conflict, "The outputs are %s, so the job cannot be cancelled any more. A member of the project can still withdraw an approved request.", r.State)
	}
	if _, err := s.move(tx, &r, Withdrawn, by, "round", itoa(r.Round), "cause", "job-cancelled"); err != nil {
		return err
	}
	return s.letGo(tx, r)
}
