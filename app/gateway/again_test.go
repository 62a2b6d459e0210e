package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"tresor/app/fault"
	"tresor/app/job"
	"tresor/app/store"
	"tresor/plugins/protocol"
)

// TestAgain: the same request is the same task, another one under its id is refused.
func TestAgain(t *testing.T) {
	h := newHouse(t)
	p, who := h.hub("North hub")
	_, other := h.hub("South hub")
	r := request()
	r.RemoteID = "order-1"
	first := h.submit(who, r)
	if again := h.submit(who, r); again.ID != first.ID {
		t.Errorf("again is %s, want %s", again.ID, first.ID)
	}
	changed := r
	changed.Name = "Another thing"
	_, err := h.host(who).Submit(ctx, changed)
	h.wantRefusal(err, CodeConflict, "used before for another")
	if theirs := h.submit(other, r); theirs.ID == first.ID {
		t.Error("two principals share an id")
	}
	if id, err := h.g.Answered(ctx, p.ID, "tes", "order-1"); err != nil || id != first.ID {
		t.Errorf("answered %q (%v)", id, err)
	}
	if id, err := h.g.Answered(ctx, p.ID, "tes", "order-2"); err != nil || id != "" {
		t.Errorf("answered %q (%v)", id, err)
	}
	h.quota(p, Quotas{OpenTasks: 1, TasksPerHour: 1}) // asking again needs no quota
	if again := h.submit(who, r); again.ID != first.ID {
		t.Error("asking again was a new task")
	}
	h.fresh() // and no memory
	if again := h.submit(who, r); again.ID != first.ID {
		t.Error("after a restart asking again was a new task")
	}
}

// TestTheSameInOtherWords: what is asked for counts and not how it is spelled; for a task
// of an older program its bytes do, so that a retry across the upgrade is one.
func TestTheSameInOtherWords(t *testing.T) {
	h := newHouse(t)
	_, _, token := h.client("Lab client")
	r := request()
	r.Tags = map[string]string{"b": "2", "a": "1"}
	plain, err := json.Marshal(r)
	h.must(err)
	var spaced bytes.Buffer
	h.must(json.Indent(&spaced, plain, "", "\t"))
	turned := bytes.Replace(plain, []byte(`{"a":"1","b":"2"}`), []byte(`{"b":"2","a":"1"}`), 1)
	other := bytes.Replace(plain, []byte(`"b":"2"`), []byte(`"b":"3"`), 1)
	send := func(body []byte) (int, string) {
		w := h.call("POST", "/ga4gh/tes/tasks", token, body, "Idempotency-Key", "key-1")
		if w.Code != 200 {
			return w.Code, ""
		}
		return w.Code, decode[protocol.JobState](t, w).ID
	}
	_, first := send(plain)
	for name, body := range map[string][]byte{"the same bytes": plain, "other white space": spaced.Bytes(), "another order": turned} {
		if code, id := send(body); code != 200 || id != first || first == "" {
			t.Errorf("%s: %d, task %s, want %s", name, code, id, first)
		}
	}
	if code, _ := send(other); code != 409 {
		t.Errorf("another request under the same id: %d", code)
	}
	h.must(h.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`DROP TRIGGER gateway_task_form`)
		if err == nil {
			_, err = tx.Exec(`UPDATE gateway_task SET form_sha256 = ''`)
		}
		return err
	}))
	if code, id := send(plain); code != 200 || id != first {
		t.Errorf("the same bytes after an upgrade: %d, %s", code, id)
	}
	if code, _ := send(spaced.Bytes()); code != 409 {
		t.Errorf("other white space after an upgrade: %d", code)
	}
}

// TestRace: many copies of one request at once are one task, and every copy gets it.
func TestRace(t *testing.T) {
	h := newHouse(t)
	p, who := h.hub("North hub")
	for round := range 5 {
		r := request()
		r.RemoteID = "order-" + string(rune('a'+round))
		got := make([]string, 16)
		var wg sync.WaitGroup
		for i := range got {
			wg.Add(1)
			go func() {
				defer wg.Done()
				st, err := h.host(who).Submit(ctx, r)
				if err != nil {
					t.Error(err)
				}
				got[i] = st.ID
			}()
		}
		wg.Wait()
		for _, id := range got {
			if id != got[0] || id == "" {
				t.Fatalf("different tasks: %v", got)
			}
		}
	}
	if n := h.number(`SELECT count(*) FROM job`); n != 5 {
		t.Errorf("%d jobs, want 5", n)
	}
	if n := h.g.counts.all[p.ID].open; n != 5 {
		t.Errorf("%d counted as open, want 5", n)
	}
}

