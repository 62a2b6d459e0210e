package gateway

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/plugins/protocol"
)

// TestWhichPluginsACallerReaches: a plugin that was not listed is answered like one
// that is not there, and hears nothing.
func TestWhichPluginsACallerReaches(t *testing.T) {
	h := newHouse(t)
	h.run()
	north, hub := h.hub("North hub")
	wide, wideHub := h.principal(Draft{Name: "Wide hub", Kind: Hub, HubKey: "k", Plugins: []string{"tes", "beacon"}}, "health")
	shut, shutHub := h.principal(Draft{Name: "Shut hub", Kind: Hub, HubKey: "s", Plugins: []string{}}, "health")
	client, lab, token := h.client("Lab client")
	rosa, _ := h.person("rosa", "aurora")
	id, _ := h.working(rosa)
	for _, c := range []struct {
		name   string
		who    Caller
		plugin string
		let    bool
	}{
		{"a new hub, the default", hub, "tes", true},
		{"a new hub, another", hub, "beacon", false},
		{"a new hub, none of this name", hub, "nothing", false},
		{"a hub that was let", wideHub, "beacon", true},
		{"a hub that was let, a third", wideHub, "carrier", false},
		{"a hub that reaches nothing", shutHub, "tes", false},
		{"a new client, the default", lab, "tes", true},
		{"a new client, another", lab, "beacon", false},
		{"a person's token", rosa, "tes", true},
		{"a person's token, another", rosa, "beacon", false},
		{"a program inside", Caller{Kind: Inside, ID: id}, "tes", true},
		{"a program inside, another", Caller{Kind: Inside, ID: id}, "beacon", false},
		{"a strange name", wideHub, "CANARY\r\nx", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			resp, err := h.g.Serve(ctx, every{&got}, c.who, c.plugin, protocol.Request{Method: "POST", Path: "/x", Body: []byte("CANARY")})
			if err != nil || c.let != (resp.Status == 200) || c.let != (got == c.plugin) || !c.let && got != "" {
				t.Fatalf("%d %s, asked %q (%v)", resp.Status, resp.Body, got, err)
			}
			if c.let {
				return
			}
			header := resp.Header[refusalHeader]
			body := string(resp.Body)
			if resp.Status != 404 || len(header) != 1 || header[0] != CodeNoPlugin || !strings.Contains(body, `"code":"no-plugin"`) || !strings.Contains(body, `"next":"`) {
				t.Errorf("%d %v %s", resp.Status, header, body)
			}
			for _, secret := range []string{"CANARY", "beacon", "carrier", "tes, beacon", "Wide", "North"} {
				if strings.Contains(body, secret) {
					t.Errorf("the refusal says %q: %s", secret, body)
				}
			}
		})
	}
	lines := h.ledger(north.ID)
	lines = slices.DeleteFunc(lines, func(e Entry) bool { return e.What == WhatRead })
	if len(lines) != 2 || lines[0].What != WhatRefused || lines[0].Code != CodeNoPlugin || lines[0].Outcome != Declined || strings.Contains(lines[0].Text, "beacon") {
		t.Errorf("%+v", lines)
	}
	// One text for a plugin that is there and one that is not.
	if a, b := h.refusal(hub, "beacon"), h.refusal(hub, "nothing"); a != b {
		t.Errorf("%q and %q", a, b)
	}
	if !slices.Equal(north.Plugins, []string{"tes"}) || !slices.Equal(client.Plugins, []string{"tes"}) || len(shut.Plugins) != 0 || len(wide.Plugins) != 2 {
		t.Errorf("%v %v %v %v", north.Plugins, client.Plugins, shut.Plugins, wide.Plugins)
	}
	// The door of a token, and a Host that a plugin kept.
	got := ""
	rec, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/ga4gh/beacon/x", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	h.g.Door(every{&got}).ServeHTTP(rec, r)
	if rec.Code != 404 || got != "" || rec.Header().Get(refusalHeader) != CodeNoPlugin {
		t.Errorf("%d %q %v", rec.Code, got, rec.Header())
	}
	_, err := h.g.HostFor(hub, "beacon").Submit(ctx, request())
	h.wantRefusal(err, CodeNoPlugin, "no such service")
	if _, err := h.g.HostFor(hub, "beacon").Visible(ctx); err == nil {
		t.Error("a plugin sees for a hub that does not reach it")
	}
}

// refusal is the text with which a caller is refused a plugin.
func (h *house) refusal(who Caller, plugin string) string {
	h.t.Helper()
	got := ""
	resp, err := h.g.Serve(ctx, every{&got}, Caller{Kind: who.Kind, ID: who.ID, Correlation: "c"}, plugin, protocol.Request{Method: "GET", Path: "/x"})
	if err != nil {
		h.t.Fatal(err)
	}
	return string(resp.Body)
}

// TestOperatorsChooseThePlugins: the list is changed as a whole, takes effect at
// once, and stands in the audit log.
func TestOperatorsChooseThePlugins(t *testing.T) {
	h := newHouse(t)
	h.g.Known = func(name string) bool { return name == "tes" || name == "beacon" }
	p, who := h.hub("North hub")
	st := h.submit(who, request())
	for _, c := range []struct {
		name string
		to   []string
		want string // the list after it
		text string // of the refusal; empty: it is done
	}{
		{"two", []string{"tes", "beacon"}, "beacon tes", ""},
		{"blanks and twice", []string{" tes ", "tes", "beacon"}, "beacon tes", ""},
		{"unknown", []string{"tes", "nothing"}, "beacon tes", `no plugin "nothing"`},
		{"capitals", []string{"TES"}, "beacon tes", "no plugin"},
		{"a path", []string{"../tes"}, "beacon tes", "no plugin"},
		{"too many", strings.Split(strings.Repeat("a,", mostPlugins)+"a", ","), "beacon tes", "no plugin"},
		{"none", []string{}, "", ""},
		{"back", []string{"tes"}, "tes", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := h.g.Change(ctx, h.as("olga"), p.ID, Change{Plugins: &c.to})
			if (err != nil) != (c.text != "") || err != nil && (fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), c.text)) {
				t.Fatalf("%v", err)
			}
			now, err := h.g.Principal(ctx, h.as("olga"), p.ID)
			if err != nil || strings.Join(now.Plugins, " ") != c.want {
				t.Errorf("%v (%v), want %s", now.Plugins, err, c.want)
			}
			got := ""
			resp, err := h.g.Serve(ctx, every{&got}, who, "tes", protocol.Request{Method: "GET", Path: "/x"})
			if err != nil || (resp.Status == 200) != strings.Contains(c.want, "tes") {
				t.Errorf("%d with %q (%v)", resp.Status, c.want, err)
			}
		})
	}
	h.g.Known = nil
	for _, bad := range [][]string{{"TES"}, {""}, {"a/b"}, {strings.Repeat("a", mostPluginName+1)}} {
		if _, err := h.g.Change(ctx, h.as("olga"), p.ID, Change{Plugins: &bad}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	h.state(who, st.ID, protocol.Basic) // what it sent before is still its own
	found := false
	h.must(h.db.View(ctx, func(tx *store.Tx) error {
		list, err := h.log.List(tx, audit.Filter{Verb: "gateway.changed"})
		for _, e := range list {
			found = found || e.Detail["plugins"] == "beacon tes" && e.Subject == Subject(p.ID)
		}
		return err
	}))
	if !found {
		t.Error("the audit log does not say which plugins it reaches")
	}
}
