package host_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"tresor/plugins/protocol"
	"tresor/plugins/protocoltest"
)

// BenchmarkHop is one request handed to a plugin process that answers at once, makes
// one host call before, or finds the answer to it looked up; ns/op is the wall time per
// request over all callers.
func BenchmarkHop(b *testing.B) {
	for _, callers := range []int{1, 16} {
		for name, path := range map[string]string{"no call": "/pid", "host call": "/host", "looked up": "/jobs/job-1"} {
			b.Run("callers="+strconv.Itoa(callers)+"/"+name, func(b *testing.B) {
				a := adapter(b, start(b, self("spy")))
				r := protocol.Request{Method: "GET", Path: path, Body: make([]byte, 1000), Header: map[string][]string{"Accept": {"application/json"}}}
				var left atomic.Int64
				left.Store(int64(b.N))
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							if resp, err := a.ServeRequest(context.Background(), r, &benchHost{}); err != nil || resp.Status != 200 {
								b.Errorf("status %d, error %v", resp.Status, err)
								return
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

// benchHost answers State at once and keeps no record.
type benchHost struct{ protocoltest.Host }

func (*benchHost) State(_ context.Context, id string, _ protocol.View) (protocol.JobState, error) {
	return protocol.JobState{ID: id, State: "queued", Document: make([]byte, 800)}, nil
}
