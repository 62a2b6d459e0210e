package job

import (
	"context"
	"strings"
	"testing"
	"unicode/utf8"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

func TestWhoReadsTheTextOfAnInput(t *testing.T) {
	h := newHouse(t)
	sub := h.hubTask()
	sub.EveryJob = true
	sub.Places = []Place{{Path: "/work/in/run.sh", Content: []byte("echo a\n")}, {Path: "/work/in/b", Content: []byte{0, 1}}}
	sub.Places = append(sub.Places, Place{Path: "/work/in/c", Tree: "kept.txt"})
	h.put("kept.txt", "x")
	j := h.submit(sub)
	ctx := context.Background()
	for _, c := range []struct {
		name string
		as   access.Actor
		n    int
		kind fault.Kind
		want string
	}{
		{"its lead", lena, 0, 0, "echo a"},
		{"a steward", stefan, 0, 0, "echo a"},
		{"its submitter", rosa, 0, fault.Denied, ""},
		{"an operator", olga, 0, fault.Denied, ""},
		{"a stranger", paul, 0, fault.NotFound, ""},
		{"what is no text", lena, 1, fault.Conflict, "no text"},
		{"what was not sent", lena, 2, fault.Conflict, "was not sent"},
		{"no such place", lena, 3, fault.NotFound, ""},
		{"no place at all", lena, -1, fault.NotFound, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := h.job.InputText(ctx, h.in(c.as), j.ID, c.n)
			if c.kind != 0 {
				wantFault(t, err, c.kind, c.want)
				return
			}
			if err != nil || got.Text != "echo a\n" || got.Path != "/work/in/run.sh" || got.Size != 7 || len(got.SHA256) != 64 || got.Truncated {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	looks := 0
	err := h.db.View(ctx, func(tx *store.Tx) error {
		events, err := h.log.Timeline(tx, Subject(j.ID))
		for _, e := range events {
			if e.Verb == "input.read" {
				looks++
			}
		}
		return err
	})
	if err != nil || looks != 2 {
		t.Errorf("%d looks are in the audit log, want 2 (%v)", looks, err)
	}
	for _, st := range h.get(j.ID).Timeline {
		if strings.Contains(st.State, "read") {
			t.Errorf("a look is a step of the job: %+v", st)
		}
	}
}

func TestTextOfAnInput(t *testing.T) {
	long := strings.Repeat("a", maxInputText-1) + "é" + "b"
	for _, c := range []struct {
		name, content, want string
		escaped             int
		cut, refused        bool
	}{
		{"plain", "a\tb\n", "a\tb\n", 0, false, false},
		{"nothing", "", "", 0, false, false},
		{"hidden and reordered", "a\u202eb\u200bc\x1b[2Jd\r", `a\u202eb\u200bc\u001b[2Jd\u000d`, 4, false, false},
		{"cut inside a character", long, strings.Repeat("a", maxInputText-1), 0, true, false},
		{"a zero", "a\x00b", "", 0, false, true},
		{"no UTF-8", "a\xff", "", 0, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := textOf([]byte(c.content))
			if c.refused != (err != nil) {
				t.Fatalf("error %v", err)
			}
			if got.Text != c.want || got.Escaped != c.escaped || got.Truncated != c.cut || got.Size != int64(len(c.content)) {
				t.Errorf("%.80q, %d written out, cut %v", got.Text, got.Escaped, got.Truncated)
			}
		})
	}
}

func FuzzTextOf(f *testing.F) {
	f.Add([]byte("a\u202e"))
	f.Add([]byte{0xe2, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := textOf(b)
		if err == nil && (!utf8.ValidString(got.Text) || unreadable(got.Text, true)) {
			t.Errorf("%q", got.Text)
		}
	})
}
