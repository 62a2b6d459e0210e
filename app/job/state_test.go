package job

import (
	"context"
	"strings"
	"testing"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

// allowed is the life of a job a second time, written by hand.
const allowed = `
submitted approved
submitted refused
submitted cancelled
approved queued
queued preparing
queued refused
queued cancelled
preparing running
preparing failed
preparing cancelled
running collecting
running failed
running cancelled
collecting held
collecting completed
collecting failed
collecting cancelled
held released
held rejected
held cancelled
`

func TestEveryPairOfStates(t *testing.T) {
	h := newHouse(t)
	j := h.submit(h.task("true"))
	for _, from := range States {
		for _, to := range States {
			want := strings.Contains(allowed, "\n"+string(from)+" "+string(to)+"\n")
			if from.Can(to) != want {
				t.Errorf("%s -> %s: allowed %v, want %v", from, to, from.Can(to), want)
			}
			err := h.tryStep(j.ID, from, to)
			if want && err != errUndo {
				t.Errorf("%s -> %s: %v", from, to, err)
			}
			if !want && fault.KindOf(err) != fault.Conflict {
				t.Errorf("%s -> %s: %v, want a conflict", from, to, err)
			}
		}
	}
}

var errUndo = fault.New("test", fault.Exhausted, "undo")

func (h *house) tryStep(id string, from, to State) error {
	var out error
	_ = h.db.Update(context.Background(), func(tx *store.Tx) error {
		if _, err := tx.Exec(`UPDATE job SET state = ? WHERE id = ?`, string(from), id); err != nil {
			out = err
			return err
		}
		j, err := find(tx, id)
		if err == nil {
			err = h.job.move(tx, &j, step{to: to, by: access.System})
		}
		if out = err; out == nil {
			out = errUndo
		}
		return out
	})
	return out
}

func TestTerminalStates(t *testing.T) {
	for _, s := range States {
		want := s == Refused || s == Released || s == Rejected || s == Completed || s == Failed || s == Cancelled
		if s.Terminal() != want {
			t.Errorf("%s terminal: %v", s, s.Terminal())
		}
	}
	if State("nonsense").Valid() || State("nonsense").Terminal() {
		t.Error("nonsense is a state")
	}
}

func TestTheDiagramShowsEveryTransition(t *testing.T) {
	d := Diagram()
	for _, line := range strings.Split(strings.TrimSpace(allowed), "\n") {
		from, to, _ := strings.Cut(line, " ")
		if !strings.Contains(d, "    "+from+" --> "+to+"\n") {
			t.Errorf("the diagram lacks %s", line)
		}
	}
	if n := strings.Count(d, "-->"); n != 20+1+6 {
		t.Errorf("the diagram has %d arrows", n)
	}
}
