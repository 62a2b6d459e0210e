package airlock

import (
	"context"
	"strings"
	"unicode/utf8"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

// Comment adds a remark to a request or to one of its files. A member's remark
// is seen by everybody at once. A reviewer's, while the round is open, is seen
// by nobody else until the round has all its votes.
func (s *Service) Comment(ctx context.Context, actor access.Actor, id, text, item string) (Request, error) {
	const op = "airlock.Comment"
	text = strings.TrimSpace(text)
	if text == "" || !utf8.ValidString(text) || utf8.RuneCountInString(text) > maxText {
		return Request{}, fault.New(op, fault.Invalid, "A comment has between 1 and %d characters.", maxText)
	}
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		r, err := s.allowed(tx, actor, access.AirlockComment, id)
		if err != nil {
			return err
		}
		if r.State.Terminal() {
			return fault.New(op, fault.Conflict, "The request is %s and takes no more comments.", r.State)
		}
		if item != "" {
			if _, err := s.itemOfRequest(tx, r, item); err != nil {
				return err
			}
		}
		return s.comment(tx, r, actor, text, item)
	})
	if err != nil {
		return Request{}, fault.Wrap(op, err)
	}
	return s.Get(ctx, actor, id)
}

func (s *Service) comment(tx *store.Tx, r Request, actor access.Actor, text, item string) error {
	private := r.State.UnderReview() && actor.In(r.Project) == "" && actor.ID != r.Requester.ID
	_, err := tx.Exec(`INSERT INTO airlock_comment (id, request, round, person, person_handle, person_name, private, item, text, written_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		s.IDs(), r.ID, r.Round, actor.ID, actor.Handle, actor.Name, private, item, text, store.Millis(tx.Now()))
	if err != nil {
		return err
	}
	if !private {
		s.announce(tx, r)
	}
	_, err = s.note(tx, actor, "airlock.commented", r, "round", itoa(r.Round))
	return err
}

// itemOfRequest loads one file of a request, of any round that was submitted or
// that is being prepared.
func (s *Service) itemOfRequest(tx *store.Tx, r Request, item string) (Item, error) {
	it, err := scanItem(tx.QueryRow(`SELECT `+itemColumns+` FROM airlock_item WHERE id = ? AND request = ?`, item, r.ID))
	if store.NotFound(err) {
		return it, fault.New("airlock.item", fault.NotFound, "The request has no such file.")
	}
	return it, err
}
