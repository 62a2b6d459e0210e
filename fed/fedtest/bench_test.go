package fedtest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"tresor/fed/hub"
	"tresor/fed/link"
	"tresor/fed/node"
)

// straight enrols and connects a node without the relay in between.
func straight(t testing.TB, h *Hub, n *Node, name string, d node.Door) {
	t.Helper()
	ctx := context.Background()
	code, err := h.Book.NewCode(ctx, "", "")
	if err != nil {
		t.Fatal(err)
	}
	code.URL = "ws" + strings.TrimPrefix(h.Server.URL, "http")
	p, err := n.Enrol(ctx, code, name)
	if err != nil {
		t.Fatal(err)
	}
	n.Hub = p.ID
	if err := n.Connect(p.ID, d); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkRoundTrip measures one question for a small task over the link and the
// same one straight, in turns, and prints the ratio of the two.
func BenchmarkRoundTrip(b *testing.B) {
	answer := `{"id":"0198c0de","name":"` + strings.Repeat("x", 600) + `"}`
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, answer)
	})
	h, n := StartHub(b, link.Limits{}), NewNode(b, link.Limits{})
	straight(b, h, n, "North", node.Door{Routes: handler})
	for _, s := range h.Nodes() {
		h.Online(b, s.Peer.ID)
		n.ID = s.Peer.ID
	}
	web := httptest.NewServer(handler)
	defer web.Close()
	one := func(c *http.Client, url string) {
		resp, err := c.Get(url + "/ga4gh/tes/v1/tasks/0198c0de?view=FULL")
		if err != nil {
			b.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || string(got) != answer {
			b.Fatal(resp.StatusCode, err)
		}
	}
	direct := &http.Client{Transport: &http.Transport{}}
	over := &http.Client{Transport: h.RoundTripper(n.ID)}
	straightly, linked := make([]time.Duration, b.N), make([]time.Duration, b.N)
	one(direct, web.URL)
	one(over, "http://n")
	b.ResetTimer()
	for i := range b.N {
		t0 := time.Now()
		one(direct, web.URL)
		t1 := time.Now()
		one(over, "http://n")
		straightly[i], linked[i] = t1.Sub(t0), time.Since(t1)
	}
	direct1, linked1 := median(straightly), median(linked)
	b.ReportMetric(float64(direct1), "ns/direct")
	b.ReportMetric(float64(linked1), "ns/link")
	b.ReportMetric(float64(linked1)/float64(direct1), "ratio")
}

// median is the time that half of them need: what else runs on the machine disturbs the
// mean and not this.
func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// BenchmarkEnvelope measures one signed task from Issue to receipt.
func BenchmarkEnvelope(b *testing.B) {
	h, n := StartHub(b, link.Limits{}), NewNode(b, link.Limits{})
	straight(b, h, n, "North", node.Door{Execute: (&tally{}).execute})
	n.ID = h.Nodes()[0].Peer.ID
	h.Online(b, n.ID)
	for i := 0; b.Loop(); i++ {
		e, err := h.Issue(context.Background(), n.ID, hub.Order{ID: fmt.Sprint("b-", i), Kind: "task.create", Body: []byte("{}")})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := h.Send(context.Background(), e); err != nil {
			b.Fatal(err)
		}
		if i%500 == 499 {
			n.Ledger.Sweep(context.Background(), time.Now().Add(2*time.Hour))
		}
	}
}

// Test200NodesOnOneHub measures what both ends of 200 links hold; the process
// has the nodes too, so the hub alone is less.
func Test200NodesOnOneHub(t *testing.T) {
	if testing.Short() {
		t.Skip("200 nodes: skipped in a short run")
	}
	NoLeaks(t)
	h := StartHub(t, link.Limits{})
	before, goroutines := held(), runtime.NumGoroutine()
	routes := http.HandlerFunc(ok)
	for i := range 200 {
		straight(t, h, NewNode(t, link.Limits{}), fmt.Sprintf("node-%03d", i), node.Door{Routes: routes})
	}
	Until(t, "all nodes are online", func() bool {
		up := 0
		for _, s := range h.Nodes() {
			if s.Online {
				up++
			}
		}
		return up == 200
	})
	for _, s := range h.Nodes() {
		if _, body, err := get(h, s.Peer.ID, "/"); err != nil || body != "ok" {
			t.Errorf("%s: %q %v", s.Peer.Name, body, err)
		}
	}
	after := held()
	t.Logf("200 links, both ends in one process: %d MiB more (%d to %d), %d goroutines more",
		(after-before)>>20, before>>20, after>>20, runtime.NumGoroutine()-goroutines)
	// A hub may have 300 MB resident, a program around it and garbage of the same size included.
	if grown := after - before; grown > 100<<20 {
		t.Errorf("%d MiB for 200 nodes, at most 100 are allowed", grown>>20)
	}
}

// held is what this process holds, in bytes: heap and stacks. What is resident
// besides is the race detector's, or garbage that the system may have back.
func held() int {
	runtime.GC()
	runtime.GC() // what the first one finalised
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}
