package protocoltest

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"tresor/plugins/protocol"
)

// whole is an adapter with every part, as small as it can be.
type whole struct{}

var ofWhole = protocol.Description{Name: "whole", Title: "Every part", Version: "1", Protocol: "none",
	Lookups: []protocol.Lookup{{Method: "GET", Path: "/jobs", Limit: 10, Views: map[string]protocol.View{"": protocol.Basic}}}}

func (whole) Describe(context.Context) (protocol.Description, error) { return ofWhole, nil }

func (whole) TestConnection(ctx context.Context, s protocol.Settings, h protocol.Host) ([]protocol.Step, error) {
	var steps protocol.Steps
	if steps.Settings(ofWhole, s) {
		_, err := h.Visible(ctx)
		steps.Host(err)
	}
	return steps.List(), nil
}

func (whole) ServeRequest(ctx context.Context, r protocol.Request, h protocol.Host) (protocol.Response, error) {
	page, err := h.Jobs(ctx, protocol.JobQuery{View: protocol.Basic, Limit: 10})
	if err != nil {
		return protocol.Response{}, outside(err)
	}
	b, err := json.Marshal(page)
	return protocol.Response{Status: 200, Body: b}, err
}

func (whole) Run(ctx context.Context, _ protocol.Settings, h protocol.Host) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			_, _ = h.Fetch(ctx, protocol.Request{Method: "GET", Path: "https://hub.example/"})
		}
	}
}

func (whole) Publish(ctx context.Context, _ protocol.Settings, h protocol.Host) ([]protocol.Document, error) {
	c, err := h.Visible(ctx)
	if err != nil {
		return nil, outside(err)
	}
	b, err := json.Marshal(c)
	return []protocol.Document{{Path: "catalogue.json", ContentType: "application/json", Body: b}}, err
}

// outside lets only errors of the vocabulary through.
func outside(err error) error {
	var e *protocol.Error
	if errors.As(err, &e) {
		return e
	}
	return &protocol.Error{Code: protocol.CodeInternal, Text: "The appliance could not answer. Try again."}
}

func TestAnAdapterWithEveryPartPasses(t *testing.T) {
	Suite(t, func(*testing.T) protocol.Adapter { return whole{} })
}
