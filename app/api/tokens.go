package api

import (
	"tresor/app/access"
	"tresor/app/gateway"
)

func (s *Server) tokenRoutes() []Route {
	return []Route{
		{Method: "GET", Path: "/tokens", Access: at(SignedIn, access.TokenRead), Summary: "List your own tokens for programs", endpoint: get(s.listTokens)},
		{Method: "POST", Path: "/tokens", Access: by(access.TokenMake), Summary: "Make a token with which a program acts as you in one project; it is shown this once", Need: "name project", endpoint: create(s.makeToken)},
		{Method: "POST", Path: "/tokens/{token}/revoke", Access: at(SignedIn, access.TokenRevoke), Summary: "End a token; who ends another person's has to say why", endpoint: done(s.revokeToken)},
	}
}

type tokenIn struct {
	Name    string `json:"name" doc:"where it is used, for your own list"`
	Project string `json:"project" doc:"id or short name"`
	Days    *int   `json:"days" doc:"1 to 90; left out: 30"`
}

// NewToken is a token that was just made, with its secret.
type NewToken struct {
	gateway.Token
	Secret
}

const tokenDays = 30 // of a token when nothing is said

func (s *Server) listTokens(c *call) (List[gateway.Token], error) {
	all, err := s.Gateway.Tokens(c.ctx(), c.actor())
	return listOf(all, ""), err
}

func (s *Server) makeToken(c *call, in tokenIn) (NewToken, error) {
	days := tokenDays
	if in.Days != nil {
		days = *in.Days
	}
	token, secret, err := s.Gateway.NewPersonToken(c.ctx(), c.actor(), in.Name, in.Project, days)
	return NewToken{Token: token, Secret: Secret{Token: secret}}, err
}

func (s *Server) revokeToken(c *call, in reasonIn) error {
	return s.Gateway.RevokeToken(c.ctx(), c.actor(), c.path("token"), in.Reason)
}
