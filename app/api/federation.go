package api

import (
	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/gateway"
	"tresor/app/gateway/link"
	"tresor/app/gateway/plug"
)

// Federation is what the federation page shows at once.
type Federation struct {
	Node    link.Node           `json:"node"`
	Hubs    []Hub               `json:"hubs"`
	Clients []gateway.Principal `json:"clients"`
	Plugins []plug.Plugin       `json:"plugins" doc:"empty for those who may not see them"`
	Waiting int                 `json:"waiting" doc:"requests that wait for a decision or an image"`
}

// Hub is a principal that is a hub, with its link.
type Hub struct {
	gateway.Principal
	Link link.Link `json:"link"`
}

func (s *Server) federationRoutes() []Route {
	return []Route{
		{Method: "GET", Path: "/federation", Access: by(access.FederationRead), Summary: "Show this node, its hubs, outside clients and plugins", endpoint: get(s.federation)},
		{Method: "POST", Path: "/federation/pause", Access: by(access.FederationPause), Summary: "Refuse work from all hubs and outside clients, or take it again (needs a step-up)", Need: "paused", endpoint: post(s.pauseAll)},
		{Method: "POST", Path: "/federation/hubs", Access: by(access.FederationManage), Summary: "Enrol at a hub with the code that it gave; compare the words, then confirm", Need: "url code", endpoint: create(s.enrolHub)},
		{Method: "POST", Path: "/federation/hubs/{principal}/confirm", Access: by(access.FederationManage), Summary: "Say that the words of both ends are the same: from then on the hub may send work", endpoint: get(s.confirmHub)},
		{Method: "POST", Path: "/federation/hubs/{principal}/test", Access: by(access.FederationTest), Summary: "Try the connection to a hub step by step", endpoint: slowly(get(s.testHub))},
		{Method: "POST", Path: "/federation/codes", Access: by(access.FederationManage), Summary: "Make a one-time code to be typed at a hub", endpoint: create(s.enrolmentCode)},
		{Method: "POST", Path: "/federation/rotate", Access: by(access.FederationManage), Summary: "Announce a new key of this node to its hubs; the old one serves on until they have it", endpoint: get(s.rotateKey)},
		{Method: "GET", Path: "/federation/requests", Access: at(SignedIn, access.JobRead), Summary: "List what machines sent that waits for a decision or an image, with all that an approver needs, oldest first", Query: []string{"after", "limit"}, endpoint: get(s.listPending)},
		{Method: "GET", Path: "/federation/sources", Access: by(access.FederationRead), Summary: "List the addresses that inputs may be fetched from", endpoint: get(s.listSources)},
		{Method: "POST", Path: "/federation/sources", Access: by(access.FederationManage), Summary: "Allow inputs to be fetched from addresses with a prefix", Need: "prefix kind", endpoint: create(s.addSource)},
		{Method: "DELETE", Path: "/federation/sources/{source}", Access: by(access.FederationManage), Summary: "Take a prefix off the list", endpoint: done0(s.dropSource)},
		{Method: "PUT", Path: "/federation/sources/{source}/credential", Access: by(access.FederationManage), Summary: "Give a source a credential, in place of the one before: a key with its secret for s3, a token or a name with a password for https and drs. No answer has any of it", endpoint: post(s.setCredential)},
		{Method: "DELETE", Path: "/federation/sources/{source}/credential", Access: by(access.FederationManage), Summary: "Take a source's credential away", endpoint: get(s.dropCredential)},
	}
}

type pausedIn struct {
	Paused bool   `json:"paused"`
	Reason string `json:"reason" doc:"why, when there is time to say it; kept with the audit event"`
}

type hubIn struct {
	URL  string `json:"url" doc:"wss://host/path"`
	Code string `json:"code" doc:"one-time code from the hub's operator"`
	Name string `json:"name" doc:"what to call the hub here"`
}

type nameIn struct {
	Name string `json:"name"`
}

type sourceIn struct {
	Prefix   string `json:"prefix" doc:"https://host/path/, s3://bucket/prefix or drs://host/"`
	Kind     string `json:"kind" doc:"https, s3 or drs"`
	Endpoint string `json:"endpoint" doc:"https:// address that answers for s3:// and drs://"`
	Plugin   string `json:"plugin" doc:"a plugin that may call it; empty: inputs of jobs only"`
	Private  bool   `json:"private" doc:"its host may have an address of your own network; without, a name that leads there is not called"`

	Credential *gateway.Credential `json:"credential" doc:"what the source wants to let this server read; no answer has any of it"`
}

