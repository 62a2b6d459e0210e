// Package access answers one question: may this actor do this action to this
// thing? It is one matrix of roles and actions plus the few rules of separation
// of duties, and it is pure: no database, no clock, no request. Whoever asks
// brings all the facts in Actor and Thing. An action that the matrix does not
// list is denied.
package access

// Role is what a person is trusted to do. Site roles hold everywhere; project
// roles hold in one project only.
type Role string

// Site roles.
const (
	Operator Role = "operator" // runs the server and manages people; sees no data
	Steward  Role = "steward"  // information asset owner: registers datasets, grants them to projects
	Checker  Role = "checker"  // output checker: reviews airlock requests
	Auditor  Role = "auditor"  // reads the audit log
)

// Project roles.
const (
	Researcher Role = "researcher"
	Lead       Role = "lead" // project lead
)

// SiteRoles lists the roles that a person can hold for the whole site.
var SiteRoles = []Role{Operator, Steward, Checker, Auditor}

// Actor is who asks, with every fact about them that a decision needs. Sessions
// build it afresh for each request, so a changed role binds at once.
type Actor struct {
	ID       string          `json:"id"`     // person id; "" for System
	Handle   string          `json:"handle"` // sign-in name, shown beside Name
	Name     string          `json:"name"`
	Roles    []Role          `json:"roles"`    // site roles
	Projects map[string]Role `json:"projects"` // project id -> role in it
	Session  string          `json:"-"`        // session id, for the audit log
	Via      string          `json:"-"`        // door: web, local, system
}

// System is the appliance acting by itself: the queue, a migration, first start.
var System = Actor{Handle: "system", Name: "Tresor", Via: "system"}

// IsSystem reports whether the appliance itself acts.
func (a Actor) IsSystem() bool { return a.ID == "" && a.Via == "system" }

// Has reports whether the actor holds the site role r.
func (a Actor) Has(r Role) bool {
	for _, x := range a.Roles {
		if x == r {
			return true
		}
	}
	return false
}

// In returns the actor's role in a project, or "" when not a member.
func (a Actor) In(project string) Role { return a.Projects[project] }
