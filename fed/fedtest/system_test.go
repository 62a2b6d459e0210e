package fedtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tresor/fed/hub"
	"tresor/fed/link"
	"tresor/fed/node"
	"tresor/fed/wire"
)

// tally counts how often each order was executed.
type tally struct {
	mu   sync.Mutex
	runs map[string]int
}

func (c *tally) execute(_ context.Context, o node.Order) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.runs == nil {
		c.runs = map[string]int{}
	}
	c.runs[o.ID]++
	return append([]byte("did "), o.Body...), nil
}

func (c *tally) of(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.runs[id]
}

// pair starts a hub and an enrolled node with a door, online.
func pair(t testing.TB, limits link.Limits, d node.Door) (*Hub, *Node) {
	t.Helper()
	NoLeaks(t)
	h := StartHub(t, limits)
	n := NewNode(t, limits)
	h.Enrol(t, n, "North")
	if err := n.Connect(n.Hub, d); err != nil {
		t.Fatal(err)
	}
	h.Online(t, n.ID)
	return h, n
}

func get(h *Hub, id wire.KeyID, path string) (int, string, error) {
	c := &http.Client{Transport: h.RoundTripper(id), Timeout: 5 * time.Second}
	resp, err := c.Get("http://anything" + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func wantCode(t *testing.T, err error, code wire.Code) {
	t.Helper()
	if !errors.Is(err, wire.For(code)) {
		t.Fatalf("got %v, want a refusal with code %s", err, code)
	}
}

func ctx5(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestAHubReachesWhatWasGivenToItAndNothingElse(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /tes/service-info", func(w http.ResponseWriter, r *http.Request) {
		p, ok := node.HubOf(r.Context())
		fmt.Fprint(w, ok, " ", p.Name)
	})
	h, n := pair(t, link.Limits{}, node.Door{Routes: mux})
	if code, body, err := get(h, n.ID, "/tes/service-info"); err != nil || code != 200 || body != "true Hub of the test" {
		t.Fatalf("got %d %q %v", code, body, err)
	}
	for _, path := range []string{"/", "/api/v1/me", wire.TasksPath, "/tes/../etc"} {
		if code, _, err := get(h, n.ID, path); err != nil || code != 404 {
			t.Errorf("%s: got %d %v, want 404", path, code, err)
		}
	}
	if _, _, err := get(h, "0123456789abcdef0123456789abcdef", "/"); !errors.Is(err, wire.For(wire.CodeOffline)) {
		t.Errorf("unknown node: %v", err)
	}
}

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
		{name: "sequence out of the window", change: func(e *wire.Envelope) { e.Seq = first.Seq - node.Window }, code: wire.CodeStale},
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
	if _, err := h.Issue(ctx5(t), n.ID, hub.Order{ID: "big", Kind: "k", Body: make([]byte, wire.MaxBody+1)}); !errors.Is(err, wire.For(wire.CodeSize)) {
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

func TestFlappingLinkExecutesEachTaskOnce(t *testing.T) {
	var c tally
	h, n := pair(t, link.Limits{}, node.Door{Execute: func(ctx context.Context, o node.Order) ([]byte, error) {
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		return c.execute(ctx, o)
	}})
	length := 4 * time.Second
	if testing.Short() {
		length = time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), length+20*time.Second)
	defer cancel()
	stop := time.Now().Add(length)
	var cuts atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for time.Now().Before(stop) {
			time.Sleep(time.Duration(50+rand.IntN(450)) * time.Millisecond)
			h.Relay.Cut()
			cuts.Add(1)
		}
	})
	var sent atomic.Int64
	for w := range 4 {
		wg.Go(func() {
			for i := 0; time.Now().Before(stop); i++ {
				id := fmt.Sprintf("flap-%d-%d", w, i)
				e, err := h.Issue(ctx, n.ID, hub.Order{ID: id, Kind: "task.create", Body: []byte(id)})
				if err != nil {
					t.Error(err)
					return
				}
				r, err := h.Deliver(ctx, e)
				if err != nil || string(r.Result) != "did "+id {
					t.Errorf("%s: %q %v", id, r.Result, err)
				}
				if c.of(id) != 1 {
					t.Errorf("%s was executed %d times", id, c.of(id))
				}
				sent.Add(1)
			}
		})
	}
	wg.Wait()
	if len(c.runs) != int(sent.Load()) {
		t.Errorf("%d tasks sent, %d executed", sent.Load(), len(c.runs))
	}
	t.Logf("%d tasks, %d cuts, %d connections", sent.Load(), cuts.Load(), h.Relay.Dials.Load())
}

