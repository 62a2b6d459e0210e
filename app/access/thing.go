package access

// Thing is what an action is done to, with every fact that a decision needs. A
// field that does not apply stays empty; an empty Project means that no project
// role can allow the action.
type Thing struct {
	Project  string   // the project it belongs to
	Projects []string // every project it is granted to, for things shared by several (datasets)
	Owner    string   // person who made it: submitter of a job, requester of an airlock request
	Involved []string // people besides Owner with a stake in it: the submitter of a request's job
	Person   string   // person whom the action concerns: the member or the account to change
	Role     Role     // project role that the action gives to Person, or takes from them; "" when dropped and unknown
}

// memberRoles returns the roles that the actor holds in the thing's projects.
func (t Thing) memberRoles(a Actor) []Role {
	var held []Role
	if t.Project != "" {
		held = appendRole(held, a.In(t.Project))
	}
	for _, p := range t.Projects {
		held = appendRole(held, a.In(p))
	}
	return held
}

func appendRole(held []Role, r Role) []Role {
	if r == "" {
		return held
	}
	return append(held, r)
}

// inProject reports whether the thing belongs to any project at all.
func (t Thing) inProject() bool { return t.Project != "" || len(t.Projects) > 0 }

// involves reports whether the actor owns the thing or has a stake in it.
func (t Thing) involves(a Actor) bool {
	if a.ID == "" {
		return false
	}
	for _, id := range t.Involved {
		if id == a.ID {
			return true
		}
	}
	return t.Owner == a.ID
}
