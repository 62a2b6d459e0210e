package fedtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/fed/hub"
	"tresor/fed/link"
	"tresor/fed/node"
	"tresor/fed/wire"
)

// lengths notes the bodies of the orders that were executed.
type lengths struct {
	mu  sync.Mutex
	all map[string][]int
}

func (l *lengths) execute(_ context.Context, o node.Order) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[string][]int{}
	}
	l.all[o.ID] = append(l.all[o.ID], len(o.Body))
	return []byte("did it"), nil
}

func (l *lengths) of(id string) []int { l.mu.Lock(); defer l.mu.Unlock(); return l.all[id] }

func largeOrder(t *testing.T, h *Hub, n *Node, id string, size int) *wire.Envelope {
	t.Helper()
	e, err := h.Issue(ctx5(t), n.ID, hub.Order{ID: id, Kind: "k", Body: bytes.Repeat([]byte("x"), size)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestALargeOrderIsExecutedOnce(t *testing.T) {
	var l lengths
	h, n := pair(t, link.Limits{}, node.Door{Execute: l.execute})
	for _, size := range []int{wire.MaxBody, wire.MaxBody + 1, wire.MaxLarge} {
		id := fmt.Sprint("o-", size)
		e := largeOrder(t, h, n, id, size)
		for range 3 {
			if r, err := h.Send(ctx5(t), e); err != nil || string(r.Result) != "did it" {
				t.Fatalf("%d bytes: %q %v", size, r.Result, err)
			}
		}
		if got := l.of(id); len(got) != 1 || got[0] != size {
			t.Errorf("%d bytes: executed with %v", size, got)
		}
	}
	if _, err := h.Issue(ctx5(t), n.ID, hub.Order{ID: "over", Kind: "k", Body: make([]byte, wire.MaxLarge+1)}); err == nil {
		t.Error("an order over the limit was made")
	}
}

// TestEveryRefusalOfALargeOrder: nothing is claimed before the last byte was there and right.
func TestEveryRefusalOfALargeOrder(t *testing.T) {
	var l lengths
	h, n := pair(t, link.Limits{}, node.Door{Execute: l.execute})
	line := func(e *wire.Envelope) []byte {
		data, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return append(data, '\n')
	}
	small, err := h.Issue(ctx5(t), n.ID, hub.Order{ID: "small", Kind: "k", Body: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		path  string
		bytes func(e *wire.Envelope) []byte
		code  wire.Code
	}{
		"no body":            {wire.LargePath, func(e *wire.Envelope) []byte { return line(e) }, wire.CodeBody},
		"one byte short":     {wire.LargePath, func(e *wire.Envelope) []byte { return append(line(e), e.Content()[1:]...) }, wire.CodeBody},
		"one byte more":      {wire.LargePath, func(e *wire.Envelope) []byte { return append(append(line(e), e.Content()...), 'x') }, wire.CodeBody},
		"one byte changed":   {wire.LargePath, func(e *wire.Envelope) []byte { return append(append(line(e), e.Content()[1:]...), 'y') }, wire.CodeBody},
		"no newline":         {wire.LargePath, func(e *wire.Envelope) []byte { return bytes.TrimSpace(line(e)) }, wire.CodeBody},
		"no envelope":        {wire.LargePath, func(e *wire.Envelope) []byte { return []byte("\n") }, wire.CodeMalformed},
		"an endless line":    {wire.LargePath, func(e *wire.Envelope) []byte { return bytes.Repeat([]byte("x"), wire.MaxEnvelope) }, wire.CodeSize},
		"a small one":        {wire.LargePath, func(*wire.Envelope) []byte { return line(small) }, wire.CodeMalformed},
		"on the other path":  {wire.TasksPath, func(e *wire.Envelope) []byte { return bytes.TrimSpace(line(e)) }, wire.CodeMalformed},
		"signed by another":  {wire.LargePath, func(e *wire.Envelope) []byte { e.Sign(NewKey(t)); return append(line(e), e.Content()...) }, wire.CodeUnknown},
		"changed after that": {wire.LargePath, func(e *wire.Envelope) []byte { e.Size++; return append(line(e), e.Content()...) }, wire.CodeSignature},
	} {
		t.Run(name, func(t *testing.T) {
			e := largeOrder(t, h, n, "r-"+strings.ReplaceAll(name, " ", "-"), wire.MaxBody+1)
			before := n.Ledger.Len(n.Hub)
			r, _ := http.NewRequestWithContext(ctx5(t), "POST", "http://n"+tc.path, bytes.NewReader(tc.bytes(e)))
			resp, err := h.RoundTripper(n.ID).RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			_, err = wire.DecodeReceipt(b, e)
			wantCode(t, err, tc.code)
			if n.Ledger.Len(n.Hub) != before || l.of(e.ID) != nil {
				t.Error("a refused order was claimed")
			}
		})
	}
}

// TestALargeOrderSurvivesCuts: the link is cut while the body is on its way, again and
// again; the order is executed once, with all of its bytes.
func TestALargeOrderSurvivesCuts(t *testing.T) {
	var l lengths
	h, n := pair(t, link.Limits{}, node.Door{Execute: l.execute})
	e := largeOrder(t, h, n, "cut", wire.MaxLarge)
	var once sync.Mutex
	seen := 0
	h.Relay.Change(func(m Message) [][]byte {
		once.Lock()
		defer once.Unlock()
		if !m.Text && !m.ToHub && len(m.Data) > 1000 {
			if seen++; seen%20 == 7 && seen < 90 {
				go h.Relay.Cut()
				return nil
			}
		}
		return [][]byte{m.Data}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if r, err := h.Deliver(ctx, e); err != nil || string(r.Result) != "did it" {
		t.Fatalf("%q %v", r.Result, err)
	}
	if got := l.of("cut"); len(got) != 1 || got[0] != wire.MaxLarge {
		t.Errorf("executed with %v", got)
	}
}

// TestAnOlderNodeGetsNoLargeOrder: it is served as before, and the hub's operator reads
// what to do.
func TestAnOlderNodeGetsNoLargeOrder(t *testing.T) {
	var l lengths
	NoLeaks(t)
	h, n := StartHub(t, link.Limits{}), NewNode(t, link.Limits{})
	h.Enrol(t, n, "North")
	h.Relay.Change(func(m Message) [][]byte { // what an older hub would have offered, so that the node answers as an older one
		if c, err := wire.DecodeChallenge(m.Data); err == nil && !m.ToHub && m.N == 0 {
			c.Versions = []int{1}
			return [][]byte{c.Encode()}
		}
		return [][]byte{m.Data}
	})
	if err := n.Connect(n.Hub, node.Door{Execute: l.execute}); err != nil {
		t.Fatal(err)
	}
	h.Online(t, n.ID)
	if _, err := h.Send(ctx5(t), largeOrder(t, h, n, "small", 1000)); err != nil {
		t.Errorf("a small order: %v", err)
	}
	_, err := h.Send(ctx5(t), largeOrder(t, h, n, "large", wire.MaxBody+1))
	wantCode(t, err, wire.CodeVersion)
	if !strings.Contains(err.Error(), "update it") || l.of("large") != nil {
		t.Errorf("%v, executed %v", err, l.of("large"))
	}
}

// TestLargeOrdersTakeTheirPlaces: a node holds a few at once; those over it wait and are
// then executed too.
func TestLargeOrdersTakeTheirPlaces(t *testing.T) {
	open := make(chan struct{})
	var mu sync.Mutex
	running, most := 0, 0
	h, n := pair(t, link.Limits{}, node.Door{Execute: func(ctx context.Context, o node.Order) ([]byte, error) {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		select {
		case <-open:
		case <-ctx.Done():
		}
		mu.Lock()
		running--
		mu.Unlock()
		return nil, nil
	}})
	var wg sync.WaitGroup
	for i := range 3 * node.MaxLargeAtOnce {
		e := largeOrder(t, h, n, "p-"+string(rune('a'+i)), wire.MaxBody+1)
		wg.Go(func() {
			if _, err := h.Deliver(context.Background(), e); err != nil {
				t.Error(err)
			}
		})
	}
	Until(t, "the places are taken", func() bool { mu.Lock(); defer mu.Unlock(); return running == node.MaxLargeAtOnce })
	close(open)
	wg.Wait()
	if most > node.MaxLargeAtOnce {
		t.Errorf("%d large orders at once, at most %d are allowed", most, node.MaxLargeAtOnce)
	}
}

// FuzzLargeOrder sends bytes of all kinds where large orders come in: none is executed but
// the one that was signed, and the node goes on answering.
func FuzzLargeOrder(f *testing.F) {
	var l lengths
	h, n := StartHub(f, link.Limits{}), NewNode(f, link.Limits{})
	straight(f, h, n, "North", node.Door{Execute: l.execute})
	n.ID = h.Nodes()[0].Peer.ID
	h.Online(f, n.ID)
	e, err := h.Issue(context.Background(), n.ID, hub.Order{ID: "the-one", Kind: "k", Body: bytes.Repeat([]byte("x"), wire.MaxBody+1)})
	if err != nil {
		f.Fatal(err)
	}
	line, err := e.Encode()
	if err != nil {
		f.Fatal(err)
	}
	whole := append(append(line, '\n'), e.Content()...)
	f.Add(whole[:len(line)], 1)
	f.Add(whole, len(whole)-1)
	f.Add([]byte("\n\n"), 0)
	f.Fuzz(func(t *testing.T, b []byte, flip int) {
		sent := bytes.Clone(b)
		if flip > 0 && flip < len(sent) {
			sent[flip] ^= 1
		}
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://n"+wire.LargePath, bytes.NewReader(sent))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := h.RoundTripper(n.ID).RoundTrip(r)
		if err != nil {
			return // answered before it took everything
		}
		answer, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if _, err := wire.DecodeReceipt(answer, e); err == nil && !bytes.Equal(sent, whole) {
			t.Error("other bytes were executed")
		}
		if ran := l.of("the-one"); len(ran) > 1 || len(ran) == 1 && ran[0] != wire.MaxBody+1 {
			t.Errorf("executed with %v", ran)
		}
	})
}
