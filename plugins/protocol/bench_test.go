package protocol

import (
	"context"
	"testing"
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
