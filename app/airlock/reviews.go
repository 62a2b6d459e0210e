package airlock

import "tresor/app/store"

// reviewsOf returns every vote of a request, oldest first, unfiltered.
func reviewsOf(tx *store.Tx, request string) ([]Review, error) {
	rows, err := tx.Query(`SELECT id, round, reviewer, reviewer_handle, reviewer_name, decision, comment, voted_at FROM airlock_review WHERE request = ? ORDER BY round, rowid`, request)
	list := []Review{}
	err = each(rows, err, func() error {
		var v Review
		var at int64
		err := rows.Scan(&v.ID, &v.Round, &v.Reviewer.ID, &v.Reviewer.Handle, &v.Reviewer.Name, &v.Decision, &v.Comment, &at)
		v.At = store.Time(at)
		list = append(list, v)
		return err
	})
	return list, err
}

func commentsOf(tx *store.Tx, request string) ([]Comment, error) {
	rows, err := tx.Query(`SELECT id, round, person, person_handle, person_name, private, item, text, written_at FROM airlock_comment WHERE request = ? ORDER BY id`, request)
	list := []Comment{}
	err = each(rows, err, func() error {
		var c Comment
		var at int64
		err := rows.Scan(&c.ID, &c.Round, &c.By.ID, &c.By.Handle, &c.By.Name, &c.Private, &c.Item, &c.Text, &at)
		c.At = store.Time(at)
		list = append(list, c)
		return err
	})
	return list, err
}

// blind is what the blinding of votes needs to know of one request.
type blind struct {
	done   map[int]int // votes by round
	needed map[int]int
	reader string // person id
}

func (s *Service) blindOf(tx *store.Tx, request, reader string, votes []Review) (blind, error) {
	b := blind{done: map[int]int{}, needed: map[int]int{}, reader: reader}
	for _, v := range votes {
		b.done[v.Round]++
	}
	rows, err := tx.Query(`SELECT round, needed FROM airlock_round WHERE request = ?`, request)
	err = each(rows, err, func() error {
		var round, needed int
		err := rows.Scan(&round, &needed)
		b.needed[round] = needed
		return err
	})
	return b, err
}

// open reports whether a round has all its votes: only then may anybody see
// another's vote, its comment, its time or who gave it.
func (b blind) open(round int) bool { return b.needed[round] > 0 && b.done[round] >= b.needed[round] }

func (b blind) mine(person string) bool { return b.reader != "" && person == b.reader }

func (b blind) reviews(all []Review) []Review {
	list := []Review{}
	for _, v := range all {
		if b.open(v.Round) || b.mine(v.Reviewer.ID) {
			list = append(list, v)
		}
	}
	return list
}

func (b blind) comments(all []Comment) []Comment {
	list := []Comment{}
	for _, c := range all {
		if c.Private && b.open(c.Round) {
			c.Private = false
		}
		if !c.Private || b.mine(c.By.ID) {
			list = append(list, c)
		}
	}
	return list
}
