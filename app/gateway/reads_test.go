package gateway

import (
	"context"
	"errors"
	"testing"

	"tresor/plugins/protocol"
)

// changer is a plugin that submits and cancels whatever it is asked.
type changer struct {
	id           string // of the task to cancel
	submit, stop error
}

func (c *changer) Server(context.Context, string) (protocol.Server, error) { return c, nil }

func (c *changer) ServeRequest(x context.Context, _ protocol.Request, h protocol.Host) (protocol.Response, error) {
	_, c.submit = h.Submit(x, request())
	c.stop = h.Cancel(x, c.id)
	_, err := h.State(x, c.id, protocol.Minimal)
	return protocol.Response{Status: 200}, err
}

// TestAReadingRequestChangesNothing: what changes something comes as a signed order,
// whatever a plugin does with a plain GET.
func TestAReadingRequestChangesNothing(t *testing.T) {
	for _, c := range []struct {
		method  string
		changes bool
	}{{"GET", false}, {"HEAD", false}, {"POST", true}, {"DELETE", true}} {
		t.Run(c.method, func(t *testing.T) {
			h := newHouse(t)
			hub, who := h.hub("North hub")
			st := h.submit(who, request())
			p := &changer{id: st.ID}
			resp, err := h.g.Serve(ctx, p, who, "tes", protocol.Request{Method: c.method, Path: "/x"})
			if err != nil {
				t.Fatal(err)
			}
			if (p.submit == nil) != c.changes || (p.stop == nil) != c.changes {
				t.Errorf("submit: %v, cancel: %v", p.submit, p.stop)
			}
			created := 0
			for _, l := range h.ledger(hub.ID) {
				if l.What == WhatCreate && l.Outcome == Accepted {
					created++
				}
			}
			if want := map[bool]int{false: 1, true: 2}[c.changes]; created != want {
				t.Errorf("%d tasks were made, want %d", created, want)
			}
			if c.changes {
				return
			}
			var e *protocol.Error
			if !errors.As(p.submit, &e) || e.Code != protocol.CodeDenied || resp.Status != 200 {
				t.Errorf("%d, %v", resp.Status, p.submit)
			}
			h.wantRefusal(p.stop, CodeMethod, "changes nothing")
			if now := h.state(who, st.ID, protocol.Minimal); now.State == "cancelled" {
				t.Error("the task was cancelled")
			}
		})
	}
}
