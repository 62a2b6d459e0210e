package hub

import (
	"context"
	"encoding/json"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/live"
	"tresor/app/store"
	"tresor/fed/task"
)

// What the hub keeps of a catalogue, at most.
const (
	maxNamed   = 1000 // projects, datasets
	maxTables  = 200  // of one dataset
	maxColumns = 1000 // of one table
	maxText    = 4000 // bytes of a description
	maxTitle   = 200
	maxPlugins = 50
	maxListed  = 1000 // documents
)

// factsOf keeps what a page shows of a node's words about itself.
func factsOf(p task.Ping) facts {
	f := facts{Version: clip(p.Version, 60), Paused: p.Paused}
	for _, name := range p.Plugins[:min(len(p.Plugins), maxPlugins)] {
		f.Plugins = append(f.Plugins, clip(name, 60))
	}
	return f
}

// tidy cleans and shortens what a node publishes.
func tidy(c task.Catalogue) task.Catalogue {
	out := task.Catalogue{Node: clip(c.Node, maxTitle), Projects: []task.Project{}, Datasets: []task.Dataset{}, Documents: []task.Document{}}
	for _, d := range c.Documents[:min(len(c.Documents), maxListed)] {
		if d.OK() {
			out.Documents = append(out.Documents, d)
		}
	}
	for _, p := range c.Projects[:min(len(c.Projects), maxNamed)] {
		out.Projects = append(out.Projects, task.Project{Slug: clip(p.Slug, 60), Name: clip(p.Name, maxTitle)})
	}
	for _, d := range c.Datasets[:min(len(c.Datasets), maxNamed)] {
		x := task.Dataset{Slug: clip(d.Slug, 60), Name: clip(d.Name, maxTitle), Description: clip(d.Description, maxText), Version: d.Version, Projects: []string{}}
		for _, p := range d.Projects[:min(len(d.Projects), maxNamed)] {
			x.Projects = append(x.Projects, clip(p, 60))
		}
		for _, t := range d.Tables[:min(len(d.Tables), maxTables)] {
			x.Tables = append(x.Tables, tidyTable(t))
		}
		out.Datasets = append(out.Datasets, x)
	}
	return out
}

func tidyTable(t task.Table) task.Table {
	out := task.Table{Name: clip(t.Name, maxTitle), Description: clip(t.Description, maxText)}
	for _, c := range t.Columns[:min(len(t.Columns), maxColumns)] {
		out.Columns = append(out.Columns, task.Column{Name: clip(c.Name, maxTitle), Type: clip(c.Type, 60), Description: clip(c.Description, maxText)})
	}
	return out
}

// Catalogue shows what the nodes publish, by name of the node. Revoked nodes are
// left out.
func (s *Service) Catalogue(ctx context.Context, actor access.Actor) ([]Published, error) {
	const op = "hub.Catalogue"
	nodes, err := s.Nodes(ctx, actor)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	all := []Published{}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		for _, n := range nodes {
			if n.RevokedAt != nil || n.ConfirmedAt == nil {
				continue
			}
			p := Published{Node: n.ID, Name: n.Name, Online: n.State == NodeOnline, At: n.CatalogueAt,
				Catalogue: task.Catalogue{Projects: []task.Project{}, Datasets: []task.Dataset{}, Documents: []task.Document{}}}
			var text string
			if err := tx.QueryRow(`SELECT catalogue FROM hub_node WHERE id = ?`, n.ID).Scan(&text); err != nil {
				return err
			}
			if text != "" {
				if err := json.Unmarshal([]byte(text), &p.Catalogue); err != nil {
					return err
				}
			}
			all = append(all, p)
		}
		return nil
	})
	return all, fault.Wrap(op, err)
}

// tellNodes lets open pages know that a node changed.
func (s *Service) tellNodes(tx *store.Tx) {
	if s.Live == nil {
		return
	}
	at := tx.Now()
	tx.AfterCommit(func() { s.Live.Publish("hub", live.Event{Type: "hub.nodes", At: at}) })
}
