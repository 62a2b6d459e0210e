package fedtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
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
	c := &http.Client{Transport: h.RoundTripper(id), Timeout: time.Minute}
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
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestAHubReachesWhatWasGivenToItAndNothingElse(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /tes/service-info", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "info")
	})
	h, n := pair(t, link.Limits{}, node.Door{Routes: mux})
	if code, body, err := get(h, n.ID, "/tes/service-info"); err != nil || code != 200 || body != "info" {
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
	ctx, cancel := context.WithTimeout(context.Background(), length+2*time.Minute)
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
