package gateway

import (
	"context"
	"strings"
	"testing"

	"tresor/plugins/protocol"
	"tresor/sandbox/fake"
)

// TestTheDiskBoundsTheSum: files that are small enough one by one and too large together
// are not all taken, and the task says so, to its sender and on the job's page.
func TestTheDiskBoundsTheSum(t *testing.T) {
	h := newHouse(t)
	h.runner.Handle("three", func(_ context.Context, tk *fake.Task) int {
		for _, name := range []string{"a", "b", "c"} {
			if tk.WriteFile("/work/out/"+name, []byte(strings.Repeat("x", 400))) != nil {
				return 1
			}
		}
		return 0
	})
	h.run()
	_, hub := h.hub("North hub")
	rosa, _ := h.person("rosa", "aurora")
	for who, c := range map[string]Caller{"a hub": hub, "a person": rosa} {
		for gb, taken := range map[float64]int{0.000001: 2, 0.000002: 3} { // 1,000 and 2,000 bytes
			r := request("three")
			r.Outputs = []protocol.Output{{Path: "/work/out", Target: "s3://results/out", Directory: true}}
			r.Resources.Disk = gb
			st := h.until(c, h.submit(c, r).ID, "held")
			j, err := h.jobs.Get(ctx, h.as("rosa"), st.ID)
			if err != nil || len(j.Outputs) != taken {
				t.Fatalf("%s, %v GB: %d outputs (%v)", who, gb, len(j.Outputs), err)
			}
			said := strings.Contains(strings.Join(st.Messages, " "), "larger than its disk_gb")
			if said != (taken < 3 && who == "a person") || len(j.Refused) != 3-taken {
				t.Errorf("%s, %v GB: %v; refused %+v", who, gb, st.Messages, j.Refused)
			}
		}
	}
}
