package tes_test

import (
	"context"
	"fmt"
	"testing"

	"tresor/plugins/builtin/tes"
	"tresor/plugins/protocol"
)

// still is a host that answers the same page and job without work, so that the
// benchmarks measure the plugin.
type still struct {
	*memory
	pages map[protocol.View]protocol.JobPage
}

func (s still) Jobs(_ context.Context, q protocol.JobQuery) (protocol.JobPage, error) {
	return s.pages[q.View], nil
}
func (s still) State(_ context.Context, _ string, v protocol.View) (protocol.JobState, error) {
	return s.pages[v].Jobs[0], nil
}
func (s still) Submit(context.Context, protocol.JobRequest) (protocol.JobState, error) {
	return protocol.JobState{ID: "job-1", State: "queued"}, nil
}

func stillHost(b *testing.B, n int) still {
	b.Helper()
	h := newMemory()
	for range n {
		resp, err := tes.New().ServeRequest(context.Background(), protocol.Request{Method: "POST", Path: "/tasks", Body: []byte(rich)}, h)
		if err != nil || resp.Status != 200 {
			b.Fatalf("%v %s", err, resp.Body)
		}
		for _, l := range life {
			h.move(fmt.Sprintf("job-%06d", h.count()), l.step)
		}
	}
	pages := map[protocol.View]protocol.JobPage{}
	for _, v := range []protocol.View{protocol.Minimal, protocol.Basic, protocol.Full} {
		page, err := h.Jobs(context.Background(), protocol.JobQuery{View: v, Limit: n})
		if err != nil {
			b.Fatal(err)
		}
		pages[v] = page
	}
	return still{h, pages}
}

func bench(b *testing.B, h protocol.Host, r protocol.Request) {
	b.ReportAllocs()
	var size int
	for b.Loop() {
		resp, err := tes.New().ServeRequest(context.Background(), r, h)
		if err != nil || resp.Status != 200 {
			b.Fatalf("%v %s", err, resp.Body)
		}
		size = len(resp.Body)
	}
	b.ReportMetric(float64(size), "bytes/answer")
}

func BenchmarkCreate(b *testing.B) {
	for name, body := range map[string]string{"plain": plain, "rich": rich} {
		b.Run(name, func(b *testing.B) {
			bench(b, stillHost(b, 1), protocol.Request{Method: "POST", Path: "/v1/tasks", Body: []byte(body)})
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, v := range []string{"MINIMAL", "BASIC", "FULL"} {
		b.Run(v, func(b *testing.B) {
			bench(b, stillHost(b, 1), protocol.Request{Method: "GET", Path: "/v1/tasks/job-000001", Query: "view=" + v})
		})
	}
}

func BenchmarkList256(b *testing.B) {
	for _, v := range []string{"MINIMAL", "BASIC", "FULL"} {
		b.Run(v, func(b *testing.B) {
			bench(b, stillHost(b, 256), protocol.Request{Method: "GET", Path: "/v1/tasks", Query: "view=" + v})
		})
	}
}
