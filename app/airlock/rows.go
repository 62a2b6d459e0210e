package airlock

import (
	"database/sql"
	"encoding/json"
	"time"

	"tresor/app/access"
	"tresor/app/airlock/check"
	"tresor/app/fault"
	"tresor/app/store"
)

const requestColumns = `id, project, job, job_name, direction, state, round, edits, title, context, population, controls, exception, findings,
 requester, requester_handle, requester_name, producer, created_at, submitted_at, decided_at, approved_seq, turned_at, release_id`

func scanRequest(row interface{ Scan(...any) error }) (Request, error) {
	var r Request
	var findings string
	var created, turned int64
	var submitted, decided, seq sql.NullInt64
	err := row.Scan(&r.ID, &r.Project, &r.Job, &r.JobName, &r.Direction, &r.State, &r.Round, &r.edits, &r.Title, &r.Context, &r.Population, &r.Controls,
		&r.Exception, &findings, &r.Requester.ID, &r.Requester.Handle, &r.Requester.Name, &r.producer, &created, &submitted, &decided, &seq, &turned, &r.Release)
	if err != nil {
		return r, err
	}
	r.CreatedAt, r.turnedAt = store.Time(created), store.Time(turned)
	r.SubmittedAt, r.DecidedAt, r.approvedSeq = moment(submitted), moment(decided), seq.Int64
	r.Findings = []check.Finding{}
	return r, json.Unmarshal([]byte(findings), &r.Findings)
}

func moment(ms sql.NullInt64) *time.Time {
	if !ms.Valid {
		return nil
	}
	t := store.Time(ms.Int64)
	return &t
}

// find loads the row of a request; fault.NotFound when there is none.
func find(tx *store.Tx, id string) (Request, error) {
	r, err := scanRequest(tx.QueryRow(`SELECT `+requestColumns+` FROM airlock_request WHERE id = ?`, id))
	if store.NotFound(err) {
		return r, fault.New("airlock.find", fault.NotFound, access.NotSeen)
	}
	return r, err
}

func insertRequest(tx *store.Tx, r Request) error {
	now := store.Millis(tx.Now())
	_, err := tx.Exec(`INSERT INTO airlock_request (id, project, job, job_name, direction, state, title, context, population, controls, exception,
 requester, requester_handle, requester_name, producer, created_at, turned_at) VALUES (?, ?, ?, ?, 'egress', 'draft', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.Project, r.Job, r.JobName, r.Title, r.Context, r.Population, r.Controls, r.Exception,
		r.Requester.ID, r.Requester.Handle, r.Requester.Name, r.producer, now, now)
	return err
}

// pending is the round that a draft or a returned request prepares.
func (r Request) pending() int { return r.Round + 1 }

// shownRound is the round whose files a reader of the request sees.
func (r Request) shownRound() int {
	if r.State.Editable() || r.Round == 0 {
		return r.pending()
	}
	return r.Round
}

const itemColumns = `id, request, round, output, path, source_sha256, sha256, size, kind, row_count, col_count, findings`

func scanItem(row interface{ Scan(...any) error }) (Item, error) {
	var it Item
	var findings string
	err := row.Scan(&it.ID, &it.request, &it.round, &it.Output, &it.Path, &it.SourceSHA256, &it.SHA256, &it.Size, &it.Kind, &it.Rows, &it.Cols, &findings)
	if err != nil {
		return it, err
	}
	it.Findings = []check.Finding{}
	return it, json.Unmarshal([]byte(findings), &it.Findings)
}

func itemsOf(tx *store.Tx, request string, round int) ([]Item, error) {
	rows, err := tx.Query(`SELECT `+itemColumns+` FROM airlock_item WHERE request = ? AND round = ? ORDER BY path`, request, round)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Item{}
	for rows.Next() {
		it, err := scanItem(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, it)
	}
	return list, rows.Err()
}

// putItems makes list the files of the pending round.
func putItems(tx *store.Tx, request string, round int, list []Item) error {
	if _, err := tx.Exec(`DELETE FROM airlock_item WHERE request = ? AND round = ?`, request, round); err != nil {
		return err
	}
	for _, it := range list {
		_, err := tx.Exec(`INSERT INTO airlock_item (`+itemColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			it.ID, request, round, it.Output, it.Path, it.SourceSHA256, it.SHA256, it.Size, it.Kind, it.Rows, it.Cols, encode(it.Findings))
		if err != nil {
			return err
		}
	}
	return nil
}

// roundRow is what was submitted, for good.
type roundRow struct {
	needed, threshold                        int
	manifest, manifestSHA, rulesSHA, version string
	findingsSHA                              string
}

func findRound(tx *store.Tx, request string, round int) (roundRow, error) {
	var r roundRow
	err := tx.QueryRow(`SELECT needed, threshold, manifest, manifest_sha256, rules_version, rules_sha256, findings_sha256 FROM airlock_round WHERE request = ? AND round = ?`,
		request, round).Scan(&r.needed, &r.threshold, &r.manifest, &r.manifestSHA, &r.version, &r.rulesSHA, &r.findingsSHA)
	return r, err
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only our own plain structs come here
	}
	return string(b)
}

// each walks rows and closes them.
func each(rows *sql.Rows, err error, one func() error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := one(); err != nil {
			return err
		}
	}
	return rows.Err()
}
