package gateway

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"tresor/plugins/protocol"
)

const benchTasks = 10_000

// benchHouse is a house with stored tasks of one client, none of which runs.
func benchHouse(b *testing.B, n int) (*house, Caller) {
	b.Helper()
	h := newHouse(b)
	p, who, _ := h.client("Bench client")
	h.quota(p, Quotas{TasksPerHour: 1e6, OpenTasks: 1e6})
	fill(b, h, who, n, 16)
	b.ResetTimer()
	return h, who
}

func fill(b *testing.B, h *house, who Caller, n, callers int) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				r := request("true")
				r.Name = fmt.Sprintf("task-%05d", i)
				r.Tags = map[string]string{"batch": fmt.Sprint(i % 10)}
				if _, err := h.host(who).Submit(ctx, r); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
}

func BenchmarkCreate(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			h, who := benchHouse(b, 100)
			fill(b, h, who, b.N, callers)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	h, who := benchHouse(b, benchTasks)
	var id string
	query := func(b *testing.B, q protocol.JobQuery, want int) {
		for b.Loop() {
			page, err := h.host(who).Jobs(ctx, q)
			if err != nil || len(page.Jobs) != want {
				b.Fatal(len(page.Jobs), err)
			}
			if want > 0 {
				id = page.Jobs[want-1].ID
			}
		}
	}
	b.Run("list256", func(b *testing.B) { query(b, protocol.JobQuery{View: protocol.Minimal, Limit: 256}, 256) })
	b.Run("list256full", func(b *testing.B) { query(b, protocol.JobQuery{View: protocol.Full, Limit: 256}, 256) })
	b.Run("no-state", func(b *testing.B) {
		query(b, protocol.JobQuery{View: protocol.Minimal, Limit: 256, States: []string{"cancelled"}}, 0)
	})
	b.Run("no-name", func(b *testing.B) {
		query(b, protocol.JobQuery{View: protocol.Minimal, Limit: 256, NamePrefix: "zzz"}, 0)
	})
	b.Run("no-tag", func(b *testing.B) {
		query(b, protocol.JobQuery{View: protocol.Minimal, Limit: 256, Tags: []protocol.Tag{{Key: "batch", Value: "x"}}}, 0)
	})
	b.Run("some-tag", func(b *testing.B) {
		query(b, protocol.JobQuery{View: protocol.Minimal, Limit: 256, Tags: []protocol.Tag{{Key: "batch", Value: "3"}}}, 256)
	})
	b.Run("one-name", func(b *testing.B) {
		query(b, protocol.JobQuery{View: protocol.Minimal, Limit: 256, NamePrefix: "task-00003"}, 1)
	})
	b.Run("common-name", func(b *testing.B) {
		query(b, protocol.JobQuery{View: protocol.Minimal, Limit: 256, NamePrefix: "task-"}, 256)
	})
	b.Run("common-states", func(b *testing.B) {
		query(b, protocol.JobQuery{View: protocol.Minimal, Limit: 256, States: []string{"submitted", "approved", "queued"}}, 256)
	})
	b.Run("common-name-and-tag", func(b *testing.B) {
		query(b, protocol.JobQuery{View: protocol.Minimal, Limit: 256, NamePrefix: "task-", Tags: []protocol.Tag{{Key: "batch", Value: "3"}}}, 256)
	})
	b.Run("two-that-never-meet", func(b *testing.B) {
		query(b, protocol.JobQuery{View: protocol.Minimal, Limit: 256, Tags: []protocol.Tag{{Key: "batch", Value: "3"}, {Key: "batch", Value: "4"}}}, 0)
	})
	for _, v := range []protocol.View{protocol.Minimal, protocol.Basic, protocol.Full} {
		b.Run("get-"+string(v), func(b *testing.B) {
			for b.Loop() {
				if _, err := h.host(who).State(ctx, id, v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, size := range []int{256, 2048} {
		b.Run(fmt.Sprintf("walk%d", size), func(b *testing.B) {
			for b.Loop() {
				seen, q := 0, protocol.JobQuery{View: protocol.Minimal, Limit: size}
				for {
					page, err := h.host(who).Jobs(ctx, q)
					if err != nil {
						b.Fatal(err)
					}
					seen += len(page.Jobs)
					if q.After = page.Next; q.After == "" {
						break
					}
				}
				if seen != benchTasks {
					b.Fatal(seen)
				}
			}
		})
	}
}
