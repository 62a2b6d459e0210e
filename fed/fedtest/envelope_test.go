package fedtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"tresor/fed/hub"
	"tresor/fed/link"
	"tresor/fed/node"
	"tresor/fed/wire"
)

func TestAnEnvelopeIsExecutedOnceHoweverOftenItComes(t *testing.T) {
	var c tally
	h, n := pair(t, link.Limits{}, node.Door{Execute: c.execute})
	e, err := h.Issue(ctx5(t), n.ID, hub.Order{ID: "task-1", Kind: "task.create", Body: []byte("it")})
	if err != nil {
		t.Fatal(err)
	}
	var first wire.Receipt
	for i := range 5 {
		r, err := h.Send(ctx5(t), e)
		if err != nil || string(r.Result) != "did it" {
			t.Fatalf("send %d: %q %v", i, r.Result, err)
		}
		if i == 0 {
			first = r
		} else if r.Done != first.Done {
			t.Errorf("send %d: another receipt", i)
		}
	}
	if c.of("task-1") != 1 {
		t.Errorf("executed %d times", c.of("task-1"))
	}
}

func TestEveryRefusalOfAnEnvelope(t *testing.T) {
	var c tally
	h, n := pair(t, link.Limits{}, node.Door{Execute: c.execute})
	h2 := StartHub(t, link.Limits{})
	h2.Enrol(t, n, "North")
	seq := uint64(10000)
	fresh := func() *wire.Envelope {
		seq++
		now := time.Now()
		return &wire.Envelope{Node: n.ID, Seq: seq, ID: fmt.Sprint("r-", seq), Kind: "task.create", Made: now.UnixMilli(), Expires: now.Add(time.Hour).UnixMilli(), Body: []byte("x")}
	}
	first := fresh()
	first.Sign(h.Key)
	if _, err := h.Send(ctx5(t), first); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name   string
		change func(e *wire.Envelope)
		after  func(e *wire.Envelope)
		key    func() any
		code   wire.Code
	}{
		{name: "wrong key", after: func(e *wire.Envelope) { e.Sign(NewKey(t)) }, code: wire.CodeUnknown},
		{name: "key of another enrolled hub", after: func(e *wire.Envelope) { e.Sign(h2.Key) }, code: wire.CodeOtherHub},
		{name: "hub id of the link, key of another", after: func(e *wire.Envelope) { e.Sign(h2.Key); e.Hub = wire.KeyOf(h.Key).ID() }, code: wire.CodeSignature},
		{name: "body changed after signing", after: func(e *wire.Envelope) { e.Body = []byte("y") }, code: wire.CodeSignature},
		{name: "sequence changed after signing", after: func(e *wire.Envelope) { e.Seq++ }, code: wire.CodeSignature},
		{name: "expiry moved after signing", after: func(e *wire.Envelope) { e.Expires++ }, code: wire.CodeSignature},
		{name: "kind changed after signing", after: func(e *wire.Envelope) { e.Kind = "task.cancel" }, code: wire.CodeSignature},
		{name: "for another node", change: func(e *wire.Envelope) { e.Node = wire.KeyOf(NewKey(t)).ID() }, code: wire.CodeOther},
		{name: "expired", change: func(e *wire.Envelope) {
			e.Made -= 2 * time.Hour.Milliseconds()
			e.Expires -= 2 * time.Hour.Milliseconds()
		}, code: wire.CodeExpired},
		{name: "made in the future", change: func(e *wire.Envelope) { e.Made += 3_000_000; e.Expires += 3_000_000 }, code: wire.CodeTime},
		{name: "id used for another body", change: func(e *wire.Envelope) { e.ID = first.ID }, code: wire.CodeConflict},
		{name: "sequence used for another id", change: func(e *wire.Envelope) { e.Seq = first.Seq }, code: wire.CodeConflict},
		{name: "sequence out of the window", change: func(e *wire.Envelope) { e.Seq = first.Seq - wire.Window }, code: wire.CodeStale},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			e := fresh()
			if tc.change != nil {
				tc.change(e)
			}
			e.Sign(h.Key)
			if tc.after != nil {
				tc.after(e)
			}
			before := n.Ledger.Len(n.Hub)
			_, err := (&hubSend{h, n.ID}).send(ctx5(t), e)
			wantCode(t, err, tc.code)
			if n.Ledger.Len(n.Hub) != before {
				t.Error("a refused envelope was claimed")
			}
		})
	}
	late := fresh()
	late.Seq = first.Seq - 7
	late.Sign(h.Key)
	if _, err := h.Send(ctx5(t), late); err != nil {
		t.Errorf("an envelope that was overtaken by seven others: %v", err)
	}
	if c.of(first.ID) != 1 || len(c.runs) != 2 {
		t.Errorf("executed %v", c.runs)
	}
}

// hubSend posts an envelope to a node that its own field may not name.
type hubSend struct {
	h    *Hub
	node wire.KeyID
}

