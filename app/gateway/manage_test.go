package gateway

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

// TestWhoManages: an operator makes principals, a lead lends projects, and neither
// does the other's part.
func TestWhoManages(t *testing.T) {
	h := newHouse(t)
	p, _ := h.hub("North hub")
	client, _, _ := h.client("Lab client")
	yes := true
	for _, c := range []struct {
		name string
		may  string // handles, separated by blanks
		do   func(as string) error
	}{
		{"create", "olga", func(as string) error {
			_, err := h.g.Create(ctx, h.as(as), Draft{Name: "Hub of " + as, Kind: Hub})
			return err
		}},
		{"change", "olga", func(as string) error {
			_, err := h.g.Change(ctx, h.as(as), p.ID, Change{Publishes: &yes})
			return err
		}},
		{"pause", "olga", func(as string) error { _, err := h.g.Pause(ctx, h.as(as), p.ID, true, ""); return err }},
		{"resume", "olga", func(as string) error { _, err := h.g.Pause(ctx, h.as(as), p.ID, false, ""); return err }},
		{"pause all", "olga", func(as string) error { return h.g.PauseAll(ctx, h.as(as), true, "") }},
		{"resume all", "olga", func(as string) error { return h.g.PauseAll(ctx, h.as(as), false, "") }},
		{"token", "olga", func(as string) error { _, err := h.g.NewToken(ctx, h.as(as), client.ID); return err }},
		{"lend", "lena", func(as string) error {
			_, err := h.g.AddProject(ctx, h.as(as), p.ID, "aurora", "rosa", []string{"health"})
			return err
		}},
		{"see", "olga audrey lena", func(as string) error { _, err := h.g.Principal(ctx, h.as(as), p.ID); return err }},
		{"ledger", "olga audrey lena", func(as string) error { _, err := h.g.Ledger(ctx, h.as(as), p.ID, 0, 0); return err }},
		{"sources", "olga audrey lena mona", func(as string) error { _, err := h.g.Sources(ctx, h.as(as)); return err }},
		{"add a source", "olga", func(as string) error {
			_, err := h.g.AddSource(ctx, h.as(as), Source{Prefix: "https://" + as + ".example/"})
			return err
		}},
		{"drop a source", "olga", func(as string) error {
			err := h.g.DropSource(ctx, h.as(as), "nothing")
			if fault.KindOf(err) == fault.NotFound && as == "olga" {
				return nil
			}
			return err
		}},
		{"token of one's own", "rosa lena", func(as string) error {
			_, _, err := h.g.NewPersonToken(ctx, h.as(as), "laptop", "aurora", 3)
			return err
		}},
		{"take back", "lena", func(as string) error {
			_, err := h.g.DropProject(ctx, h.as(as), p.ID, "aurora", "Over.")
			if err == nil {
				_, err = h.g.AddProject(ctx, h.as(as), p.ID, "aurora", "rosa", nil)
			}
			return err
		}},
		{"revoke", "olga", func(as string) error { _, err := h.g.Revoke(ctx, h.as(as), client.ID, "Over."); return err }},
	} {
		t.Run(c.name, func(t *testing.T) {
			for as := range h.people {
				err := c.do(as)
				if may := has(strings.Fields(c.may), as); may != (err == nil) {
					t.Errorf("%s: %v", as, err)
				}
				if k := fault.KindOf(err); err != nil && k != fault.Denied && k != fault.NotFound {
					t.Errorf("%s: %v is no refusal", as, err)
				}
			}
		})
	}
}

