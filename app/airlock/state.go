package airlock

import (
	"fmt"
	"slices"
	"strings"

	"tresor/app/fault"
)

// State is where a request is on its way out.
type State string

// The states of a request, in the order it goes through them.
const (
	Draft     State = "draft"     // the requester writes
	Submitted State = "submitted" // checked and frozen; no reviewer has voted
	InReview  State = "in-review" // some reviewer has voted, not all
	Returned  State = "returned"  // reviewers want something changed, or disagree
	Approved  State = "approved"  // may be released
	Rejected  State = "rejected"  // will never leave
	Released  State = "released"  // has left
	Withdrawn State = "withdrawn" // taken back
)

// States lists every state in order.
var States = []State{Draft, Submitted, InReview, Returned, Approved, Rejected, Released, Withdrawn}

// transitions is the whole life of a request: what is not here is refused. The
// database's triggers hold the same table.
var transitions = map[State][]State{
	Draft:     {Submitted, Withdrawn},
	Submitted: {InReview, Returned, Approved, Rejected, Withdrawn},
	InReview:  {Returned, Approved, Rejected, Withdrawn},
	Returned:  {Submitted, Withdrawn},
	Approved:  {Released, Withdrawn},
}

// Sides a request can wait for.
const (
	TurnRequester = "requester"
	TurnReviewers = "reviewers"
	TurnReleaser  = "releaser" // a member of the project or a reviewer makes the release
	TurnNobody    = "nobody"
)

// turns says whose turn each side has: every state stands with exactly one side.
var turns = map[string][]State{
	TurnRequester: {Draft, Returned},
	TurnReviewers: {Submitted, InReview},
	TurnReleaser:  {Approved},
	TurnNobody:    {Rejected, Released, Withdrawn},
}

// Can reports whether a request may go from s to next in one step.
func (s State) Can(next State) bool { return slices.Contains(transitions[s], next) }

// Valid reports whether s is a state at all.
func (s State) Valid() bool { return slices.Contains(States, s) }

// Terminal reports whether nothing can change any more.
func (s State) Terminal() bool { return s.Valid() && len(transitions[s]) == 0 }

// Editable reports whether the requester may change texts and files.
func (s State) Editable() bool { return s == Draft || s == Returned }

// UnderReview reports whether reviewers may vote.
func (s State) UnderReview() bool { return s == Submitted || s == InReview }

// side returns whose turn it is.
func (s State) side() string {
	for who, states := range turns {
		if slices.Contains(states, s) {
			return who
		}
	}
	return TurnNobody
}

func checkStep(from, to State) error {
	if from.Can(to) {
		return nil
	}
	return fault.New("airlock.move", fault.Conflict, "The request is %s, so it cannot become %s. Reload the page to see where it stands.", from, to)
}

// outcome is where the votes of a round lead; "" while some are missing.
func outcome(votes []string, needed int) State {
	if len(votes) < needed {
		return ""
	}
	approve, reject := 0, 0
	for _, v := range votes {
		switch v {
		case Approve:
			approve++
		case Reject:
			reject++
		}
	}
	switch len(votes) {
	case approve:
		return Approved
	case reject:
		return Rejected
	}
	return Returned
}

// Diagram renders the transition table as a Mermaid state diagram, for the
// documentation: it is generated so that it cannot drift from the table.
func Diagram() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n    [*] --> draft\n")
	name := func(s State) string { return strings.ReplaceAll(string(s), "-", "_") }
	fmt.Fprintf(&b, "    state %q as %s\n", InReview, name(InReview))
	for _, from := range States {
		for _, to := range transitions[from] {
			fmt.Fprintf(&b, "    %s --> %s\n", name(from), name(to))
		}
	}
	for _, s := range States {
		if s.Terminal() {
			fmt.Fprintf(&b, "    %s --> [*]\n", name(s))
		}
	}
	return b.String()
}
