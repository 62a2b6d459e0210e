package airlock_test

import (
	"fmt"
	"strings"
	"testing"

	"tresor/app/airlock"
	"tresor/app/airlock/airlocktest"
)

func TestViewPages(t *testing.T) {
	h := airlocktest.New(t)
	var table strings.Builder
	table.WriteString("age,n\n")
	for i := range 450 {
		fmt.Fprintf(&table, "%d,%d\n", i, 5+i)
	}
	why := "Small counts are dummies."
	r := h.Draft("ages.csv", table.String(), "notes.txt", "first line\nsecond line\nthird line\n")
	if _, err := h.Airlock.Edit(ctx, h.People["rosa"], r.ID, airlock.Edits{Exception: &why}); err != nil {
		t.Fatal(err)
	}
	r, err := h.Airlock.Submit(ctx, h.People["rosa"], r.ID)
	if err != nil {
		t.Fatal(err)
	}
	view := func(item, offset, limit int) airlock.View {
		t.Helper()
		v, err := h.Airlock.View(ctx, h.People["carl"], r.ID, r.Items[item].ID, offset, limit)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	v := view(0, 0, 3)
	if v.Kind != "table" || len(v.Rows) != 3 || v.Total != 450 || v.Columns[1] != "n" || v.Rows[2][1] != "7" {
		t.Errorf("first page: %+v", v)
	}
	if len(v.Findings) != 1 || v.Findings[0].Rule != "T2" || len(v.Findings[0].Cells) != 3 || v.Findings[0].Count != 5 {
		t.Errorf("findings of the first page: %+v", v.Findings)
	}
	if v = view(0, 400, 1000); len(v.Rows) != 50 || v.Rows[0][0] != "400" || len(v.Findings[0].Cells) != 0 {
		t.Errorf("last page: %d rows, %+v", len(v.Rows), v.Findings)
	}
	if v = view(0, 0, 1000); len(v.Rows) != 200 {
		t.Errorf("a page of %d rows, want at most 200", len(v.Rows))
	}
	if v = view(0, 10000, 10); len(v.Rows) != 0 || v.Total != 450 {
		t.Errorf("past the end: %+v", v)
	}
	if v = view(1, 1, 1); v.Kind != "text" || v.Text != "second line\n" || v.Total != 3 {
		t.Errorf("text: %+v", v)
	}
}

// TestViewIsAuditedAndSeen: each look is in the log; looking marks the file for
// that reader alone; members see drafts without marking anything.
func TestViewIsAuditedAndSeen(t *testing.T) {
	h := airlocktest.New(t)
	r := h.Draft("a.csv", airlocktest.Safe)
	h.Look("rosa", r.ID)
	if got := h.Text(`SELECT count(*) FROM airlock_seen`); got != "0" {
		t.Errorf("a draft was marked as seen %s times", got)
	}
	r, err := h.Airlock.Submit(ctx, h.People["rosa"], r.ID)
	if err != nil {
		t.Fatal(err)
	}
	h.Look("carl", r.ID)
	h.Look("carl", r.ID)
	for who, want := range map[string]bool{"carl": true, "cemile": false} {
		got, err := h.Airlock.Get(ctx, h.People[who], r.ID)
		if err != nil || got.Items[0].Seen != want {
			t.Errorf("%s has seen it: %v (%v)", who, got.Items[0].Seen, err)
		}
	}
	text := encode(t, events(t, h, r.ID))
	if n := strings.Count(text, "airlock.viewed"); n != 3 || strings.Contains(text, "10922") {
		t.Errorf("%d looks in the log, want 3: %s", n, text)
	}
}

// TestViewShowsWhatIsInvisible: characters that could fool a reader are visible.
func TestViewShowsWhatIsInvisible(t *testing.T) {
	h := airlocktest.New(t)
	r := h.Draft("a.csv", "region,n\nNor\u202eth\u200b,120\n", "b.txt", "a\x1b[31mb\x00c\n")
	for i, want := range []string{"Nor\ufffdth\ufffd", "a\ufffd[31mb\ufffdc\n"} {
		v, err := h.Airlock.View(ctx, h.People["rosa"], r.ID, r.Items[i].ID, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		got := v.Text
		if v.Kind == "table" {
			got = v.Rows[0][0]
		}
		if got != want {
			t.Errorf("shown %q, want %q", got, want)
		}
	}
}
