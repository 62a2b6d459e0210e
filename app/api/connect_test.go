package api

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/gateway"
	"tresor/app/store"
	"tresor/app/tree"
)

// fakeMachine stands in for the gateway's door: it tells what got to it.
func fakeMachine(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	case r.Header.Get("Authorization") != "Bearer good":
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == "/ga4gh/slow":
		select {
		case <-r.Context().Done():
			_, _ = io.WriteString(w, "ended: "+r.Context().Err().Error())
		case <-time.After(1500 * time.Millisecond):
			_, _ = io.WriteString(w, "still here")
		}
	case strings.HasPrefix(r.URL.Path, "/ga4gh/refused/"):
		w.Header().Set(refusalHeader, strings.TrimPrefix(r.URL.Path, "/ga4gh/refused/"))
		w.WriteHeader(http.StatusTooManyRequests)
	case r.URL.Path == "/ga4gh/panic":
		panic("secret panic text")
	default:
		_, _ = io.WriteString(w, r.Method+" "+r.URL.RequestURI()+" cookie="+r.Header.Get("Cookie")+" correlation="+r.Header.Get(CorrelationHeader)+" body="+string(body))
	}
}

// connect opens the appliance to one hub: the operator makes it, the lead lends
// the project.
func (w *world) connect(t testing.TB) {
	t.Helper()
	w.befriend(t)
	w.allow(t)
	var token NewToken
	w.as(t, "researcher", "POST", "/tokens", `{"name":"mine","project":"aurora"}`).want(t, 201).into(t, &token)
	w.machineToken = token.ID
	w.plant(t, "counts/visits.csv")
}

// allow puts a source on the list that was not there.
func (w *world) allow(t testing.TB) {
	t.Helper()
	var src gateway.Source
	w.as(t, "operator", "POST", "/federation/sources", `{"prefix":"https://data.example/`+ids()+`/","kind":"https"}`).want(t, 201).into(t, &src)
	w.source = src.ID
}

// befriend makes a hub that uses the project aurora, in place of the one before.
func (w *world) befriend(t testing.TB) {
	t.Helper()
	ctx, g := t.Context(), w.server.Gateway
	p := must[gateway.Principal](t)(g.Create(ctx, w.actor("operator"), gateway.Draft{Name: "Hub " + ids()[24:], Kind: gateway.Hub,
		HubKey: "key-" + ids(), HubURL: "wss://hub.example", Words: "apple river"}))
	must[gateway.Principal](t)(g.AddProject(ctx, w.actor("lead"), p.ID, "aurora", w.people["researcher"].ID, []string{"health"}))
	w.principal, w.links.principal = p.ID, p.ID
}

// plant puts a file into the tree of aurora, as a job of it would.
func (w *world) plant(t testing.TB, path string) {
	t.Helper()
	blob, err := w.server.Tree.Vault.Put(t.Context(), strings.NewReader("kept inside"), 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	err = w.server.DB.Update(t.Context(), func(tx *store.Tx) error {
		return w.server.Tree.Put(tx, access.System, w.aurora, "", []tree.File{{Path: path, Size: blob.Size, SHA256: blob.SHA256}})
	})
	if err != nil {
		t.Fatal(err)
	}
}
