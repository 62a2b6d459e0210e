package hub

import (
	"context"
	"encoding/json"

	"tresor/app/access"
	"tresor/app/store"
	"tresor/plugins/builtin/tes/model"
)

// Where the order of a part is.
const (
	waiting   = "waiting"   // not sent, or surely not taken
	offered   = "offered"   // sent; whether the node took it is not known
	accepted  = "accepted"  // the node has a task
	ended     = "ended"     // the node's task ended, and its results are here
	denied    = "refused"   // the node said no, or cannot say anything any more
	cancelled = "cancelled" // cancelled before it was sent; it never will be
)

// part is one row of hub_part, without its orders, which may be long.
type part struct {
	task, node  string
	state       string
	tes         model.State
	cancelled   bool
	remote      string
	code, text  string
	correlation string
	log         report
	trouble     string
	seen        *int64
	body        string // sum of an order's body that does not lie in its envelope
	wanted      bool   // the task's end was asked for
	left        bool   // nobody waits for this node any more: whatever it says, it counts as cancelled
}

const partColumns = `p.task, p.node, p.state, p.tes, p.cancelled, p.remote, p.code, p.text, p.correlation, p.log, p.trouble, p.seen_at, p.body, p.left_at IS NOT NULL,
	(SELECT cancel_at IS NOT NULL FROM hub_task t WHERE t.id = p.task)`

// goesOn is the condition of the index of parts that go on, word for word: only a query
// that has it finds them without reading all.
const goesOn = `p.state IN ('waiting', 'offered', 'accepted')`

// Which parts of a node are to be sent, in the order of their sequence, and of which it
// is to be told the end.
const (
	toSend = `WHERE p.node = ? AND ` + goesOn + ` AND p.state <> 'accepted' ORDER BY p.seq LIMIT ?`
	toStop = `WHERE p.node = ? AND ` + goesOn + ` AND p.state = 'accepted' AND p.cancelled = 0
		AND EXISTS (SELECT 1 FROM hub_task t WHERE t.id = p.task AND t.cancel_at IS NOT NULL) ORDER BY p.seq LIMIT ?`
)

func parts(tx *store.Tx, where string, args ...any) ([]part, error) {
	rows, err := tx.Query(`SELECT `+partColumns+` FROM hub_part p `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []part
	for rows.Next() {
		var p part
		var log string
		err := rows.Scan(&p.task, &p.node, &p.state, &p.tes, &p.cancelled, &p.remote, &p.code, &p.text, &p.correlation,
			&log, &p.trouble, &p.seen, &p.body, &p.left, &p.wanted)
		if err != nil {
			return nil, err
		}
		if log != "" {
			if err := json.Unmarshal([]byte(log), &p.log); err != nil {
				return nil, err
			}
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

// orderOf reads the signed orders of a part: the one to create and the one to
// cancel, which is empty until there is one.
func (s *Service) orderOf(ctx context.Context, p part) (create, cancel string, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT envelope, cancel FROM hub_part WHERE task = ? AND node = ?`, p.task, p.node).Scan(&create, &cancel)
	})
	return create, cancel, err
}

// putCancel keeps the order to cancel; empty drops it.
func putCancel(tx *store.Tx, p *part, text string) error {
	_, err := tx.Exec(`UPDATE hub_part SET cancel = ? WHERE task = ? AND node = ?`, text, p.task, p.node)
	return err
}

// put writes what may change of a part and lets the task follow.
func (s *Service) put(tx *store.Tx, p part) error {
	if p.left {
		p.tes = model.Canceled
	}
	log := ""
	if !p.log.empty() {
		b, err := json.Marshal(p.log)
		if err != nil {
			return err
		}
		log = string(b)
	}
	_, err := tx.Exec(`UPDATE hub_part SET state = ?, tes = ?, cancelled = ?, remote = ?, code = ?, text = ?, correlation = ?, log = ?, trouble = ?,
		seen_at = ?, changed_at = ? WHERE task = ? AND node = ?`, p.state, string(p.tes), p.cancelled, p.remote, p.code, p.text, p.correlation, log,
		p.trouble, p.seen, store.Millis(tx.Now()), p.task, p.node)
	if err != nil {
		return err
	}
	if err := dropBody(tx, p); err != nil {
		return err
	}
	return s.follow(tx, p.task)
}

// follow sets the state of a task from its parts.
func (s *Service) follow(tx *store.Tx, task string) error {
	n, err := countStates(tx, task)
	if err != nil {
		return err
	}
	var project, was string
	var stop bool
	err = tx.QueryRow(`SELECT project, state, cancel_at IS NOT NULL FROM hub_task WHERE id = ?`, task).Scan(&project, &was, &stop)
	if err != nil {
		return err
	}
	now := together(n, stop)
	if was == string(now) {
		return nil
	}
	var end *int64
	if now.Over() {
		ms := store.Millis(tx.Now())
		end = &ms
	}
	if _, err := tx.Exec(`UPDATE hub_task SET state = ?, ended_at = ? WHERE id = ?`, string(now), end, task); err != nil {
		return err
	}
	s.tell(tx, task)
	return s.note(tx, access.System, "task.moved", "task:"+task, project, "state", string(now))
}

// together gives the one state of a task from its parts:
//
//	some part goes on, one runs or one has ended   RUNNING
//	some part goes on, one is being prepared       INITIALIZING
//	every part waits                               QUEUED
//	all ended alike                                that end
//	the end was asked for, and one was cancelled   CANCELED
//	some COMPLETE, others not                      SYSTEM_ERROR (results of the former are there)
//	none COMPLETE, one SYSTEM_ERROR                SYSTEM_ERROR
//	none COMPLETE, none SYSTEM_ERROR               EXECUTOR_ERROR
func together(n map[model.State]int, stop bool) model.State {
	all, over := 0, 0
	for state, k := range n {
		all += k
		if state.Over() {
			over += k
		}
	}
	switch {
	case over < all && (n[model.Running] > 0 || over > 0):
		return model.Running
	case over < all && n[model.Initializing] > 0:
		return model.Initializing
	case over < all || all == 0:
		return model.Queued
	}
	for state, k := range n {
		if k == all {
			return state
		}
	}
	switch {
	case stop && n[model.Canceled] > 0:
		return model.Canceled
	case n[model.Complete] > 0 || n[model.SystemError] > 0:
		return model.SystemError
	}
	return model.ExecutorError
}

// countStates counts the parts of a task by their state.
func countStates(tx *store.Tx, task string) (map[model.State]int, error) {
	rows, err := tx.Query(`SELECT tes, count(*) FROM hub_part WHERE task = ? GROUP BY tes`, task)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	n := map[model.State]int{}
	for rows.Next() {
		var state model.State
		var k int
		if err := rows.Scan(&state, &k); err != nil {
			return nil, err
		}
		n[state] = k
	}
	return n, rows.Err()
}
