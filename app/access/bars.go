package access

// bar is one rule of separation of duties: it returns a sentence when the actor
// must not act although a role would allow it, and "" when it has no objection.
type bar func(a Actor, t Thing) string

// noData keeps whoever runs the server away from data, whatever else they hold.
func noData(a Actor, _ Thing) string {
	if a.Has(Operator) {
		return "Operators run the server and never see data. Ask somebody without the operator role."
	}
	return ""
}

// notSelf: nobody changes their own roles, memberships or account.
func notSelf(a Actor, t Thing) string {
	if t.Person != "" && t.Person == a.ID {
		return "Nobody changes their own roles. Ask another operator."
	}
	return ""
}

// leadsAreAppointed: a lead looks after researchers, an operator appoints leads.
func leadsAreAppointed(a Actor, t Thing) string {
	if a.Has(Operator) || t.Role == Researcher {
		return ""
	}
	return "A project lead adds and removes researchers only. Ask an operator to appoint or replace a lead."
}

// notOwner: nobody approves their own work.
func notOwner(a Actor, t Thing) string {
	if t.Owner != "" && t.Owner == a.ID {
		return "Nobody approves their own job. Ask the lead of the project or a data steward."
	}
	return ""
}

// notInvolved: nobody reviews what they asked for or produced.
func notInvolved(a Actor, t Thing) string {
	if t.involves(a) {
		return "Nobody reviews their own request. Another output checker has to do it."
	}
	return ""
}

// notMember: a checker judges only projects that they do not work in.
func notMember(a Actor, t Thing) string {
	if len(t.memberRoles(a)) > 0 {
		return "You are a member of this project, so another output checker has to review this request."
	}
	return ""
}

// personOnly: a review is a person's judgement; the appliance has none.
func personOnly(a Actor, _ Thing) string {
	if a.IsSystem() {
		return "A review is a person's judgement. The server cannot give one."
	}
	return ""
}

// ownToken: a token is its maker's business. An operator may see and revoke any,
// because a leaked one cannot wait for its maker.
func ownToken(a Actor, t Thing) string {
	if t.Owner == "" || t.Owner == a.ID || a.Has(Operator) || a.IsSystem() {
		return ""
	}
	return "This token is somebody else's. Ask an operator to revoke it if it has leaked."
}
