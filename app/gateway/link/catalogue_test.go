package link

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"tresor/app/gateway"
	"tresor/fed/fedtest"
	"tresor/fed/task"
	"tresor/plugins/protocol"
)

func TestTheCatalogueHoldsNamesAndNoValue(t *testing.T) {
	r := newRig(t)
	h, id := r.online()
	show := func() task.Catalogue {
		t.Helper()
		code, body := r.get(h, "/catalogue")
		c, err := task.DecodeCatalogue([]byte(body))
		if code != 200 || err != nil {
			t.Fatalf("%d %v %s", code, err, body)
		}
		for _, secret := range []string{"4711", "471147"} {
			if strings.Contains(body, secret) {
				t.Errorf("a value is in the catalogue: %s", body)
			}
		}
		return c
	}
	r.edit(id, func(p *gateway.Principal) {
		p.Projects = []gateway.Use{{Project: "p1", Slug: "one", Name: "One", Datasets: []string{"d2"}}, {Project: "p2", Slug: "two", Name: "Two", Datasets: []string{"*"}}}
	})
	if c := show(); c.Node != "North" || len(c.Projects) != 0 || len(c.Datasets) != 0 {
		t.Errorf("published although it is off: %+v", c)
	}
	r.edit(id, func(p *gateway.Principal) { p.Publishes = true })
	c := show()
	if len(c.Projects) != 2 || len(c.Datasets) != 2 || c.Datasets[0].Slug != "set-d2" || c.Datasets[1].Slug != "set-d1" ||
		strings.Join(c.Datasets[1].Projects, " ") != "two" || c.Datasets[0].Tables[0].Columns[0].Description != "In years." {
		t.Errorf("%+v", c)
	}
	r.edit(id, func(p *gateway.Principal) { p.Projects[0].Datasets = []string{"*"} })
	if c = show(); len(c.Datasets) != 2 || strings.Join(c.Datasets[0].Projects, " ") != "one two" {
		t.Errorf("%+v", c)
	}
	r.edit(id, func(p *gateway.Principal) { p.Projects[0].Datasets = nil; p.Projects[1].Datasets = nil })
	if c = show(); len(c.Datasets) != 0 || len(c.Projects) != 2 {
		t.Errorf("%+v", c)
	}
	if len(r.published) != 4 || r.published[0] != id {
		t.Errorf("written down: %v", r.published)
	}
	tag := r.tagOf(h, "")
	if again := r.tagOf(h, tag); again != "304" {
		t.Errorf("a catalogue that the hub has was shown again: %s", again)
	}
	if len(r.published) != 5 {
		t.Errorf("what was not shown was written down: %v", r.published)
	}
	r.edit(id, func(p *gateway.Principal) { p.Projects = p.Projects[:1] })
	if again := r.tagOf(h, tag); again == "304" || again == tag {
		t.Errorf("a change does not show: %s", again)
	}
	r.desk.mu.Lock()
	r.publish = errors.New("disk full")
	r.desk.mu.Unlock()
	if code, body := r.get(h, "/catalogue"); code != 500 || strings.Contains(body, "One") {
		t.Errorf("shown although it could not be written down: %d %s", code, body)
	}
}

// TestTheCatalogueListsDocuments: with their hashes, of the hub's own plugins, when
// it is shown what is published; a plugin that fails is left out and nothing else.
func TestTheCatalogueListsDocuments(t *testing.T) {
	r := newRig(t)
	h, id := r.online()
	doc := func(path, kind string) protocol.Document {
		return protocol.Document{Path: path, ContentType: kind, Body: []byte("{}")}
	}
	r.desk.mu.Lock()
	r.desk.documents = map[string][]protocol.Document{
		"tes":    {doc("a/index.json", "application/json"), doc("../x", "text/plain"), doc("page.html", "text/html")},
		"beacon": {doc("hidden.json", "application/json")},
	}
	r.desk.mu.Unlock()
	show := func() task.Catalogue {
		t.Helper()
		code, body := r.get(h, "/catalogue")
		c, err := task.DecodeCatalogue([]byte(body))
		if code != 200 || err != nil || strings.Contains(body, "hidden") || strings.Contains(body, "..") {
			t.Fatalf("%d %v %s", code, err, body)
		}
		return c
	}
	if c := show(); len(c.Documents) != 0 {
		t.Errorf("listed although nothing is published: %+v", c)
	}
	r.edit(id, func(p *gateway.Principal) {
		p.Publishes = true
		p.Projects = []gateway.Use{{Project: "p1", Slug: "one", Name: "One"}}
	})
	c := show()
	if len(c.Documents) != 1 || c.Documents[0] != (task.Document{Plugin: "tes", Path: "a/index.json", Type: "application/json", Size: 2,
		SHA256: "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}) {
		t.Errorf("%+v", c.Documents)
	}
	r.desk.mu.Lock()
	r.desk.documents, r.desk.docFault = nil, errors.New("secret-4711")
	r.desk.mu.Unlock()
	if c := show(); len(c.Documents) != 0 || len(c.Projects) != 1 {
		t.Errorf("%+v", c)
	}
}

// tagOf reads the catalogue unless it is the known one, and gives its tag, or "304".
func (r *rig) tagOf(h *fedtest.Hub, known string) string {
	r.t.Helper()
	q, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://n/catalogue", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("If-None-Match", known)
	resp, err := h.RoundTripper(r.id()).RoundTrip(q)
	if err != nil {
		r.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified {
		return "304"
	}
	return resp.Header.Get("ETag")
}
