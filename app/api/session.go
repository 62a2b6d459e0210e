package api

import (
	"slices"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/identity"
)

// Session says who is signed in, and what the pages have to know at once.
type Session struct {
	Person       Me         `json:"person"`
	Kind         string     `json:"kind" doc:"how it began: password, enrol, demo or local"`
	ExpiresAt    *time.Time `json:"expires_at" doc:"ends then unless it is used; null at the local socket"`
	FreshUntil   *time.Time `json:"fresh_until" doc:"sensitive actions need no step-up before"`
	MustEnrol    bool       `json:"must_enrol" doc:"has to set a password or a second factor before anything else"`
	NeedPassword bool       `json:"need_password"`
	NeedTOTP     bool       `json:"need_totp"`
	TOTP         bool       `json:"totp" doc:"has a second factor"`
	Demo         bool       `json:"demo"`
	Server       ServerInfo `json:"server"`
}

// Me is the person of a session.
type Me struct {
	ID       string                 `json:"id"`
	Handle   string                 `json:"handle"`
	Name     string                 `json:"name"`
	Roles    []access.Role          `json:"roles"`
	Projects map[string]access.Role `json:"projects" doc:"project id to role"`
	Actions  []access.Action        `json:"actions" doc:"what the person may do somewhere; pages offer only that"`
}

// ServerInfo is what every page shows.
type ServerInfo struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	Demo      bool   `json:"demo"`
	Kind      string `json:"kind" doc:"appliance, or hub: then there are no projects and data of its own"`
	Unlimited bool   `json:"unlimited" doc:"jobs run although limits cannot bind"`
}

func (s *Server) sessionRoutes() []Route {
	return []Route{
		{Method: "GET", Path: "/server", Access: at(Public, access.DocumentRead), Summary: "What the sign-in page shows of this server", endpoint: get(s.serverInfo)},
		{Method: "POST", Path: "/session", Access: at(Public, access.SessionOpen), Summary: "Sign in", Need: "handle password", endpoint: post(s.signIn)},
		{Method: "POST", Path: "/session/link", Access: at(Public, access.SessionOpen), Summary: "Use a one-time link", Need: "token", endpoint: post(s.openLink)},
		{Method: "GET", Path: "/session", Access: at(Enrol, access.SessionRead), Summary: "Show who is signed in", endpoint: get(s.readSession)},
		{Method: "DELETE", Path: "/session", Access: at(Enrol, access.SessionEnd), Summary: "Sign out", endpoint: done0(s.signOut)},
		{Method: "POST", Path: "/session/step-up", Access: at(SignedIn, access.SessionStepUp), Summary: "Prove again that you are present", Need: "password", endpoint: post(s.proveAgain)},
		{Method: "POST", Path: "/session/password", Access: at(Enrol, access.SessionPassword), Summary: "Set your password", Need: "password", endpoint: post(s.setPassword)},
		{Method: "POST", Path: "/session/totp", Access: at(Enrol, access.SessionTOTP), Summary: "Begin a new second factor", endpoint: post(s.beginTOTP)},
		{Method: "POST", Path: "/session/totp/confirm", Access: at(Enrol, access.SessionTOTP), Summary: "Confirm the second factor with its first code", Need: "code", endpoint: post(s.confirmTOTP)},
		{Method: "GET", Path: "/sessions", Access: at(SignedIn, access.SessionRead), Summary: "List where you are signed in", endpoint: get(s.listSessions)},
		{Method: "DELETE", Path: "/sessions/{session}", Access: at(SignedIn, access.SessionEnd), Summary: "End one of your sessions", endpoint: done0(s.endSession)},
	}
}

type linkToken struct {
	Token string `json:"token"`
}

type proofIn struct {
	Password string `json:"password"`
	TOTP     string `json:"totp" doc:"six digits"`
}

type passwordIn struct {
	Current  string `json:"current" doc:"the old password; not needed while enrolling"`
	TOTP     string `json:"totp" doc:"six digits; not needed while enrolling"`
	Password string `json:"password" doc:"the new password"`
}

type codeIn struct {
	Code string `json:"code" doc:"six digits"`
}

type nothingIn struct{}

func (s *Server) serverInfo(*call) (ServerInfo, error) {
	return ServerInfo{Name: s.Name, Version: s.Version, Demo: s.Demo, Kind: s.kind(), Unlimited: s.Unlimited != nil && s.Unlimited()}, nil
}

func (s *Server) signIn(c *call, in identity.Credentials) (Session, error) {
	from, err := c.browser()
	if err != nil {
		return Session{}, err
	}
	token, _, err := s.Identity.SignIn(c.ctx(), in, from)
	return s.begun(c, token, err)
}

func (s *Server) openLink(c *call, in linkToken) (Session, error) {
	from, err := c.browser()
	if err != nil {
		return Session{}, err
	}
	token, _, err := s.Identity.OpenLink(c.ctx(), in.Token, from)
	return s.begun(c, token, err)
}

