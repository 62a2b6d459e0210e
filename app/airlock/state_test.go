package airlock

import (
	"slices"
	"strings"
	"testing"

	"tresor/app/access"
)

// TestEveryStateIsOneSidesTurn: the table of turns is complete and disjoint.
func TestEveryStateIsOneSidesTurn(t *testing.T) {
	for _, s := range States {
		var sides []string
		for who, states := range turns {
			if slices.Contains(states, s) {
				sides = append(sides, who)
			}
		}
		if len(sides) != 1 {
			t.Errorf("%s is the turn of %v, want exactly one side", s, sides)
		}
		if s.Terminal() != (s.side() == TurnNobody) {
			t.Errorf("%s: terminal %v, turn %s", s, s.Terminal(), s.side())
		}
	}
	if got := State("nonsense").side(); got != TurnNobody {
		t.Errorf("an unknown state is the turn of %s", got)
	}
}

func TestTransitions(t *testing.T) {
	allowed := map[string]bool{}
	for _, p := range strings.Fields(`draft>submitted draft>withdrawn submitted>in-review submitted>returned submitted>approved submitted>rejected
		submitted>withdrawn in-review>returned in-review>approved in-review>rejected in-review>withdrawn returned>submitted returned>withdrawn
		approved>released approved>withdrawn`) {
		allowed[p] = true
	}
	for _, from := range States {
		for _, to := range States {
			want := allowed[string(from)+">"+string(to)]
			if from.Can(to) != want || (checkStep(from, to) == nil) != want {
				t.Errorf("%s to %s: allowed %v, want %v", from, to, from.Can(to), want)
			}
		}
	}
}

func TestDiagramShowsEveryStep(t *testing.T) {
	d := Diagram()
	for from, tos := range transitions {
		for _, to := range tos {
			line := strings.ReplaceAll(string(from)+" --> "+string(to), "-review", "_review")
			if !strings.Contains(d, line) {
				t.Errorf("the diagram lacks %q:\n%s", line, d)
			}
		}
	}
}

func TestOutcome(t *testing.T) {
	for _, c := range []struct {
		name   string
		votes  []string
		needed int
		want   State
	}{
		{"no vote yet", nil, 2, ""},
		{"one of two", []string{Approve}, 2, ""},
		{"one reject of two waits too", []string{Reject}, 2, ""},
		{"both approve", []string{Approve, Approve}, 2, Approved},
		{"both reject", []string{Reject, Reject}, 2, Rejected},
		{"both want a change", []string{Change, Change}, 2, Returned},
		{"they disagree", []string{Approve, Reject}, 2, Returned},
		{"one wants a change", []string{Approve, Change}, 2, Returned},
		{"reject and change", []string{Reject, Change}, 2, Returned},
		{"one reviewer approves", []string{Approve}, 1, Approved},
		{"one reviewer rejects", []string{Reject}, 1, Rejected},
		{"one reviewer wants a change", []string{Change}, 1, Returned},
	} {
		if got := outcome(c.votes, c.needed); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestTurnSaysSomethingToEverybody: no state leaves a reader without a next step.
func TestTurnSaysSomethingToEverybody(t *testing.T) {
	requester := access.Actor{ID: "r", Projects: map[string]access.Role{"p": access.Researcher}}
	reviewer := access.Actor{ID: "c", Roles: []access.Role{access.Checker}}
	onlooker := access.Actor{ID: "a", Roles: []access.Role{access.Auditor}}
	for _, s := range States {
		r := Request{Project: "p", State: s, Requester: Person{ID: "r", Name: "Rosa"}, producer: "r"}
		for name, c := range map[string]struct {
			actor access.Actor
			voted bool
			yours []State
		}{
			"requester":          {requester, false, []State{Draft, Returned, Approved}},
			"reviewer":           {reviewer, false, []State{Submitted, InReview, Approved}},
			"reviewer who voted": {reviewer, true, []State{Approved}},
			"onlooker":           {onlooker, false, nil},
		} {
			got := r.turn(c.actor, c.voted)
			if got.Next == "" || got.Who == "" {
				t.Errorf("%s, %s: nothing said: %+v", s, name, got)
			}
			if want := slices.Contains(c.yours, s); got.Yours != want {
				t.Errorf("%s, %s: yours %v, want %v", s, name, got.Yours, want)
			}
		}
	}
}

func TestFilesOfTheNextRoundAreTheProjectsOwn(t *testing.T) {
	member := access.Actor{ID: "r", Projects: map[string]access.Role{"p": access.Researcher}}
	reviewer := access.Actor{ID: "c", Roles: []access.Role{access.Checker}}
	for _, s := range States {
		r := Request{Project: "p", State: s, Requester: Person{ID: "r"}, producer: "r"}
		if !slices.Contains(r.can(member, false), "view") {
			t.Errorf("%s: a member may not look", s)
		}
		if got := slices.Contains(r.can(reviewer, false), "view"); got == s.Editable() {
			t.Errorf("%s: a reviewer may look: %v", s, got)
		}
	}
}