// TestTwoPeople: who made a principal does not let it in.
func TestTwoPeople(t *testing.T) {
	h := newHouse(t)
	p, err := h.g.Create(ctx, h.as("olga"), Draft{Name: "North hub", Kind: Hub})
	h.must(err)
	lena := h.as("lena")
	h.must(h.exec(`INSERT INTO gateway_principal SELECT 'x', 'own', 'Own', kind, state, reason, paused, approval, airlock, tasks_per_hour, open_tasks, cores, plugins, publishes, '', '', '', '', created_at, ?, 'lena', 0 FROM gateway_principal`, lena.ID))
	_, err = h.g.AddProject(ctx, lena, "x", "aurora", "rosa", nil)
	if fault.KindOf(err) != fault.Denied || !strings.Contains(fault.Message(err), "known here yourself") {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		sponsor string
		data    []string
		kind    fault.Kind
	}{
		"no member":            {"mona", nil, fault.Invalid},
		"nobody":               {"nobody", nil, fault.Invalid},
		"a data set elsewhere": {"rosa", []string{"nothing"}, fault.Invalid},
	} {
		if _, err := h.g.AddProject(ctx, lena, p.ID, "aurora", c.sponsor, c.data); fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err := h.g.AddProject(ctx, lena, p.ID, "aurora", "rosa", []string{"health", datasetIDs["health"]})
	if err != nil || len(got.Projects) != 1 || len(got.Projects[0].Datasets) != 1 || got.Projects[0].DatasetNames[0] != "health" || got.Projects[0].Sponsor.Handle != "rosa" || got.Projects[0].By != "lena" {
		t.Errorf("%+v (%v)", got.Projects, err)
	}
}

// TestLeadsSeeTheirOwn: a principal of two projects shows each lead one.
func TestLeadsSeeTheirOwn(t *testing.T) {
	h := newHouse(t)
	p, who := h.hub("North hub")
	_, err := h.g.AddProject(ctx, h.as("mona"), p.ID, "borealis", "otto", []string{"*"})
	h.must(err)
	r := request()
	_, err = h.host(who).Submit(ctx, r)
	if wireCode(err) != CodeNoProject || !strings.Contains(err.Error(), "names none") {
		t.Errorf("no project named: %v", err)
	}
	r.Project = "borealis"
	h.submit(who, r)
	r.Project = h.aurora.ID
	h.submit(who, r)
	for as, want := range map[string]string{"lena": "aurora", "mona": "borealis"} {
		list, err := h.g.Principals(ctx, h.as(as))
		if err != nil || len(list) != 1 || len(list[0].Projects) != 1 || list[0].Projects[0].Slug != want {
			t.Errorf("%s sees %+v (%v)", as, list, err)
		}
		lines, err := h.g.Ledger(ctx, h.as(as), p.ID, 0, 0)
		if err != nil || len(lines) != 1 {
			t.Errorf("%s reads %d lines (%v)", as, len(lines), err)
		}
	}
	c, err := h.host(who).Visible(ctx)
	if err != nil || len(c.Projects) != 2 || len(c.Datasets) != 2 {
		t.Errorf("%+v (%v)", c, err)
	}
}

func TestPrincipalTexts(t *testing.T) {
	h := newHouse(t)
	for name, d := range map[string]Draft{
		"no name":        {Kind: Hub},
		"two lines":      {Kind: Hub, Name: "a\nb"},
		"long":           {Kind: Hub, Name: strings.Repeat("a", 101)},
		"no letter":      {Kind: Hub, Name: "…"},
		"another kind":   {Kind: Human, Name: "x"},
		"a turned name":  {Kind: Hub, Name: "a\u202eb"},
		"an endless key": {Kind: Hub, Name: "x", HubKey: strings.Repeat("k", 201)},
	} {
		if _, err := h.g.Create(ctx, h.as("olga"), d); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := h.g.Create(ctx, h.as("olga"), Draft{Kind: Client, Name: strings.Repeat("ü", 99) + "a"}); err != nil {
		t.Errorf("a name of 100 characters: %v", err)
	}
	if _, err := h.g.Create(ctx, h.as("olga"), Draft{Kind: Hub, Name: "North", HubKey: "k"}); err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]Draft{"same name": {Kind: Hub, Name: "north"}, "same key": {Kind: Hub, Name: "South", HubKey: "k"}} {
		if _, err := h.g.Create(ctx, h.as("olga"), d); fault.KindOf(err) != fault.Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := "sometimes"
	for name, c := range map[string]Change{"approval": {Approval: &bad}, "airlock": {Airlock: &bad}, "quotas": {Quotas: &Quotas{Cores: -1}}} {
		if _, err := h.g.Change(ctx, h.as("olga"), "north", c); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := h.g.NewToken(ctx, h.as("olga"), "north"); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a token for a hub: %v", err)
	}
	if _, err := h.g.Revoke(ctx, h.as("olga"), "north", " "); fault.KindOf(err) != fault.Invalid {
		t.Errorf("revoked without a reason: %v", err)
	}
}

// TestReasonsAreKept: why an access ended stands with its event, and with the principal as
// long as it is paused or for good; who ends one of somebody else has to say why.
func TestReasonsAreKept(t *testing.T) {
	h := newHouse(t)
	p, _ := h.hub("North hub")
	who, _ := h.person("rosa", "aurora")
	own, _ := h.person("rosa", "aurora")
	olga, lena := h.as("olga"), h.as("lena")
	kept := func() string { got, err := h.g.Principal(ctx, olga, p.ID); h.must(err); return got.Reason }
	for _, c := range []struct {
		name, verb string
		needed     bool
		do         func(reason string) error
		kept       string
	}{
		{"paused", "gateway.paused", false, func(r string) error { _, err := h.g.Pause(ctx, olga, p.ID, true, r); return err }, "Because of this."},
		{"resumed", "gateway.resumed", false, func(r string) error { _, err := h.g.Pause(ctx, olga, p.ID, false, r); return err }, ""},
		{"all paused", "gateway.paused", false, func(r string) error { return h.g.PauseAll(ctx, olga, true, r) }, ""},
		{"taken back", "gateway.withdrawn", true, func(r string) error { _, err := h.g.DropProject(ctx, lena, p.ID, "aurora", r); return err }, ""},
		{"another's token", "gateway.token-revoked", true, func(r string) error { return h.g.RevokeToken(ctx, olga, who.ID, r) }, ""},
		{"one's own token", "gateway.token-revoked", false, func(r string) error { return h.g.RevokeToken(ctx, h.as("rosa"), own.ID, r) }, ""},
		{"revoked", "gateway.revoked", true, func(r string) error { _, err := h.g.Revoke(ctx, olga, p.ID, r); return err }, "Because of this."},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.do(" "); c.needed && fault.KindOf(err) != fault.Invalid {
				t.Errorf("without a reason: %v", err)
			}
			if err := c.do("It \u202e turns"); fault.KindOf(err) != fault.Invalid {
				t.Errorf("a reason that cannot be read: %v", err)
			}
			if !c.needed && c.verb == "gateway.token-revoked" {
				return // it has ended without one
			}
			h.must(c.do("Because\n of this."))
			if got := kept(); got != c.kept {
				t.Errorf("with the principal: %q", got)
			}
			h.must(h.db.View(ctx, func(tx *store.Tx) error {
				events, err := h.log.List(tx, audit.Filter{Limit: 1})
				if len(events) != 1 || events[0].Verb != c.verb || events[0].Reason != "Because of this." {
					t.Errorf("the newest event: %+v", events)
				}
				return err
			}))
		})
	}
}

