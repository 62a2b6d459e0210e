package job

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/sandbox"
)

func TestPiecesOfALog(t *testing.T) {
	list := []change{{5, true}, {8, false}, {8, true}, {10, false}, {20, true}}
	cases := []struct {
		name   string
		size   int64
		stderr bool
		max    int64
		want   []piece
	}{
		{"standard output", 20, false, 100, []piece{{0, 5}, {10, 20}}},
		{"standard error, noted again after a crash", 20, true, 100, []piece{{5, 8}, {8, 10}}},
		{"the end of it", 20, false, 12, []piece{{3, 5}, {10, 20}}},
		{"nothing asked for", 20, false, 0, nil},
		{"noted and not written", 7, true, 100, []piece{{5, 7}}},
		{"empty", 0, false, 100, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := pieces(list, c.size, c.stderr, c.max)
			if len(got) != len(c.want) {
				t.Fatalf("%v, want %v", got, c.want)
			}
			for i := range got {
				if got[i] != c.want[i] {
					t.Errorf("%v, want %v", got, c.want)
				}
			}
		})
	}
}

// TestStreamsAfterARestart has the log continued by a second server, with a record
// that the first one had begun to write.
func TestStreamsAfterARestart(t *testing.T) {
	h := newHouse(t)
	id := h.submit(h.task("true")).ID
	write := func(chunks ...sandbox.Chunk) {
		t.Helper()
		l, err := h.job.openLog(id, 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range chunks {
			if err := l.write(c); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
	}
	write(sandbox.Chunk{Offset: 0, Data: []byte("one\n")}, sandbox.Chunk{Offset: 4, Err: true, Data: []byte("bad\n")})
	write(sandbox.Chunk{Offset: 4, Err: true, Data: []byte("bad\nworse\n")}, sandbox.Chunk{Offset: 14, Data: []byte("two\n")})
	for stderr, want := range map[bool]string{true: "bad\nworse\n", false: "one\ntwo\n"} {
		if got, err := h.job.TaskOutput(context.Background(), id, 0, stderr, 1000); err != nil || got != want {
			t.Errorf("stderr %v: %q, %v", stderr, got, err)
		}
	}
	if got := h.logOf(id, 0); got != "one\nbad\nworse\ntwo\n" {
		t.Errorf("log %q", got)
	}
}

func TestATornRecordIsLeftOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	st, err := openStreams(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.note(3, true); err != nil || st.close() != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.Write([]byte{0, 0, 0})
	}
	if err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	if list, err := readStreams(path); err != nil || len(list) != 1 || list[0] != (change{3, true}) {
		t.Errorf("%v, %v", list, err)
	}
	if st, err = openStreams(path); err != nil || !st.err || st.n != 1 {
		t.Fatalf("%+v, %v", st, err)
	}
	if err := st.note(7, false); err != nil || st.close() != nil {
		t.Fatal(err)
	}
	if list, err := readStreams(path); err != nil || len(list) != 2 || list[1] != (change{7, false}) {
		t.Errorf("%v, %v", list, err)
	}
}

func TestStreamsThatAlternateForEver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	st, _ := openStreams(path)
	for i := range maxStreams + 100 {
		if err := st.note(int64(i), i%2 == 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > maxStreams*streamRecord {
		t.Errorf("%v, %v", info, err)
	}
}

func TestTaskOutputIsText(t *testing.T) {
	h := newHouse(t)
	id := h.submit(h.task("true")).ID
	l, err := h.job.openLog(id, 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.write(sandbox.Chunk{Data: []byte("ä" + strings.Repeat("x", 9))}); err != nil || l.close() != nil {
		t.Fatal(err)
	}
	if got, err := h.job.TaskOutput(context.Background(), id, 0, false, 10); err != nil || got != "\uFFFDxxxxxxxxx" {
		t.Errorf("%q, %v", got, err)
	}
}
