package link

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"tresor/app/access"
	"tresor/app/dataset"
	"tresor/app/gateway"
	"tresor/app/store"
	"tresor/fed/task"
	"tresor/fed/wire"
)

// showCatalogue answers what this appliance publishes to one hub, and writes down
// that it did.
func (s *Service) showCatalogue(w http.ResponseWriter, r *http.Request, h *hub) {
	c := task.Catalogue{Node: s.Name, Projects: []task.Project{}, Datasets: []task.Dataset{}, Documents: []task.Document{}}
	p, err := s.fresh(r, h)
	if err == nil && p.Publishes {
		err = s.DB.View(r.Context(), func(tx *store.Tx) error { return s.collect(tx, p, &c) })
		c.Documents = s.documents(r.Context(), h, p)
	}
	if err != nil {
		s.Logger.Error("the catalogue could not be made", "hub", h.name, "error", err)
		reply(w, http.StatusInternalServerError, wire.Refuse(wire.CodeInternal, "the node could not make its catalogue: its operator finds why in its log"))
		return
	}
	body, err := json.Marshal(c)
	if err != nil || len(body) > task.MaxCatalogue {
		reply(w, http.StatusInternalServerError, wire.Refuse(wire.CodeSize, "the catalogue is over %d bytes", task.MaxCatalogue))
		return
	}
	// A hub that has it already is shown nothing, so nothing is written down.
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:]) + `"`
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if err := s.Gateway.Published(r.Context(), p.ID, body, s.IDs()); err != nil {
		s.Logger.Error("a catalogue is not shown, because it cannot be written down", "hub", h.name, "error", err)
		reply(w, http.StatusInternalServerError, wire.Refuse(wire.CodeInternal, "the node could not write down what it shows: its operator finds why in its log"))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// fresh is the hub's principal as it stands now.
func (s *Service) fresh(r *http.Request, h *hub) (gateway.Principal, error) {
	id := h.principal.Load().ID
	list, err := s.Gateway.Principals(r.Context(), access.System)
	for _, p := range list {
		if p.ID == id {
			return p, nil
		}
	}
	return gateway.Principal{ID: id}, err
}

// collect gathers the projects of a hub and the datasets that it may name there.
func (s *Service) collect(tx *store.Tx, p gateway.Principal, c *task.Catalogue) error {
	at := map[string]int{} // dataset id → place in c.Datasets
	for _, use := range p.Projects {
		c.Projects = append(c.Projects, task.Project{Slug: use.Slug, Name: use.Name})
		granted, err := s.Grants(tx, use.Project)
		if err != nil {
			return err
		}
		for _, id := range granted {
			if !slices.Contains(use.Datasets, "*") && !slices.Contains(use.Datasets, id) {
				continue
			}
			if i, ok := at[id]; ok {
				c.Datasets[i].Projects = append(c.Datasets[i].Projects, use.Slug)
				continue
			}
			d, err := s.Datasets(tx, id)
			if err != nil {
				return err
			}
			if d.State == dataset.Retired {
				continue
			}
			at[id] = len(c.Datasets)
			c.Datasets = append(c.Datasets, published(d, use.Slug))
		}
	}
	return nil
}

// documentsWait bounds how long a catalogue waits for plugins that publish.
const documentsWait = 20 * time.Second

// documents lists what the hub's plugins publish to it. A plugin that cannot say so
// now is left out: its page says why, and the rest of the catalogue is shown.
func (s *Service) documents(ctx context.Context, h *hub, p gateway.Principal) []task.Document {
	out := []task.Document{}
	ctx, cancel := context.WithTimeout(ctx, documentsWait)
	defer cancel()
	for _, plugin := range s.reached(&p) {
		docs, err := s.Gateway.Documents(ctx, s.Plugins, s.caller(h, ""), plugin)
		if err != nil {
			s.Logger.Warn("a plugin's documents are left out of a catalogue", "hub", h.name, "plugin", plugin, "error", err)
		}
		for _, d := range docs {
			sum := sha256.Sum256(d.Body)
			one := task.Document{Plugin: plugin, Path: d.Path, Type: d.ContentType, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(d.Body))}
			if one.OK() {
				out = append(out, one)
			}
		}
	}
	return out
}

// published takes names and descriptions, and nothing that derives from a value:
// no counts, no ranges, no samples.
func published(d dataset.Dataset, project string) task.Dataset {
	out := task.Dataset{Slug: d.Slug, Name: d.Name, Description: d.Description, Version: d.Latest, Projects: []string{project}, Tables: []task.Table{}}
	if len(d.Versions) == 0 {
		return out
	}
	for _, t := range d.Versions[0].Tables {
		table := task.Table{Name: t.Name, Description: first(t.Description, t.Label), Columns: []task.Column{}}
		for _, col := range t.Columns {
			table.Columns = append(table.Columns, task.Column{Name: col.Name, Type: string(col.Type), Description: first(col.Description, col.Label)})
		}
		out.Tables = append(out.Tables, table)
	}
	return out
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