func (s *hubSend) send(ctx context.Context, e *wire.Envelope) (wire.Receipt, error) {
	data, err := e.Encode()
	if err != nil {
		return wire.Receipt{}, err
	}
	return s.raw(ctx, data, e)
}

func (s *hubSend) raw(ctx context.Context, data []byte, e *wire.Envelope) (wire.Receipt, error) {
	r, _ := http.NewRequestWithContext(ctx, "POST", "http://n"+wire.TasksPath, strings.NewReader(string(data)))
	resp, err := s.h.RoundTripper(s.node).RoundTrip(r)
	if err != nil {
		return wire.Receipt{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return wire.Receipt{}, err
	}
	return wire.DecodeReceipt(b, e)
}

func TestOversizeAndMalformedEnvelopesAreRefused(t *testing.T) {
	h, n := pair(t, link.Limits{}, node.Door{Execute: (&tally{}).execute})
	s := &hubSend{h, n.ID}
	for name, tc := range map[string]struct {
		data string
		code wire.Code
	}{
		"over the limit": {strings.Repeat("a", wire.MaxEnvelope+1), wire.CodeSize},
		"not JSON":       {"task", wire.CodeMalformed},
		"empty":          {"", wire.CodeMalformed},
		"another type":   {`{"type":"hello"}`, wire.CodeMalformed},
	} {
		_, err := s.raw(ctx5(t), []byte(tc.data), &wire.Envelope{})
		if !errors.Is(err, wire.For(tc.code)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := h.Issue(ctx5(t), n.ID, hub.Order{ID: "big", Kind: "k", Body: make([]byte, wire.MaxLarge+1)}); !errors.Is(err, wire.For(wire.CodeSize)) {
		t.Errorf("a body over the limit was issued: %v", err)
	}
	if _, err := h.Issue(ctx5(t), n.ID, hub.Order{ID: strings.Repeat("n", 1<<20), Kind: "k"}); err == nil {
		t.Error("a name of 1 MB was issued")
	}
	if code, _, err := get(h, n.ID, "/"+strings.Repeat("n", 1<<20)); err == nil && code != 431 {
		t.Errorf("a path of 1 MB: %d", code)
	}
	if e, err := h.Issue(ctx5(t), n.ID, hub.Order{ID: "full", Kind: "k", Body: make([]byte, wire.MaxBody)}); err != nil {
		t.Error(err)
	} else if _, err := h.Send(ctx5(t), e); err == nil {
		t.Log("a full body fits; its answer is a few bytes over the limit and is refused by the node")
	} else if !errors.Is(err, wire.For(wire.CodeSize)) {
		t.Error(err)
	}
}

func TestFaultsOfTheLedger(t *testing.T) {
	cases := []struct {
		name          string
		claim, finish Fault
		first, again  wire.Code // of the first and of the second delivery; empty: a receipt
		runs          int
	}{
		{"claim fails", Fails, Works, wire.CodeInternal, "", 1},
		{"claim fails after it persisted", FailsAfter, Works, wire.CodeInternal, wire.CodeInterrupted, 0},
		{"finish fails", Works, Fails, wire.CodeInterrupted, wire.CodeInterrupted, 1},
		{"finish fails after it persisted", Works, FailsAfter, wire.CodeInterrupted, "", 1},
	}
	var c tally
	h, n := pair(t, link.Limits{}, node.Door{Execute: c.execute})
	for i, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			id := fmt.Sprint("fault-", i)
			e, err := h.Issue(ctx5(t), n.ID, hub.Order{ID: id, Kind: "task.create"})
			if err != nil {
				t.Fatal(err)
			}
			n.Ledger.Fail(tc.claim, tc.finish)
			for _, want := range []wire.Code{tc.first, tc.again} {
				_, err := h.Send(ctx5(t), e)
				if want == "" && err != nil {
					t.Errorf("got %v, want a receipt", err)
				} else if want != "" {
					wantCode(t, err, want)
				}
			}
			if c.of(id) != tc.runs {
				t.Errorf("executed %d times, want %d", c.of(id), tc.runs)
			}
		})
	}
}

func TestSweptEnvelopesAreNotTakenAgainWhenTheClockGoesBack(t *testing.T) {
	var c tally
	h, n := pair(t, link.Limits{}, node.Door{Execute: c.execute})
	e, _ := h.Issue(ctx5(t), n.ID, hub.Order{ID: "old", Kind: "k", Life: time.Minute})
	if _, err := h.Send(ctx5(t), e); err != nil {
		t.Fatal(err)
	}
	n.Clock.Skew(time.Hour)
	if err := n.Sweep(ctx5(t)); err != nil || n.Ledger.Len(n.Hub) != 0 {
		t.Fatal("not swept", err)
	}
	n.Clock.Skew(0)
	_, err := h.Send(ctx5(t), e)
	wantCode(t, err, wire.CodeStale)
	if c.of("old") != 1 {
		t.Error("executed again")
	}
}
