package api

import (
	"bytes"
	"context"
	"errors"
	"mime"
	"net/http"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/hub"
	"tresor/app/release"
)

// HubDesk is what the pages of a hub know and may ask; *hub.Service.
type HubDesk interface {
	Overview(ctx context.Context, actor access.Actor) (hub.Overview, error)
	Rotate(ctx context.Context, actor access.Actor) (hub.Overview, error)

	Nodes(ctx context.Context, actor access.Actor) ([]hub.Node, error)
	Node(ctx context.Context, actor access.Actor, idOrName string) (hub.Node, error)
	NewCode(ctx context.Context, actor access.Actor, name string) (hub.Code, error)
	TypeCode(ctx context.Context, actor access.Actor, code, name string) (hub.Code, error)
	ConfirmNode(ctx context.Context, actor access.Actor, node string) (hub.Node, error)
	RevokeNode(ctx context.Context, actor access.Actor, node, reason string) (hub.Node, error)

	Projects(ctx context.Context, actor access.Actor) ([]hub.Project, error)
	Project(ctx context.Context, actor access.Actor, idOrSlug string) (hub.Project, error)
	CreateProject(ctx context.Context, actor access.Actor, d hub.ProjectDraft) (hub.Project, error)
	ChangeProject(ctx context.Context, actor access.Actor, idOrSlug string, c hub.ProjectChange) (hub.Project, error)
	SetMember(ctx context.Context, actor access.Actor, idOrSlug, person string, role access.Role) (hub.Project, error)
	DropMember(ctx context.Context, actor access.Actor, idOrSlug, person, reason string) (hub.Project, error)
	SetNode(ctx context.Context, actor access.Actor, idOrSlug, node, remote string) (hub.Project, error)
	DropNode(ctx context.Context, actor access.Actor, idOrSlug, node, reason string) (hub.Project, error)

	Tasks(ctx context.Context, actor access.Actor, f hub.TaskFilter) ([]hub.Task, error)
	Task(ctx context.Context, actor access.Actor, id string) (hub.Task, error)
	Cancel(ctx context.Context, actor access.Actor, id string) (hub.Task, error)
	End(ctx context.Context, actor access.Actor, id string) (hub.Task, error)
	// Result opens what a node released of a task, one zip.
	Result(ctx context.Context, actor access.Actor, task, node string) (*hub.ResultFile, error)
	// DeleteResults deletes what one node released of a task; node "": all nodes.
	DeleteResults(ctx context.Context, actor access.Actor, task, node string) (hub.Task, error)
	Catalogue(ctx context.Context, actor access.Actor) ([]hub.Published, error)
	Document(ctx context.Context, actor access.Actor, node, plugin, path string) (hub.Document, error)

	Tokens(ctx context.Context, actor access.Actor) ([]hub.Token, error)
	NewToken(ctx context.Context, actor access.Actor, d hub.TokenDraft) (hub.Token, error)
	RevokeToken(ctx context.Context, actor access.Actor, id, reason string) error
}

