package gateway

import (
	"strings"
	"testing"

	"tresor/plugins/protocol"
)

// TestAPauseHoldsQueuedTasks: what is queued when its hub, or everybody, is paused waits
// and says why; another's goes on; after the resume, or the end of the hub, it ends.
func TestAPauseHoldsQueuedTasks(t *testing.T) {
	for name, c := range map[string]struct {
		pause, resume func(h *house, p Principal) error
		says, end     string
	}{
		"one": {
			func(h *house, p Principal) error { _, err := h.g.Pause(ctx, h.as("olga"), p.ID, true, ""); return err },
			func(h *house, p Principal) error { _, err := h.g.Pause(ctx, h.as("olga"), p.ID, false, ""); return err },
			"paused this hub", "completed"},
		"all": {
			func(h *house, _ Principal) error { return h.g.PauseAll(ctx, h.as("olga"), true, "") },
			func(h *house, _ Principal) error { return h.g.PauseAll(ctx, h.as("olga"), false, "") },
			"paused all hubs and clients", "completed"},
		"one, then revoked": {
			func(h *house, p Principal) error { _, err := h.g.Pause(ctx, h.as("olga"), p.ID, true, ""); return err },
			func(h *house, p Principal) error {
				_, err := h.g.Revoke(ctx, h.as("olga"), p.ID, "The agreement ended.")
				return err
			}, "paused this hub", "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			p, who := h.hub("North hub")
			rosa, _ := h.person("rosa", "aurora")
			quick := request("true")
			quick.Outputs = nil
			var ids []string
			for range 3 {
				ids = append(ids, h.submit(who, quick).ID)
			}
			h.must(c.pause(h, p))
			h.run()
			h.until(rosa, h.submit(rosa, quick).ID, "completed")
			for _, id := range ids {
				h.wait("the job's page says why it waits", func() bool { // the hub itself reads nothing while it is paused
					j, err := h.jobs.Get(ctx, h.as("lena"), id)
					return err == nil && j.State == "queued" && strings.Contains(j.Reason, c.says) && strings.Contains(j.Next, "Federation")
				})
			}
			h.must(c.resume(h, p))
			for _, id := range ids {
				h.wait("it has ended", func() bool {
					j, err := h.jobs.Get(ctx, h.as("lena"), id)
					return err == nil && string(j.State) == c.end
				})
			}
			if n := h.number(`SELECT count(*) FROM gateway_task WHERE ended_at IS NULL`); n != 0 {
				t.Errorf("%d tasks are open", n)
			}
		})
	}
}

// TestAPauseReachesProgramsInside: tasks that a program of a hub's job sent wait too.
func TestAPauseReachesProgramsInside(t *testing.T) {
	h := newHouse(t)
	p, who := h.hub("North hub")
	h.run()
	_, inside := h.working(who)
	h.halt()
	quick := request("true")
	quick.Outputs = nil
	st := h.submit(inside, quick)
	_, err := h.g.Pause(ctx, h.as("olga"), p.ID, true, "")
	h.must(err)
	h.run()
	h.wait("it says why it waits", func() bool {
		got := h.state(inside, st.ID, protocol.Full)
		return got.State == "queued" && strings.Contains(strings.Join(got.Messages, " "), "paused this hub")
	})
	_, err = h.g.Pause(ctx, h.as("olga"), p.ID, false, "")
	h.must(err)
	h.until(inside, st.ID, "completed")
}
