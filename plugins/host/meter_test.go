package host

import (
	"strings"
	"testing"
	"time"
)

// TestMeter: half a minute of processor time in each minute, beside the time of calls.
func TestMeter(t *testing.T) {
	const s = time.Second
	type step struct{ at, used, asked time.Duration }
	for _, c := range []struct {
		name  string
		looks []step
		want  string
	}{
		{"idle", []step{{0, 0, 0}, {60 * s, s, 0}}, ""},
		{"half of a processor", []step{{0, 0, 0}, {30 * s, 15 * s, 0}, {60 * s, 30 * s, 0}, {90 * s, 45 * s, 0}}, ""},
		{"a processor, seen before the minute is over", []step{{0, 0, 0}, {20 * s, 20 * s, 0}, {40 * s, 40 * s, 0}}, "used 40s of processor time in 40s"},
		{"both processors", []step{{0, 0, 0}, {20 * s, 40 * s, 0}}, "used 40s"},
		{"a processor while it is asked", []step{{0, 0, 0}, {60 * s, 60 * s, 60 * s}}, ""},
		{"two processors for one caller", []step{{0, 0, 0}, {60 * s, 120 * s, 60 * s}}, "used 2m0s"},
		{"a call now and then does not excuse it", []step{{0, 0, 0}, {60 * s, 60 * s, 6 * s}}, "used 1m0s"},
		{"it worked long ago", []step{{0, 0, 0}, {60 * s, 29 * s, 0}, {120 * s, 50 * s, 0}, {180 * s, 79 * s, 0}}, ""},
		{"it works again and again", []step{{0, 0, 0}, {60 * s, 0, 0}, {90 * s, 20 * s, 0}, {120 * s, 40 * s, 0}}, "used 40s of processor time in 1m0s"},
		{"the look came late", []step{{0, 0, 0}, {600 * s, 290 * s, 0}}, ""},
		{"the look came late, and it is too much", []step{{0, 0, 0}, {600 * s, 310 * s, 0}}, "in 10m0s"},
		{"the clock stands still", []step{{0, 0, 0}, {0, s, 0}}, ""},
	} {
		m, got, begin := &meter{}, "", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		for i, l := range c.looks {
			if got = m.over(look{at: begin.Add(l.at), used: l.used, asked: l.asked}, 30*s, time.Minute); got != "" && i < len(c.looks)-1 {
				t.Errorf("%s: look %d says %q", c.name, i, got)
			}
		}
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
	}
	m := &meter{}
	for i := range 10000 {
		m.over(look{at: time.Unix(int64(i), 0)}, s, time.Minute)
	}
	if n := len(m.looks); n > 62 {
		t.Errorf("it keeps %d looks", n)
	}
}

func TestProcessorTime(t *testing.T) {
	first, ok := processorTime(1)
	if !ok || first < 0 {
		t.Errorf("of the first process: %s, %t", first, ok)
	}
	if d, ok := processorTime(1 << 30); ok {
		t.Errorf("of no process: %s", d)
	}
}
