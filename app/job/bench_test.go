package job

import (
	"context"
	"testing"
)

// BenchmarkSubmit is what a person waits for: validation, rows, three audit
// events, one commit.
func BenchmarkSubmit(b *testing.B) {
	h := newHouse(b)
	actor := h.in(rosa)
	b.ResetTimer()
	for range b.N {
		if _, err := h.job.Submit(context.Background(), actor, h.task("true")); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSubmitParallel has many submitters share commits.
func BenchmarkSubmitParallel(b *testing.B) {
	h := newHouse(b)
	actor := h.in(rosa)
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := h.job.Submit(context.Background(), actor, h.task("true")); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// wanted is what a workflow engine sends: an input with content, a want, a hook.
func (h *house) wanted() Submission {
	sub := h.placed("true")
	sub.EveryJob = true
	sub.Places = []Place{{Path: "/w/in.sh", Content: []byte("#!/bin/sh\nexit 0\n")}}
	sub.Wants = []Want{{Path: "/w/out/a.csv", Target: "file:///project/a.csv", Tree: "a.csv"}}
	return sub
}

// BenchmarkSubmitWants is the gateway's share of a person's wait: a job that needs a decision.
func BenchmarkSubmitWants(b *testing.B) {
	h := newHouse(b)
	actor := h.in(rosa)
	b.ResetTimer()
	for range b.N {
		if _, err := h.job.Submit(context.Background(), actor, h.wanted()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSubmitWants16 is the same from 16 submitters who share commits.
func BenchmarkSubmitWants16(b *testing.B) {
	h := newHouse(b)
	actor := h.in(rosa)
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := h.job.Submit(context.Background(), actor, h.wanted()); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkSubmitToHeld is our own share of a no-op job: everything but the engine.
func BenchmarkSubmitToHeld(b *testing.B) {
	h := newHouse(b)
	h.run()
	actor := h.in(rosa)
	b.ResetTimer()
	for range b.N {
		j, err := h.job.Submit(context.Background(), actor, h.task("write", "a.csv"))
		if err != nil {
			b.Fatal(err)
		}
		events, done := h.hub.Subscribe(Subject(j.ID), 100)
		for h.get(j.ID).State != Held {
			<-events
		}
		done()
	}
}

// BenchmarkListQueued pages once through 10,000 jobs that wait.
func BenchmarkListQueued(b *testing.B) {
	h := newHouse(b)
	actor := h.in(rosa)
	for range 10_000 {
		if _, err := h.job.Submit(context.Background(), actor, h.task("true")); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for range b.N {
		if n := h.count(Queued); n != 10_000 {
			b.Fatal(n)
		}
	}
}

// BenchmarkQueueFromDatabase is what 10,000 waiting jobs add to a start.
func BenchmarkQueueFromDatabase(b *testing.B) {
	h := newHouse(b)
	actor := h.in(rosa)
	for range 10_000 {
		if _, err := h.job.Submit(context.Background(), actor, h.task("true")); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for range b.N {
		h.fresh()
		if err := h.job.loadQueue(context.Background()); err != nil || h.job.Load().Waiting != 10_000 {
			b.Fatal(err)
		}
	}
}
