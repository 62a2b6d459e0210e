package api

import (
	"context"
	"os"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/gateway/link"
	"tresor/app/gateway/plug"
	"tresor/app/hub"
	"tresor/fed/task"
	"tresor/plugins/protocol"
)

// The connector's processes and links stand in as the least that keeps the
// matrix; the real ones have their own tests.

type fakePlugins struct{ trusted, by string }

const pluginSecret = "hunter2-of-the-plugin"

func (f *fakePlugins) plugin(name string) plug.Plugin {
	return plug.Plugin{Name: name, Title: "A plugin", Enabled: true, Running: true, Starts: 2, Calls: 7, Failures: 1, Parts: []string{"server"}, SHA256: f.trusted, TrustedBy: f.by,
		Schema: []protocol.Setting{{Key: "token", Label: "Token", Kind: "secret"}}, Settings: map[string]string{"token": ""}, Set: []string{"token"}}
}

func (f *fakePlugins) ask(actor access.Actor, action access.Action, name string) (plug.Plugin, error) {
	if err := access.May(actor, action, access.Thing{}); err != nil {
		return plug.Plugin{}, err
	}
	if name != "tes" {
		return plug.Plugin{}, fault.New("fake", fault.NotFound, "There is no such plugin.")
	}
	return f.plugin(name), nil
}

func (f *fakePlugins) List(_ context.Context, actor access.Actor) ([]plug.Plugin, error) {
	p, err := f.ask(actor, access.PluginRead, "tes")
	return []plug.Plugin{p}, err
}

func (f *fakePlugins) Get(_ context.Context, actor access.Actor, name string) (plug.Plugin, error) {
	return f.ask(actor, access.PluginRead, name)
}

func (f *fakePlugins) SetSettings(_ context.Context, actor access.Actor, name string, _ map[string]string) (plug.Plugin, error) {
	return f.ask(actor, access.PluginManage, name)
}

func (f *fakePlugins) Enable(_ context.Context, actor access.Actor, name string, _ bool) (plug.Plugin, error) {
	return f.ask(actor, access.PluginManage, name)
}

func (f *fakePlugins) Test(_ context.Context, actor access.Actor, name string) (plug.Report, error) {
	_, err := f.ask(actor, access.PluginManage, name)
	return plug.Report{Steps: []protocol.Step{{Name: "clock", OK: true, Detail: "in time"}}, Report: "ok clock"}, err
}

func (f *fakePlugins) Trust(_ context.Context, actor access.Actor, _, sum string) (plug.Plugin, error) {
	f.trusted = sum
	return f.ask(actor, access.PluginTrust, "tes")
}

func (f *fakePlugins) Forget(_ context.Context, actor access.Actor, name, _ string) error {
	_, err := f.ask(actor, access.PluginManage, name)
	return err
}

type fakeLinks struct {
	principal string
	changes   int
}

func (f *fakeLinks) may(actor access.Actor, action access.Action) error {
	if action == access.FederationRead && access.Anywhere(actor, action) {
		return nil
	}
	return access.May(actor, action, access.Thing{})
}

func (f *fakeLinks) Node(_ context.Context, actor access.Actor) (link.Node, error) {
	return link.Node{Name: "node", Words: "apple river"}, f.may(actor, access.FederationRead)
}

func (f *fakeLinks) Links(_ context.Context, actor access.Actor) (map[string]link.Link, error) {
	at := time.Unix(1e9, 0)
	return map[string]link.Link{f.principal: {State: "online", LastContact: &at, Attempts: 3, Reconnects: 2}}, f.may(actor, access.FederationRead)
}

func (f *fakeLinks) Enrol(_ context.Context, actor access.Actor, _, _, _ string) (string, error) {
	return f.principal, f.may(actor, access.FederationManage)
}

func (f *fakeLinks) Code(_ context.Context, actor access.Actor, _ string) (link.Code, error) {
	return link.Code{Code: "4F7K-9QXM", ExpiresAt: time.Unix(1e9, 0)}, f.may(actor, access.FederationManage)
}

func (f *fakeLinks) Confirm(_ context.Context, actor access.Actor, _ string) error {
	return f.may(actor, access.FederationManage)
}

func (f *fakeLinks) Test(_ context.Context, actor access.Actor, _ string) (plug.Report, error) {
	return plug.Report{Steps: []protocol.Step{}}, f.may(actor, access.FederationTest)
}

func (f *fakeLinks) Rotate(_ context.Context, actor access.Actor) (link.Node, error) {
	return link.Node{Name: "node"}, f.may(actor, access.FederationManage)
}

func (f *fakeLinks) Changed() { f.changes++ }

// fakeHub keeps the matrix for one project and one task in it.
type fakeHub struct {
	project, owner, zip string
	deleted             bool
}

func (f *fakeHub) at(owner string) access.Thing {
	return access.Thing{Project: f.project, Owner: owner}
}

func (f *fakeHub) Overview(_ context.Context, a access.Actor) (hub.Overview, error) {
	return hub.Overview{Name: "hub"}, access.May(a, access.HubRead, access.Thing{})
}

func (f *fakeHub) Rotate(_ context.Context, a access.Actor) (hub.Overview, error) {
	return hub.Overview{Name: "hub"}, access.May(a, access.HubManage, access.Thing{})
}

func (f *fakeHub) Nodes(_ context.Context, a access.Actor) ([]hub.Node, error) {
	return []hub.Node{{ID: "n1", Name: "north", State: hub.NodeOnline, Plugins: []string{}, Projects: []string{}}}, access.May(a, access.HubRead, access.Thing{})
}

