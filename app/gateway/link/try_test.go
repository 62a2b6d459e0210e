package link

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"tresor/app/gateway"
	"tresor/app/gateway/plug"
	"tresor/fed/fedtest"
)

// look tests the connection, and gives the names of the steps with a mark for
// those that failed.
func (r *rig) look(id string) (plug.Report, string) {
	r.t.Helper()
	rep, err := r.Test(r.t.Context(), operator, id)
	if err != nil {
		r.t.Fatal(err)
	}
	var names []string
	for _, s := range rep.Steps {
		mark := ""
		if !s.OK {
			mark = "!"
			if s.Next == "" {
				r.t.Errorf("the step %q failed without a next step", s.Name)
			}
		}
		if s.Detail == "" {
			r.t.Errorf("the step %q says nothing", s.Name)
		}
		names = append(names, mark+s.Name)
	}
	return rep, strings.Join(names, " ")
}

func TestTheConnectionDoctor(t *testing.T) {
	r := newRig(t)
	h, id := r.hub()
	h.Online(t, r.id())
	until(t, "the link is up here", func() bool { return r.state(id).State == "online" })
	const way = "proxy name tcp tls hub clock key "
	check := func(what, want string) plug.Report {
		t.Helper()
		rep, got := r.look(id)
		if got != want {
			t.Errorf("%s: %q, want %q\n%s", what, got, want, rep.Report)
		}
		return rep
	}
	check("unconfirmed", way+"link round trip !words")
	if err := r.Confirm(t.Context(), operator, id); err != nil {
		t.Fatal(err)
	}
	check("no project", way+"link round trip !projects")
	r.edit(id, func(p *gateway.Principal) { p.Projects = []gateway.Use{{Project: "p1"}} })
	rep := check("all well at once", way+"link round trip projects")
	for _, part := range []string{"Hub of Bonn", "tresor test", "link protocol 2", "ok   tcp", "ws://" + h.Relay.Host(), "took"} {
		if !strings.Contains(rep.Report, part) {
			t.Errorf("the report lacks %q:\n%s", part, rep.Report)
		}
	}
	if r.state(id).RoundTrip <= 0 {
		t.Error("the page has no round trip")
	}
	r.edit(id, func(p *gateway.Principal) { p.Paused = true })
	until(t, "the pause is seen", func() bool { _, got := r.look(id); return strings.HasSuffix(got, "!pause") })
	r.edit(id, func(p *gateway.Principal) { p.Paused = false })
	until(t, "the end of the pause is seen", func() bool { _, got := r.look(id); return strings.HasSuffix(got, " projects") })
	h.Clock.Skew(-10 * time.Minute)
	_, got := r.look(id)
	if !strings.HasPrefix(got, "proxy name tcp tls hub !clock key") && !strings.HasPrefix(got, "proxy name tcp tls hub !clock") {
		t.Errorf("the hub's clock is wrong: %q", got)
	}
	h.Clock.Skew(0)
	h.SetKey(fedtest.NewKey(t))
	if _, got = r.look(id); !strings.HasPrefix(got, "proxy name tcp tls hub clock !key") {
		t.Errorf("another key answers: %q", got)
	}
	page := httptest.NewServer(http.NotFoundHandler())
	defer page.Close()
	h.Relay.Target("ws" + strings.TrimPrefix(page.URL, "http"))
	if _, got = r.look(id); !strings.HasPrefix(got, "proxy name tcp tls !hub") {
		t.Errorf("a page and not a hub: %q", got)
	}
	h.Relay.Close()
	if _, got = r.look(id); !strings.HasPrefix(got, "proxy name !tcp") {
		t.Errorf("nobody there: %q", got)
	}
}

func TestTheConnectionDoctorBehindAProxyAndTLS(t *testing.T) {
	r := newRig(t)
	_, id := r.online()
	peerURL := func(u string) {
		p, _ := r.book.Peer(r.list()[0].peer)
		p.URL = u
		if err := (peers{r.Service}).PutPeer(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		r.restart()
	}
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	peerURL("wss" + strings.TrimPrefix(s.URL, "https") + "/fed/v1/link")
	rep, got := r.look(id)
	if !strings.HasPrefix(got, "proxy name tcp !tls") || !strings.Contains(rep.Report, "certificate") {
		t.Errorf("a certificate that nobody signed: %q\n%s", got, rep.Report)
	}
	peerURL("wss://no-such-hub.invalid/fed/v1/link")
	if _, got = r.look(id); !strings.HasPrefix(got, "proxy !name") {
		t.Errorf("no such name: %q", got)
	}
	r.proxy = func(*http.Request) (*url.URL, error) { return url.Parse("http://127.0.0.1:1") }
	r.restart()
	if rep, got = r.look(id); !strings.HasPrefix(got, "proxy name !tcp") || !strings.Contains(rep.Report, "The proxy 127.0.0.1:1 is used") {
		t.Errorf("a proxy that is down: %q\n%s", got, rep.Report)
	}
}