func (s *Server) hubRoutes() []Route {
	const project, node, task = "/hub/projects/{project}", "/hub/nodes/{node}", "/hub/tasks/{task}"
	return []Route{
		{Method: "GET", Path: "/hub", Access: by(access.HubRead), Summary: "Show the hub itself", endpoint: get(s.hubOverview)},
		{Method: "POST", Path: "/hub/rotate", Access: by(access.HubManage), Summary: "Announce a new key of the hub to its nodes", endpoint: get(s.hubRotate)},
		{Method: "POST", Path: "/hub/codes", Access: by(access.HubManage), Summary: "Make a one-time code that a node's operator types there", Need: "name", endpoint: create(s.hubCode)},
		{Method: "GET", Path: "/hub/nodes", Access: by(access.HubRead), Summary: "List the nodes, online or not", endpoint: get(s.hubNodes)},
		{Method: "POST", Path: "/hub/nodes", Access: by(access.HubManage), Summary: "Await a node whose operator made the code", Need: "code name", endpoint: create(s.hubTypeCode)},
		{Method: "GET", Path: node, Access: by(access.HubRead), Summary: "Show a node", endpoint: get(s.hubNode)},
		{Method: "POST", Path: node + "/confirm", Access: by(access.HubManage), Summary: "Say that the words of both ends are the same: from then on the node gets work", endpoint: get(s.hubConfirm)},
		{Method: "POST", Path: node + "/revoke", Access: by(access.HubManage), Summary: "End a node for good", Need: "reason", endpoint: post(s.hubRevoke)},
		{Method: "GET", Path: "/hub/projects", Access: by(access.HubRead), Summary: "List the hub's projects that you may see", endpoint: get(s.hubProjects)},
		{Method: "POST", Path: "/hub/projects", Access: by(access.HubManage), Summary: "Make a project that spans nodes", Need: "slug name", endpoint: create(s.hubCreateProject)},
		{Method: "GET", Path: project, Access: by(access.HubTasks), Summary: "Show a project with its members and nodes", endpoint: get(s.hubProject)},
		{Method: "PATCH", Path: project, Access: by(access.HubManage), Summary: "Rename, close or reopen a project", endpoint: post(s.hubChangeProject)},
		{Method: "PUT", Path: project + "/members/{person}", Access: by(access.HubManage), Summary: "Give a person a role in a project", Need: "role", endpoint: post(s.hubSetMember)},
		{Method: "POST", Path: project + "/members/{person}/remove", Access: by(access.HubManage), Summary: "Take a person out of a project, with a reason; their tokens for it end", Need: "reason", endpoint: post(s.hubDropMember)},
		{Method: "PUT", Path: project + "/nodes/{node}", Access: by(access.HubManage), Summary: "Run a project on a node, as the node's own project calls it", endpoint: post(s.hubSetNode)},
		{Method: "POST", Path: project + "/nodes/{node}/remove", Access: by(access.HubManage), Summary: "No longer run a project on a node, with a reason", Need: "reason", endpoint: post(s.hubDropNode)},
		{Method: "GET", Path: "/hub/tasks", Access: at(SignedIn, access.HubTasks), Summary: "List tasks with their parts at the nodes, newest first", Query: []string{"project", "state", "before", "limit"}, endpoint: get(s.hubTasks)},
		{Method: "GET", Path: task, Access: by(access.HubTasks), Summary: "Show a task with its parts at the nodes", endpoint: get(s.hubTask)},
		{Method: "POST", Path: task + "/cancel", Access: by(access.HubCancel), Summary: "Ask every node to stop its part of a task", endpoint: get(s.hubCancel)},
		{Method: "POST", Path: task + "/end", Access: by(access.HubCancel), Summary: "Stop waiting for the nodes that have not ended a cancelled task", endpoint: get(s.hubEnd)},
		{Method: "GET", Path: task + "/results/{node}", Access: by(access.HubResults), Summary: "Download what a node released of a task (zip)", endpoint: download("application/zip", s.hubResult)},
		{Method: "DELETE", Path: task + "/results", Access: by(access.HubErase), Summary: "Delete the hub's copies of what the nodes released of a task; names and hashes stay", endpoint: get(s.hubDeleteResults)},
		{Method: "DELETE", Path: task + "/results/{node}", Access: by(access.HubErase), Summary: "Delete the hub's copy of what one node released of a task", endpoint: get(s.hubDeleteResults)},
		{Method: "GET", Path: "/hub/catalogue", Access: by(access.HubRead), Summary: "What the nodes choose to publish", endpoint: get(s.hubCatalogue)},
		{Method: "GET", Path: "/hub/nodes/{node}/documents/{plugin}", Access: by(access.HubRead), Summary: "Read a document that a node's plugin publishes", Query: []string{"path!"}, endpoint: download("application/octet-stream", s.hubDocument)},
		{Method: "GET", Path: "/hub/tokens", Access: at(SignedIn, access.TokenRead), Summary: "List your own tokens for programs", endpoint: get(s.hubTokens)},
		{Method: "POST", Path: "/hub/tokens", Access: by(access.HubToken), Summary: "Make a token with which a program sends tasks as you in one project; it is shown this once", Need: "name project", endpoint: create(s.hubNewToken)},
		{Method: "POST", Path: "/hub/tokens/{token}/revoke", Access: at(SignedIn, access.TokenRevoke), Summary: "End a token; who ends another person's has to say why", endpoint: done(s.hubRevokeToken)},
	}
}

type codeForNode struct {
	Code string `json:"code" doc:"one-time code from the node's operator"`
	Name string `json:"name" doc:"what to call the node here"`
}

type remoteIn struct {
	Remote string `json:"remote" doc:"short name of the node's own project; empty: the same as here"`
}

func (s *Server) hubOverview(c *call) (hub.Overview, error) {
	return s.Hub.Overview(c.ctx(), c.actor())
}

func (s *Server) hubRotate(c *call) (hub.Overview, error) { return s.Hub.Rotate(c.ctx(), c.actor()) }

func (s *Server) hubCode(c *call, in nameIn) (hub.Code, error) {
	return s.Hub.NewCode(c.ctx(), c.actor(), in.Name)
}

func (s *Server) hubTypeCode(c *call, in codeForNode) (hub.Code, error) {
	return s.Hub.TypeCode(c.ctx(), c.actor(), in.Code, in.Name)
}

func (s *Server) hubNodes(c *call) (List[hub.Node], error) {
	all, err := s.Hub.Nodes(c.ctx(), c.actor())
	return listOf(all, ""), err
}

func (s *Server) hubNode(c *call) (hub.Node, error) {
	return s.Hub.Node(c.ctx(), c.actor(), c.path("node"))
}

func (s *Server) hubConfirm(c *call) (hub.Node, error) {
	return s.Hub.ConfirmNode(c.ctx(), c.actor(), c.path("node"))
}