// TestPersonTokens: whose, for how long, how many.
func TestPersonTokens(t *testing.T) {
	h := newHouse(t)
	for name, c := range map[string]struct {
		label, project string
		days           int
		kind           fault.Kind
	}{
		"no name":             {"", "aurora", 3, fault.Invalid},
		"0 days":              {"x", "aurora", 0, fault.Invalid},
		"91 days":             {"x", "aurora", 91, fault.Invalid},
		"another's project":   {"x", "borealis", 3, fault.NotFound},
		"no such project":     {"x", "nothing", 3, fault.NotFound},
		"a name of two lines": {"x\ny", "aurora", 3, fault.Invalid},
	} {
		if _, _, err := h.g.NewPersonToken(ctx, h.as("rosa"), c.label, c.project, c.days); fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	var last Token
	for range mostTokens {
		var err error
		last, _, err = h.g.NewPersonToken(ctx, h.as("rosa"), "x", "aurora", 90)
		h.must(err)
	}
	if _, _, err := h.g.NewPersonToken(ctx, h.as("rosa"), "x", "aurora", 90); fault.KindOf(err) != fault.Exhausted {
		t.Error(err)
	}
	if err := h.g.RevokeToken(ctx, h.as("lena"), last.ID, ""); fault.KindOf(err) != fault.NotFound {
		t.Errorf("another's token: %v", err)
	}
	h.must(h.g.RevokeToken(ctx, h.as("rosa"), last.ID, ""))
	h.must(h.g.RevokeToken(ctx, h.as("olga"), last.ID, "Lost laptop."))
	list, err := h.g.Tokens(ctx, h.as("rosa"))
	if err != nil || len(list) != mostTokens || !list[0].Revoked || list[1].Revoked || list[0].Slug != "aurora" || list[0].ExpiresAt.Sub(list[0].CreatedAt) != 90*day {
		t.Errorf("%+v (%v)", list[:2], err)
	}
	if list, err := h.g.Tokens(ctx, h.as("lena")); err != nil || len(list) != 0 {
		t.Errorf("lena sees %d (%v)", len(list), err)
	}
	if n := h.number(`SELECT count(*) FROM gateway_token WHERE hash LIKE 'trs_%' OR length(hash) <> 64`); n != 0 {
		t.Error("a token is readable in its table")
	}
}

// TestNoSecretInTheLog: management leaves events without names, texts or tokens.
func TestNoSecretInTheLog(t *testing.T) {
	h := newHouse(t)
	p, _, token := h.client("Lab client")
	_, secret := h.person("rosa", "aurora")
	h.revoke(p)
	for _, s := range []string{token, secret, "It is over", digest([]byte(token))} {
		if n := h.number(`SELECT count(*) FROM audit_leaf WHERE instr(leaf, ?) > 0`, s); n != 0 {
			t.Errorf("%q stands in the audit log", s)
		}
	}
	for _, verb := range []string{"gateway.created", "gateway.lent", "gateway.token-made", "gateway.revoked"} {
		if h.number(`SELECT count(*) FROM audit_leaf WHERE verb = ?`, verb) == 0 {
			t.Errorf("no event %s", verb)
		}
	}
}

// TestFlush: last use is kept to about a minute, and counts that cannot be written wait.
func TestFlush(t *testing.T) {
	h := newHouse(t)
	p, _, token := h.client("Lab client")
	for range 5 {
		if w := h.call("GET", "/ga4gh/tes/tasks", token, nil); w.Code != 200 {
			t.Fatal(w.Code, w.Body)
		}
	}
	h.g.update = (&faulty{real: h.db.Update}).update
	if err := h.g.flush(ctx); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	h.g.update = h.db.Update
	lines := h.ledger(p.ID)
	if len(lines) != 1 || lines[0].What != WhatRead || lines[0].Count != 5 || lines[0].Direction != Out || lines[0].Bytes == 0 || len(lines[0].SHA256) != 64 {
		t.Errorf("%+v", lines)
	}
	h.call("GET", "/ga4gh/tes/tasks", token, nil)
	h.must(h.g.flush(ctx))
	got, err := h.g.Principal(ctx, h.as("olga"), p.ID)
	if err != nil || time.Since(got.LastSeen) > time.Minute || !got.HasToken {
		t.Errorf("%+v (%v)", got, err)
	}
}
