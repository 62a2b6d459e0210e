package hub

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/fed/fedtest"
)

// released is a rig whose one node has released content of a task.
func released(t *testing.T, content string, options ...func(*rig)) (*rig, *fakeNode, string) {
	t.Helper()
	r := newRig(t, options...)
	n := newFakeNode(t, "north")
	r.enrol(n)
	n.connect(r)
	id := r.create("")
	n.release(content)
	r.until(id, "COMPLETE")
	return r, n, id
}

func (r *rig) resultPath(id string, n *fakeNode) string { return r.s.resultFile(id, string(n.ID)) }

func onDisk(path string) bool { _, err := os.Stat(path); return err == nil }

func TestDeletingResults(t *testing.T) {
	lead := access.Actor{ID: "lead", Handle: "lena", Via: "web"}
	r, n, id := released(t, "the table")
	lead.Projects = map[string]access.Role{r.project.ID: access.Lead}
	for name, c := range map[string]struct {
		actor access.Actor
		task  string
		node  string
		kind  fault.Kind
	}{
		"a lead who did not send it": {lead, id, "", fault.Denied},
		"an outsider":                {access.Actor{ID: "x", Handle: "x", Via: "web"}, id, "", fault.NotFound},
		"another task":               {r.rosa, "nothing", "", fault.NotFound},
		"another node":               {r.rosa, id, "east", fault.Conflict},
	} {
		if _, err := r.s.DeleteResults(t.Context(), c.actor, c.task, c.node); fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	path := r.resultPath(id, n)
	before := r.part(id, "north").Result
	if !onDisk(path) || before.KeepUntil != nil {
		t.Fatalf("%+v", before)
	}
	shown, err := r.s.Task(t.Context(), r.rosa, id)
	if err != nil || !shown.CanErase {
		t.Errorf("the sender may not delete: %v", err)
	}
	after, err := r.s.DeleteResults(t.Context(), r.rosa, id, "")
	if err != nil {
		t.Fatal(err)
	}
	res := after.Parts[0].Result
	if onDisk(path) || onDisk(filepath.Dir(path)) || after.CanErase || res.State != "deleted" || res.DeletedBy != "rosa" || res.DeletedAt == nil ||
		res.SHA256 != before.SHA256 || len(res.Files) != 1 || after.State != "COMPLETE" {
		t.Errorf("%+v of %+v", res, after)
	}
	if !has(r.verbs(id), "result.deleted") {
		t.Error("no audit event")
	}
	if _, err := r.s.DeleteResults(t.Context(), r.operator, id, ""); fault.KindOf(err) != fault.Conflict {
		t.Errorf("twice: %v", err)
	}
	if _, err := r.s.Result(t.Context(), r.rosa, id, "north"); !errors.Is(err, ErrDeleted) {
		t.Errorf("%v", err)
	}
	for _, path := range []string{"", "/work/out/x.csv"} {
		status, _, body := r.get("/ga4gh/tes/results/" + id + "/north" + path)
		if status != 410 || !strings.Contains(string(body), "was deleted here on") || !strings.Contains(string(body), "still has the release rel-north") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	_, _, body := r.get("/ga4gh/tes/v1/tasks/" + id + "?view=FULL")
	if s := string(body); strings.Contains(s, "/results/") || !strings.Contains(s, res.SHA256) || !strings.Contains(s, "was deleted here on") {
		t.Errorf("%s", s)
	}
}

func TestTheOperatorDeletesOneNodesResult(t *testing.T) {
	r := newRig(t)
	nodes := r.three()
	id := r.create("")
	for _, n := range nodes {
		n.release("of " + n.name)
	}
	r.until(id, "COMPLETE")
	if _, err := r.s.DeleteResults(t.Context(), r.operator, id, "EAST"); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if onDisk(r.resultPath(id, n)) == (n.name == "east") {
			t.Errorf("%s", n.name)
		}
	}
}

// TestResultsEndByThemselves: a result is kept for its time after the task has ended,
// and everybody reads until when.
func TestResultsEndByThemselves(t *testing.T) {
	r, n, id := released(t, "the table", func(r *rig) { r.keep = 30 * day })
	task, err := r.s.Task(t.Context(), r.rosa, id)
	if err != nil {
		t.Fatal(err)
	}
	until := task.Parts[0].Result.KeepUntil
	if until == nil || until.Before(task.EndedAt.Add(30*day)) || until.After(time.Now().Add(30*day+time.Minute)) {
		t.Fatalf("kept until %v, ended %v", until, task.EndedAt)
	}
	_, _, body := r.get("/ga4gh/tes/v1/tasks/" + id + "?view=BASIC")
	if !strings.Contains(string(body), `"keep_until":"`+until.UTC().Format(time.RFC3339)+`"`) {
		t.Errorf("%s", body)
	}
	r.clock.Skew(30*day - time.Hour)
	must(t, r.s.retire(t.Context()))
	if !onDisk(r.resultPath(id, n)) {
		t.Fatal("deleted an hour too early")
	}
	r.clock.Skew(30*day + time.Hour)
	fedtest.Until(t, "the result is gone", func() bool { return !onDisk(r.resultPath(id, n)) })
	res := r.part(id, "north").Result
	if res.State != "deleted" || res.DeletedBy != byTime {
		t.Errorf("%+v", res)
	}
}

// TestDeletedFilesThatStay: what could not be removed, or a crash left, goes later; the
// result is given out no more from the first moment on.
func TestDeletedFilesThatStay(t *testing.T) {
	erased := func(r *rig, id string) (yes bool) {
		err := r.db.View(context.Background(), func(tx *store.Tx) error {
			return tx.QueryRow(`SELECT erased FROM hub_result WHERE task = ?`, id).Scan(&yes)
		})
		if err != nil {
			t.Error(err)
		}
		return yes
	}
	t.Run("the disk does not let it go", func(t *testing.T) {
		r, n, id := released(t, "the table")
		path := r.resultPath(id, n)
		must(t, os.Remove(path))
		must(t, os.MkdirAll(filepath.Join(path, "in the way"), 0o700))
		if _, err := r.s.DeleteResults(t.Context(), r.rosa, id, ""); err != nil {
			t.Fatal(err)
		}
		if erased(r, id) {
			t.Error("called erased while it is there")
		}
		must(t, os.RemoveAll(filepath.Join(path, "in the way")))
		fedtest.Until(t, "it is erased", func() bool { return erased(r, id) && !onDisk(path) })
	})
	t.Run("a crash came between", func(t *testing.T) {
		r, n, id := released(t, "the table")
		path := r.resultPath(id, n)
		copied, err := os.ReadFile(path)
		must(t, err)
		if _, err := r.s.DeleteResults(t.Context(), r.rosa, id, ""); err != nil {
			t.Fatal(err)
		}
		r.crash()
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, copied, 0o600))
		db, err := store.Open(t.Context(), filepath.Join(r.dir, "tresor.db"), store.Options{})
		must(t, err)
		must(t, db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE hub_result SET erased = 0`)
			return err
		}))
		must(t, db.Close())
		r.start()
		fedtest.Until(t, "it is erased", func() bool { return erased(r, id) && !onDisk(path) })
	})
}
