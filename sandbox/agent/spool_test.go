package agent

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

func newSpool(t testing.TB, limit int64) *Spool {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return NewSpool(f, limit)
}

func readAll(t *testing.T, s *Spool) string {
	t.Helper()
	var out bytes.Buffer
	buf := make([]byte, 7)
	for {
		n, _, _, err := s.Read(buf, int64(out.Len()))
		out.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			return out.String()
		}
		if err != nil || n == 0 {
			t.Fatal(n, err)
		}
	}
}

func TestSpool(t *testing.T) {
	for _, c := range []struct {
		name    string
		limit   int64
		writes  []string
		want    string
		dropped int64
	}{
		{"empty", 10, nil, "", 0},
		{"fits", 10, []string{"one ", "two"}, "one two", 0},
		{"exactly", 7, []string{"one ", "two"}, "one two", 0},
		{"cut inside a write", 5, []string{"one ", "two"}, "one t\n[tresor: log cut after 5 bytes]\n", 2},
		{"cut once", 3, []string{"one ", "two", "three"}, "one\n[tresor: log cut after 3 bytes]\n", 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSpool(t, c.limit)
			for _, w := range c.writes {
				if n, err := s.Write([]byte(w)); n != len(w) || err != nil {
					t.Fatal(n, err)
				}
			}
			s.End()
			if got := readAll(t, s); got != c.want {
				t.Fatalf("%q", got)
			}
			if _, dropped := s.Size(); dropped != c.dropped {
				t.Fatal(dropped)
			}
		})
	}
}

// TestSpoolFullDisk: what cannot be kept is counted, and the command goes on.
func TestSpoolFullDisk(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := NewSpool(f, 1000)
	for range 3 {
		if n, err := s.Write([]byte("hello")); n != 5 || err != nil {
			t.Fatal(n, err)
		}
	}
	if kept, dropped := s.Size(); kept != 0 || dropped != 15 {
		t.Fatal(kept, dropped)
	}
}

func TestSpoolWakesReaders(t *testing.T) {
	s := newSpool(t, 100)
	n, _, grown, err := s.Read(make([]byte, 10), 0)
	if n != 0 || grown == nil || err != nil {
		t.Fatal(n, err)
	}
	go s.Say("hello")
	select {
	case <-grown:
	case <-time.After(time.Minute):
		t.Fatal("not woken")
	}
	s.End()
	if got := readAll(t, s); !strings.Contains(got, "[tresor: hello]") {
		t.Fatal(got)
	}
}

func BenchmarkSpoolDrop(b *testing.B) {
	s, block := newSpool(b, 1<<20), make([]byte, 256<<10)
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		_, _ = s.Write(block)
	}
}

func TestParseStat(t *testing.T) {
	for _, c := range []struct {
		name, stat string
		cpu        time.Duration
		rss        int64
	}{
		{"ordinary", "7 (sh) S 1 7 7 0 -1 4194560 10 0 0 0 3 4 5 6 20 0 1 0 100 4096 250 18446744073709551615", 180 * time.Millisecond, 250},
		{"name with brackets", "7 (a) b) (c) S 1 7 7 0 -1 4194560 10 0 0 0 1 0 0 0 20 0 1 0 100 4096 9 1", 10 * time.Millisecond, 9},
		{"short", "7 (sh) S 1", 0, 0},
		{"noise", "\x00\xff", 0, 0},
	} {
		if cpu, rss := parseStat(c.stat); cpu != c.cpu || rss != c.rss {
			t.Errorf("%s: %v %d", c.name, cpu, rss)
		}
	}
}

// TestSpoolCutByTheCommand: a log that the command truncates does not seem to have ended.
func TestSpoolCutByTheCommand(t *testing.T) {
	s := newSpool(t, 100)
	_, _ = s.Write([]byte("four"))
	if err := s.file.Truncate(0); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 10)
	if n, _, _, err := s.Read(buf, 0); n != 4 || err != nil || string(buf[:n]) != "????" {
		t.Fatal(n, err, string(buf[:n]))
	}
	if n, _, grown, err := s.Read(buf, 4); n != 0 || grown == nil || err != nil {
		t.Fatal("no wait for more:", n, err)
	}
}