func TestRestartOfTheNodeKeepsWhatWasClaimed(t *testing.T) {
	var c tally
	began := make(chan struct{}, 1)
	hang := func(ctx context.Context, o node.Order) ([]byte, error) {
		c.execute(ctx, o)
		began <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	h, n := pair(t, link.Limits{}, node.Door{Execute: hang})
	e, _ := h.Issue(ctx5(t), n.ID, hub.Order{ID: "killed", Kind: "task.create"})
	n.Ledger.Fail(Works, Fails) // a kill leaves the claim without its end
	done := make(chan error, 1)
	go func() { _, err := h.Send(context.Background(), e); done <- err }()
	<-began
	n.Restart(t)
	<-done
	if err := n.Connect(n.Hub, node.Door{Execute: c.execute}); err != nil {
		t.Fatal(err)
	}
	_, err := h.Deliver(ctx5(t), e)
	wantCode(t, err, wire.CodeInterrupted)
	if c.of("killed") != 1 {
		t.Errorf("executed %d times", c.of("killed"))
	}
	next, _ := h.Issue(ctx5(t), n.ID, hub.Order{ID: "after", Kind: "task.create"})
	if _, err := h.Deliver(ctx5(t), next); err != nil {
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

func TestPause(t *testing.T) {
	h, n := pair(t, link.Limits{}, node.Door{Routes: http.NotFoundHandler()})
	status := func(want int) {
		t.Helper()
		if code, _, err := get(h, n.ID, "/"); err != nil || code != want {
			t.Errorf("got %d %v, want %d", code, err, want)
		}
	}
	status(404)
	n.Pause(n.Hub, true)
	status(503)
	n.Pause(n.Hub, false)
	n.PauseAll(true)
	status(503)
	if hs := n.Health(); len(hs) != 1 || !hs[0].Paused || hs[0].State != node.Online {
		t.Errorf("health %+v", hs)
	}
	n.PauseAll(false)
	status(404)
}

func TestSeveralHubsAtOnceAndOneThatIsDown(t *testing.T) {
	NoLeaks(t)
	n := NewNode(t, link.Limits{})
	var hubs []*Hub
	for i := range 3 {
		h := StartHub(t, link.Limits{})
		h.Enrol(t, n, "North")
		id := fmt.Sprint(i)
		routes := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, id) })
		if err := n.Connect(n.Hub, node.Door{Routes: routes}); err != nil {
			t.Fatal(err)
		}
		hubs = append(hubs, h)
	}
	hubs[1].Relay.Close()
	for _, i := range []int{0, 2} {
		hubs[i].Online(t, n.ID)
		if _, body, err := get(hubs[i], n.ID, "/"); err != nil || body != fmt.Sprint(i) {
			t.Errorf("hub %d got %q %v: each hub has its own door", i, body, err)
		}
	}
	if err := n.Connect(n.Hub, node.Door{}); err == nil {
		t.Error("a second link to one hub")
	}
	wantCode(t, n.Connect("0123456789abcdef0123456789abcdef", node.Door{}), wire.CodeUnknown)
	n.Disconnect(n.Hub)
	Until(t, "the hub sees the node gone", func() bool { return !hubs[2].IsOnline(n.ID) })
}
