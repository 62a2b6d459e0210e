package api

import (
	"tresor/app/access"
	"tresor/app/project"
)

func (s *Server) projectRoutes() []Route {
	return []Route{
		{Method: "GET", Path: "/projects", Access: at(SignedIn, access.ProjectRead), Summary: "List the projects that you may see", endpoint: get(s.listProjects)},
		{Method: "POST", Path: "/projects", Access: by(access.ProjectCreate), Summary: "Create a project", Need: "slug name purpose", endpoint: create(s.createProject)},
		{Method: "GET", Path: "/projects/{project}", Access: by(access.ProjectRead), Summary: "Show a project with its members and datasets", endpoint: get(s.getProject)},
		{Method: "PATCH", Path: "/projects/{project}", Access: by(access.ProjectChange, access.ProjectPolicy), Summary: "Change, close or reopen a project, or set its policy", endpoint: post(s.changeProject)},
		{Method: "PUT", Path: "/projects/{project}/members/{person}", Access: by(access.ProjectMember), Summary: "Give a person a role in a project", Need: "role", endpoint: post(s.setMember)},
		{Method: "POST", Path: "/projects/{project}/members/{person}/remove", Access: by(access.ProjectMember), Summary: "Take a person out of a project", Need: "reason", endpoint: post(s.dropMember)},
		{Method: "PUT", Path: "/projects/{project}/datasets/{dataset}", Access: by(access.ProjectGrant), Summary: "Grant a dataset to a project", endpoint: get(s.grantDataset)},
		{Method: "POST", Path: "/projects/{project}/datasets/{dataset}/revoke", Access: by(access.ProjectGrant), Summary: "Take a dataset away from a project", Need: "reason", endpoint: post(s.revokeDataset)},
	}
}

func (s *Server) listProjects(c *call) (List[project.Project], error) {
	all, err := s.Projects.List(c.ctx(), c.actor())
	return listOf(all, ""), err
}

func (s *Server) createProject(c *call, d project.Draft) (project.Project, error) {
	return s.Projects.Create(c.ctx(), c.actor(), d)
}

func (s *Server) getProject(c *call) (project.Project, error) {
	return s.Projects.Get(c.ctx(), c.actor(), c.path("project"))
}

// changeProject asks for the step-up only when the policy is touched: renaming
// a project is no danger.
func (s *Server) changeProject(c *call, ch project.Change) (project.Project, error) {
	if ch.Approval != nil || ch.Threshold != nil || ch.Reviewers != nil || ch.WaiverUntil != nil {
		if err := c.stepUp(); err != nil {
			return project.Project{}, err
		}
	}
	return s.Projects.Change(c.ctx(), c.actor(), c.path("project"), ch)
}

type memberRole struct {
	Role access.Role `json:"role" doc:"researcher or lead"`
}

func (s *Server) setMember(c *call, in memberRole) (project.Project, error) {
	return s.Projects.SetMember(c.ctx(), c.actor(), c.path("project"), c.path("person"), in.Role)
}

func (s *Server) dropMember(c *call, in reasonIn) (project.Project, error) {
	return s.Projects.DropMember(c.ctx(), c.actor(), c.path("project"), c.path("person"), in.Reason)
}

// grantDataset takes the dataset's id or short name.
func (s *Server) grantDataset(c *call) (project.Project, error) {
	id, err := s.datasetID(c)
	if err != nil {
		return project.Project{}, err
	}
	return s.Projects.Grant(c.ctx(), c.actor(), c.path("project"), id)
}

func (s *Server) revokeDataset(c *call, in reasonIn) (project.Project, error) {
	id, err := s.datasetID(c)
	if err != nil {
		return project.Project{}, err
	}
	return s.Projects.Revoke(c.ctx(), c.actor(), c.path("project"), id, in.Reason)
}

func (s *Server) datasetID(c *call) (string, error) {
	d, err := s.Datasets.Get(c.ctx(), c.actor(), c.path("dataset"))
	return d.ID, err
}
