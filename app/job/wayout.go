package job

import (
	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

// LinkRequest notes the airlock request that a held job's outputs are in; "" when
// it was withdrawn. airlock writes the audit event of its request in the same
// transaction. Errors: Conflict when the job is not held.
func (s *Service) LinkRequest(tx *store.Tx, id, request string) error {
	j, err := find(tx, id)
	if err != nil {
		return err
	}
	if j.State != Held {
		return fault.New("job.LinkRequest", fault.Conflict, "The job is %s. Only the outputs of a held job can be sent to review.", j.State)
	}
	if _, err := tx.Exec(`UPDATE job SET request = ? WHERE id = ?`, request, id); err != nil {
		return fault.Wrap("job.LinkRequest", err)
	}
	s.publish(tx, j)
	return nil
}

// MarkReleased ends a held job because its outputs have left through a release.
func (s *Service) MarkReleased(tx *store.Tx, id string, actor access.Actor) error {
	return s.leave(tx, id, step{to: Released, by: actor})
}

// MarkRejected ends a held job because reviewers refused its outputs for good.
func (s *Service) MarkRejected(tx *store.Tx, id string, actor access.Actor) error {
	return s.leave(tx, id, step{to: Rejected, by: actor, reason: "Reviewers rejected the outputs."})
}

func (s *Service) leave(tx *store.Tx, id string, st step) error {
	j, err := find(tx, id)
	if err != nil {
		return err
	}
	if j.AirlockRequest != "" {
		st.detail = []string{"request", j.AirlockRequest}
	}
	return s.move(tx, &j, st)
}
