package agent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"testing"
)

// colours reads a whole spool and says of each byte which stream it is of.
func colours(t *testing.T, s *Spool) (text, streams string) {
	t.Helper()
	buf := make([]byte, 5)
	for {
		n, errs, _, err := s.Read(buf, int64(len(text)))
		if errors.Is(err, io.EOF) {
			return text, streams
		}
		if err != nil || n == 0 {
			t.Fatal(n, err)
		}
		text += string(buf[:n])
		for range n {
			streams += string("oe"[index(errs)])
		}
	}
}

func TestSpoolStreams(t *testing.T) {
	s := newSpool(t, 12)
	turns, err := os.CreateTemp(t.TempDir(), "turns")
	if err != nil {
		t.Fatal(err)
	}
	defer turns.Close()
	s.marks.file = turns
	e := s.Errors()
	for _, w := range []struct {
		to   io.Writer
		text string
	}{{s, "aa"}, {s, "a"}, {e, "bb"}, {e, ""}, {s, ""}, {e, "b"}, {s, "cccccc"}, {e, "too much"}, {s, "x"}} {
		_, _ = io.WriteString(w.to, w.text)
	}
	s.Say("bye")
	s.End()
	text, streams := colours(t, s)
	if text[:12] != "aaabbbcccccc" || streams[:12] != "oooeeeoooooo" {
		t.Fatal(text, streams)
	}
	if rest := streams[12:]; rest != string(bytes.Repeat([]byte("e"), len(rest))) {
		t.Fatal("our own words are no output:", streams)
	}
	if _, err := turns.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	again := NewSpool(s.file, 12)
	again.kept, again.marks = s.kept, readMarks(turns)
	again.End()
	if text2, streams2 := colours(t, again); text2 != text || streams2 != streams {
		t.Fatal("the collector sees it otherwise:", streams2)
	}
}

// TestSpoolTurnsAreBounded: a command that turns at every byte takes so much memory and no more.
func TestSpoolTurnsAreBounded(t *testing.T) {
	var m marks
	for i := range int64(3 * maxTurns) {
		m.turn(i, i%2 == 0)
	}
	if len(m.turns) != maxTurns {
		t.Fatal(len(m.turns))
	}
	if errs, _ := m.at(3 * maxTurns); errs != (maxTurns%2 == 1) {
		t.Fatal("the rest belongs to the last stream")
	}
}

// FuzzMarks: whatever a command leaves in the file, every byte is of one stream and every piece moves on.
func FuzzMarks(f *testing.F) {
	f.Add(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, 3), 7), int64(5))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1}, int64(0))
	f.Add(bytes.Repeat([]byte{0xff}, 33), int64(1))
	f.Fuzz(func(t *testing.T, b []byte, at int64) {
		m := readMarks(bytes.NewReader(b))
		if at &= 1<<62 - 1; len(m.turns) > len(b)/8 {
			t.Fatal("turns from nothing")
		}
		if _, until := m.at(at); until <= at {
			t.Fatalf("the stream at %d ends at %d", at, until)
		}
	})
}

// FuzzLogFrames: whatever an agent says, chunks are small, never empty, and the end is an end.
func FuzzLogFrames(f *testing.F) {
	f.Add([]byte("O\x00\x00\x00\x01aX\x00\x00\x00\x02bc"))
	f.Add([]byte("X\x00\x00\x00\x00"))
	f.Add([]byte("O\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := logReader{r: bytes.NewReader(b)}
		for total := 0; ; {
			c, err := in.next()
			if err != nil {
				return
			}
			if total += len(c.Data) + 5; len(c.Data) == 0 || len(c.Data) > maxLogFrame || total > len(b) {
				t.Fatalf("a chunk of %d bytes from %d", len(c.Data), len(b))
			}
		}
	})
}
