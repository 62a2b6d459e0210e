package api

import (
	"strconv"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/gateway"
)

func (s *Server) principalRoutes() []Route {
	const one = "/federation/principals/{principal}"
	return []Route{
		{Method: "GET", Path: "/federation/principals", Access: by(access.FederationRead), Summary: "List the hubs and outside clients that you may see", endpoint: get(s.listPrincipals)},
		{Method: "POST", Path: "/federation/principals", Access: by(access.FederationManage), Summary: "Make an outside client; it may use nothing until a lead adds a project", Need: "name", endpoint: create(s.createPrincipal)},
		{Method: "GET", Path: one, Access: by(access.FederationRead), Summary: "Show a hub or an outside client with what it may do", endpoint: get(s.getPrincipal)},
		{Method: "PATCH", Path: one, Access: by(access.FederationManage), Summary: "Change its name, approval mode, quotas, airlock policy, the plugins that it reaches or whether it sees what is published", endpoint: post(s.changePrincipal)},
		{Method: "POST", Path: one + "/pause", Access: by(access.FederationPause), Summary: "Refuse its requests, or take them again (needs a step-up)", Need: "paused", endpoint: post(s.pausePrincipal)},
		{Method: "POST", Path: one + "/revoke", Access: by(access.FederationManage), Summary: "End it for good", Need: "reason", endpoint: post(s.revokePrincipal)},
		{Method: "POST", Path: one + "/token", Access: by(access.FederationManage), Summary: "Make the client's token, in place of the one before; it is shown this once", endpoint: get(s.newClientToken)},
		{Method: "PUT", Path: one + "/projects/{project}", Access: by(access.FederationUse), Summary: "Lend it a project: name the member who answers for its work and the datasets that it may name", Need: "sponsor", endpoint: post(s.lendProject)},
		{Method: "POST", Path: one + "/projects/{project}/take-back", Access: by(access.FederationUse), Summary: "Take a project back from it", Need: "reason", endpoint: post(s.takeBackProject)},
		{Method: "GET", Path: one + "/ledger", Access: by(access.FederationLedger), Summary: "What arrived from it and what left to it, newest first", Query: []string{"before", "limit"}, endpoint: get(s.readLedger)},
	}
}

type lendIn struct {
	Sponsor  string   `json:"sponsor" doc:"id of a member, in whose name its jobs are submitted"`
	Datasets []string `json:"datasets" doc:"ids or short names; [\"*\"]: all that the project is granted; none: no data"`
}

// Secret is a token, shown once.
type Secret struct {
	Token string `json:"token" doc:"keep it now: it is not shown again"`
}

func (s *Server) listPrincipals(c *call) (List[gateway.Principal], error) {
	all, err := s.Gateway.Principals(c.ctx(), c.actor())
	return listOf(all, ""), err
}

// createPrincipal makes clients only: a hub has a key, which comes by enrolment.
func (s *Server) createPrincipal(c *call, d gateway.Draft) (gateway.Principal, error) {
	if d.Kind == "" {
		d.Kind = gateway.Client
	}
	if d.Kind != gateway.Client {
		return gateway.Principal{}, fault.WithNext(fault.New("api.principals", fault.Invalid, "Only outside clients are made like this."),
			"Enrol a hub with POST /federation/hubs, or make a token of your own with POST /tokens.")
	}
	return s.Gateway.Create(c.ctx(), c.actor(), d)
}

func (s *Server) getPrincipal(c *call) (gateway.Principal, error) {
	return s.Gateway.Principal(c.ctx(), c.actor(), c.path("principal"))
}

func (s *Server) changePrincipal(c *call, ch gateway.Change) (gateway.Principal, error) {
	return s.followed(s.Gateway.Change(c.ctx(), c.actor(), c.path("principal"), ch))
}

func (s *Server) pausePrincipal(c *call, in pausedIn) (gateway.Principal, error) {
	if !in.Paused {
		if err := c.stepUp(); err != nil {
			return gateway.Principal{}, err
		}
	}
	return s.followed(s.Gateway.Pause(c.ctx(), c.actor(), c.path("principal"), in.Paused, in.Reason))
}

func (s *Server) revokePrincipal(c *call, in reasonIn) (gateway.Principal, error) {
	return s.followed(s.Gateway.Revoke(c.ctx(), c.actor(), c.path("principal"), in.Reason))
}

// followed tells the links of a change of a principal.
func (s *Server) followed(p gateway.Principal, err error) (gateway.Principal, error) {
	if err == nil {
		s.Links.Changed()
	}
	return p, err
}

func (s *Server) newClientToken(c *call) (Secret, error) {
	token, err := s.Gateway.NewToken(c.ctx(), c.actor(), c.path("principal"))
	return Secret{Token: token}, err
}

func (s *Server) lendProject(c *call, in lendIn) (gateway.Principal, error) {
	return s.followed(s.Gateway.AddProject(c.ctx(), c.actor(), c.path("principal"), c.path("project"), in.Sponsor, in.Datasets))
}

func (s *Server) takeBackProject(c *call, in reasonIn) (gateway.Principal, error) {
	return s.followed(s.Gateway.DropProject(c.ctx(), c.actor(), c.path("principal"), c.path("project"), in.Reason))
}

func (s *Server) readLedger(c *call) (List[gateway.Entry], error) {
	limit, err := c.limit()
	if err != nil {
		return List[gateway.Entry]{}, err
	}
	before, err := c.number("before", 0, 0, 1<<62)
	if err != nil {
		return List[gateway.Entry]{}, err
	}
	all, err := s.Gateway.Ledger(c.ctx(), c.actor(), c.path("principal"), before, limit)
	return listOf(all, nextOf(all, limit, func(e gateway.Entry) string { return strconv.FormatInt(e.Seq, 10) })), err
}