func (s *Server) proveAgain(c *call, in proofIn) (Session, error) {
	from, err := c.browser()
	if err != nil {
		return Session{}, err
	}
	token, _, err := s.Identity.StepUp(c.ctx(), c.who.token, in.Password, in.TOTP, from)
	return s.begun(c, token, err)
}

func (s *Server) setPassword(c *call, in passwordIn) (Session, error) {
	from, err := c.browser()
	if err != nil {
		return Session{}, err
	}
	token, _, err := s.Identity.SetPassword(c.ctx(), c.who.token, in.Current, in.TOTP, in.Password, from)
	return s.begun(c, token, err)
}

func (s *Server) beginTOTP(c *call, _ nothingIn) (identity.Enrolment, error) {
	if _, err := c.browser(); err != nil {
		return identity.Enrolment{}, err
	}
	return s.Identity.BeginTOTP(c.ctx(), c.who.token)
}

func (s *Server) confirmTOTP(c *call, in codeIn) (Session, error) {
	from, err := c.browser()
	if err != nil {
		return Session{}, err
	}
	token, _, err := s.Identity.ConfirmTOTP(c.ctx(), c.who.token, in.Code, from)
	return s.begun(c, token, err)
}

func (s *Server) readSession(c *call) (Session, error) { return s.describe(c) }

func (s *Server) signOut(c *call) error {
	if _, err := c.browser(); err != nil {
		return err
	}
	if err := s.Identity.SignOut(c.ctx(), c.who.token); err != nil {
		return err
	}
	clearCookie(c.w)
	return nil
}

func (s *Server) listSessions(c *call) (List[identity.Session], error) {
	if _, err := c.browser(); err != nil {
		return List[identity.Session]{}, err
	}
	all, err := s.Identity.Sessions(c.ctx(), c.actor(), c.actor().ID)
	return listOf(all, ""), err
}

// endSession asks for the step-up only when the session may be another's, which
// is managing people: whoever finds a browser open must not sign everybody out.
func (s *Server) endSession(c *call) error {
	if !c.who.fresh {
		own, err := s.Identity.Sessions(c.ctx(), c.actor(), c.actor().ID)
		if err != nil {
			return err
		}
		mine := func(x identity.Session) bool { return x.ID == c.path("session") }
		if access.Anywhere(c.actor(), access.PersonManage) && !slices.ContainsFunc(own, mine) {
			return c.stepUp()
		}
	}
	return s.Identity.EndSession(c.ctx(), c.actor(), c.path("session"))
}

// browser says where a sign-in comes from. The local socket has no sessions.
func (c *call) browser() (identity.Client, error) {
	if c.who.local {
		return identity.Client{}, fault.New("api.session", fault.Conflict, "The local socket has no sessions: the system vouches for you there.")
	}
	from := identity.Client{Address: hostOf(c.r)}
	if cookie, err := c.r.Cookie(cookieName); err == nil {
		from.Replaces = cookie.Value
	}
	return from, nil
}

// begun gives the browser its new token and describes the session that it opens.
func (s *Server) begun(c *call, token string, err error) (Session, error) {
	if err != nil {
		return Session{}, err
	}
	actor, x, err := s.Identity.Peek(c.ctx(), token)
	if err != nil {
		return Session{}, err
	}
	setCookie(c.w, token)
	s.sockets.rotate(x.ID, token)
	c.who.actor, c.who.record, c.who.token, c.who.session = actor, x, token, x.ID
	return s.describe(c)
}

func (s *Server) describe(c *call) (Session, error) {
	info, err := s.serverInfo(c)
	if err != nil {
		return Session{}, err
	}
	a, x := c.actor(), c.who.record
	out := Session{Person: meOf(a), Kind: x.Kind, MustEnrol: x.MustEnrol(), NeedPassword: x.NeedPassword, NeedTOTP: x.NeedTOTP,
		Demo: x.Kind == identity.KindDemo, Server: info}
	if c.who.local {
		out.Kind = "local"
		return out, nil
	}
	out.ExpiresAt, out.FreshUntil = &x.ExpiresAt, &x.FreshUntil
	p, err := s.Identity.Get(c.ctx(), a, a.ID)
	out.TOTP = p.TOTP
	return out, err
}

func meOf(a access.Actor) Me {
	me := Me{ID: a.ID, Handle: a.Handle, Name: a.Name, Roles: a.Roles, Projects: a.Projects, Actions: []access.Action{}}
	if me.Roles == nil {
		me.Roles = []access.Role{}
	}
	if me.Projects == nil {
		me.Projects = map[string]access.Role{}
	}
	for _, action := range access.Actions() {
		if access.Anywhere(a, action) {
			me.Actions = append(me.Actions, action)
		}
	}
	return me
}
