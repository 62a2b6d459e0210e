package link

import (
	"fmt"
	"sync/atomic"
	"testing"

	"tresor/fed/fedtest"
	fedhub "tresor/fed/hub"
	"tresor/fed/task"
)

// BenchmarkOrder is one signed order over a real link, claimed, done by a gateway
// that costs nothing, and its end recorded: what the link itself adds to a task.
func BenchmarkOrder(b *testing.B) {
	for _, parallel := range []int{1, 16} {
		b.Run(fmt.Sprint(parallel), func(b *testing.B) {
			r := newRig(b)
			h := fedtest.StartHub(b, fedtest.Lively())
			id := r.join(h)
			if err := r.Confirm(b.Context(), operator, id); err != nil {
				b.Fatal(err)
			}
			h.Online(b, r.id())
			body, err := create(`{"name":"x"}`).Encode()
			if err != nil {
				b.Fatal(err)
			}
			var n atomic.Int64
			b.SetParallelism(parallel)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					e, err := h.Issue(b.Context(), r.id(), fedhub.Order{ID: fmt.Sprint("order-", n.Add(1)), Kind: task.KindHTTP, Body: body})
					if err != nil {
						b.Error(err)
						return
					}
					if _, err := h.Deliver(b.Context(), e); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
