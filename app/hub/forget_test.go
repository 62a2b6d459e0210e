package hub

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tresor/app/apptest/tesclient"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/fed/fedtest"
)

const day = 24 * time.Hour

// rows counts what the database has of a task.
func (r *rig) rows(id string) (n int) {
	r.t.Helper()
	must(r.t, r.db.View(context.Background(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT (SELECT count(*) FROM hub_task WHERE id = ?1) + (SELECT count(*) FROM hub_part WHERE task = ?1) +
			(SELECT count(*) FROM hub_tag WHERE task = ?1) + (SELECT count(*) FROM hub_result WHERE task = ?1)`, id).Scan(&n)
	}))
	return n
}

// TestTasksEndByThemselves: an ended task is there for its time and then nowhere, at no
// door; what happened to it stays in the audit log.
func TestTasksEndByThemselves(t *testing.T) {
	r, _, id := released(t, "the table", func(r *rig) { r.keep, r.tasks = 30*day, 180*day })
	task, err := r.s.Task(t.Context(), r.rosa, id)
	must(t, err)
	if task.KeepUntil == nil || !task.KeepUntil.Equal(task.EndedAt.Add(180*day)) {
		t.Fatalf("kept until %v, ended %v", task.KeepUntil, task.EndedAt)
	}
	r.clock.Skew(180*day - time.Hour)
	fedtest.Until(t, "the result's file is gone", func() bool { return r.part(id, "north").Result.State == "deleted" })
	must(t, r.s.forget(t.Context()))
	if r.state(id) != "COMPLETE" {
		t.Fatal("dropped an hour too early")
	}
	r.clock.Skew(180*day + time.Hour)
	fedtest.Until(t, "the task is gone", func() bool { return r.rows(id) == 0 })
	const next = "This hub keeps a task for 180 days after its end"
	for _, path := range []string{"/ga4gh/tes/v1/tasks/" + id, "/ga4gh/tes/results/" + id + "/north"} {
		if status, _, body := r.get(path); status != 404 || !strings.Contains(string(body), next) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, _, _ := r.ask("POST", "/ga4gh/tes/v1/tasks/"+id+":cancel", r.token, ""); status != 404 {
		t.Errorf("cancel: %d", status)
	}
	if all, err := r.client().Walk(t.Context(), tesclient.Query{}); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	if all, err := r.s.Tasks(t.Context(), r.operator, TaskFilter{}); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	for name, do := range map[string]func() error{
		"show":    func() error { _, err := r.s.Task(t.Context(), r.operator, id); return err },
		"cancel":  func() error { _, err := r.s.Cancel(t.Context(), r.operator, id); return err },
		"end":     func() error { _, err := r.s.End(t.Context(), r.operator, id); return err },
		"results": func() error { _, err := r.s.Result(t.Context(), r.rosa, id, "north"); return err },
		"delete":  func() error { _, err := r.s.DeleteResults(t.Context(), r.operator, id, ""); return err },
	} {
		if err := do(); fault.KindOf(err) != fault.NotFound || !strings.HasPrefix(fault.Next(err), next) {
			t.Errorf("%s: %v, next %q", name, err, fault.Next(err))
		}
	}
	for _, verb := range []string{"task.created", "part.accepted", "result.stored", "result.deleted", "task.forgotten"} {
		if !has(r.verbs(id), verb) {
			t.Errorf("the audit log has lost %s", verb)
		}
	}
}

// TestTasksThatStay: only what has ended for everybody goes.
func TestTasksThatStay(t *testing.T) {
	for name, c := range map[string]struct {
		keep  time.Duration // of results
		tasks time.Duration
		make  func(r *rig, n *fakeNode) string
		gone  func(r *rig, n *fakeNode, id string) // what lets it go; nil: nothing
	}{
		"it goes on": {30 * day, 10 * day, func(r *rig, n *fakeNode) string {
			id := r.create("")
			n.set("RUNNING")
			r.untilPart(id, "north", "runs", func(p Part) bool { return p.State == "RUNNING" })
			return id
		}, func(r *rig, n *fakeNode, id string) { n.set("EXECUTOR_ERROR") }},
		"its result is here": {0, 10 * day, func(r *rig, n *fakeNode) string {
			id := r.create("")
			n.release("the table")
			r.until(id, "COMPLETE")
			return id
		}, func(r *rig, n *fakeNode, id string) {
			_, err := r.s.DeleteResults(r.t.Context(), r.operator, id, "")
			if fault.KindOf(err) != fault.NotFound { // with its result the task goes, maybe before the answer
				must(r.t, err)
			}
		}},
		"a node still has to be told": {30 * day, 10 * day, func(r *rig, n *fakeNode) string {
			id := r.create("")
			n.set("RUNNING")
			r.untilPart(id, "north", "runs", func(p Part) bool { return p.State == "RUNNING" })
			n.offline(r)
			must(r.t, r.client().Cancel(r.t.Context(), id))
			_, err := r.s.End(r.t.Context(), r.rosa, id)
			must(r.t, err)
			return id
		}, func(r *rig, n *fakeNode, id string) {
			_, err := r.s.RevokeNode(r.t.Context(), r.operator, "north", "it is gone")
			must(r.t, err)
		}},
		"they are kept for ever": {30 * day, 0, func(r *rig, n *fakeNode) string {
			id := r.create("")
			n.set("EXECUTOR_ERROR")
			r.until(id, "EXECUTOR_ERROR")
			return id
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.keep, r.tasks = c.keep, c.tasks })
			n := newFakeNode(t, "north")
			r.enrol(n)
			n.connect(r)
			id := c.make(r, n)
			r.clock.Skew(11 * day)
			must(t, r.s.forget(t.Context()))
			if r.rows(id) == 0 {
				t.Fatal("it was dropped")
			}
			if c.gone == nil {
				return
			}
			c.gone(r, n, id)
			fedtest.Until(t, "the part is over", func() bool {
				x, err := r.s.Task(t.Context(), r.operator, id)
				return fault.KindOf(err) == fault.NotFound || err == nil && x.Parts[0].Turn == "" // gone already, or soon
			})
			r.clock.Skew(23 * day)
			fedtest.Until(t, "the task is gone", func() bool { return r.rows(id) == 0 })
		})
	}
}

// TestForgettingFails: a batch goes whole or not at all, and what a crash left of it is
// no hindrance.
func TestForgettingFails(t *testing.T) {
	r := newRig(t, func(r *rig) { r.pace.Tick = time.Hour })
	r.enrol(newFakeNode(t, "north"))
	var ids []string
	for range 3 {
		id := r.create("")
		_, err := r.s.Cancel(t.Context(), r.operator, id)
		must(t, err)
		ids = append(ids, id)
	}
	exec := func(q string) {
		must(t, r.db.Update(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(q); return err }))
	}
	r.clock.Skew(11 * day)
	r.s.KeepTasks = 10 * day
	for name, c := range map[string]struct{ spoil, mend string }{
		"it fails":                     {`CREATE TRIGGER spoiled BEFORE DELETE ON hub_task BEGIN SELECT RAISE(ABORT, 'disk full'); END`, `DROP TRIGGER spoiled`},
		"it fails after all was there": {`CREATE TRIGGER spoiled AFTER DELETE ON hub_task WHEN (SELECT count(*) FROM hub_task) = 0 BEGIN SELECT RAISE(ABORT, 'disk full'); END`, `DROP TRIGGER spoiled`},
	} {
		exec(c.spoil)
		if err := r.s.forget(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
		for _, id := range ids {
			if r.rows(id) != 2 || has(r.verbs(id), "task.forgotten") {
				t.Errorf("%s: %s has %d rows", name, id, r.rows(id))
			}
		}
		exec(c.mend)
	}
	left := filepath.Join(r.s.Results, ids[0]) // of a result that came when its part was over already
	must(t, os.Mkdir(left, 0o700))
	must(t, os.WriteFile(filepath.Join(left, "north.zip"), []byte("x"), 0o600))
	must(t, r.s.forget(t.Context()))
	for _, id := range ids {
		if r.rows(id) != 0 || !has(r.verbs(id), "task.forgotten") {
			t.Errorf("%s stayed", id)
		}
	}
	if onDisk(left) {
		t.Error("its folder stayed")
	}
}

// TestForgettingMany: more than fit into one step go in one look.
func TestForgettingMany(t *testing.T) {
	r := newRig(t, func(r *rig) { r.pace.Tick = time.Hour })
	must(t, r.db.Update(t.Context(), func(tx *store.Tx) error {
		for i := range 2*forgetAtOnce + 1 {
			_, err := tx.Exec(`INSERT INTO hub_task (id, project, person, person_name, name, state, document, created_at, ended_at) VALUES (?, ?, ?, '', '', 'CANCELED', '{}', 1, 1)`,
				"old-"+strconv.Itoa(i), r.project.ID, r.rosa.ID)
			if err != nil {
				return err
			}
		}
		return nil
	}))
	r.s.KeepTasks = day
	must(t, r.s.forget(t.Context()))
	if all, err := r.s.Tasks(t.Context(), r.operator, TaskFilter{}); err != nil || len(all) != 0 || !has(r.verbs("old-200"), "task.forgotten") {
		t.Errorf("%d left, %v", len(all), err)
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{day: "a day", 180 * day: "180 days", 36 * time.Hour: "36h0m0s"} {
		if got := span(d); got != want {
			t.Errorf("%v: %q", d, got)
		}
	}
}

// TestPageTokens: a token goes on with the list that gave it and with no other.
func TestPageTokens(t *testing.T) {
	r := newRig(t)
	r.enrol(newFakeNode(t, "north"))
	for range 3 {
		r.create("north")
	}
	get := func(query, token string) (int, string) {
		status, _, body := r.ask("GET", "/ga4gh/tes/v1/tasks?"+query, token, "")
		return status, body
	}
	const list = "page_size=1&state=QUEUED&name_prefix=co&tag_key=tres&tag_value=north"
	_, body := get(list, r.token)
	_, rest, _ := strings.Cut(body, `"next_page_token":"`)
	next, _, _ := strings.Cut(rest, `"`)
	same, err := r.s.NewToken(t.Context(), r.rosa, TokenDraft{Name: "second", Project: "aurora"})
	must(t, err)
	_, other := r.member("ruth")
	for name, c := range map[string]struct {
		query, bearer string
		status        int
	}{
		"the same list":                      {list, r.token, 200},
		"another size and view":              {strings.Replace(list, "page_size=1", "page_size=2&view=FULL", 1), r.token, 200},
		"another token of the person":        {list, same.Token, 200},
		"another person":                     {list, other, 400},
		"another state":                      {strings.Replace(list, "QUEUED", "RUNNING", 1), r.token, 400},
		"another prefix":                     {strings.Replace(list, "=co", "=c", 1), r.token, 400},
		"another tag":                        {strings.Replace(list, "=north", "=east", 1), r.token, 400},
		"no tag":                             {strings.Replace(list, "&tag_key=tres&tag_value=north", "", 1), r.token, 400},
		"a key with any value":               {strings.Replace(list, "&tag_value=north", "", 1), r.token, 400},
		"prefix and state that run together": {"page_size=1&name_prefix=coQUEUED&tag_key=tres&tag_value=north", r.token, 400},
	} {
		status, body := get(c.query+"&page_token="+next, c.bearer)
		if status != c.status || status == 400 && !strings.Contains(body, "begin again without one") {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	for _, wrong := range []string{"x", next[:len(next)-1], next + "A", "YWZ0ZXI6eA"} {
		if status, _ := get(list+"&page_token="+wrong, r.token); status != 400 {
			t.Errorf("%q: %d", wrong, status)
		}
	}
}
