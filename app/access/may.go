package access

import (
	"sort"

	"tresor/app/fault"
)

// NotSeen is what people read of a thing that is not there and of one that they
// may not see: whoever looks a thing up by a name that can be guessed answers
// with it too, or the difference of two sentences would tell which names exist.
const NotSeen = "Not found, or not visible to you."

// May returns nil when the actor may do the action to the thing.
//
// Otherwise it returns fault.Denied with a sentence that says who may, or
// fault.NotFound when the thing lies in a project that the actor cannot see at
// all: then every action answers as if it did not exist, so that guessing names
// teaches nothing.
func May(a Actor, action Action, t Thing) error {
	r, listed := matrix[action]
	if !listed {
		return fault.New("access.May", fault.Denied, "Nobody may do this: %q is not an action of this server.", string(action))
	}
	if !r.allows(a, t) {
		return refusal(a, r, t)
	}
	for _, bar := range r.bars {
		if why := bar(a, t); why != "" {
			return fault.New("access.May", fault.Denied, "%s", why)
		}
	}
	return nil
}

// Can reports whether May would return nil.
func Can(a Actor, action Action, t Thing) bool { return May(a, action, t) == nil }

// Anywhere reports whether there can be a thing that the actor may do this to.
// Doors use it for lists, whose items are then asked for one by one, and pages
// for what to offer. It is never a reason to hand out a particular thing.
func Anywhere(a Actor, action Action) bool {
	if Can(a, action, Thing{}) {
		return true
	}
	for project := range a.Projects {
		theirs := Thing{Project: project, Role: Researcher}
		if Can(a, action, theirs) {
			return true
		}
		theirs.Owner = a.ID
		if Can(a, action, theirs) {
			return true
		}
	}
	return false
}

// Actions returns every action in the matrix, sorted.
func Actions() []Action {
	all := make([]Action, 0, len(matrix))
	for action := range matrix {
		all = append(all, action)
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	return all
}

// Public reports whether the action needs no session.
func (action Action) Public() bool { return matrix[action].public }

// NeedsStepUp reports whether the action needs a recent proof that the person
// is present: a sign-in or a step-up within the configured window.
func (action Action) NeedsStepUp() bool { return matrix[action].fresh }

// WhileEnrolling reports whether a session that still has to set a password or
// a second factor may do the action.
func (action Action) WhileEnrolling() bool {
	switch action {
	case SessionRead, SessionEnd, SessionPassword, SessionTOTP:
		return true
	}
	return action.Public()
}

func (r rule) allows(a Actor, t Thing) bool {
	switch {
	case r.public:
		return true
	case a.IsSystem():
		return true
	case a.ID == "":
		return false
	case r.signed:
		return true
	}
	for _, role := range r.site {
		if a.Has(role) {
			return true
		}
	}
	return r.allowsInProject(a, t)
}

func (r rule) allowsInProject(a Actor, t Thing) bool {
	held := t.memberRoles(a)
	for _, role := range r.member {
		if has(held, role) {
			return true
		}
	}
	if r.owner && len(held) > 0 && t.Owner == a.ID {
		return true
	}
	return r.leads && leadsAny(a)
}

func leadsAny(a Actor) bool {
	for _, role := range a.Projects {
		if role == Lead {
			return true
		}
	}
	return false
}

func has(held []Role, want Role) bool {
	for _, r := range held {
		if r == want {
			return true
		}
	}
	return false
}

func refusal(a Actor, r rule, t Thing) error {
	if a.ID == "" {
		return fault.New("access.May", fault.Denied, "Sign in first.")
	}
	if t.inProject() && !matrix[ProjectRead].allows(a, t) {
		return fault.New("access.May", fault.NotFound, NotSeen)
	}
	return fault.New("access.May", fault.Denied, "%s", r.says)
}
