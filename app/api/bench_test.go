package api

import (
	"testing"
)

// The overhead of the door: session, matrix, limits, log and encoding around a
// small read, over a kept connection.
func BenchmarkAnswers(b *testing.B) {
	w := newWorld(b)
	w.fill(b)
	for name, path := range map[string]string{"session": "/session", "job": "/jobs/" + w.job, "jobs": "/jobs", "home": "/home", "search": "/search?q=visits", "openapi": "/openapi.json"} {
		b.Run(name, func(b *testing.B) {
			w.as(b, "researcher", "GET", path, nil).want(b, 200)
			for b.Loop() {
				w.as(b, "researcher", "GET", path, nil)
			}
		})
	}
}
