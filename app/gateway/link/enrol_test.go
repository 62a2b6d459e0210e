package link

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/app/fault"
	"tresor/app/gateway"
	"tresor/app/store"
	"tresor/fed/fedtest"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

func TestEnrolmentWithACodeOfTheHub(t *testing.T) {
	r := newRig(t)
	h, id := r.hub()
	h.Online(t, r.id())
	until(t, "the page shows it online", func() bool { return r.state(id).State == "online" })
	l := r.state(id)
	nodeKey := r.keys.public()
	if want := trust.PairWords(wire.KeyOf(h.Key), nodeKey); l.Words != want || l.Confirmed || !strings.Contains(l.Next, "Compare the words") || l.URL != "ws://"+h.Relay.Host()+wire.LinkPath {
		t.Errorf("link %+v, words should be %s", l, want)
	}
	p := *r.desk.principals[id]
	if p.Name != "Hub of Bonn" || p.Kind != gateway.Hub || p.Node != "North" || p.Words != l.Words || p.HubKey != string(wire.KeyOf(h.Key).ID()) {
		t.Errorf("principal %+v", p)
	}
	if n := h.Nodes(); len(n) != 1 || n[0].Peer.Name != "North" {
		t.Errorf("at the hub: %+v", n)
	}
	// Nothing passes before a person has compared the words.
	if code, body := r.get(h, "/ping"); code != 503 || !strings.Contains(body, "compared the words") {
		t.Errorf("unconfirmed: %d %s", code, body)
	}
	if err := r.Confirm(t.Context(), operator, id); err != nil {
		t.Fatal(err)
	}
	if code, _ := r.get(h, "/ping"); code != 200 {
		t.Errorf("confirmed: %d", code)
	}
	r.restart()
	h.Online(t, r.id())
	until(t, "still confirmed after a restart", func() bool { code, _ := r.get(h, "/ping"); return code == 200 })
	if l = r.state(id); !l.Confirmed || l.ConfirmedAt == nil {
		t.Errorf("link %+v", l)
	}
	if got := r.events(); got != "hub.code-made hub.enrolled hub.confirmed" {
		t.Errorf("events %q", got)
	}
}

