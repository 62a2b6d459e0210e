// Package tes is the built-in plugin that speaks GA4GH TES 1.1 (Task Execution
// Service): service-info, and create, get, list and cancel of tasks.
//
// It translates and holds no authority and no state: a task is a job of the host,
// the task's own JSON travels with the job as its document, and every answer is
// made from the request and from what the host says about the job. So a crash
// leaves nothing behind. What a caller may see and do is decided by the Host that
// comes with each request; this package never sees a dataset or an unreleased
// byte, and names of releases are all it knows of results.
package tes

import (
	"context"

	"tresor/plugins/builtin/tes/model"
	"tresor/plugins/protocol"
)

// Version is the plugin's.
const Version = "1.0.0"

// Adapter is the plugin. It holds nothing; one serves any number of calls at once.
type Adapter struct{}

// New makes the plugin.
func New() Adapter { return Adapter{} }

// Keys of the settings.
const (
	keyService = "service_name"
	keyOrg     = "organisation_name"
	keyOrgURL  = "organisation_url"
	keyContact = "contact"
	keyDocs    = "documentation_url"
)

// Describe says what the plugin is and what an operator may set.
func (Adapter) Describe(context.Context) (protocol.Description, error) { return description(), nil }

func description() protocol.Description {
	return protocol.Description{
		Name: "tes", Title: "GA4GH Task Execution Service", Version: Version, Protocol: "GA4GH TES " + model.TES11.Version, Parts: []string{"server"},
		Settings: []protocol.Setting{
			{Key: keyService, Label: "Name of the service", Kind: "text", Default: "Tresor", Help: "Programs show it to their users."},
			{Key: keyOrg, Label: "Organisation", Kind: "text", Help: "Who runs this appliance. Empty: the name of the server."},
			{Key: keyOrgURL, Label: "Web site of the organisation", Kind: "url", Help: "Empty: the address of this server."},
			{Key: keyContact, Label: "Contact", Kind: "text", Help: "An address such as mailto:help@example.org, or a page with a form."},
			{Key: keyDocs, Label: "Documentation", Kind: "url", Help: "Empty: the page about TES on this server."},
		},
		Lookups: lookups(),
	}
}

// lookups are the two routes that clients ask again and again: one task, and the first
// page of the list as it is by default. Other spellings of an address cost a way more.
func lookups() []protocol.Lookup {
	views := map[string]protocol.View{"": protocol.Minimal}
	for _, v := range []model.View{model.Minimal, model.Basic, model.Full} {
		views[string(v)] = hostView(v)
	}
	var out []protocol.Lookup
	for _, below := range []string{"", "/v1"} {
		out = append(out, protocol.Lookup{Method: "GET", Path: below + "/tasks/{id}", Query: "view", Views: views},
			protocol.Lookup{Method: "GET", Path: below + "/tasks", Limit: model.DefaultPage, Query: "view", Views: views})
	}
	return out
}

var (
	_ protocol.Adapter = Adapter{}
	_ protocol.Server  = Adapter{}
)
