package agent

import (
	"fmt"

	"tresor/sandbox"
)

// Refusals collects what may not be taken: the first sandbox.MaxRefusals by name,
// the rest as a number.
type Refusals struct {
	named []sandbox.Refusal
	more  int
}

// Add notes one refusal and makes the path printable.
func (r *Refusals) Add(path, reason string) {
	if len(r.named) >= sandbox.MaxRefusals-1 {
		r.more++
		return
	}
	r.named = append(r.named, sandbox.Refusal{Path: sandbox.Printable(path), Reason: reason})
}

// List is what was refused, with a last line for those that are not named.
func (r *Refusals) List() []sandbox.Refusal {
	if r.more == 0 {
		return r.named
	}
	rest := sandbox.Refusal{Path: "…", Reason: fmt.Sprintf("%d more files were refused", r.more)}
	return append(r.named[:len(r.named):len(r.named)], rest)
}
