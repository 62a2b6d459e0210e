package api

import (
	"tresor/app/access"
	"tresor/app/identity"
)

func (s *Server) personRoutes() []Route {
	return []Route{
		{Method: "GET", Path: "/people", Access: by(access.PersonRead), Summary: "List the people", endpoint: get(s.listPeople)},
		{Method: "POST", Path: "/people", Access: by(access.PersonManage), Summary: "Create an account", Need: "handle name", endpoint: create(s.createPerson)},
		{Method: "GET", Path: "/people/{person}", Access: by(access.PersonRead), Summary: "Show a person", endpoint: get(s.getPerson)},
		{Method: "PATCH", Path: "/people/{person}", Access: by(access.PersonManage), Summary: "Change a person's name, roles or account", endpoint: post(s.changePerson)},
		{Method: "POST", Path: "/people/{person}/link", Access: by(access.PersonManage), Summary: "Issue a one-time link", endpoint: post(s.issueLink)},
		{Method: "GET", Path: "/people/{person}/sessions", Access: by(access.PersonManage), Summary: "List where a person is signed in", endpoint: get(s.sessionsOf)},
		{Method: "DELETE", Path: "/people/{person}/sessions", Access: by(access.PersonManage), Summary: "End all sessions of a person", endpoint: done0(s.endSessionsOf)},
	}
}

func (s *Server) listPeople(c *call) (List[identity.Person], error) {
	all, err := s.Identity.People(c.ctx(), c.actor())
	return listOf(all, ""), err
}

func (s *Server) createPerson(c *call, in identity.Draft) (identity.Person, error) {
	return s.Identity.CreatePerson(c.ctx(), c.actor(), in)
}

func (s *Server) getPerson(c *call) (identity.Person, error) {
	return s.Identity.Get(c.ctx(), c.actor(), c.path("person"))
}

func (s *Server) changePerson(c *call, in identity.Change) (identity.Person, error) {
	return s.Identity.ChangePerson(c.ctx(), c.actor(), c.path("person"), in)
}

type linkKind struct {
	Kind string `json:"kind" doc:"enrol (default), or demo in a demo"`
}

func (s *Server) issueLink(c *call, in linkKind) (identity.Link, error) {
	if in.Kind == "" {
		in.Kind = identity.KindEnrol
	}
	return s.Identity.IssueLink(c.ctx(), c.actor(), c.path("person"), in.Kind)
}

func (s *Server) sessionsOf(c *call) (List[identity.Session], error) {
	all, err := s.Identity.Sessions(c.ctx(), c.actor(), c.path("person"))
	return listOf(all, ""), err
}

func (s *Server) endSessionsOf(c *call) error {
	return s.Identity.EndSessions(c.ctx(), c.actor(), c.path("person"))
}
