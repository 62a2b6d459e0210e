package api

import (
	"path/filepath"
	"strings"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/gateway/plug"
)

func (s *Server) pluginRoutes() []Route {
	return []Route{
		{Method: "GET", Path: "/plugins", Access: by(access.PluginRead), Summary: "List the plugins and how they are", endpoint: get(s.listPlugins)},
		{Method: "POST", Path: "/plugins", Access: local(by(access.PluginTrust)), Summary: "Trust a plugin's program file on the server's own disk (local socket only)", Need: "path sha256", endpoint: create(s.trustPlugin)},
		{Method: "GET", Path: "/plugins/{plugin}", Access: by(access.PluginRead), Summary: "Show a plugin with its settings, but for secrets", endpoint: get(s.getPlugin)},
		{Method: "POST", Path: "/plugins/{plugin}/forget", Access: by(access.PluginManage), Summary: "Stop a plugin and forget its file and settings", Need: "reason", endpoint: done(s.forgetPlugin)},
		{Method: "PUT", Path: "/plugins/{plugin}/settings", Access: by(access.PluginManage), Summary: "Give a plugin new settings; a secret that is left empty stays, and one that is left out is taken away", Need: "settings", endpoint: post(s.setPlugin)},
		{Method: "POST", Path: "/plugins/{plugin}/enable", Access: by(access.PluginManage), Summary: "Start a plugin now and at every start", endpoint: get(s.enablePlugin)},
		{Method: "POST", Path: "/plugins/{plugin}/disable", Access: by(access.PluginManage), Summary: "Stop a plugin", endpoint: get(s.disablePlugin)},
		{Method: "POST", Path: "/plugins/{plugin}/test", Access: by(access.PluginManage), Summary: "Try a plugin's settings step by step", endpoint: slowly(get(s.testPlugin))},
	}
}

type trustIn struct {
	Path   string `json:"path" doc:"absolute path of the file"`
	SHA256 string `json:"sha256" doc:"of the file that you looked at, in hex: another is refused"`
}

type settingsIn struct {
	Settings map[string]string `json:"settings"`
}

func (s *Server) listPlugins(c *call) (List[plug.Plugin], error) {
	all, err := s.Plugins.List(c.ctx(), c.actor())
	for i := range all {
		all[i] = s.nameTruster(c, all[i])
	}
	return listOf(all, ""), err
}

func (s *Server) getPlugin(c *call) (plug.Plugin, error) {
	p, err := s.Plugins.Get(c.ctx(), c.actor(), c.path("plugin"))
	return s.nameTruster(c, p), err
}

// nameTruster puts the sign-in name where the id of who trusted the file stood; an
// account of the machine's own command line stays as it is.
func (s *Server) nameTruster(c *call, p plug.Plugin) plug.Plugin {
	if p.TrustedBy == "" || strings.HasPrefix(p.TrustedBy, "local:") {
		return p
	}
	if who, err := s.Identity.Get(c.ctx(), access.System, p.TrustedBy); err == nil {
		p.TrustedBy = who.Handle
	}
	return p
}

// trustPlugin takes only what the operator has looked at: the hash is part of the
// request, so a file that changed in between is not the one that was agreed to.
func (s *Server) trustPlugin(c *call, in trustIn) (plug.Plugin, error) {
	if !filepath.IsAbs(in.Path) {
		return plug.Plugin{}, fault.New("api.plugins", fault.Invalid, "The path of a plugin's file has to be absolute.")
	}
	p, err := s.Plugins.Trust(c.ctx(), c.actor(), filepath.Clean(in.Path), in.SHA256)
	return s.nameTruster(c, p), err
}

func (s *Server) forgetPlugin(c *call, in reasonIn) error {
	return s.Plugins.Forget(c.ctx(), c.actor(), c.path("plugin"), in.Reason)
}

func (s *Server) setPlugin(c *call, in settingsIn) (plug.Plugin, error) {
	return s.Plugins.SetSettings(c.ctx(), c.actor(), c.path("plugin"), in.Settings)
}

func (s *Server) enablePlugin(c *call) (plug.Plugin, error) {
	return s.Plugins.Enable(c.ctx(), c.actor(), c.path("plugin"), true)
}

func (s *Server) disablePlugin(c *call) (plug.Plugin, error) {
	return s.Plugins.Enable(c.ctx(), c.actor(), c.path("plugin"), false)
}

func (s *Server) testPlugin(c *call) (plug.Report, error) {
	return s.Plugins.Test(c.ctx(), c.actor(), c.path("plugin"))
}