func TestEnrolmentWithACodeOfThisEnd(t *testing.T) {
	r := newRig(t)
	h := fedtest.StartHub(t, fedtest.Lively())
	c, err := r.Code(t.Context(), operator, "Bonn")
	if err != nil || time.Until(c.ExpiresAt) < 23*time.Hour {
		t.Fatalf("%+v %v", c, err)
	}
	_, err = r.Enrol(t.Context(), operator, "http://"+h.Relay.Host(), c.Code, "Bonn")
	want(t, "not typed at the hub yet", err, fault.Unavailable, "code")
	if _, err = h.Book.TypeCode(t.Context(), c.Code, "", "North as they call it"); err != nil {
		t.Fatal(err)
	}
	id, err := r.Enrol(t.Context(), operator, "http://"+h.Relay.Host(), c.Code, "Bonn")
	if err != nil || r.desk.principals[id].Name != "Bonn" {
		t.Fatalf("%v %v", id, err)
	}
	_, err = r.Enrol(t.Context(), operator, "http://"+h.Relay.Host(), c.Code, "Bonn")
	want(t, "the code again", err, fault.Conflict, "used")
	if n := h.Nodes(); len(n) != 1 || n[0].Peer.Name != "North as they call it" {
		t.Errorf("at the hub: %+v", n)
	}
	var secrets int
	_ = r.db.View(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM link_code WHERE length(secret) > 0`).Scan(&secrets)
	})
	if secrets != 0 {
		t.Error("the secret of a used code is kept")
	}
}

// TestAnEnrolmentAndALookAtOnceMakeOnePrincipal: whoever is first, the other finds it.
func TestAnEnrolmentAndALookAtOnceMakeOnePrincipal(t *testing.T) {
	r := newRig(t)
	h := fedtest.StartHub(t, fedtest.Lively())
	stop := make(chan struct{})
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		for {
			select {
			case <-stop:
				return
			default:
				if err := r.follow(context.Background()); err != nil {
					t.Errorf("a look during an enrolment: %v", err)
					return
				}
			}
		}
	}()
	id := r.join(h)
	close(stop)
	<-looked
	if ids := r.ids(); len(ids) != 1 || ids[0] != id {
		t.Errorf("principals %v, enrolled as %s", ids, id)
	}
}

// TestHubsOfOneName: a hub that is pinned gets its principal whatever it is called.
func TestHubsOfOneName(t *testing.T) {
	r := newRig(t)
	_, a := r.hub()
	_, b := r.hub()
	p, q := r.desk.principals[a], r.desk.principals[b]
	if a == b || p.Name != "Hub of Bonn" || !strings.HasPrefix(q.Name, "Hub of Bonn ") || p.HubKey == q.HubKey {
		t.Errorf("%+v and %+v", p, q)
	}
}

func TestRefusalsOfEnrolment(t *testing.T) {
	r := newRig(t)
	h := fedtest.StartHub(t, fedtest.Lively())
	good := "http://" + h.Relay.Host()
	code := func() string {
		c, err := h.Book.NewCode(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		return c.Text()
	}
	for name, c := range map[string]struct {
		url, code, name string
		kind            fault.Kind
		text            string
	}{
		"no address":            {"", code(), "", fault.Invalid, "not the address"},
		"another scheme":        {"ftp://hub.test", code(), "", fault.Invalid, "https://"},
		"http to another host":  {"http://hub.test", code(), "", fault.Invalid, "https://"},
		"password in it":        {"https://a:b@hub.test", code(), "", fault.Invalid, "not the address"},
		"query":                 {"https://hub.test/?a=b", code(), "", fault.Invalid, "not the address"},
		"address of 1 MB":       {"https://" + strings.Repeat("a", 1<<20), code(), "", fault.Invalid, "not the address"},
		"no code":               {good, "", "", fault.Invalid, "code"},
		"another code":          {good, "AAAA-AAAA-AAAA-AAAA", "", fault.Unavailable, "code"},
		"name of two lines":     {good, code(), "a\nb", fault.Invalid, ""},
		"name of 1 MB":          {good, code(), strings.Repeat("a", 1<<20), fault.Invalid, ""},
		"nobody there":          {"http://127.0.0.1:1", code(), "", fault.Unavailable, "could not be reached"},
		"a page and not a hub":  {good + "/x/y", code(), "", fault.Unavailable, ""},
		"no TLS at the address": {"https://" + h.Relay.Host(), code(), "", fault.Unavailable, "could not be reached"},
	} {
		if name == "a page and not a hub" {
			continue // the relay takes every path
		}
		_, err := r.Enrol(t.Context(), operator, c.url, c.code, c.name)
		want(t, name, err, c.kind, c.text)
		if fault.Next(err) == "" {
			t.Errorf("%s: no next step", name)
		}
	}
	r.clock.Skew(6 * time.Minute)
	_, err := r.Enrol(t.Context(), operator, good, code(), "")
	want(t, "clock", err, fault.Unavailable, "clock")
	r.clock.Skew(0)
	_, err = r.Enrol(t.Context(), researcher, good, code(), "")
	want(t, "researcher", err, fault.Denied, "operator")
	_, err = r.Code(t.Context(), researcher, "")
	want(t, "researcher's code", err, fault.Denied, "operator")
	want(t, "researcher confirms", r.Confirm(t.Context(), researcher, "x"), fault.Denied, "operator")
	want(t, "no such hub", r.Confirm(t.Context(), operator, "x"), fault.NotFound, "no hub")
	_, err = r.Rotate(t.Context(), researcher)
	want(t, "researcher rotates", err, fault.Denied, "operator")
	_, err = r.Test(t.Context(), researcher, "x")
	want(t, "researcher tests", err, fault.Denied, "operator")
	_, err = r.Node(t.Context(), researcher)
	want(t, "researcher looks", err, fault.Denied, "")
	if len(r.desk.principals) != 0 {
		t.Errorf("a refused enrolment left %v", r.desk.principals)
	}
}

// TestAnEnrolmentThatWasCutShortIsCompleted: the hub's key is pinned, and the
// server ends before there is a principal for it.
func TestAnEnrolmentThatWasCutShortIsCompleted(t *testing.T) {
	r := newRig(t)
	h := fedtest.StartHub(t, fedtest.Lively())
	code, _ := h.Book.NewCode(t.Context(), "", "")
	r.create = errors.New("the disk is full")
	if _, err := r.Enrol(t.Context(), operator, "http://"+h.Relay.Host(), code.Text(), "Bonn"); err == nil {
		t.Fatal("an enrolment without a principal said yes")
	}
	r.restart()
	until(t, "it has a principal", func() bool { return len(r.ids()) == 1 })
	id := r.ids()[0]
	h.Online(t, r.id())
	if code, _ := r.get(h, "/ping"); code != 503 {
		t.Errorf("unconfirmed: %d", code)
	}
	if err := r.Confirm(t.Context(), operator, id); err != nil {
		t.Fatal(err)
	}
	if code, _ := r.get(h, "/ping"); code != 200 {
		t.Errorf("confirmed: %d", code)
	}
}

func (r *rig) ids() (out []string) {
	r.desk.mu.Lock()
	defer r.desk.mu.Unlock()
	for id := range r.desk.principals {
		out = append(out, id)
	}
	return out
}

func TestFaultsOfTheStore(t *testing.T) {
	for _, c := range []struct {
		name, table, verb string
		do                func(r *rig, h *fedtest.Hub) error
		enrolled          int
	}{
		{"the code is not kept", "link_code", "INSERT", func(r *rig, h *fedtest.Hub) error {
			_, err := r.Code(r.t.Context(), operator, "x")
			return err
		}, 0},
		{"the pin is not kept", "link_peer", "INSERT", func(r *rig, h *fedtest.Hub) error {
			c, _ := h.Book.NewCode(r.t.Context(), "", "")
			_, err := r.Enrol(r.t.Context(), operator, "http://"+h.Relay.Host(), c.Text(), "")
			return err
		}, 0},
		{"the event is not kept", "audit_leaf", "INSERT", func(r *rig, h *fedtest.Hub) error {
			c, _ := h.Book.NewCode(r.t.Context(), "", "")
			_, err := r.Enrol(r.t.Context(), operator, "http://"+h.Relay.Host(), c.Text(), "")
			return err
		}, 0},
		{"the confirmation is not kept", "link_hub", "UPDATE OF confirmed_at", func(r *rig, h *fedtest.Hub) error {
			return r.Confirm(r.t.Context(), operator, r.ids()[0])
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			h := fedtest.StartHub(t, fedtest.Lively())
			if c.enrolled > 0 {
				r.join(h)
			}
			mend := r.spoil(c.table, c.verb)
			if err := c.do(r, h); err == nil {
				t.Error("said yes")
			}
			if n := len(r.ids()); n != c.enrolled {
				t.Errorf("%d principals, want %d", n, c.enrolled)
			}
			if c.enrolled > 0 && r.state(r.ids()[0]).Confirmed {
				t.Error("confirmed all the same")
			}
			mend()
			if err := c.do(r, h); err != nil {
				t.Errorf("once it is mended: %v", err)
			}
		})
	}
}

func TestKeyFilesThatAreRefused(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(r.dir, "node.key")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	r.end()
	for name, data := range map[string]string{
		"empty": "", "not JSON": "key", "no seed": `{"version":1}`, "short seed": `{"version":1,"seed":"AAAA"}`, "another version": strings.Replace(string(good), `"version":1`, `"version":2`, 1),
		"a field more": strings.Replace(string(good), `{`, `{"x":1,`, 1), "two values": string(good) + string(good), "next without an end": strings.Replace(string(good), `}`, `,"next":"`+strings.Repeat("A", 43)+`="}`, 1),
	} {
		os.WriteFile(path, []byte(data), 0o600)
		if _, err := Open(t.Context(), r.deps()); fault.KindOf(err) != fault.Conflict || fault.Next(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	os.WriteFile(path, good, 0o600)
	os.Chmod(path, 0o644)
	_, err = Open(t.Context(), r.deps())
	want(t, "readable by all", err, fault.Conflict, "Other accounts")
	os.Chmod(path, 0o600)
	r.open()
}

func FuzzKeyFile(f *testing.F) {
	f.Add([]byte(`{"version":1,"seed":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "k")
		os.WriteFile(path, data, 0o600)
		if k, err := openKeys(path); err == nil {
			k.identity()
		}
	})
}
