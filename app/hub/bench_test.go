package hub

import (
	"context"
	"sync"
	"testing"
	"time"

	"tresor/app/store"
	"tresor/fed/link"
)

// BenchmarkOrders is the whole way of a task through the hub: 16 clients send tasks, and
// the clock stops when the one node has answered for the last.
func BenchmarkOrders(b *testing.B) {
	r := newRig(b, func(r *rig) { r.limits, r.pace = link.Limits{}, Pace{} })
	n := newFakeNodeOf(b, "north", link.Limits{})
	r.enrol(n)
	n.connect(r)
	b.ResetTimer()
	began := time.Now()
	var wg sync.WaitGroup
	each := make(chan struct{})
	for range 16 {
		wg.Go(func() {
			for range each {
				r.create("")
			}
		})
	}
	for range b.N {
		each <- struct{}{}
	}
	close(each)
	wg.Wait()
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "creates/s")
	for left := 1; left > 0; time.Sleep(time.Millisecond) {
		err := r.db.View(context.Background(), func(tx *store.Tx) error {
			return tx.QueryRow(`SELECT count(*) FROM hub_part WHERE state IN ('waiting', 'offered')`).Scan(&left)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "orders/s")
}
