package api

import (
	"net/http"
	"net/url"

	"tresor/app/fault"
)

// checkOrigin refuses changes and web sockets that another site's page asks for.
//
// Host names under one domain are "same-site" to a browser, so SameSite cookies
// do not separate the appliance from its siblings: only same-origin is good, and
// an Origin header has to name exactly this host. Programs send neither header.
func (s *Server) checkOrigin(c *call) error {
	if c.who.local || (!changes(c.r.Method) && !c.route.Socket) {
		return nil
	}
	if err := s.csrf.Check(c.r); err != nil {
		return foreign()
	}
	if site := c.r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return foreign()
	}
	origin := c.r.Header.Get("Origin")
	if origin == "" && c.route.Socket && c.r.Header.Get("Cookie") != "" && c.r.Header.Get("Sec-Fetch-Site") == "" {
		return foreign() // every browser sends Origin with a web socket
	}
	if origin != "" && !sameOrigin(origin, c.r) {
		return foreign()
	}
	return nil
}

func sameOrigin(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host != r.Host || u.User != nil || u.Path != "" {
		return false
	}
	if r.TLS != nil {
		return u.Scheme == "https"
	}
	return u.Scheme == "http" || u.Scheme == "https" // https: something in front of us ends TLS
}

func foreign() error {
	return refuse(http.StatusForbidden, codeOrigin, fault.Denied, "The request came from a page of another address and was refused.").
		next("Use the pages of this server, or a program that sends no Origin header.")
}
