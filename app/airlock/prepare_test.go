package airlock_test

import (
	"strings"
	"testing"

	"tresor/app/airlock"
	"tresor/app/airlock/airlocktest"
)

// TestWhatIsPreparedIsTheProjects: a returned request that its project changes
// shows everybody else the round that was submitted, words, files and findings,
// until the next one is sent.
func TestWhatIsPreparedIsTheProjects(t *testing.T) {
	h := airlocktest.New(t)
	r := h.Draft("a.csv", airlocktest.Safe, "secret-name.csv", "region,n\nNorth,1\n")
	first := []string{r.Items[0].Output}
	if _, err := h.Airlock.Edit(ctx, h.People["rosa"], r.ID, airlock.Edits{Outputs: first}); err != nil {
		t.Fatal(err)
	}
	sent, err := h.Airlock.Submit(ctx, h.People["rosa"], r.ID)
	if err != nil {
		t.Fatal(err)
	}
	h.Look("carl", r.ID)
	h.Vote("carl", r.ID, airlock.Change)
	h.Vote("cemile", r.ID, airlock.Change)
	words := "Words that are not sent yet."
	both := []string{r.Items[0].Output, r.Items[1].Output}
	if _, err := h.Airlock.Edit(ctx, h.People["rosa"], r.ID, airlock.Edits{Title: &words, Context: &words, Population: &words, Controls: &words, Exception: &words, Outputs: both}); err != nil {
		t.Fatal(err)
	}
	for who, member := range map[string]bool{"rosa": true, "carl": false, "stefan": false} {
		got, err := h.Airlock.Get(ctx, h.People[who], r.ID)
		if err != nil {
			t.Fatal(err)
		}
		text := encode(t, got)
		for _, pending := range []string{words, "secret-name.csv"} {
			if strings.Contains(text, pending) != member {
				t.Errorf("%s: %q shown %v, want %v: %s", who, pending, !member, member, text)
			}
		}
		if member {
			continue
		}
		if got.Context != sent.Context || got.Checks != sent.Checks || len(got.Items) != 1 || got.Items[0].ID != sent.Items[0].ID {
			t.Errorf("%s does not see the round that was submitted: %s", who, text)
		}
		if who == "carl" && !got.Items[0].Seen {
			t.Error("carl looked at the file that was submitted")
		}
		list, err := h.Airlock.List(ctx, h.People[who], airlock.Filter{})
		if err != nil || strings.Contains(encode(t, list), words) {
			t.Errorf("%s reads in the list what is not sent yet: %v", who, err)
		}
	}
}
