package link

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tresor/app/gateway"
	"tresor/fed/fedtest"
	"tresor/fed/task"
)

// TestNothingSecretCrossesTheLink records every byte of the link beneath TLS while
// a hub reads and orders all it can, and looks for what was planted inside: values
// of the data, texts of errors from within, the appliance's own keys, and codes.
func TestNothingSecretCrossesTheLink(t *testing.T) {
	r := newRig(t)
	h := fedtest.StartHub(t, fedtest.Lively())
	var mu sync.Mutex
	var wire bytes.Buffer
	h.Relay.Change(func(m fedtest.Message) [][]byte {
		mu.Lock()
		defer mu.Unlock()
		wire.Write(m.Data)
		wire.WriteByte('\n')
		return [][]byte{m.Data}
	})
	id := r.join(h)
	if err := r.Confirm(t.Context(), operator, id); err != nil {
		t.Fatal(err)
	}
	r.edit(id, func(p *gateway.Principal) {
		p.Publishes = true
		p.Projects = []gateway.Use{{Project: "p1", Slug: "one", Name: "One", Datasets: []string{"*"}, Sponsor: gateway.Person{ID: "canary-4711", Handle: "canary-4711"}, By: "canary-4711"}}
	})
	h.Online(t, r.id())
	for _, path := range []string{"/ping", "/catalogue", "/ga4gh/tes/v1/tasks", "/ga4gh/tes/internal", "/ga4gh/none/none", "/ga4gh/tes/release", "/", "/api/v1/me", "/metrics"} {
		r.get(h, path)
	}
	for i, q := range []task.Request{create("{}"), {Plugin: "tes", Method: "POST", Path: "/large"}, {Plugin: "tes", Method: "POST", Path: "/release"}} {
		_, _ = r.order(h, "canary-"+string(rune('a'+i)), q)
	}
	if _, err := r.Rotate(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	seed := r.keys.identity().Key.Seed()
	until(t, "the rotation is over", func() bool { _, _, ok := r.keys.pending(); return !ok })
	h.Online(t, r.id())
	r.get(h, "/catalogue")
	secrets := [][]byte{[]byte("4711"), []byte(r.dir), seed, r.keys.identity().Key.Seed()}
	if key, err := os.ReadFile(filepath.Join(r.dir, "plugins.key")); err == nil {
		secrets = append(secrets, key)
	}
	mu.Lock()
	defer mu.Unlock()
	seen := wire.String()
	for _, what := range []string{"challenge", "set-d1", "read /v1/tasks"} {
		if !strings.Contains(seen, what) {
			t.Errorf("the record lacks %q: it is not one of the whole link", what)
		}
	}
	for _, s := range secrets {
		for _, form := range []string{string(s), hex.EncodeToString(s), base64.StdEncoding.EncodeToString(s), base64.RawURLEncoding.EncodeToString(s)} {
			if strings.Contains(seen, form) {
				t.Errorf("a secret crossed the link: %q", form)
			}
		}
	}
}
