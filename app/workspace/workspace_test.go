package workspace

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/job"
	"tresor/app/output"
	"tresor/app/store"
	"tresor/app/vault"
)

type house struct {
	t   *testing.T
	db  *store.DB
	log *audit.Log
	ws  *Service
	mu  sync.Mutex
	now time.Time
	ids int
	txt map[string]string // job -> log
	out map[string]string // output -> content
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *house) later(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

type closer struct{ *strings.Reader }

func (closer) Close() error { return nil }

func (h *house) LogContent(_ context.Context, id string, from int64) (io.ReadCloser, int64, error) {
	text := h.txt[id]
	return closer{strings.NewReader(text[min(from, int64(len(text))):])}, int64(len(text)), nil
}

func (h *house) Content(o output.Output) (io.ReadSeekCloser, error) {
	return closer{strings.NewReader(h.out[o.ID])}, nil
}

var (
	rosa   = access.Actor{ID: "rosa", Name: "Rosa", Session: "s1", Via: "web", Projects: map[string]access.Role{"p": access.Researcher}}
	lead   = access.Actor{ID: "lead", Name: "Lead", Session: "s2", Via: "web", Projects: map[string]access.Role{"p": access.Lead}}
	olga   = access.Actor{ID: "olga", Roles: []access.Role{access.Operator}, Via: "web"}
	both   = access.Actor{ID: "both", Roles: []access.Role{access.Operator}, Projects: map[string]access.Role{"p": access.Lead}, Via: "web"}
	carl   = access.Actor{ID: "carl", Roles: []access.Role{access.Checker}, Via: "web"}
	stefan = access.Actor{ID: "stefan", Roles: []access.Role{access.Steward}, Via: "web"}
	paul   = access.Actor{ID: "paul", Via: "web", Projects: map[string]access.Role{"q": access.Lead}}
)

const table = "name,n\nann,1\nbob,2\ncid,3\n"

func newHouse(t *testing.T, l Limits) *house {
	t.Helper()
	ctx := context.Background()
	dir := t.TempDir()
	h := &house{t: t, now: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC),
		txt: map[string]string{"j": strings.Repeat("0123456789", 100)}, out: map[string]string{"o": table, "w": "a\n" + strings.Repeat(strings.Repeat("x", 1000)+"\n", 400)}}
	var err error
	if h.db, err = store.Open(ctx, filepath.Join(dir, "t.db"), store.Options{Now: h.clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.db.Close() })
	if h.log, err = audit.Open(ctx, h.db, filepath.Join(dir, "audit.key"), "tresor/test"); err != nil {
		t.Fatal(err)
	}
	h.fill()
	h.fresh(l)
	return h
}

func (h *house) fresh(l Limits) {
	v, err := vault.Open(filepath.Join(h.t.TempDir(), "v"))
	if err != nil {
		h.t.Fatal(err)
	}
	ids := func() string { h.ids++; return fmt.Sprintf("id%d", h.ids) }
	h.ws = New(Deps{DB: h.db, Log: h.log, Jobs: job.New(job.Deps{DB: h.db}), Outputs: output.New(v, ids), Logs: h, Contents: h, IDs: ids, Now: h.clock, Limits: l})
}

