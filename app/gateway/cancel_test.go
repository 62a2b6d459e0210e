package gateway

import (
	"strings"
	"testing"

	"tresor/app/airlock"
	"tresor/plugins/protocol"
)

// TestCancelOfAHeldTask: a task whose outputs wait ends when its sender cancels it, with
// the request for their release; one whose release is approved says that it cannot.
func TestCancelOfAHeldTask(t *testing.T) {
	h := newHouse(t)
	h.run()
	_, hub := h.hub("North hub")
	_, lab, _ := h.client("Lab")
	rosa, _ := h.person("rosa", "aurora")
	for name, who := range map[string]Caller{"hub": hub, "client": lab, "person": rosa} {
		t.Run(name, func(t *testing.T) {
			st := h.submit(who, request())
			h.until(who, st.ID, "held")
			request := ""
			if name != "person" { // a machine's outputs are sent to review for it
				h.wait("a request is under review", func() bool {
					j, err := h.jobs.Get(ctx, h.as("rosa"), st.ID)
					h.must(err)
					request = j.AirlockRequest
					if request == "" {
						return false
					}
					r, err := h.airlock.Get(ctx, h.as("rosa"), request)
					return err == nil && r.State.UnderReview()
				})
			}
			h.must(h.host(who).Cancel(ctx, st.ID))
			got := h.state(who, st.ID, protocol.Full)
			if got.State != "cancelled" || len(got.Outputs) != 0 || !strings.Contains(strings.Join(got.Messages, " "), "It was cancelled.") {
				t.Errorf("%+v", got)
			}
			h.must(h.host(who).Cancel(ctx, st.ID))
			if request != "" {
				r, err := h.airlock.Get(ctx, h.as("rosa"), request)
				if err != nil || r.State != airlock.Withdrawn {
					t.Errorf("the request is %s (%v)", r.State, err)
				}
			}
			if _, err := h.airlock.Draft(ctx, h.as("rosa"), st.ID, airlock.Text{Title: "After all"}); err == nil {
				t.Error("the outputs of a cancelled task were sent to review")
			}
			if n := h.number(`SELECT count(*) FROM gateway_task WHERE id = ? AND ended_at IS NULL`, st.ID); n != 0 {
				t.Error("its row is open")
			}
		})
	}
	t.Run("approved", func(t *testing.T) {
		st := h.submit(rosa, request())
		h.until(rosa, st.ID, "held")
		r, err := h.airlock.Draft(ctx, h.as("rosa"), st.ID, airlock.Text{Title: "Visits by health", Context: "Counts.", Population: "All.", Controls: "Large groups."})
		h.must(err)
		_, err = h.airlock.Submit(ctx, h.as("rosa"), r.ID)
		h.must(err)
		h.approve(st.ID)
		h.wantRefusal(h.host(rosa).Cancel(ctx, st.ID), CodeConflict, "approved for release")
		if got := h.state(rosa, st.ID, protocol.Minimal).State; got != "held" {
			t.Errorf("it is %s", got)
		}
		if n := h.number(`SELECT count(*) FROM gateway_ledger WHERE what = 'task.cancel' AND outcome = 'accepted' AND task = ?`, st.ID); n != 0 {
			t.Error("the ledger says that it was cancelled")
		}
	})
}