// TestAnEndIsCountedOnce: a count that is filled while a task's end is on its way to the
// disk knows of that end, and does not go down once more.
func TestAnEndIsCountedOnce(t *testing.T) {
	h := newHouse(t)
	p, who := h.hub("North hub")
	st := h.submit(who, request())
	h.fresh()
	h.must(h.db.Update(ctx, func(tx *store.Tx) error {
		j, err := h.jobs.Find(tx, st.ID)
		if err != nil {
			return err
		}
		j.State = job.Cancelled
		if err := h.g.Moved(tx, j); err != nil {
			return err
		}
		_, err = h.g.counts.take(tx, p.ID, p.Quotas) // as the next caller does in the same commit
		return err
	}))
	if n := h.g.counts.all[p.ID].open; n != 1 {
		t.Errorf("%d open tasks, want the one that was taken", n)
	}
}

// TestQuotaIsExact: copies of many requests at once never pass the quota.
func TestQuotaIsExact(t *testing.T) {
	h := newHouse(t)
	p, who := h.hub("North hub")
	h.quota(p, Quotas{OpenTasks: 10})
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for range 32 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := h.host(who).Submit(ctx, request()); err == nil {
				mu.Lock()
				taken++
				mu.Unlock()
			} else if wireCode(err) != CodeQuota {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if n := h.number(`SELECT count(*) FROM gateway_task`); taken != 10 || n != 10 {
		t.Errorf("%d taken, %d stored, want 10", taken, n)
	}
	page, err := h.host(who).Jobs(ctx, protocol.JobQuery{View: protocol.Minimal, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range page.Jobs[:3] {
		h.must(h.host(who).Cancel(ctx, st.ID))
	}
	for range 3 { // as many as have ended
		h.submit(who, request())
	}
	_, err = h.host(who).Submit(ctx, request())
	h.wantRefusal(err, CodeQuota, "open tasks")
}

// TestHourlyQuotaOpensAgain: a minute at a time.
func TestHourlyQuotaOpensAgain(t *testing.T) {
	c := &count{newest: 100}
	c.minutes[100%60] = 5
	c.move(159)
	if c.hour() != 5 {
		t.Errorf("59 minutes later %d are left", c.hour())
	}
	c.move(160)
	if c.hour() != 0 {
		t.Errorf("an hour later %d are left", c.hour())
	}
	c.minutes[160%60] = 3
	c.move(1000)
	if c.hour() != 0 {
		t.Errorf("a day later %d are left", c.hour())
	}
}

// faulty stands for a database that fails, or that fails after it has stored.
type faulty struct {
	left  int // writes that go well before
	after bool
	real  func(context.Context, func(*store.Tx) error) error
}

var errDisk = errors.New("the disk is gone")

func (b *faulty) update(c context.Context, fn func(*store.Tx) error) error {
	b.left--
	if b.left != -1 {
		return b.real(c, fn)
	}
	if b.after {
		if err := b.real(c, fn); err != nil {
			return err
		}
	}
	return errDisk
}

// TestManagementFaults: every write of the management fails, or fails after it was
// stored; then it is done again and stands there once.
func TestManagementFaults(t *testing.T) {
	type step struct {
		name string
		do   func(h *house, p *Principal) error
		ok   fault.Kind // what doing it again may answer; Internal: nothing but success
	}
	for _, c := range []step{
		{"create", func(h *house, _ *Principal) error {
			_, err := h.g.Create(ctx, h.as("olga"), Draft{Name: "Second hub", Kind: Hub, HubKey: "k2"})
			return err
		}, fault.Conflict},
		{"change", func(h *house, p *Principal) error {
			yes := true
			_, err := h.g.Change(ctx, h.as("olga"), p.ID, Change{Publishes: &yes})
			return err
		}, fault.Internal},
		{"pause", func(h *house, p *Principal) error { _, err := h.g.Pause(ctx, h.as("olga"), p.ID, true, ""); return err }, fault.Internal},
		{"pause all", func(h *house, _ *Principal) error { return h.g.PauseAll(ctx, h.as("olga"), true, "") }, fault.Internal},
		{"revoke", func(h *house, p *Principal) error { _, err := h.g.Revoke(ctx, h.as("olga"), p.ID, "Over."); return err }, fault.Conflict},
		{"lend", func(h *house, p *Principal) error {
			_, err := h.g.AddProject(ctx, h.as("lena"), p.ID, "aurora", "lena", []string{"*"})
			return err
		}, fault.Internal},
		{"take back", func(h *house, p *Principal) error {
			_, err := h.g.DropProject(ctx, h.as("lena"), p.ID, "aurora", "Over.")
			return err
		}, fault.NotFound},
		{"person's token", func(h *house, _ *Principal) error {
			_, _, err := h.g.NewPersonToken(ctx, h.as("rosa"), "laptop", "aurora", 3)
			return err
		}, fault.Internal},
		{"end of a token", func(h *house, _ *Principal) error {
			list, err := h.g.Tokens(ctx, h.as("rosa"))
			h.must(err)
			return h.g.RevokeToken(ctx, h.as("rosa"), list[0].ID, "")
		}, fault.Internal},
		{"client's token", func(h *house, _ *Principal) error {
			_, err := h.g.NewToken(ctx, h.as("olga"), "lab-client")
			return err
		}, fault.Internal},
		{"source", func(h *house, _ *Principal) error {
			_, err := h.g.AddSource(ctx, h.as("olga"), Source{Prefix: "https://data.example.org/"})
			return err
		}, fault.Conflict},
	} {
		for _, after := range []bool{false, true} {
			name := c.name + " fails"
			if after {
				name += " after it was stored"
			}
			t.Run(name, func(t *testing.T) {
				h := newHouse(t)
				p, _ := h.hub("North hub")
				h.client("Lab client")
				h.person("rosa", "aurora")
				h.g.update = (&faulty{after: after, real: h.db.Update}).update
				err := c.do(h, &p)
				if err == nil || strings.Contains(fault.Message(err), "disk is gone") {
					t.Fatalf("error %v with message %q", err, fault.Message(err))
				}
				h.g.update = h.db.Update
				if err := c.do(h, &p); err != nil && (!after || fault.KindOf(err) != c.ok) {
					t.Errorf("again: %v", err)
				}
				if n := h.number(`SELECT count(*) FROM gateway_token WHERE principal IS NOT NULL AND revoked_at IS NULL`); n != 1 {
					t.Errorf("the client has %d tokens that are good", n)
				}
			})
		}
	}
}

// TestSubmitFaults: the insert of our rows fails at every statement; then there is no
// job, no ledger line and no count, and the same request again is accepted.
func TestSubmitFaults(t *testing.T) {
	for _, table := range []string{"gateway_task", "gateway_document", "gateway_tag", "gateway_ledger"} {
		t.Run(table, func(t *testing.T) {
			h := newHouse(t)
			_, who := h.hub("North hub")
			h.must(h.exec(`CREATE TRIGGER broken BEFORE INSERT ON ` + table + ` WHEN NOT EXISTS (SELECT 1 FROM gateway_setting WHERE key = 'fixed') ` +
				map[bool]string{true: "AND NEW.outcome = 'accepted' "}[table == "gateway_ledger"] + `BEGIN SELECT RAISE(ABORT, 'CANARY disk'); END`))
			r := request()
			r.RemoteID = "order-1"
			_, err := h.host(who).Submit(ctx, r)
			h.wantRefusal(err, CodeInternal, "Something went wrong")
			for _, t2 := range []string{"job", "gateway_task", "gateway_document", "gateway_tag"} {
				if n := h.number(`SELECT count(*) FROM ` + t2); n != 0 {
					t.Errorf("%d rows in %s", n, t2)
				}
			}
			h.must(h.exec(`INSERT INTO gateway_setting (key, value) VALUES ('fixed', '1')`))
			st := h.submit(who, r)
			if h.submit(who, r).ID != st.ID || h.number(`SELECT count(*) FROM job`) != 1 {
				t.Error("it is not there exactly once")
			}
		})
	}
}

// TestLockedTables: what the triggers refuse to whoever writes SQL past the program.
func TestLockedTables(t *testing.T) {
	h := newHouse(t)
	p, who, _ := h.client("Lab client")
	h.submit(who, request())
	rosa, olga, lena := h.people["rosa"].ID, h.people["olga"].ID, h.people["lena"].ID
	hash := strings.Repeat("a", 64)
	for name, q := range map[string]string{
		"a ledger line changed":          `UPDATE gateway_ledger SET bytes = 0`,
		"a ledger line removed":          `DELETE FROM gateway_ledger`,
		"a principal removed":            `DELETE FROM gateway_principal`,
		"another kind":                   `UPDATE gateway_principal SET kind = 'hub'`,
		"another maker":                  `UPDATE gateway_principal SET created_by = 'x'`,
		"lent by a member":               `INSERT INTO gateway_use VALUES ('` + p.ID + `', '` + h.borealis.ID + `', '` + h.people["otto"].ID + `', '[]', 1, '` + h.people["otto"].ID + `', 'x')`,
		"lent by an operator":            `INSERT INTO gateway_use VALUES ('` + p.ID + `', '` + h.borealis.ID + `', '` + h.people["otto"].ID + `', '[]', 1, '` + olga + `', 'x')`,
		"lent by another's lead":         `INSERT INTO gateway_use VALUES ('` + p.ID + `', '` + h.borealis.ID + `', '` + h.people["otto"].ID + `', '[]', 1, '` + lena + `', 'x')`,
		"sponsored by a stranger":        `INSERT INTO gateway_use VALUES ('` + p.ID + `', '` + h.borealis.ID + `', '` + rosa + `', '[]', 1, '` + h.people["mona"].ID + `', 'x')`,
		"a sponsor who is no member":     `UPDATE gateway_use SET sponsor = '` + olga + `'`,
		"a token's hash changed":         `UPDATE gateway_token SET hash = '` + hash + `'`,
		"a token made longer":            `UPDATE gateway_token SET expires_at = expires_at + 1`,
		"a token removed":                `DELETE FROM gateway_token`,
		"a token of a person for a year": `INSERT INTO gateway_token (id, hash, person, project, name, created_at, expires_at) VALUES ('x', '` + hash + `', '` + rosa + `', '` + h.aurora.ID + `', 'x', 1, 1 + 91 * 86400000)`,
		"a token of no member":           `INSERT INTO gateway_token (id, hash, person, project, name, created_at, expires_at) VALUES ('x', '` + hash + `', '` + rosa + `', '` + h.borealis.ID + `', 'x', 1, 2)`,
		"a token of nobody":              `INSERT INTO gateway_token (id, hash, name, created_at, expires_at) VALUES ('x', '` + hash + `', 'x', 1, 2)`,
		"a task's document changed":      `UPDATE gateway_document SET document = x'00'`,
		"another form of a request":      `UPDATE gateway_task SET form_sha256 = 'x'`,
		"a task of another":              `UPDATE gateway_task SET principal = 'x'`,
		"a task removed":                 `DELETE FROM gateway_task`,
		"plugins that are no list":       `UPDATE gateway_principal SET plugins = '"tes"'`,
		"a task through another plugin": `INSERT INTO gateway_task (id, principal, kind, plugin, project, name, state, tags, request_sha256, on_behalf, created_at)
			SELECT (SELECT id FROM job LIMIT 1) || '', principal, kind, 'beacon', project, name, state, tags, request_sha256, on_behalf, created_at FROM gateway_task`,
		"a task for a foreign project": `INSERT INTO gateway_task (id, principal, kind, plugin, project, name, state, tags, request_sha256, on_behalf, created_at)
			SELECT id || 'x', principal, kind, plugin, '` + h.borealis.ID + `', name, state, tags, request_sha256, on_behalf, created_at FROM gateway_task`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := h.exec(q); err == nil {
				t.Errorf("%s was let through", q)
			}
		})
	}
	h.revoke(p)
	for name, q := range map[string]string{
		"revoked comes back":   `UPDATE gateway_principal SET state = 'active'`,
		"a token of a revoked": `INSERT INTO gateway_token (id, hash, principal, name, created_at, expires_at) VALUES ('x', '` + hash + `', '` + p.ID + `', 'x', 1, 2)`,
		"a token comes back":   `UPDATE gateway_token SET revoked_at = NULL`,
		"a project for a revoked one": `INSERT INTO gateway_use VALUES ('` + p.ID + `', '` + h.borealis.ID + `', '` + h.people["otto"].ID + `', '[]', 1, '` +
			h.people["mona"].ID + `', 'x')`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := h.exec(q); err == nil {
				t.Errorf("%s was let through", q)
			}
		})
	}
}
