package cli

import (
	"context"
	"net/http"

	"tresor/app/fault"
	"tresor/embed/demo"
)

// person makes somebody at a server, or finds them there.
func person(ctx context.Context, c *client, handle, name string, roles ...string) (string, error) {
	var all page[personView]
	if err := c.do(ctx, http.MethodGet, "/people", nil, &all); err != nil {
		return "", err
	}
	for _, p := range all.Items {
		if p.Handle == handle {
			return p.ID, nil
		}
	}
	var p personView
	if roles == nil {
		roles = []string{}
	}
	err := c.do(ctx, http.MethodPost, "/people", map[string]any{"handle": handle, "name": name, "roles": roles}, &p)
	return p.ID, err
}

// prepareHub makes the hub's researcher, project and token.
func (f *fedRun) prepareHub(ctx context.Context) error {
	who, err := person(ctx, f.hub, hubResearcher, "Hanna Brandt")
	if err != nil {
		return err
	}
	var p struct {
		ID string `json:"id"`
	}
	if err := f.hub.do(ctx, http.MethodGet, "/hub/projects/"+demo.ProjectSlug, nil, &p); err != nil {
		if err := f.hub.do(ctx, http.MethodPost, "/hub/projects", map[string]string{"slug": demo.ProjectSlug, "name": demo.ProjectName}, &p); err != nil {
			return err
		}
	}
	f.project = p.ID
	if err := f.hub.do(ctx, http.MethodPut, "/hub/projects/"+esc(p.ID)+"/members/"+esc(who), map[string]string{"role": "researcher"}, nil); err != nil {
		return err
	}
	var t struct {
		Token string `json:"token"`
	}
	if err := f.hub.actingAs(hubResearcher).do(ctx, http.MethodPost, "/hub/tokens", map[string]any{"name": "demonstration", "project": p.ID, "days": 1}, &t); err != nil {
		return err
	}
	f.token = t.Token
	f.say("the hub has a project, a researcher and a token for its task service")
	return nil
}

// enrol pins the keys at both ends of each link and compares the words.
func (f *fedRun) enrol(ctx context.Context) error {
	for _, n := range f.nodes {
		if err := n.enrol(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

type hubView struct {
	ID    string `json:"id"`
	Slug  string `json:"slug"`
	Words string `json:"words"`
	State string `json:"state"`
	URL   string `json:"hub_url"`
}

func (n *fedNode) enrol(ctx context.Context, f *fedRun) error {
	if known, err := n.enrolled(ctx, f); known || err != nil {
		return err
	}
	var code struct {
		Code string `json:"code"`
	}
	if err := f.hub.do(ctx, http.MethodPost, "/hub/codes", map[string]string{"name": n.name}, &code); err != nil {
		return err
	}
	var h hubView
	if err := n.e.client.do(ctx, http.MethodPost, "/federation/hubs", map[string]string{"url": f.address, "code": code.Code, "name": "demo-hub"}, &h); err != nil {
		return err
	}
	words, err := n.atHub(ctx, f)
	if err != nil {
		return err
	}
	if words == "" || words != h.Words {
		return fault.New("cli.demo", fault.Conflict, "The hub shows the words %q, the node %q: somebody stands between them.", words, h.Words)
	}
	if err := n.e.client.do(ctx, http.MethodPost, "/federation/hubs/"+esc(h.ID)+"/confirm", map[string]any{}, nil); err != nil {
		return err
	}
	if err := f.hub.do(ctx, http.MethodPost, "/hub/nodes/"+esc(n.id)+"/confirm", map[string]any{}, nil); err != nil {
		return err
	}
	n.say("enrolled; both ends show the words: %s", words)
	return nil
}

// enrolled finds the link of an earlier run on the same folders.
func (n *fedNode) enrolled(ctx context.Context, f *fedRun) (bool, error) {
	h, err := n.hubHere(ctx)
	if err != nil || h.ID == "" {
		return false, err
	}
	_, err = n.atHub(ctx, f)
	return n.id != "", err
}

// hubHere is the demonstration's hub as this node knows it.
func (n *fedNode) hubHere(ctx context.Context) (hubView, error) {
	var all struct {
		Hubs []hubView `json:"hubs"`
	}
	if err := n.e.client.do(ctx, http.MethodGet, "/federation", nil, &all); err != nil {
		return hubView{}, err
	}
	for _, h := range all.Hubs {
		if h.State != "revoked" {
			return h, nil
		}
	}
	return hubView{}, nil
}

// atHub finds this node at the hub and gives the words that the hub shows.
func (n *fedNode) atHub(ctx context.Context, f *fedRun) (string, error) {
	var all page[struct {
		ID    string `json:"id"`
		Name  string `json:"name"`
		Words string `json:"words"`
		State string `json:"state"`
	}]
	if err := f.hub.do(ctx, http.MethodGet, "/hub/nodes", nil, &all); err != nil {
		return "", err
	}
	for _, x := range all.Items {
		if x.Name == n.name && x.State != "revoked" {
			n.id = x.ID
			return x.Words, nil
		}
	}
	return "", nil
}

// admit lets each node's project lead admit the hub, and the hub use the node.
func (f *fedRun) admit(ctx context.Context) error {
	for _, n := range f.nodes {
		if err := n.admit(ctx); err != nil {
			return err
		}
		path := "/hub/projects/" + esc(f.project) + "/nodes/" + esc(n.id)
		if err := f.hub.do(ctx, http.MethodPut, path, map[string]string{"remote": demo.ProjectSlug}, nil); err != nil {
			return err
		}
	}
	f.say("each node's project lead has admitted the hub, with a researcher of the node who answers for its work")
	return nil
}

func (n *fedNode) admit(ctx context.Context) error {
	lead, err := person(ctx, n.e.client, nodeLead, "Lena Vogt")
	if err != nil {
		return err
	}
	sponsor, err := person(ctx, n.e.client, demo.ResearcherHandle, "")
	if err != nil {
		return err
	}
	if err := n.e.client.do(ctx, http.MethodPut, "/projects/"+esc(n.project.ID)+"/members/"+esc(lead), map[string]string{"role": "lead"}, nil); err != nil {
		return err
	}
	h, err := n.hubHere(ctx)
	if err != nil {
		return err
	}
	path := "/federation/principals/" + esc(h.ID) + "/projects/" + esc(n.project.ID)
	return n.e.client.actingAs(nodeLead).do(ctx, http.MethodPut, path, map[string]any{"sponsor": sponsor, "datasets": []string{demo.DatasetSlug}}, nil)
}
