package airlock_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"tresor/app/airlock"
	"tresor/app/airlock/airlocktest"
	"tresor/app/airlock/check"
	"tresor/app/fault"
	"tresor/app/output"
	"tresor/app/store"
)

var ctx = context.Background()

func TestTwoApprovalsApprove(t *testing.T) {
	h := airlocktest.New(t)
	r := h.Submitted("visits.csv", airlocktest.Safe)
	if r.State != airlock.Submitted || r.Round != 1 || len(r.Items) != 1 || r.Checks.Blocks != 0 || r.ReviewsNeeded != 2 {
		t.Fatalf("after submit: %+v", r)
	}
	r = h.Vote("carl", r.ID, airlock.Approve)
	if r.State != airlock.InReview || r.ReviewsDone != 1 || len(r.Reviews) != 1 {
		t.Fatalf("after one vote: %s, %d votes, sees %d", r.State, r.ReviewsDone, len(r.Reviews))
	}
	r = h.Vote("cemile", r.ID, airlock.Approve)
	if r.State != airlock.Approved || len(r.Reviews) != 2 || r.DecidedAt == nil {
		t.Fatalf("after two votes: %+v", r)
	}
	if got := states(r.Timeline); !slices.Equal(got, []string{"draft", "submitted", "voted", "voted", "approved"}) {
		t.Errorf("timeline %v", got)
	}
}

func states(steps []airlock.Step) []string {
	var list []string
	for _, s := range steps {
		list = append(list, s.State)
	}
	return list
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		name, first, second string
		state               airlock.State
		job                 string
		output              string
	}{
		{"both reject: the job ends and its outputs are held", airlock.Reject, airlock.Reject, airlock.Rejected, "rejected", "held"},
		{"both want a change", airlock.Change, airlock.Change, airlock.Returned, "held", "requested"},
		{"they disagree", airlock.Approve, airlock.Reject, airlock.Returned, "held", "requested"},
		{"one wants a change", airlock.Change, airlock.Approve, airlock.Returned, "held", "requested"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := airlocktest.New(t)
			r := h.Submitted("visits.csv", airlocktest.Safe)
			h.Vote("carl", r.ID, c.first)
			r = h.Vote("cemile", r.ID, c.second)
			if r.State != c.state {
				t.Errorf("request is %s, want %s", r.State, c.state)
			}
			if got := h.Text(`SELECT state FROM job WHERE id = ?`, r.Job); got != c.job {
				t.Errorf("job is %s, want %s", got, c.job)
			}
			if got := h.Text(`SELECT state FROM output WHERE job = ?`, r.Job); got != c.output {
				t.Errorf("output is %s, want %s", got, c.output)
			}
			seen, err := h.Airlock.Get(ctx, h.People["rosa"], r.ID)
			if err != nil || len(seen.Reviews) != 2 || !strings.Contains(seen.Reviews[0].Comment, "carl") {
				t.Errorf("the requester sees %d reviews (%v)", len(seen.Reviews), err)
			}
		})
	}
}

