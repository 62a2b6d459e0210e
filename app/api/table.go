package api

// table is the one list of everything that the API answers. A route cannot be
// served without standing here, and what stands here without an access level
// serves nobody and fails a test.
func (s *Server) table() []Route {
	var all []Route
	for _, part := range [][]Route{
		s.sessionRoutes(), s.homeRoutes(), s.projectRoutes(), s.datasetRoutes(), s.imageRoutes(), s.jobRoutes(),
		s.airlockRoutes(), s.releaseRoutes(), s.personRoutes(), s.auditRoutes(), s.systemRoutes(),
	} {
		all = append(all, part...)
	}
	return all
}

// param describes a query parameter.
type param struct {
	says   string
	number bool
}

var params = map[string]param{
	"project": {says: "only of this project (id or short name)"},
	"state":   {says: "only in these states, separated by commas"},
	"subject": {says: "only about this thing, such as job:<id>"},
	"before":  {says: "continue a list: the `next` of the page before"},
	"limit":   {says: "at most so many, 1 to 500", number: true},
	"offset":  {says: "first row of a table, first byte of a text", number: true},
	"from":    {says: "first byte to read", number: true},
	"ref":     {says: "name of the image for people"},
	"q":       {says: "what to look for"},
	"topic":   {says: "home, system, image, job:<id>, airlock:<id> or dataset:<id>"},
}

var pathParams = map[string]string{
	"project": "id or short name of a project", "person": "id of a person", "dataset": "id or short name of a dataset",
	"n": "number of a version", "digest": "digest of an image", "job": "id of a job", "output": "id of an output",
	"request": "id of an airlock request", "item": "id of a file in the request", "release": "id of a release",
	"seq": "number of an event, from 0", "session": "id of a session",
}
