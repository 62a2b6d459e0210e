package airlock_test

import (
	"fmt"
	"strings"
	"testing"

	"tresor/app/airlock"
	"tresor/app/airlock/airlocktest"
)

// TestRawSQLAborts is the second lock (T-T2): SQL through the appliance's own
// transaction cannot do what the programs refuse. Each row must abort.
func TestRawSQLAborts(t *testing.T) {
	h := airlocktest.New(t)
	draft := h.Draft("a.csv", airlocktest.Safe)
	sent := h.Submitted("b.csv", airlocktest.Safe)
	h.Look("carl", sent.ID)
	open := h.Submitted("c.csv", airlocktest.Safe)
	h.Vote("carl", open.ID, airlock.Approve)
	done := h.Approved("d.csv", airlocktest.Safe)
	c := sent.Checks
	hashes := fmt.Sprintf("'%s', '%s', '%s'", c.ManifestSHA256, c.RulesSHA256, c.FindingsSHA256)
	vote := func(request airlock.Request, round int, who, decision, hashes string) string {
		return fmt.Sprintf(`INSERT INTO airlock_review (id, request, round, reviewer, reviewer_handle, reviewer_name, decision, comment, manifest_sha256, rules_sha256, findings_sha256, voted_at)
 VALUES ('new', '%s', %d, '%s', 'h', 'n', '%s', 'c', %s, 1)`, request.ID, round, who, decision, hashes)
	}
	state := func(r airlock.Request, to string) string {
		return fmt.Sprintf(`UPDATE airlock_request SET state = '%s' WHERE id = '%s'`, to, r.ID)
	}
	release := func(r airlock.Request, manifest string) string {
		return fmt.Sprintf(`INSERT INTO release (id, request, round, project, job, title, manifest_sha256, sha256, size, files, made_at, made_by, made_by_handle, made_by_name)
 VALUES ('new', '%s', %d, '%s', '%s', 't', '%s', 'x', 1, '[]', 1, 'p', 'p', 'p')`, r.ID, r.Round, r.Project, r.Job, manifest)
	}
	other := fmt.Sprintf("'%s', '%s', '%s'", strings.Repeat("0", 64), c.RulesSHA256, c.FindingsSHA256)
	dc := done.Checks
	full := fmt.Sprintf("'%s', '%s', '%s'", dc.ManifestSHA256, dc.RulesSHA256, dc.FindingsSHA256)
	for _, row := range []struct{ name, sql string }{
		{"vote: by the requester", vote(sent, 1, "p-rosa", "approve", hashes)},
		{"vote: by a member", vote(sent, 1, "p-mia", "approve", hashes)},
		{"vote: by nobody", vote(sent, 1, "", "approve", hashes)},
		{"vote: without having looked", vote(sent, 1, "p-cemile", "approve", hashes)},
		{"vote: on other bytes", vote(sent, 1, "p-carl", "approve", other)},
		{"vote: on a round that is not there", vote(sent, 2, "p-carl", "approve", hashes)},
		{"vote: on a draft", vote(draft, 1, "p-carl", "approve", hashes)},
		{"vote: of no kind", vote(sent, 1, "p-carl", "maybe", hashes)},
		{"vote: a third one", vote(done, 1, "p-cyril", "reject", full)},
		{"vote: changed", `UPDATE airlock_review SET decision = 'approve'`},
		{"vote: removed", `DELETE FROM airlock_review`},
		{"state: approved without a vote", state(sent, "approved")},
		{"state: approved with one of two votes", state(open, "approved")},
		{"state: a draft approved", state(draft, "approved")},
		{"state: a draft submitted without a round", state(draft, "submitted")},
		{"state: released without a release", state(done, "released")},
		{"state: back to draft", state(sent, "draft")},
		{"request: born approved", `INSERT INTO airlock_request (id, project, job, job_name, direction, state, title, context, population, controls, exception, requester, requester_handle, requester_name, producer, created_at, turned_at)
 SELECT 'new', project, job, job_name, direction, 'approved', title, context, population, controls, exception, requester, requester_handle, requester_name, producer, 1, 1 FROM airlock_request LIMIT 1`},
		{"request: another requester", `UPDATE airlock_request SET requester = 'p-otto'`},
		{"request: other words after submission", `UPDATE airlock_request SET exception = 'x' WHERE id = '` + sent.ID + `'`},
		{"request: a round moved on", `UPDATE airlock_request SET round = 2 WHERE id = '` + sent.ID + `'`},
		{"request: removed", `DELETE FROM airlock_request`},
		{"round: fewer reviewers than the project asks for", `INSERT INTO airlock_round (request, round, needed, threshold, manifest, manifest_sha256, rules_version, rules_sha256, findings_sha256, submitted_at) VALUES ('` + draft.ID + `', 1, 1, 10, '{}', 'x', '1', 'x', 'x', 1)`},
		{"round: files not pinned", `INSERT INTO airlock_round (request, round, needed, threshold, manifest, manifest_sha256, rules_version, rules_sha256, findings_sha256, submitted_at) VALUES ('` + draft.ID + `', 1, 2, 10, '{}', 'x', '1', 'x', 'x', 1)`},
		{"round: changed", `UPDATE airlock_round SET needed = 1`},
		{"round: removed", `DELETE FROM airlock_round`},
		{"item: other bytes after submission", `UPDATE airlock_item SET sha256 = 'x' WHERE request = '` + sent.ID + `'`},
		{"item: removed after submission", `DELETE FROM airlock_item WHERE request = '` + sent.ID + `'`},
		{"item: added after submission", `INSERT INTO airlock_item (id, request, round, output, path, source_sha256, sha256, size, kind, row_count, col_count, findings) SELECT 'new', request, round, output, 'z.csv', 'x', 'x', 1, kind, 0, 0, '[]' FROM airlock_item WHERE request = '` + sent.ID + `'`},
		{"seen: other bytes", `INSERT INTO airlock_seen (item, person, sha256, seen_at) VALUES ('` + sent.Items[0].ID + `', 'p-cyril', 'x', 1)`},
		{"seen: removed", `DELETE FROM airlock_seen`},
		{"comment: removed or changed", `UPDATE airlock_comment SET text = 'x'; DELETE FROM airlock_review`},
		{"pin: removed", `DELETE FROM airlock_pin`},
		{"release: of a request under review", release(sent, c.ManifestSHA256)},
		{"release: of a request with one of two votes", release(open, open.Checks.ManifestSHA256)},
		{"release: of another manifest", release(done, strings.Repeat("0", 64))},
		{"release: of a draft", release(draft, "x")},
	} {
		t.Run(row.name, func(t *testing.T) {
			if err := h.Try(row.sql); err == nil {
				t.Errorf("it went through: %s", row.sql)
			}
		})
	}
	if got, err := h.Airlock.Get(ctx, h.People["carl"], sent.ID); err != nil || got.State != airlock.Submitted || got.ReviewsDone != 0 {
		t.Errorf("something changed: %+v (%v)", got, err)
	}
	// The same statements go through when everything is in order.
	if err := h.Try(vote(sent, 1, "p-carl", "approve", hashes)); err != nil {
		t.Errorf("a good vote aborts: %v", err)
	}
	if err := h.Try(release(done, dc.ManifestSHA256)); err != nil {
		t.Errorf("a good release aborts: %v", err)
	}
	for _, sql := range []string{`UPDATE release SET size = 2`, `DELETE FROM release`} {
		if err := h.Try(sql); err == nil {
			t.Errorf("it went through: %s", sql)
		}
	}
}
