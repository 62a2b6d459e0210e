package gateway

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tresor/app/apptest/tesclient"
	"tresor/plugins/builtin/tes"
	"tresor/plugins/protocol"
)

// inProcess is the real plugin without its process.
type inProcess struct{ tes.Adapter }

func (p inProcess) Server(context.Context, string) (protocol.Server, error) { return p, nil }

// TestTES drives the life of tasks with a client that knows only the schema.
func TestTES(t *testing.T) {
	h := newHouse(t)
	_, _, token := h.client("Lab client")
	srv := httptest.NewServer(h.g.Door(inProcess{tes.New()}))
	defer srv.Close()
	h.g.Public = func() string { return srv.URL }
	c := &tesclient.Client{Base: srv.URL + "/ga4gh/tes/v1", Token: token, HTTP: srv.Client()}
	h.run()
	if _, err := c.Info(ctx); err != nil {
		t.Fatal(err)
	}
	id, err := c.Create(ctx, tesclient.Task{Name: "visits", Tags: map[string]string{"project": "aurora"},
		Executors: []tesclient.Executor{{Image: "tools", Command: []string{"table", "/work/out/visits.csv"}}},
		Inputs:    []tesclient.Input{{Path: "/work/in/script", Content: "x"}, {Path: "/work/in/visits.csv", URL: "tresor://dataset/health/visits.csv"}},
		Outputs:   []tesclient.Output{{Path: "/work/out/visits.csv", URL: "s3://results/visits.csv", Type: "FILE"}}})
	if err != nil {
		t.Fatal(err)
	}
	h.approve(id)
	if st, err := c.Wait(ctx, id, 5*time.Millisecond); err != nil || st != "COMPLETE" {
		got, _ := c.Get(ctx, id, "FULL")
		t.Fatalf("%s (%v): %+v", st, err, got.Logs)
	}
	full, err := c.Get(ctx, id, "FULL")
	if err != nil || len(full.Logs) != 1 || len(full.Logs[0].Outputs) != 1 {
		t.Fatalf("%+v (%v)", full.Logs, err)
	}
	if b, err := c.Fetch(ctx, full.Logs[0].Outputs[0].URL); err != nil || !strings.HasPrefix(string(b), "health,people") {
		t.Errorf("%s: %q (%v)", full.Logs[0].Outputs[0].URL, b, err)
	}
	if all, err := c.Walk(ctx, tesclient.Query{}); err != nil || len(all) != 1 {
		t.Errorf("%d tasks (%v)", len(all), err)
	}
	c.Key = "order-1"
	first, err := c.Create(ctx, tesclient.Task{Executors: []tesclient.Executor{{Image: "tools", Command: []string{"sleep"}}}})
	again, err2 := c.Create(ctx, tesclient.Task{Executors: []tesclient.Executor{{Image: "tools", Command: []string{"sleep"}}}})
	if err != nil || err2 != nil || first != again {
		t.Errorf("%s and %s (%v, %v)", first, again, err, err2)
	}
	if err := c.Cancel(ctx, first); err != nil {
		t.Error(err)
	}
	if st, err := c.Wait(ctx, first, 5*time.Millisecond); err != nil || st != "CANCELED" {
		t.Errorf("%s (%v)", st, err)
	}
	c.Key = ""
	_, err = c.Create(ctx, tesclient.Task{Tags: map[string]string{"project": "boreali" + "s"}, Executors: []tesclient.Executor{{Image: "tools", Command: []string{"true"}}}})
	if err == nil || !strings.Contains(err.Error(), "403") || !strings.Contains(err.Error(), CodeNoProject) {
		t.Errorf("another's project: %v", err)
	}
}
