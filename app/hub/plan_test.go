package hub

import (
	"strings"
	"testing"

	"tresor/app/store"
)

// TestPlans: what is asked at every turn finds its rows by an index; a hub that has
// kept a hundred thousand tasks is as quick as a new one.
func TestPlans(t *testing.T) {
	r := newRig(t)
	all := `SELECT ` + partColumns + ` FROM hub_part p `
	for query, index := range map[string]string{
		all + toSend:                           "hub_part_open (node=?)",
		all + toStop:                           "hub_part_open (node=?)",
		toAsk:                                  "hub_part_open (node=?)",
		all + `WHERE p.node = ? AND ` + goesOn: "hub_part_open (node=?)",
		`SELECT DISTINCT p.node FROM hub_part p WHERE ` + goesOn: "hub_part_open",
		overdue: "hub_result_kept (stored_at<?)",
		gone:    "hub_task_ended (ended_at<?)",
		`SELECT count(*) FROM hub_task WHERE project = ? AND ended_at IS NULL`: "hub_task_open (project=?)",
	} {
		must(t, r.db.View(t.Context(), func(tx *store.Tx) error {
			rows, err := tx.Query(`EXPLAIN QUERY PLAN `+query, make([]any, min(strings.Count(query, "?"), 2))...)
			if err != nil {
				return err
			}
			defer rows.Close()
			plan := ""
			for rows.Next() {
				var id, parent, unused int
				var line string
				if err := rows.Scan(&id, &parent, &unused, &line); err != nil {
					return err
				}
				plan += line + "\n"
			}
			if !strings.Contains(plan, "INDEX "+index) {
				t.Errorf("%s\n%s", query, plan)
			}
			return rows.Err()
		}))
	}
}
