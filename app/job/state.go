package job

import (
	"fmt"
	"strings"

	"tresor/app/fault"
)

// State is where a job is in its life.
type State string

// The states of a job, in the order it goes through them.
const (
	Submitted  State = "submitted"  // waits for a decision
	Approved   State = "approved"   // may run
	Refused    State = "refused"    // will never run
	Queued     State = "queued"     // waits for a free place on the host
	Preparing  State = "preparing"  // the attempt is recorded, its container is being made
	Running    State = "running"    // a command runs
	Collecting State = "collecting" // commands are over, outputs come in
	Held       State = "held"       // outputs wait in the airlock
	Released   State = "released"   // outputs left through a release
	Rejected   State = "rejected"   // reviewers refused the outputs
	Completed  State = "completed"  // everything it left stays inside
	Failed     State = "failed"     // ended without outputs
	Cancelled  State = "cancelled"  // a person stopped it
)

// States lists every state in order.
var States = []State{Submitted, Approved, Refused, Queued, Preparing, Running, Collecting, Held, Released, Rejected, Completed, Failed, Cancelled}

// transitions is the whole life of a job: what is not here is refused.
var transitions = map[State][]State{
	Submitted:  {Approved, Refused, Cancelled},
	Approved:   {Queued},
	Queued:     {Preparing, Refused, Cancelled},
	Preparing:  {Running, Failed, Cancelled},
	Running:    {Collecting, Failed, Cancelled},
	Collecting: {Held, Completed, Failed, Cancelled},
	Held:       {Released, Rejected, Cancelled},
}

// Can reports whether a job may go from s to next in one step.
func (s State) Can(next State) bool {
	for _, to := range transitions[s] {
		if to == next {
			return true
		}
	}
	return false
}

// Valid reports whether s is a state at all.
func (s State) Valid() bool {
	for _, x := range States {
		if x == s {
			return true
		}
	}
	return false
}

// Terminal reports whether nothing can change any more.
func (s State) Terminal() bool { return s.Valid() && len(transitions[s]) == 0 }

// Active reports whether the job occupies the host.
func (s State) Active() bool { return s == Preparing || s == Running || s == Collecting }

// waits reports whether the job has not touched the host yet.
func (s State) waits() bool { return s == Submitted || s == Approved || s == Queued }

func checkStep(from, to State) error {
	if from.Can(to) {
		return nil
	}
	return fault.New("job.move", fault.Conflict, "The job is %s, so it cannot become %s. Reload the page to see where it stands.", from, to)
}

// Diagram renders the transition table as a Mermaid state diagram, for the
// documentation: it is generated so that it cannot drift from the table.
func Diagram() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n    [*] --> submitted\n")
	for _, from := range States {
		for _, to := range transitions[from] {
			fmt.Fprintf(&b, "    %s --> %s\n", from, to)
		}
	}
	for _, s := range States {
		if s.Terminal() {
			fmt.Fprintf(&b, "    %s --> [*]\n", s)
		}
	}
	return b.String()
}