func (s *Server) hubRevoke(c *call, in reasonIn) (hub.Node, error) {
	return s.Hub.RevokeNode(c.ctx(), c.actor(), c.path("node"), in.Reason)
}

func (s *Server) hubProjects(c *call) (List[hub.Project], error) {
	all, err := s.Hub.Projects(c.ctx(), c.actor())
	return listOf(all, ""), err
}

func (s *Server) hubCreateProject(c *call, d hub.ProjectDraft) (hub.Project, error) {
	return s.Hub.CreateProject(c.ctx(), c.actor(), d)
}

func (s *Server) hubProject(c *call) (hub.Project, error) {
	return s.Hub.Project(c.ctx(), c.actor(), c.path("project"))
}

func (s *Server) hubChangeProject(c *call, ch hub.ProjectChange) (hub.Project, error) {
	return s.Hub.ChangeProject(c.ctx(), c.actor(), c.path("project"), ch)
}

func (s *Server) hubSetMember(c *call, in memberRole) (hub.Project, error) {
	return s.Hub.SetMember(c.ctx(), c.actor(), c.path("project"), c.path("person"), in.Role)
}

func (s *Server) hubDropMember(c *call, in reasonIn) (hub.Project, error) {
	return s.Hub.DropMember(c.ctx(), c.actor(), c.path("project"), c.path("person"), in.Reason)
}

func (s *Server) hubSetNode(c *call, in remoteIn) (hub.Project, error) {
	return s.Hub.SetNode(c.ctx(), c.actor(), c.path("project"), c.path("node"), in.Remote)
}

func (s *Server) hubDropNode(c *call, in reasonIn) (hub.Project, error) {
	return s.Hub.DropNode(c.ctx(), c.actor(), c.path("project"), c.path("node"), in.Reason)
}

func (s *Server) hubTasks(c *call) (List[hub.Task], error) {
	limit, err := c.limit()
	if err != nil {
		return List[hub.Task]{}, err
	}
	all, err := s.Hub.Tasks(c.ctx(), c.actor(), hub.TaskFilter{Project: c.query("project"), State: c.query("state"), Before: c.query("before"), Limit: limit})
	return listOf(all, nextOf(all, limit, func(t hub.Task) string { return t.ID })), err
}

func (s *Server) hubTask(c *call) (hub.Task, error) {
	return s.Hub.Task(c.ctx(), c.actor(), c.path("task"))
}

func (s *Server) hubCancel(c *call) (hub.Task, error) {
	return s.Hub.Cancel(c.ctx(), c.actor(), c.path("task"))
}

func (s *Server) hubEnd(c *call) (hub.Task, error) {
	return s.Hub.End(c.ctx(), c.actor(), c.path("task"))
}

// hubResult hands out what a node has released and nothing else: the hub holds
// no other byte.
func (s *Server) hubResult(c *call) error {
	f, err := s.Hub.Result(c.ctx(), c.actor(), c.path("task"), c.path("node"))
	if errors.Is(err, hub.ErrDeleted) {
		return &refused{status: http.StatusGone, code: codeGone, err: err}
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := release.Describe(c.w.Header(), "application/zip", f.Name, f.SHA256); err != nil {
		return err
	}
	sendFile(c, f)
	return nil
}

// hubDeleteResults deletes those of the node that the address names, or of all nodes.
func (s *Server) hubDeleteResults(c *call) (hub.Task, error) {
	return s.Hub.DeleteResults(c.ctx(), c.actor(), c.path("task"), c.path("node"))
}

func (s *Server) hubCatalogue(c *call) (List[hub.Published], error) {
	all, err := s.Hub.Catalogue(c.ctx(), c.actor())
	return listOf(all, ""), err
}

// hubDocument gives a document as a file to keep: whatever a node calls it, no
// browser shows it as a page of this hub.
func (s *Server) hubDocument(c *call) error {
	d, err := s.Hub.Document(c.ctx(), c.actor(), c.path("node"), c.path("plugin"), c.query("path"))
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/octet-stream") // its own type stands in the catalogue
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": d.Path[strings.LastIndexByte(d.Path, '/')+1:]}))
	h.Set("ETag", `"`+d.SHA256+`"`)
	http.ServeContent(c.w, c.r, "", time.Time{}, bytes.NewReader(d.Body))
	return nil
}

func (s *Server) hubTokens(c *call) (List[hub.Token], error) {
	all, err := s.Hub.Tokens(c.ctx(), c.actor())
	return listOf(all, ""), err
}

func (s *Server) hubNewToken(c *call, d hub.TokenDraft) (hub.Token, error) {
	return s.Hub.NewToken(c.ctx(), c.actor(), d)
}

func (s *Server) hubRevokeToken(c *call, in reasonIn) error {
	return s.Hub.RevokeToken(c.ctx(), c.actor(), c.path("token"), in.Reason)
}