func (h *house) fill() {
	h.t.Helper()
	err := h.db.Update(context.Background(), func(tx *store.Tx) error {
		for _, q := range []string{
			`INSERT INTO project (id, slug, name, purpose, state, approval, threshold, reviewers, created_at, created_by) VALUES ('p', 'p', 'P', 'x', 'open', 'image', 10, 2, 0, '')`,
			`INSERT INTO job (id, project, name, purpose, state, submitter, submitter_handle, submitter_name, request_hash, queries, datasets, outputs, limits, created_at)
				VALUES ('j', 'p', 'J', '', 'held', 'rosa', 'rosa', 'Rosa', '', '[]', '[]', '[]', '{}', 0)`,
			`INSERT INTO output (id, job, project, path, sha256, size, kind, row_count, col_count, state, created_at) VALUES ('o', 'j', 'p', 'a.csv', 'x', 25, 'table', 3, 2, 'held', 0)`,
			`INSERT INTO output (id, job, project, path, sha256, size, kind, row_count, col_count, state, created_at) VALUES ('w', 'j', 'p', 'w.csv', 'y', 400402, 'table', 400, 1, 'held', 0)`,
		} {
			if _, err := tx.Exec(q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) read(a access.Actor, t Target) (string, error) {
	h.t.Helper()
	st, err := h.ws.Attach(context.Background(), a, t)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(st)
	if cerr := st.Close(); cerr != nil {
		h.t.Error(cerr)
	}
	if err == nil && int64(len(b)) != st.Size {
		h.t.Errorf("%d bytes delivered, %d announced", len(b), st.Size)
	}
	return string(b), err
}

// openings counts the audit events of the job.
func (h *house) openings() int {
	h.t.Helper()
	n := 0
	err := h.db.View(context.Background(), func(tx *store.Tx) error {
		events, err := h.log.Timeline(tx, "job:j")
		for _, e := range events {
			if e.Verb == "workspace.attached" {
				n++
			}
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

var (
	theLog    = Target{Kind: JobLog, ID: "j"}
	theOutput = Target{Kind: OutputPreview, ID: "o"}
)

func TestWhoLooks(t *testing.T) {
	cases := []struct {
		name  string
		actor access.Actor
		kind  fault.Kind
	}{
		{"researcher", rosa, 0},
		{"lead", lead, 0},
		{"denied: operator", olga, fault.Denied},
		{"denied: operator who is a member", both, fault.Denied},
		{"denied: checker", carl, fault.Denied},
		{"denied: steward", stefan, fault.Denied},
		{"denied: member of another project", paul, fault.NotFound},
		{"denied: nobody", access.Actor{}, fault.Denied},
		{"denied: the server itself", access.System, fault.Denied},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, Limits{})
			for _, target := range []Target{theLog, theOutput} {
				_, err := h.read(c.actor, target)
				check(t, err, c.kind)
			}
			_, err := h.ws.Preview(context.Background(), c.actor, "o", 0, 10)
			check(t, err, c.kind)
			if n := h.openings(); (n > 0) != (c.kind == 0) {
				t.Errorf("%d openings", n)
			}
		})
	}
}

func check(t *testing.T, err error, kind fault.Kind) {
	t.Helper()
	if kind == 0 && err != nil || kind != 0 && (err == nil || fault.KindOf(err) != kind) {
		t.Errorf("%v (%v), want %v", err, fault.KindOf(err), kind)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	h := newHouse(t, Limits{})
	cases := []struct {
		name   string
		target Target
		kind   fault.Kind
	}{
		{"no such job", Target{Kind: JobLog, ID: "x"}, fault.NotFound},
		{"no such output", Target{Kind: OutputPreview, ID: "x"}, fault.NotFound},
		{"no such kind", Target{Kind: "odd", ID: "j"}, fault.Invalid},
		{"negative offset", Target{Kind: JobLog, ID: "j", From: -1}, fault.Invalid},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := h.read(rosa, c.target)
			check(t, err, c.kind)
		})
	}
}

func TestOneOpeningIsAuditedOnce(t *testing.T) {
	h := newHouse(t, Limits{})
	for from := int64(0); from < 1000; from += 100 {
		got, err := h.read(rosa, Target{Kind: JobLog, ID: "j", From: from})
		if err != nil || got != h.txt["j"][from:] {
			t.Fatalf("from %d: %q, %v", from, got, err)
		}
	}
	if n := h.openings(); n != 1 {
		t.Errorf("%d openings, want 1", n)
	}
	other := rosa
	other.Session = "s9"
	for _, a := range []access.Actor{other, lead} {
		if _, err := h.read(a, theLog); err != nil {
			t.Fatal(err)
		}
	}
	if n := h.openings(); n != 3 {
		t.Errorf("%d openings, want 3: another session and another person", n)
	}
	h.later(11 * time.Minute)
	if _, err := h.read(rosa, theLog); err != nil {
		t.Fatal(err)
	}
	if n := h.openings(); n != 4 {
		t.Errorf("%d openings, want 4: the first is over", n)
	}
}

func TestOneLookIsCapped(t *testing.T) {
	h := newHouse(t, Limits{Log: 300, Preview: 10})
	got, err := h.read(rosa, theLog)
	if err != nil || len(got) != 300 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	got, err = h.read(rosa, Target{Kind: JobLog, ID: "j", From: 300})
	if err != nil || got != h.txt["j"][300:600] {
		t.Errorf("%q, %v", got, err)
	}
	if n := h.openings(); n != 2 {
		t.Errorf("%d openings, want 2: the first has shown all it may", n)
	}
	if got, err = h.read(rosa, theOutput); err != nil || got != table[:10] {
		t.Errorf("%q, %v", got, err)
	}
	if got, err = h.read(rosa, Target{Kind: JobLog, ID: "j", From: 5000}); err != nil || got != "" {
		t.Errorf("after the end: %q, %v", got, err)
	}
}

func TestAnHourIsCapped(t *testing.T) {
	h := newHouse(t, Limits{Hour: 2500})
	for range 2 {
		if _, err := h.read(rosa, theLog); err != nil {
			t.Fatal(err)
		}
		h.later(time.Minute)
	}
	got, err := h.read(rosa, theLog)
	if err != nil || len(got) != 500 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	_, err = h.read(rosa, theLog)
	check(t, err, fault.Exhausted)
	if m := fault.Message(err); !strings.Contains(m, "from 10:00 UTC on") {
		t.Errorf("message %q", m)
	}
	_, err = h.ws.Preview(context.Background(), rosa, "o", 0, 1)
	check(t, err, fault.Exhausted)
	if _, err = h.read(lead, theLog); err != nil {
		t.Errorf("another person: %v", err)
	}
	h.later(58 * time.Minute)
	if got, err = h.read(rosa, theLog); err != nil || len(got) != 1000 {
		t.Errorf("an hour later: %d bytes, %v", len(got), err)
	}
}

func TestTwoStreamsDoNotShowMoreThanTheHour(t *testing.T) {
	h := newHouse(t, Limits{Hour: 1500})
	a, err := h.ws.Attach(context.Background(), rosa, theLog)
	if err != nil {
		t.Fatal(err)
	}
	b, err := h.ws.Attach(context.Background(), rosa, theLog)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(a); err != nil || len(got) != 1000 {
		t.Errorf("first: %d, %v", len(got), err)
	}
	got, err := io.ReadAll(b)
	check(t, err, fault.Exhausted)
	if len(got) > 500 {
		t.Errorf("second: %d bytes", len(got))
	}
}

func TestARestartDoesNotForgetTheHour(t *testing.T) {
	h := newHouse(t, Limits{Hour: 200_000})
	h.txt["j"] = strings.Repeat("x", 150_000)
	if _, err := h.read(rosa, theLog); err != nil {
		t.Fatal(err)
	}
	h.fresh(Limits{Hour: 200_000})
	got, err := h.read(rosa, theLog)
	if err != nil || len(got) != 50_000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestPreview(t *testing.T) {
	h := newHouse(t, Limits{})
	p, err := h.ws.Preview(context.Background(), rosa, "o", 1, 1)
	if err != nil || p.Kind != "table" || len(p.Rows) != 1 || p.Rows[0][0] != "bob" || p.Total != 3 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err = h.ws.Preview(context.Background(), rosa, "o", -1, 1); fault.KindOf(err) != fault.Invalid {
		t.Errorf("negative offset: %v", err)
	}
	if n := h.openings(); n != 1 {
		t.Errorf("%d openings", n)
	}
}

func TestAWidePageIsShortened(t *testing.T) {
	h := newHouse(t, Limits{Preview: 50_000})
	p, err := h.ws.Preview(context.Background(), rosa, "w", 0, 400)
	if err != nil || len(p.Rows) == 0 || p.Bytes > 50_000 {
		t.Errorf("%d rows, %d bytes, %v", len(p.Rows), p.Bytes, err)
	}
}

func TestWhatIsSavedOfAnOpening(t *testing.T) {
	h := newHouse(t, Limits{})
	h.txt["j"] = strings.Repeat("x", 100_000)
	if _, err := h.read(rosa, theLog); err != nil {
		t.Fatal(err)
	}
	var n int64
	err := h.db.View(context.Background(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT bytes FROM opening WHERE person = 'rosa'`).Scan(&n)
	})
	if err != nil || n != 100_000 {
		t.Errorf("%d, %v", n, err)
	}
}
