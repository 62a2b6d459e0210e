package job

import (
	"context"
	"strings"
	"testing"

	"tresor/app/store"
)

// TestQueriesThatRunAgainAndAgain: what is asked every 30 seconds, or for each image, walks
// no table of all jobs that there ever were.
func TestQueriesThatRunAgainAndAgain(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		name, query, index string
		args               []any
	}{
		{"what is not cleaned up", `SELECT id FROM job ` + uncleaned, "job_uncleaned", nil},
		{"what waits for an image", waitingFor, "job_waits_image (waits_image=? AND id>?)", []any{"a", "", 1}},
		{"what waits for a sender", queuedByDoor, "job_state (state=? AND id>?)", []any{"", 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := h.db.View(context.Background(), func(tx *store.Tx) error {
				rows, err := tx.Query(`EXPLAIN QUERY PLAN `+c.query, c.args...)
				if err != nil {
					return err
				}
				defer rows.Close()
				for rows.Next() {
					var id, parent, unused int
					var step string
					if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
						return err
					}
					if !strings.Contains(step, c.index) {
						t.Errorf("step %q does not use %s", step, c.index)
					}
				}
				return rows.Err()
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
