package protocol

import (
	"context"
	"testing"
	"time"
)

// BenchmarkLink is a call with one host call inside, both sides in this process.
func BenchmarkLink(b *testing.B) {
	r := pair(b, echo{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.ServeRequest(context.Background(), Request{Method: "GET", Path: "host"}, nothing{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	s := JobState{ID: "0192f0c8-7d2e-7000-8000-000000000001", State: "held", Document: make([]byte, 800)}
	b.ReportAllocs()
	for b.Loop() {
		m, err := pack(header{ID: 1, Kind: kindAnswer, Token: "0123456789012345678901"}, s)
		if err != nil {
			b.Fatal(err)
		}
		f, err := unpack(m)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := decode[JobState](f); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPage is a page of 256 jobs, packed and read again.
func BenchmarkPage(b *testing.B) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	for _, view := range []View{Minimal, Basic} {
		p := JobPage{Next: "0192f0c8-7d2e-7000-8000-000000000001"}
		for range 256 {
			j := JobState{ID: "0192f0c8-7d2e-7000-8000-000000000001", State: "queued"}
			if view == Basic {
				j.Project, j.Name, j.CreatedAt, j.StartedAt, j.Document, j.Tags = "aurora", "a task", at, at, make([]byte, 600), map[string]string{"a": "b"}
			}
			p.Jobs = append(p.Jobs, j)
		}
		b.Run(string(view), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m, err := pack(header{ID: 1, Kind: kindAnswer}, p)
				if err != nil {
					b.Fatal(err)
				}
				f, _ := unpack(m)
				if _, err := decode[JobPage](f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
