package fedtest

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// NoLeaks fails the test when goroutines of this repository are left after all
// later cleanups. Call it first.
func NoLeaks(t testing.TB) {
	t.Cleanup(func() {
		var left []string
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if left = ours(); len(left) == 0 {
				return
			}
		}
		t.Errorf("%d goroutines are left, the first:\n%s", len(left), left[0])
	})
}

func ours() []string {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var out []string
	for i, g := range strings.Split(string(buf), "\n\n") {
		if i > 0 && (strings.Contains(g, "tresor/fed/") || strings.Contains(g, "yamux")) && !strings.Contains(g, "testing.tRunner") {
			out = append(out, g)
		}
	}
	return out
}
