package fedtest

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tresor/fed/hub"
	"tresor/fed/link"
	"tresor/fed/node"
)

// The flapping of a bad line, scaled down. Longer: go test ./fed/fedtest -run Flaps
// -timeout 0 -args -flaps 200 -quickest 1s -slowest 30s
var (
	flaps    = flag.Int("flaps", 60, "how often the link is cut")
	quickest = flag.Duration("quickest", 10*time.Millisecond, "shortest time between two cuts")
	slowest  = flag.Duration("slowest", 300*time.Millisecond, "longest time between two cuts")
)

// TestFlapsOfTheLength: the link is cut again and again, at times that have nothing
// to do with what passes, and each order is executed once and answered.
func TestFlapsOfTheLength(t *testing.T) {
	var c tally
	h, n := pair(t, link.Limits{}, node.Door{Execute: func(ctx context.Context, o node.Order) ([]byte, error) {
		time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond)
		return c.execute(ctx, o)
	}})
	count := *flaps
	if testing.Short() {
		count = min(count, 15)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(count)*(*slowest)+time.Minute)
	defer cancel()
	var over atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range count {
			time.Sleep(*quickest + rand.N(*slowest-*quickest))
			switch i % 3 {
			case 0:
				n.Redial(n.Hub) // from the node's side
			case 1:
				h.Drop(n.ID) // from the hub's side
			default:
				h.Relay.Cut() // from between
			}
		}
		over.Store(true)
	})
	var sent atomic.Int64
	for w := range 4 {
		wg.Go(func() {
			for i := 0; !over.Load(); i++ {
				id := fmt.Sprintf("flap-%d-%d", w, i)
				e, err := h.Issue(ctx, n.ID, hub.Order{ID: id, Kind: "k", Body: []byte(id)})
				if err != nil {
					t.Error(err)
					return
				}
				r, err := h.Deliver(ctx, e)
				if err != nil || string(r.Result) != "did "+id || c.of(id) != 1 {
					t.Errorf("%s: %q %v, executed %d times", id, r.Result, err, c.of(id))
				}
				sent.Add(1)
			}
		})
	}
	wg.Wait()
	if len(c.runs) != int(sent.Load()) {
		t.Errorf("%d orders sent, %d executed", sent.Load(), len(c.runs))
	}
	t.Logf("%d orders over %d flaps, %d connections", sent.Load(), count, h.Relay.Dials.Load())
}