// TestNewRoundStartsAnew: after a return the votes of the old round count no more.
func TestNewRoundStartsAnew(t *testing.T) {
	h := airlocktest.New(t)
	r := h.Submitted("visits.csv", airlocktest.Safe)
	first := r.Items[0].ID
	h.Vote("carl", r.ID, airlock.Approve)
	h.Vote("cemile", r.ID, airlock.Change)
	words := "Now with the groups explained."
	if _, err := h.Airlock.Edit(ctx, h.People["rosa"], r.ID, airlock.Edits{Context: &words}); err != nil {
		t.Fatal(err)
	}
	r, err := h.Airlock.Submit(ctx, h.People["rosa"], r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if r.Round != 2 || r.ReviewsDone != 0 || r.Items[0].ID == first || r.Context != words {
		t.Fatalf("second round: %+v", r)
	}
	got, err := h.Airlock.Get(ctx, h.People["carl"], r.ID)
	if err != nil || got.Items[0].Seen || len(got.Reviews) != 2 {
		t.Fatalf("carl has seen %v, sees %d reviews of the first round (%v)", got.Items[0].Seen, len(got.Reviews), err)
	}
	if _, err := h.Airlock.Vote(ctx, h.People["carl"], r.ID, airlock.Approve, ""); fault.KindOf(err) != fault.Conflict {
		t.Errorf("approved unseen bytes of the new round: %v", err)
	}
	h.Vote("carl", r.ID, airlock.Approve)
	if r = h.Vote("cyril", r.ID, airlock.Approve); r.State != airlock.Approved {
		t.Errorf("second round ends %s", r.State)
	}
}

func TestOneReviewerByWaiver(t *testing.T) {
	h := airlocktest.New(t)
	h.Exec(`UPDATE project SET reviewers = 1, waiver_reason = 'pilot', waiver_until = ? WHERE id = ?`, int64(4000000000000), h.Project)
	r := h.Submitted("visits.csv", airlocktest.Safe)
	if r = h.Vote("carl", r.ID, airlock.Approve); r.State != airlock.Approved || r.ReviewsNeeded != 1 {
		t.Fatalf("%s after one of %d", r.State, r.ReviewsNeeded)
	}
}

func TestExpiredWaiverNeedsTwo(t *testing.T) {
	h := airlocktest.New(t)
	h.Exec(`UPDATE project SET reviewers = 1, waiver_reason = 'pilot', waiver_until = 5 WHERE id = ?`, h.Project)
	r := h.Submitted("visits.csv", airlocktest.Safe)
	if r = h.Vote("carl", r.ID, airlock.Approve); r.State != airlock.InReview {
		t.Fatalf("%s after one vote", r.State)
	}
}

// TestBlinding: until both have voted, nothing of the first vote is in what
// anybody else gets: no decision, comment, time or name.
func TestBlinding(t *testing.T) {
	h := airlocktest.New(t)
	r := h.Submitted("visits.csv", airlocktest.Safe)
	if _, err := h.Airlock.Comment(ctx, h.People["carl"], r.ID, "Private remark of the first.", r.Items[0].ID); err != nil {
		t.Fatal(err)
	}
	h.Vote("carl", r.ID, airlock.Reject)
	at := h.Text(`SELECT voted_at FROM airlock_review`)
	stamp := storeTime(t, at)
	for _, who := range []string{"cemile", "cyril", "rosa", "lena", "stefan", "audrey", "mia"} {
		t.Run(who, func(t *testing.T) {
			got, err := h.Airlock.Get(ctx, h.People[who], r.ID)
			if err != nil {
				t.Fatal(err)
			}
			list, err := h.Airlock.List(ctx, h.People[who], airlock.Filter{})
			if err != nil || len(list) != 1 {
				t.Fatalf("%d requests (%v)", len(list), err)
			}
			var turns any
			_ = h.DB.View(ctx, func(tx *store.Tx) error { turns, err = h.Airlock.Waiting(tx, h.People[who]); return err })
			text := encode(t, []any{got, list, turns})
			for _, leak := range []string{"carl", "Name of carl", airlock.Reject + `"`, "Said by", "Private remark", stamp, "voted"} {
				if strings.Contains(text, leak) {
					t.Errorf("%s learns %q:\n%s", who, leak, text)
				}
			}
			if got.ReviewsDone != 1 {
				t.Errorf("%d reviews done, want 1", got.ReviewsDone)
			}
		})
	}
	mine, err := h.Airlock.Get(ctx, h.People["carl"], r.ID)
	if err != nil || len(mine.Reviews) != 1 || len(mine.Comments) != 1 || !mine.Comments[0].Private {
		t.Errorf("carl sees %d of his votes, %d comments (%v)", len(mine.Reviews), len(mine.Comments), err)
	}
	h.Vote("cemile", r.ID, airlock.Change)
	for _, who := range []string{"cemile", "carl", "rosa"} {
		open, err := h.Airlock.Get(ctx, h.People[who], r.ID)
		if err != nil || len(open.Reviews) != 2 || len(open.Comments) != 1 || open.Comments[0].Private {
			t.Errorf("%s sees %d votes and %d comments after both (%v)", who, len(open.Reviews), len(open.Comments), err)
		}
	}
}

// TestBlindingOutlivesWithdrawal: a lone vote stays hidden for good.
func TestBlindingOutlivesWithdrawal(t *testing.T) {
	h := airlocktest.New(t)
	r := h.Submitted("visits.csv", airlocktest.Safe)
	h.Vote("carl", r.ID, airlock.Reject)
	got, err := h.Airlock.Withdraw(ctx, h.People["rosa"], r.ID)
	if err != nil || got.State != airlock.Withdrawn || strings.Contains(encode(t, got), "carl") {
		t.Errorf("%s (%v): %s", got.State, err, encode(t, got))
	}
	if _, err := h.Airlock.Draft(ctx, h.People["rosa"], r.Job, airlocktest.Words()); err != nil {
		t.Errorf("the outputs cannot be asked for again: %v", err)
	}
}

// TestAuditHoldsNoVoteBeforeTheEnd: not even the log tells the first decision.
func TestAuditHoldsNoVoteBeforeTheEnd(t *testing.T) {
	h := airlocktest.New(t)
	r := h.Submitted("visits.csv", airlocktest.Safe)
	h.Vote("carl", r.ID, airlock.Reject)
	if text := encode(t, events(t, h, r.ID)); strings.Contains(text, `reject`) || strings.Contains(text, "Said by") {
		t.Errorf("the log says: %s", text)
	}
	h.Vote("cemile", r.ID, airlock.Approve)
	if text := encode(t, events(t, h, r.ID)); !strings.Contains(text, "carl:reject cemile:approve") || strings.Contains(text, "Said by") {
		t.Errorf("the log says: %s", text)
	}
}

func events(t *testing.T, h *airlocktest.House, id string) (list any) {
	t.Helper()
	err := h.DB.View(ctx, func(tx *store.Tx) error {
		all, err := h.Log.Timeline(tx, airlock.Subject(id))
		list = all
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestExceptionLetsBlockedFilesReachReviewers(t *testing.T) {
	h := airlocktest.New(t)
	r := h.Draft("visits.csv", airlocktest.Small)
	if r.Checks.Blocks == 0 || r.Items[0].Findings[0].Rule != "T2" {
		t.Fatalf("the draft shows no block: %+v", r.Checks)
	}
	if _, err := h.Airlock.Submit(ctx, h.People["rosa"], r.ID); fault.KindOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), "exception") {
		t.Fatalf("submitted with a block: %v", err)
	}
	why := "Published elsewhere already."
	if _, err := h.Airlock.Edit(ctx, h.People["rosa"], r.ID, airlock.Edits{Exception: &why}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Airlock.Submit(ctx, h.People["rosa"], r.ID); err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"carl", "cemile"} {
		got, err := h.Airlock.Get(ctx, h.People[who], r.ID)
		if err != nil || got.Exception != why || got.Checks.Blocks == 0 {
			t.Errorf("%s sees exception %q and %d blocks (%v)", who, got.Exception, got.Checks.Blocks, err)
		}
	}
}

func TestOwnThresholdOfTheProject(t *testing.T) {
	h := airlocktest.New(t)
	h.Exec(`UPDATE project SET threshold = 5 WHERE id = ?`, h.Project)
	if r := h.Draft("visits.csv", airlocktest.Small); r.Checks.Blocks != 0 || r.Checks.Threshold != 5 {
		t.Errorf("%+v", r.Checks)
	}
}

// TestSnapshotIsPinned: the bytes of a request stay whatever happens to the outputs.
func TestSnapshotIsPinned(t *testing.T) {
	h := airlocktest.New(t)
	r := h.Submitted("visits.csv", airlocktest.Safe)
	pinned := func() (is bool) {
		err := h.DB.View(ctx, func(tx *store.Tx) (err error) { is, err = airlock.Pinned(tx, r.Items[0].SHA256); return err })
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	if !pinned() {
		t.Fatal("the bytes are not pinned")
	}
	if err := h.Try(`DELETE FROM airlock_pin`); err == nil {
		t.Error("raw SQL removed the pin")
	}
	if _, err := h.Airlock.Withdraw(ctx, h.People["lena"], r.ID); err != nil {
		t.Fatal(err)
	}
	if pinned() {
		t.Error("a withdrawn request still pins its bytes")
	}
}

// TestChangedBytesAreRefused: at submit and at view the bytes must be those of
// the record.
func TestChangedBytesAreRefused(t *testing.T) {
	h := airlocktest.New(t)
	draft := h.Draft("visits.csv", airlocktest.Safe)
	h.Exec(`UPDATE output SET sha256 = ? WHERE job = ?`, strings.Repeat("0", 64), draft.Job)
	if _, err := h.Airlock.Submit(ctx, h.People["rosa"], draft.ID); err == nil {
		t.Error("submitted bytes that are not there")
	}
	again, err := h.Airlock.Edit(ctx, h.People["rosa"], draft.ID, airlock.Edits{Outputs: []string{draft.Items[0].Output}})
	if err != nil || again.Checks.Blocks != 1 || again.Items[0].Findings[0].Rule != "I0" {
		t.Errorf("the draft says %+v (%v)", again.Items, err)
	}
	r := h.Submitted("visits.csv", airlocktest.Safe+"best,4000,9000,2.25\n")
	if err := overwrite(h, r.Items[0].SHA256, airlocktest.Small); err != nil {
		t.Fatal(err)
	}
	v, err := h.Airlock.View(ctx, h.People["carl"], r.ID, r.Items[0].ID, 0, 10)
	if err == nil || len(v.Rows) > 0 {
		t.Errorf("showed other bytes: %+v", v)
	}
	if got, _ := h.Airlock.Get(ctx, h.People["carl"], r.ID); got.Items[0].Seen {
		t.Error("bytes that were not shown count as seen")
	}
}

// TestPicturesAreRewritten: reviewers and the release get pixels, never what else a file carries.
func TestPicturesAreRewritten(t *testing.T) {
	h := airlocktest.New(t)
	r := h.Submitted("figure.png", picture(t, "Comment"), "visits.csv", airlocktest.Safe)
	it := r.Items[0]
	if it.Kind != check.KindImage || it.SHA256 == it.SourceSHA256 {
		t.Fatalf("not rewritten: %+v", it)
	}
	v, err := h.Airlock.View(ctx, h.People["carl"], r.ID, it.ID, 0, 0)
	if err != nil || v.MediaType != "image/png" || strings.Contains(string(v.Data), "Comment") || len(v.Data) == 0 {
		t.Errorf("view: %s, %d bytes (%v)", v.MediaType, len(v.Data), err)
	}
}

func TestWaitingSaysWhoseTurn(t *testing.T) {
	h := airlocktest.New(t)
	waits := func(who string) string {
		var kinds []string
		err := h.DB.View(ctx, func(tx *store.Tx) error {
			list, err := h.Airlock.Waiting(tx, h.People[who])
			for _, w := range list {
				kinds = append(kinds, w.Kind+" "+w.Action+" "+w.Project)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(kinds, ",")
	}
	expect := func(when string, want map[string]string) {
		t.Helper()
		for _, who := range []string{"rosa", "lena", "carl", "cemile", "mia", "olga", "otto"} {
			if got := waits(who); got != want[who] {
				t.Errorf("%s: %s has %q waiting, want %q", when, who, got, want[who])
			}
		}
	}
	r := h.Draft("visits.csv", airlocktest.Safe)
	expect("draft", map[string]string{"rosa": "airlock-draft Submit Aurora"})
	if _, err := h.Airlock.Submit(ctx, h.People["rosa"], r.ID); err != nil {
		t.Fatal(err)
	}
	review := "airlock-review Review Aurora"
	expect("submitted", map[string]string{"carl": review, "cemile": review})
	h.Vote("carl", r.ID, airlock.Approve)
	expect("in review", map[string]string{"cemile": review})
	h.Vote("cemile", r.ID, airlock.Approve)
	release := "airlock-approved Make the release Aurora"
	expect("approved", map[string]string{"rosa": release, "lena": release, "mia": release})
}

func TestSubsetOfOutputs(t *testing.T) {
	h := airlocktest.New(t)
	job := h.Job("a.csv", airlocktest.Safe, "b.csv", airlocktest.Small)
	words := airlocktest.Words()
	words.Outputs = []string{h.Text(`SELECT id FROM output WHERE path = 'a.csv'`)}
	r, err := h.Airlock.Draft(ctx, h.People["rosa"], job, words)
	if err != nil || len(r.Items) != 1 || r.Items[0].Path != "a.csv" {
		t.Fatalf("%+v (%v)", r.Items, err)
	}
	if _, err := h.Airlock.Submit(ctx, h.People["rosa"], r.ID); err != nil {
		t.Fatal(err)
	}
	if got := h.Text(`SELECT state FROM output WHERE path = 'b.csv'`); got != string(output.Held) {
		t.Errorf("the other output is %s", got)
	}
}

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