func (s *Server) federation(c *call) (Federation, error) {
	ctx, actor := c.ctx(), c.actor()
	out := Federation{Hubs: []Hub{}, Clients: []gateway.Principal{}, Plugins: []plug.Plugin{}}
	all, err := s.Gateway.Principals(ctx, actor)
	if err != nil {
		return out, err
	}
	links, err := s.Links.Links(ctx, actor)
	if err != nil {
		return out, err
	}
	for _, p := range all {
		switch p.Kind {
		case gateway.Hub:
			out.Hubs = append(out.Hubs, Hub{Principal: p, Link: links[p.ID]})
		case gateway.Client:
			out.Clients = append(out.Clients, p)
		}
	}
	if out.Node, err = s.node(c); err != nil {
		return out, err
	}
	if access.Can(actor, access.PluginRead, access.Thing{}) {
		if out.Plugins, err = s.Plugins.List(ctx, actor); err != nil {
			return out, err
		}
	}
	waiting, err := s.Gateway.Requests(ctx, actor, "")
	out.Waiting = len(waiting)
	return out, err
}

// node describes this appliance; whether all are paused only the gateway knows.
func (s *Server) node(c *call) (link.Node, error) {
	n, err := s.Links.Node(c.ctx(), c.actor())
	if err != nil {
		return n, err
	}
	n.Paused, err = s.Gateway.PausedAll(c.ctx())
	return n, err
}

// pauseAll is the brake: stopping needs no step-up, letting in again does.
func (s *Server) pauseAll(c *call, in pausedIn) (link.Node, error) {
	if !in.Paused {
		if err := c.stepUp(); err != nil {
			return link.Node{}, err
		}
	}
	if err := s.Gateway.PauseAll(c.ctx(), c.actor(), in.Paused, in.Reason); err != nil {
		return link.Node{}, err
	}
	s.Links.Changed()
	return s.node(c)
}

func (s *Server) enrolHub(c *call, in hubIn) (Hub, error) {
	id, err := s.Links.Enrol(c.ctx(), c.actor(), in.URL, in.Code, in.Name)
	if err != nil {
		return Hub{}, err
	}
	return s.hub(c, id)
}

func (s *Server) hub(c *call, id string) (Hub, error) {
	p, err := s.Gateway.Principal(c.ctx(), c.actor(), id)
	if err != nil {
		return Hub{}, err
	}
	if p.Kind != gateway.Hub {
		return Hub{}, fault.WithNext(fault.New("api.hub", fault.Conflict, "This is an outside client and not a hub."), "Hubs are enrolled with POST /federation/hubs.")
	}
	links, err := s.Links.Links(c.ctx(), c.actor())
	return Hub{Principal: p, Link: links[p.ID]}, err
}

func (s *Server) confirmHub(c *call) (Hub, error) {
	h, err := s.hub(c, c.path("principal"))
	if err != nil {
		return h, err
	}
	if err := s.Links.Confirm(c.ctx(), c.actor(), h.ID); err != nil {
		return h, err
	}
	return s.hub(c, h.ID)
}

func (s *Server) testHub(c *call) (plug.Report, error) {
	h, err := s.hub(c, c.path("principal"))
	if err != nil {
		return plug.Report{}, err
	}
	return s.Links.Test(c.ctx(), c.actor(), h.ID)
}

func (s *Server) enrolmentCode(c *call, in nameIn) (link.Code, error) {
	return s.Links.Code(c.ctx(), c.actor(), in.Name)
}

func (s *Server) rotateKey(c *call) (link.Node, error) {
	if _, err := s.Links.Rotate(c.ctx(), c.actor()); err != nil {
		return link.Node{}, err
	}
	return s.node(c)
}

func (s *Server) listSources(c *call) (List[gateway.Source], error) {
	all, err := s.Gateway.Sources(c.ctx(), c.actor())
	return listOf(all, ""), err
}

func (s *Server) addSource(c *call, in sourceIn) (gateway.Source, error) {
	return s.Gateway.AddSource(c.ctx(), c.actor(), gateway.Source{Prefix: in.Prefix, Kind: in.Kind, Endpoint: in.Endpoint, Plugin: in.Plugin, Private: in.Private, Credential: in.Credential})
}

func (s *Server) dropSource(c *call) error {
	return s.Gateway.DropSource(c.ctx(), c.actor(), c.path("source"))
}

func (s *Server) setCredential(c *call, in gateway.Credential) (gateway.Source, error) {
	return s.Gateway.SetCredential(c.ctx(), c.actor(), c.path("source"), in)
}

func (s *Server) dropCredential(c *call) (gateway.Source, error) {
	return s.Gateway.DropCredential(c.ctx(), c.actor(), c.path("source"))
}
