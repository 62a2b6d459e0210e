package api

// table is the one list of everything that the API answers. A route cannot be
// served without standing here, and what stands here without an access level
// serves nobody and fails a test.
//
// A hub has people and a log but no data: the routes of an appliance do not exist
// there, nor the hub's on an appliance.
func (s *Server) table() []Route {
	all := s.sessionRoutes()
	var parts [][]Route
	switch {
	case s.Hub != nil:
		parts = [][]Route{s.hubRoutes()}
	case s.Gateway != nil:
		parts = [][]Route{s.workRoutes(), s.treeRoutes(), s.federationRoutes(), s.principalRoutes(), s.pluginRoutes(), s.tokenRoutes()}
	default:
		parts = [][]Route{s.workRoutes()}
	}
	for _, part := range append(parts, s.personRoutes(), s.auditRoutes(), s.systemRoutes()) {
		all = append(all, part...)
	}
	return all
}

// workRoutes are those of projects, data and what is done with them.
func (s *Server) workRoutes() []Route {
	var all []Route
	for _, part := range [][]Route{
		s.homeRoutes(), s.projectRoutes(), s.datasetRoutes(), s.imageRoutes(), s.jobRoutes(), s.airlockRoutes(), s.releaseRoutes(),
	} {
		all = append(all, part...)
	}
	return all
}

// The two kinds of servers.
const (
	kindAppliance = "appliance"
	kindHub       = "hub"
)

func (s *Server) kind() string {
	if s.Hub != nil {
		return kindHub
	}
	return kindAppliance
}

// param describes a query parameter.
type param struct {
	says   string
	number bool
}

var params = map[string]param{
	"project": {says: "only of this project (id or short name)"},
	"path":    {says: "a file, or a folder: everything below it"},
	"after":   {says: "continue a list: the `next` of the page before"},
	"state":   {says: "only in these states, separated by commas"},
	"subject": {says: "only about this thing, such as job:<id>"},
	"actor":   {says: "only what this person did (id)"},
	"verb":    {says: "only this verb, such as job.submitted; with a dot at its end all verbs of a noun, such as job."},
	"since":   {says: "only what happened at this time (RFC 3339) and later"},
	"until":   {says: "only what happened before this time (RFC 3339)"},
	"before":  {says: "continue a list: the `next` of the page before"},
	"limit":   {says: "at most so many, 1 to 500", number: true},
	"offset":  {says: "first row of a table, first byte of a text", number: true},
	"from":    {says: "first byte to read", number: true},
	"ref":     {says: "name of the image for people"},
	"q":       {says: "what to look for"},
	"topic":   {says: "home, system, federation, image, job:<id>, airlock:<id> or dataset:<id>; on a hub home, system or hub"},
}

var pathParams = map[string]string{
	"project": "id or short name of a project", "person": "id of a person", "dataset": "id or short name of a dataset",
	"n": "number of a version", "digest": "digest of an image", "job": "id of a job", "output": "id of an output",
	"request": "id of an airlock request", "item": "id of a file in the request", "release": "id of a release",
	"seq": "number of an event, from 0", "place": "number of an input in the job's places, from 0", "session": "id of a session",
	"principal": "id or short name of a hub or an outside client", "plugin": "name of a plugin", "source": "id of an allowed source",
	"token": "id of a token", "node": "id or name of a node", "task": "id of a task",
}
