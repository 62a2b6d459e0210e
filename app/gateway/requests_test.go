package gateway

import (
	"fmt"
	"strings"
	"testing"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/image"
	"tresor/plugins/protocol"
)

// TestRequestsOfOneProject: a long queue of one project hides no other's requests,
// and everybody gets all of theirs, page by page.
func TestRequestsOfOneProject(t *testing.T) {
	h := newHouse(t)
	p, who := h.hub("North hub")
	_, err := h.g.AddProject(ctx, h.as("mona"), p.ID, "borealis", "mona", nil)
	h.must(err)
	every, q := ApprovalEvery, Quotas{TasksPerHour: 10_000, OpenTasks: 10_000, Cores: 1}
	_, err = h.g.Change(ctx, h.as("olga"), p.ID, Change{Approval: &every, Quotas: &q})
	h.must(err)
	ask := func(project string) string {
		r := request("sleep")
		r.Project, r.Outputs = project, nil
		return h.submit(who, r).ID
	}
	for range mostRequests + 2 {
		ask("aurora")
	}
	late := ask("borealis")
	list, err := h.g.Requests(ctx, h.as("mona"), "")
	if err != nil || len(list) != 1 || list[0].Job != late {
		t.Errorf("the other lead sees %d (%v)", len(list), err)
	}
	var mine, sites int
	for actor, n := range map[string]*int{"lena": &mine, "olga": &sites} {
		for after := ""; ; {
			list, err := h.g.Requests(ctx, h.as(actor), after)
			h.must(err)
			if len(list) == 0 {
				break
			}
			*n += len(list)
			after = list[len(list)-1].Job
		}
	}
	if mine != mostRequests+2 || sites != mostRequests+3 {
		t.Errorf("the lead sees %d, the site %d", mine, sites)
	}
	if list, err := h.g.Requests(ctx, access.Actor{ID: "nobody"}, ""); err != nil || len(list) != 0 {
		t.Errorf("nobody sees %d (%v)", len(list), err)
	}
}

// TestRevokedImageHasItsCode: what can never run is refused at once, by its code; why
// it was revoked is for the people of this server.
func TestRevokedImageHasItsCode(t *testing.T) {
	h := newHouse(t)
	_, who := h.hub("North hub")
	rosa, _ := h.person("rosa", "aurora")
	h.images.refuse = fault.Kinded("image.Resolve", fault.Conflict, image.ErrRevoked, "The image tools was revoked: unsafe. Choose another image.")
	_, err := h.host(who).Submit(ctx, request())
	h.wantRefusal(err, CodeImage, "was revoked here")
	if strings.Contains(err.Error(), "unsafe") {
		t.Errorf("a hub reads the operator's words: %v", err)
	}
	_, err = h.host(rosa).Submit(ctx, request())
	h.wantRefusal(err, CodeImage, "was revoked: unsafe")
}

// TestAskedAfreshAtTheStart: what the gateway remembers of a caller is not enough to
// start a job in the transaction of its arrival.
func TestAskedAfreshAtTheStart(t *testing.T) {
	for name, c := range map[string]struct {
		change func(h *house, p Principal) error
		code   string
	}{
		"the project has ended": {func(h *house, _ Principal) error {
			return h.exec(`UPDATE project SET ends_at = 1 WHERE slug = 'aurora'`)
		}, CodeExpired},
		"the dataset is lent off": {func(h *house, p Principal) error {
			return h.exec(`UPDATE gateway_use SET datasets = '[]' WHERE principal = ?`, p.ID)
		}, CodeNoDataset},
		"the sponsor has left": {func(h *house, _ Principal) error {
			return h.exec(`DELETE FROM project_member WHERE person = ?`, h.people["rosa"].ID)
		}, CodeNotMember},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			p, who := h.hub("North hub")
			h.run()
			if _, err := h.host(who).Visible(ctx); err != nil { // now it is remembered
				t.Fatal(err)
			}
			h.g.times.party = 1 << 40
			h.g.parties.forget()
			if _, err := h.host(who).Visible(ctx); err != nil {
				t.Fatal(err)
			}
			h.must(c.change(h, p))
			r := request("sleep")
			r.Inputs = []protocol.Input{{Path: "/work/in/v.csv", Source: "tresor://dataset/health/visits.csv"}}
			st, err := h.host(who).Submit(ctx, r)
			if err == nil {
				t.Fatal(fmt.Sprint("it was taken: ", h.state(who, st.ID, protocol.Full)))
			}
			h.wantRefusal(err, c.code, "")
		})
	}
}