func (f *fakeHub) Node(_ context.Context, a access.Actor, _ string) (hub.Node, error) {
	return hub.Node{ID: "n1"}, access.May(a, access.HubRead, access.Thing{})
}

func (f *fakeHub) NewCode(_ context.Context, a access.Actor, _ string) (hub.Code, error) {
	return hub.Code{Code: "ABCD", ExpiresAt: time.Unix(1e9, 0)}, access.May(a, access.HubManage, access.Thing{})
}

func (f *fakeHub) TypeCode(_ context.Context, a access.Actor, _, _ string) (hub.Code, error) {
	return hub.Code{ExpiresAt: time.Unix(1e9, 0)}, access.May(a, access.HubManage, access.Thing{})
}

func (f *fakeHub) ConfirmNode(_ context.Context, a access.Actor, _ string) (hub.Node, error) {
	return hub.Node{ID: "n1"}, access.May(a, access.HubManage, access.Thing{})
}

func (f *fakeHub) RevokeNode(_ context.Context, a access.Actor, _, _ string) (hub.Node, error) {
	return hub.Node{ID: "n1"}, access.May(a, access.HubManage, access.Thing{})
}

func (f *fakeHub) Projects(_ context.Context, a access.Actor) ([]hub.Project, error) {
	return []hub.Project{}, access.May(a, access.HubRead, access.Thing{})
}

func (f *fakeHub) Project(_ context.Context, a access.Actor, _ string) (hub.Project, error) {
	return hub.Project{ID: f.project}, access.May(a, access.HubTasks, f.at(""))
}

func (f *fakeHub) manage(a access.Actor) (hub.Project, error) {
	return hub.Project{ID: f.project}, access.May(a, access.HubManage, access.Thing{})
}

func (f *fakeHub) CreateProject(_ context.Context, a access.Actor, _ hub.ProjectDraft) (hub.Project, error) {
	return f.manage(a)
}

func (f *fakeHub) ChangeProject(_ context.Context, a access.Actor, _ string, _ hub.ProjectChange) (hub.Project, error) {
	return f.manage(a)
}

func (f *fakeHub) SetMember(_ context.Context, a access.Actor, _, _ string, _ access.Role) (hub.Project, error) {
	return f.manage(a)
}

func (f *fakeHub) DropMember(_ context.Context, a access.Actor, _, _, _ string) (hub.Project, error) {
	return f.manage(a)
}

func (f *fakeHub) SetNode(_ context.Context, a access.Actor, _, _, _ string) (hub.Project, error) {
	return f.manage(a)
}

func (f *fakeHub) DropNode(_ context.Context, a access.Actor, _, _, _ string) (hub.Project, error) {
	return f.manage(a)
}

func (f *fakeHub) Tasks(_ context.Context, a access.Actor, _ hub.TaskFilter) ([]hub.Task, error) {
	return []hub.Task{}, nil
}

func (f *fakeHub) Task(_ context.Context, a access.Actor, id string) (hub.Task, error) {
	return hub.Task{ID: id}, access.May(a, access.HubTasks, f.at(f.owner))
}

func (f *fakeHub) Cancel(_ context.Context, a access.Actor, id string) (hub.Task, error) {
	return hub.Task{ID: id}, access.May(a, access.HubCancel, f.at(f.owner))
}

func (f *fakeHub) Result(_ context.Context, a access.Actor, _, _ string) (*hub.ResultFile, error) {
	if err := access.May(a, access.HubResults, f.at(f.owner)); err != nil {
		return nil, err
	}
	if f.deleted {
		return nil, fault.Kinded("hub.Result", fault.NotFound, hub.ErrDeleted, "It was deleted here.")
	}
	file, err := os.Open(f.zip)
	return &hub.ResultFile{File: file, Name: "release-r1.zip", SHA256: "29ff1ece2accc69a9c5d3be56e08c135eec193bbdc821c4bbe4947bd4cf97159"}, err
}

func (f *fakeHub) End(_ context.Context, a access.Actor, id string) (hub.Task, error) {
	return hub.Task{ID: id}, access.May(a, access.HubCancel, f.at(f.owner))
}

func (f *fakeHub) DeleteResults(_ context.Context, a access.Actor, id, _ string) (hub.Task, error) {
	return hub.Task{ID: id}, access.May(a, access.HubErase, f.at(f.owner))
}

func (f *fakeHub) Catalogue(_ context.Context, a access.Actor) ([]hub.Published, error) {
	return []hub.Published{}, access.May(a, access.HubRead, access.Thing{})
}

func (f *fakeHub) Document(_ context.Context, a access.Actor, node, plugin, path string) (hub.Document, error) {
	return hub.Document{Document: task.Document{Plugin: plugin, Path: path, Type: "text/markdown", SHA256: strings.Repeat("a", 64), Size: 2}, Body: []byte("hi")}, access.May(a, access.HubRead, access.Thing{})
}

func (f *fakeHub) Tokens(_ context.Context, a access.Actor) ([]hub.Token, error) {
	return []hub.Token{}, access.May(a, access.TokenRead, access.Thing{Owner: a.ID})
}

func (f *fakeHub) NewToken(_ context.Context, a access.Actor, _ hub.TokenDraft) (hub.Token, error) {
	return hub.Token{ID: "t1", Token: "trs_once"}, anyOf(a, []access.Action{access.HubToken})
}

func (f *fakeHub) RevokeToken(_ context.Context, a access.Actor, _, _ string) error {
	return access.May(a, access.TokenRevoke, access.Thing{Owner: a.ID})
}
