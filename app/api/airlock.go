package api

import (
	"strings"

	"tresor/app/access"
	"tresor/app/airlock"
	"tresor/app/fault"
	"tresor/app/release"
)

func (s *Server) airlockRoutes() []Route {
	return []Route{
		{Method: "POST", Path: "/jobs/{job}/airlock", Access: by(access.AirlockCreate), Summary: "Draft a request to release outputs of a job", Need: "title outputs", endpoint: create(s.draftRequest)},
		{Method: "GET", Path: "/airlock", Access: by(access.AirlockRead), Summary: "List airlock requests, newest first", Query: []string{"project", "state", "before", "limit"}, endpoint: get(s.listRequests)},
		{Method: "GET", Path: "/airlock/{request}", Access: by(access.AirlockRead), Summary: "Show a request with its files, findings and reviews", endpoint: get(s.getRequest)},
		{Method: "PATCH", Path: "/airlock/{request}", Access: by(access.AirlockEdit), Summary: "Change a draft or a returned request", endpoint: post(s.editRequest)},
		{Method: "POST", Path: "/airlock/{request}/submit", Access: by(access.AirlockSubmit), Summary: "Hand the request to the reviewers", endpoint: slowly(get(s.submitRequest))},
		{Method: "POST", Path: "/airlock/{request}/withdraw", Access: by(access.AirlockWithdraw), Summary: "Withdraw the request", endpoint: get(s.withdrawRequest)},
		{Method: "POST", Path: "/airlock/{request}/votes", Access: by(access.AirlockReview), Summary: "Vote on a request", Need: "decision", endpoint: post(s.vote)},
		{Method: "POST", Path: "/airlock/{request}/comments", Access: by(access.AirlockComment), Summary: "Comment on a request or one of its files", Need: "text", endpoint: post(s.comment)},
		{Method: "GET", Path: "/airlock/{request}/items/{item}/view", Access: by(access.AirlockView), Summary: "Look at a page of a file under review", Query: []string{"offset", "limit"}, endpoint: get(s.viewItem)},
		{Method: "POST", Path: "/airlock/{request}/release", Access: by(access.ReleaseMake), Summary: "Make the release of an approved request", endpoint: slowly(get(s.makeRelease))},
	}
}

// draftRequest makes a request that only its requester works on.
func (s *Server) draftRequest(c *call, in airlock.Text) (airlock.Request, error) {
	return s.Airlock.Draft(c.ctx(), c.actor(), c.path("job"), in)
}

func (s *Server) listRequests(c *call) (List[airlock.Request], error) {
	limit, err := c.limit()
	if err != nil {
		return List[airlock.Request]{}, err
	}
	f := airlock.Filter{Project: c.query("project"), Before: c.query("before"), Limit: limit}
	for _, name := range strings.FieldsFunc(c.query("state"), func(r rune) bool { return r == ',' }) {
		if !airlock.State(name).Valid() {
			return List[airlock.Request]{}, fault.New("api.airlock", fault.Invalid, "%q is not a state of a request.", clip(name))
		}
		f.States = append(f.States, airlock.State(name))
	}
	all, err := s.Airlock.List(c.ctx(), c.actor(), f)
	return listOf(all, nextOf(all, limit, func(r airlock.Request) string { return r.ID })), err
}

func (s *Server) getRequest(c *call) (airlock.Request, error) {
	return s.Airlock.Get(c.ctx(), c.actor(), c.path("request"))
}

func (s *Server) editRequest(c *call, in airlock.Edits) (airlock.Request, error) {
	return s.Airlock.Edit(c.ctx(), c.actor(), c.path("request"), in)
}

func (s *Server) submitRequest(c *call) (airlock.Request, error) {
	return s.Airlock.Submit(c.ctx(), c.actor(), c.path("request"))
}

func (s *Server) withdrawRequest(c *call) (airlock.Request, error) {
	return s.Airlock.Withdraw(c.ctx(), c.actor(), c.path("request"))
}

type voteIn struct {
	Decision string `json:"decision" doc:"approve, reject or change"`
	Comment  string `json:"comment"`
}

func (s *Server) vote(c *call, in voteIn) (airlock.Request, error) {
	return s.Airlock.Vote(c.ctx(), c.actor(), c.path("request"), in.Decision, in.Comment)
}

type commentIn struct {
	Text string `json:"text"`
	Item string `json:"item" doc:"id of a file of the request; empty: about all of it"`
}

func (s *Server) comment(c *call, in commentIn) (airlock.Request, error) {
	return s.Airlock.Comment(c.ctx(), c.actor(), c.path("request"), in.Text, in.Item)
}

// viewItem shows a page of the bytes under review; airlock.View audits it.
func (s *Server) viewItem(c *call) (airlock.View, error) {
	offset, limit, err := c.window()
	if err != nil {
		return airlock.View{}, err
	}
	return s.Airlock.View(c.ctx(), c.actor(), c.path("request"), c.path("item"), int(offset), int(limit))
}

func (s *Server) makeRelease(c *call) (release.Release, error) {
	return s.Releases.Make(c.ctx(), c.actor(), c.path("request"))
}
